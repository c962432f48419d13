"""The table of nodes; a click on a row selects its node."""

from __future__ import annotations

from textual import events
from textual.message import Message

from raftkv.tui.widgets.lines import Lines


class NodeTable(Lines):
    class Picked(Message):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number
            """Position among the nodes, from 0."""

    def __init__(self, nodes: int) -> None:
        super().__init__(id="nodes", rows=nodes + 1)
        self._count = nodes
        self._selected = 0

    def select(self, number: int, count: int) -> None:
        """Row ``number`` of ``count`` nodes, from 0."""
        self._count = count
        self.resize(count + 1)
        if number != self._selected:
            self.refresh_row(self._selected + 1)
            self.refresh_row(number + 1)
            self._selected = number

    def highlighted(self, y: int) -> bool:
        return y == self._selected + 1

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place and 1 <= place.y <= self._count:
            self.post_message(self.Picked(place.y - 1))
