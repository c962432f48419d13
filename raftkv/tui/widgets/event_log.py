"""The last events of all nodes and the user's own commands. Follows the newest line until
scrolled up, and again from the bottom on."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from raftkv.tui.model import LogLine
from raftkv.tui.view.spans import Line
from raftkv.tui.widgets.lines import Styled


class EventLog(ScrollView, Styled, can_focus=False):
    # Textual gathers these along the first base only, and that is ScrollView.
    COMPONENT_CLASSES: ClassVar[set[str]] = Styled.COMPONENT_CLASSES

    def __init__(self, render: Callable[[LogLine], Line]) -> None:
        super().__init__(id="events")
        self._render_entry = render
        self._entries: tuple[LogLine, ...] = ()
        self._total = 0

    def show_entries(self, entries: tuple[LogLine, ...], total: int) -> None:
        """``total``: how many there have ever been; tells how many new ones ``entries`` ends with."""
        if total == self._total:
            return
        follow = self.scroll_offset.y >= self.max_scroll_y
        dropped = max(0, len(self._entries) + total - self._total - len(entries))
        self._entries, self._total = entries, total
        self.virtual_size = Size(self.size.width, len(entries))
        if follow:
            self._go(self.max_scroll_y)
        elif dropped:
            # Old lines fell out at the top: stay on the lines being read.
            self._go(self.scroll_offset.y - dropped)
        self.refresh()

    def turn(self, way: str) -> None:
        page, here = self.size.height, self.scroll_offset.y
        self._go({"page_up": here - page, "page_down": here + page, "home": 0}.get(way, self.max_scroll_y))

    def on_resize(self) -> None:
        # Only after the layout is it known how far down the end is.
        self.call_after_refresh(lambda: self._go(self.max_scroll_y))

    def _go(self, y: int) -> None:
        # Forced: until the scrollbar is drawn, Textual holds that there is nothing to scroll.
        self.scroll_to(y=max(0, y), animate=False, immediate=True, force=True)

    def render_line(self, y: int) -> Strip:
        number = self.scroll_offset.y + y
        line = self._render_entry(self._entries[number]) if 0 <= number < len(self._entries) else ()
        return self.strip(line)
