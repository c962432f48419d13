"""The network: every directed link, to be broken cell by cell; groups, and everything that is broken."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message

from raftkv.tui.frame import Frame
from raftkv.tui.pages.page import Page, heading
from raftkv.tui.view.network import Grid, fault_list, grid, group_line, link_facts, network
from raftkv.tui.view.ring import ring
from raftkv.tui.widgets.lines import Lines

HINT = "arrows: choose · o block d delay l drop u duplicate x reorder · enter: block"


class LinkGrid(Lines):
    class Picked(Message):
        """Positions among the nodes, from 0."""

        def __init__(self, sender: int, to: int) -> None:
            super().__init__()
            self.cell = (sender, to)

    def __init__(self) -> None:
        super().__init__(id="grid")
        self.shape: Grid | None = None
        self.count = 0

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        cell = self.shape.cell_at(place.x, place.y, self.count) if place and self.shape else None
        if cell:
            self.post_message(self.Picked(*cell))


class NetworkPage(Page):
    class Toggled(Message):
        """Block this link, or let it be."""

        def __init__(self, sender: str, to: str) -> None:
            super().__init__()
            self.link = (sender, to)

    def __init__(self) -> None:
        super().__init__("network")
        self._grid = LinkGrid()
        self._facts = Lines(id="link-facts", rows=2)
        self._faults = Lines(id="fault-list")
        self._ring = Lines(id="network-ring")
        self._cursor = (0, 1)
        self._names: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        yield self._grid
        yield self._facts
        with Horizontal():
            yield self._faults
            yield self._ring

    def on_mount(self) -> None:
        self._grid.border_title = heading("links: a row is who sends, a column who hears")
        self._grid.border_subtitle = HINT
        self._faults.border_title = heading("what is broken, and for how long")
        self._ring.border_title = heading("who talks to whom")

    @property
    def chosen(self) -> tuple[str, str] | None:
        sender, to = self._cursor
        if sender == to or max(self._cursor) >= len(self._names):
            return None
        return self._names[sender], self._names[to]

    def fill(self, frame: Frame) -> None:
        state, now = frame.state, frame.now
        self._names = state.names
        count = len(self._names)
        self._cursor = (min(self._cursor[0], count - 1), min(self._cursor[1], count - 1))
        self._grid.shape, self._grid.count = grid(state, self.size.width), count
        self._grid.resize(count + 1)
        self._grid.show(network(state, now, self._grid.shape, self._cursor))
        sender, to = (self._names[number] for number in self._cursor)
        self._facts.show((link_facts(state, sender, to, now), group_line(state, now)))
        self._faults.show(fault_list(state, now, self._faults.size.width))
        if self._ring.display:
            self._ring.show(ring(state, now, self._ring.size.width, self._ring.size.height))

    @property
    def row(self) -> int:
        """Of whoever sends."""
        return self._cursor[0]

    def select(self, row: int) -> None:
        self._cursor = (row, self._cursor[1])

    def move(self, columns: int, rows: int) -> bool:
        count = max(1, len(self._names))
        self._cursor = ((self._cursor[0] + rows) % count, (self._cursor[1] + columns) % count)
        return True

    def choose(self) -> None:
        if self.chosen:
            self.post_message(self.Toggled(*self.chosen))

    def on_link_grid_picked(self, message: LinkGrid.Picked) -> None:
        """The first click chooses, the next one on the same cell blocks or lets be."""
        if message.cell == self._cursor:
            self.choose()
        self._cursor = message.cell
