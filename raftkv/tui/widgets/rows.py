"""A list that scrolls, with a cursor; a click puts the cursor there, a second one chooses."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.message import Message

from raftkv.tui.view.spans import Line
from raftkv.tui.widgets.lines import Lines

WHEEL_ROWS = 3


def _no_line(number: int) -> Line:
    raise AssertionError(f"there is no row {number}")


class Rows(Lines):
    class Chosen(Message):
        def __init__(self, rows: Rows, number: int) -> None:
            super().__init__()
            self.rows = rows
            self.number = number

        @property
        def control(self) -> Rows:
            return self.rows

    def __init__(self, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._count = 0
        self._line: Callable[[int], Line] = _no_line
        self._first = 0
        self.cursor = 0
        self._excused = False

    def excuse(self, line: Line) -> None:
        """Shown in place of the rows, until there are some again; the cursor stays where it is."""
        self._excused = True
        self.show((line,))

    def show_rows(self, count: int, line: Callable[[int], Line]) -> None:
        """``count`` rows, of which only those are drawn that are seen: ``line`` draws one."""
        self._excused = False
        self._count, self._line = count, line
        self.cursor = min(self.cursor, max(0, count - 1))
        height = max(1, self.size.height)
        most = max(0, count - height)  # a room that has grown leaves none of it empty
        self._first = min(max(self._first, self.cursor - height + 1), self.cursor, most)
        self.show([line(number) for number in range(self._first, min(count, self._first + height))])

    def step(self, rows: int) -> None:
        if self._excused:
            return
        before = self.cursor
        self.cursor = min(max(0, self.cursor + rows), max(0, self._count - 1))
        if self.cursor != before:
            self.show_rows(self._count, self._line)
            self.refresh()

    def turn(self, way: str) -> None:
        page = max(1, self.size.height - 1)
        self.step({"page_up": -page, "page_down": page, "home": -self._count}.get(way, self._count))

    def choose(self) -> None:
        if self._count and not self._excused:
            self.post_message(self.Chosen(self, self.cursor))

    def highlighted(self, y: int) -> bool:
        return y == self.cursor - self._first and bool(self._count) and not self._excused

    def on_mouse_scroll_down(self) -> None:
        self.step(WHEEL_ROWS)

    def on_mouse_scroll_up(self) -> None:
        self.step(-WHEEL_ROWS)

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place and not self._excused and self._first + place.y < self._count:
            number = self._first + place.y
            if number == self.cursor:
                self.choose()
            self.step(number - self.cursor)
