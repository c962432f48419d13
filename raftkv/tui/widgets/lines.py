"""A widget that shows the lines a view function made, and redraws only those that changed.

Ten times a second everything is worked out anew, but at rest only a few timer bars differ; drawing
whole widgets each time would cost several times as much as all the rest of the dashboard.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from raftkv.tui.view.spans import STYLES, Line


class Styled(Widget):
    """Turns lines into strips. Every style name is a component class ``st-<name>``."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"st-{name}" for name in (*STYLES, "selected")}

    def strip(self, line: Line, *, highlighted: bool = False) -> Strip:
        base = self.rich_style
        over = Style()
        if highlighted:
            over = Style(bgcolor=self.get_component_rich_style("st-selected").bgcolor)
        segments = [
            Segment(text, (self.get_component_rich_style(f"st-{style}") if style else base) + over)
            for text, style in line
            if text
        ]
        return Strip(segments).adjust_cell_length(self.size.width, base + over)


class Lines(Styled):
    """``show`` replaces the content."""

    def __init__(self, *, id: str | None = None, rows: int = 1, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._lines: tuple[Line, ...] = ()
        self._rows = rows

    def show(self, lines: Sequence[Line]) -> None:
        shown, self._lines = self._lines, tuple(lines)
        for y in range(max(len(shown), len(self._lines))):
            if _at(shown, y) != _at(self._lines, y):
                self.refresh_row(y)

    def refresh_row(self, y: int) -> None:
        self.refresh(Region(0, y, self.size.width, 1))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return self._rows

    def highlighted(self, y: int) -> bool:  # noqa: ARG002
        """Whether row ``y`` gets the background of a selection."""
        return False

    def render_line(self, y: int) -> Strip:
        line = _at(self._lines, y)
        return self.strip(line or (), highlighted=self.highlighted(y))


def _at(lines: tuple[Line, ...], y: int) -> Line | None:
    return lines[y] if 0 <= y < len(lines) else None
