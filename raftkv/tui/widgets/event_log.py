"""The last events of all nodes and the user's own commands. Follows the newest line until
scrolled up, and again from the bottom on. A click on a line asks for its moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from raftkv.tui.event_log import LogLine, Row, folded
from raftkv.tui.frame import Frame
from raftkv.tui.view.event_log import event_line
from raftkv.tui.view.nodes import name_width
from raftkv.tui.widgets.lines import Styled


class EventLog(ScrollView, Styled, can_focus=False):
    class Picked(Message):
        def __init__(self, line: LogLine) -> None:
            super().__init__()
            self.line = line

    def __init__(self, id: str) -> None:  # noqa: A002
        super().__init__(id=id, classes="events")
        self._source: tuple[LogLine, ...] | None = None
        self._entries: tuple[LogLine, ...] = ()
        self._rows: tuple[Row, ...] = ()
        self._following = True
        """Until somebody scrolls. A new size moves what is shown, too, and nobody wanted that."""
        self._total = 0
        self._filter = ""
        self._origin = datetime.min
        self._name_width = 0
        self._names: tuple[str, ...] = ()

    def show_frame(self, frame: Frame) -> None:
        """All lines of the frame's state that its filter lets through."""
        state = frame.state
        if state.lines is self._source and frame.filter == self._filter:
            return
        self._source = state.lines
        lines = state.lines
        if frame.filter:
            wanted = frame.filter.lower()
            lines = tuple(line for line in lines if wanted in f"{line.node} {line.text}".lower())
        if self._filter != frame.filter or frame.filter:
            found = f"{len(lines):,} of {len(state.lines):,} with {frame.filter!r}  esc: all"
            self.border_title = Content(f" events {found if frame.filter else ''}".rstrip() + " ")
        self._filter = frame.filter
        self.show_lines(lines, state.lines_total, frame)

    def show_lines(self, entries: tuple[LogLine, ...], total: int, frame: Frame) -> None:
        """``total``: how many there have ever been, shown or not."""
        if total == self._total and entries == self._entries:
            return
        self._origin, self._name_width = frame.times.origin, name_width(frame.state)
        self._names = frame.state.names
        top = self.scroll_offset.y
        follow = self._following or self._at_the_end or total < self._total
        read = self._rows[top] if top < len(self._rows) else None
        self._entries, self._total = entries, total
        self._rows = folded(entries)
        self.virtual_size = Size(self.size.width, len(self._rows))
        self._following = follow
        if follow:
            self._go(self.max_scroll_y)
        elif read:
            self._go(_place(self._rows, read))
        self.refresh()

    def turn(self, way: str) -> None:
        page, here = self.size.height, self.scroll_offset.y
        self._go({"page_up": here - page, "page_down": here + page, "home": 0}.get(way, self.max_scroll_y))
        self._following = self._at_the_end

    def on_mouse_scroll_up(self) -> None:
        self._following = False

    on_mouse_scroll_down = on_scroll_to = on_scroll_up = on_scroll_down = on_mouse_scroll_up

    def on_resize(self) -> None:
        self.call_after_refresh(self._settle)  # only then is it known how far down the end is

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        number = self.scroll_offset.y + place.y if place else -1
        if 0 <= number < len(self._rows):
            self.post_message(self.Picked(self._rows[number].line))

    @property
    def _at_the_end(self) -> bool:
        """Or on its way there."""
        return self.scroll_target_y >= self.max_scroll_y

    def _settle(self) -> None:
        if self._following:
            self._go(self.max_scroll_y)

    def _go(self, y: int) -> None:
        # Forced: until the scrollbar is drawn, Textual holds that there is nothing to scroll.
        self.scroll_to(y=max(0, y), animate=False, immediate=True, force=True)

    def render_line(self, y: int) -> Strip:
        number = self.scroll_offset.y + y
        if not 0 <= number < len(self._rows):
            return self.strip(())
        return self.strip(event_line(self._rows[number], self._origin, self._name_width, self._names))


def _place(rows: Sequence[Row], read: Row) -> int:
    """Where that row is now, or the next one where it has dropped out at the top or moved to the end."""
    for place, row in enumerate(rows):
        if row.line is read.line or row.line.time > read.line.time:
            return place
    return len(rows)
