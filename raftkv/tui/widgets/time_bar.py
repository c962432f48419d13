"""The bar of time; a click on it goes to that moment."""

from __future__ import annotations

from textual import events
from textual.message import Message

from raftkv.tui.frame import Times
from raftkv.tui.view.spans import Line
from raftkv.tui.view.timeline import time_at
from raftkv.tui.widgets.lines import Lines


class TimeBar(Lines):
    class Picked(Message):
        def __init__(self, time: float) -> None:
            super().__init__()
            self.time = time

    def __init__(self, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._times: Times | None = None
        self._columns = 0

    def show_times(self, times: Times, line: Line, columns: int | None = None) -> None:
        """``columns``: how many of the line, from its beginning, are the bar; None: all."""
        self._times = times
        self._columns = columns or self.size.width
        self.show((line,))

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place and self._times and place.x < self._columns:
            self.post_message(self.Picked(time_at(self._times, place.x, self._columns)))
