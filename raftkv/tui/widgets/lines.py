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


class Palette(Widget):
    """Unseen: knows what every style name looks like in the theme of the moment. One for all widgets, as each
    component class costs every widget that has it a node of its own at every change of the style sheet."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"st-{name}" for name in (*STYLES, "selected")}

    def __init__(self) -> None:
        super().__init__(id="palette")
        self._known: dict[str, Style] = {}
        self._theme = ""

    def look(self, name: str) -> Style:
        """To be laid over a widget's own style: without a background, unless the name stands for one."""
        if self.app.theme != self._theme:
            self._theme = self.app.theme
            self._known = {}
        if name not in self._known:
            style = self.get_component_rich_style(f"st-{name}")
            plain = style.bgcolor == self.rich_style.bgcolor
            self._known[name] = style.without_color + Style(
                color=style.color, bgcolor=None if plain else style.bgcolor
            )
        return self._known[name]


class Styled(Widget):
    """Turns lines into strips. What a style name looks like, the palette says."""

    def strip(self, line: Line, *, highlighted: bool = False) -> Strip:
        palette = self.app.screen_stack[0].query_one(Palette)
        base = self.rich_style
        over = Style()
        if highlighted:  # and seen where there are no colours
            over = Style(bgcolor=palette.look("selected").bgcolor, reverse=self.app.no_color or None)
        segments = [
            Segment(text, (base + palette.look(style) if style else base) + over)
            for text, style in line
            if text
        ]
        strip, width = Strip(segments), self.scrollable_content_region.width
        if strip.cell_length > width and strip.crop(width - 1).text.strip():
            # What is cut off shows that something is.
            strip = Strip([*strip.crop(0, width - 1), Segment("…", base + over)])
        return strip.adjust_cell_length(width, base + over)


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

    def resize(self, rows: int) -> None:
        """To this many rows, where the height follows the content."""
        if rows != self._rows:
            self._rows = rows
            self.refresh(layout=True)

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
