"""The table of nodes; a click on a row selects its node."""

from __future__ import annotations

from textual import events
from textual.message import Message

from raftkv.tui.widgets.lines import Lines


class NodeTable(Lines):
    class Picked(Message):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, nodes: int) -> None:
        super().__init__(id="nodes", rows=nodes + 1)
        self._names: tuple[str, ...] = ()
        """Those on the screen."""
        self._selected = 0

    def select(self, name: str, names: tuple[str, ...]) -> None:
        """Of ``names``, in the order of the rows."""
        self._names, number = names, names.index(name)
        self.resize(len(names) + 1)
        if number != self._selected:
            self.refresh_row(self._selected + 1)
            self.refresh_row(number + 1)
            self._selected = number

    def highlighted(self, y: int) -> bool:
        return y == self._selected + 1

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place and 1 <= place.y <= len(self._names):
            self.post_message(self.Picked(self._names[place.y - 1]))
