"""The line of screens; a click on one goes there."""

from __future__ import annotations

from textual import events
from textual.message import Message

from raftkv.tui.view.tabs import tab_line
from raftkv.tui.widgets.lines import Lines


class TabBar(Lines):
    class Picked(Message):
        def __init__(self, page: str) -> None:
            super().__init__()
            self.page = page

    def __init__(self) -> None:
        super().__init__(id="tabs")
        self._places: tuple[tuple[range, str], ...] = ()

    def show_current(self, page: str) -> None:
        line, self._places = tab_line(page, self.size.width)
        self.show((line,))

    def on_click(self, event: events.Click) -> None:
        for columns, page in self._places:
            if event.x in columns:
                self.post_message(self.Picked(page))
