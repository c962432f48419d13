"""A list that scrolls, with a cursor; a click puts the cursor there, a second one chooses."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message

from raftkv.tui.view.spans import Line
from raftkv.tui.widgets.lines import Lines


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
        self._all: tuple[Line, ...] = ()
        self._first = 0
        self.cursor = 0

    def show_rows(self, rows: Sequence[Line]) -> None:
        self._all = tuple(rows)
        self.cursor = min(self.cursor, max(0, len(self._all) - 1))
        height = max(1, self.size.height)
        most = max(0, len(self._all) - height)  # a room that has grown leaves none of it empty
        self._first = min(max(self._first, self.cursor - height + 1), self.cursor, most)
        self.show(self._all[self._first : self._first + height])

    def step(self, rows: int) -> None:
        before = self.cursor
        self.cursor = min(max(0, self.cursor + rows), max(0, len(self._all) - 1))
        if self.cursor != before:
            self.show_rows(self._all)
            self.refresh()

    def turn(self, way: str) -> None:
        page = max(1, self.size.height - 1)
        self.step({"page_up": -page, "page_down": page, "home": -len(self._all)}.get(way, len(self._all)))

    def choose(self) -> None:
        if self._all:
            self.post_message(self.Chosen(self, self.cursor))

    def highlighted(self, y: int) -> bool:
        return y == self.cursor - self._first and bool(self._all)

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place and self._first + place.y < len(self._all):
            number = self._first + place.y
            if number == self.cursor:
                self.choose()
            self.step(number - self.cursor)
