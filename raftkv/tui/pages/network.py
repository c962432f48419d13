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
        def __init__(self, sender: str, to: str) -> None:
            super().__init__()
            self.link = (sender, to)

    def __init__(self) -> None:
        super().__init__(id="grid")
        self.shape: Grid | None = None
        self.names: tuple[str, ...] = ()
        """Those on the screen."""

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        cell = self.shape.cell_at(place.x, place.y, len(self.names)) if place and self.shape else None
        if cell:
            self.post_message(self.Picked(*[self.names[number] for number in cell]))


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
        self._link = ("", "")
        """Under the cursor: who sends, and to whom."""

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
        sender, to = self._link
        return None if sender == to else (sender, to)

    def fill(self, frame: Frame) -> None:
        state, now = frame.state, frame.now
        names = self._grid.names = state.names
        sender, to = self._link
        sender = sender if sender in names else frame.selected
        if to and to not in names:
            to = sender  # it has left, and no other link was chosen
        to = to or next((name for name in names if name != sender), sender)
        self._link = (sender, to)
        self._grid.shape = grid(state, self.size.width)
        self._grid.resize(len(names) + 1)
        self._grid.show(network(state, now, self._grid.shape, (names.index(sender), names.index(to))))
        self._facts.show((link_facts(state, sender, to, now), group_line(state, now)))
        self._faults.show(fault_list(state, now, *self._faults.size))
        if self._ring.display:
            self._ring.show(ring(state, now, self._ring.size.width, self._ring.size.height))

    @property
    def sender(self) -> str:
        return self._link[0]

    def select(self, name: str) -> None:
        self._link = (name, self._link[1])

    def move(self, columns: int, rows: int) -> bool:
        names = self._grid.names
        if names:
            sender, to = (names.index(name) if name in names else 0 for name in self._link)
            self._link = (names[(sender + rows) % len(names)], names[(to + columns) % len(names)])
        return True

    def choose(self) -> None:
        if self.chosen:
            self.post_message(self.Toggled(*self.chosen))

    def on_link_grid_picked(self, message: LinkGrid.Picked) -> None:
        """The first click chooses, the next one on the same cell blocks or lets be."""
        if message.link == self._link:
            self.choose()
        self._link = message.link
