"""The overview: who leads, how far everybody is, who hears whom, and what happened last."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content

from raftkv.tui.frame import Frame
from raftkv.tui.model import State
from raftkv.tui.pages.page import Page, heading
from raftkv.tui.view.detail import detail
from raftkv.tui.view.lanes import LEGEND, lanes
from raftkv.tui.view.matrix import link_matrix, matrix_shape
from raftkv.tui.view.nodes import node_table
from raftkv.tui.view.reasons import reason_lines
from raftkv.tui.view.ring import HEIGHT_MIN, ring
from raftkv.tui.widgets.event_log import EventLog
from raftkv.tui.widgets.lines import Lines
from raftkv.tui.widgets.link_matrix import LinkMatrix
from raftkv.tui.widgets.node_table import NodeTable

TABLE_MIN = 62
"""Columns the node table cannot do without: with six-digit indexes all in full."""
FIXED_ROWS = 6
"""Rows beside the two a node has: two headings, three events, one to spare."""
BORDER_ROWS = 1
"""Of a panel."""
RING_PICTURES = 4
"""A second. Twice as many take a twentieth of a core more."""
TITLE_ROWS = 3
"""Rows of the panels' titles, given up first where there are many nodes."""


class OverviewPage(Page):
    def __init__(self, state: State) -> None:
        super().__init__("overview")
        count = len(state.names)
        self._table = NodeTable(count)
        self._matrix = LinkMatrix(count)
        self._lanes = Lines(id="lanes", rows=count + 1)
        self._events = EventLog("overview-events")
        self._why = Lines(id="why")
        self._detail = Lines(id="detail")
        self._ring = Lines(id="talks")
        self._ring_tick = -1
        self._aside = Vertical(id="aside")

    def compose(self) -> ComposeResult:
        with Horizontal(id="top"):
            yield self._table
            yield self._matrix
        yield self._lanes
        with Horizontal(id="bottom"):
            with Vertical(id="story"):
                yield self._events
                yield self._why
            with self._aside:
                yield self._detail
                yield self._ring

    def on_mount(self) -> None:
        self._table.border_title = heading("nodes")
        self._lanes.border_title = Content.assemble((" logs ", "bold"), f"  {LEGEND} ")
        self._events.border_title = heading("events")
        self._why.border_title = heading("why")
        self._ring.border_title = heading("who talks to whom")

    def fill(self, frame: Frame) -> None:
        state, now, width = frame.state, frame.now, self.size.width
        count = len(state.names)
        self.set_class(2 * count + FIXED_ROWS + TITLE_ROWS > self.size.height, "-tight")
        beside = self._matrix.gutter.width
        shape = matrix_shape(state, width - TABLE_MIN - beside)
        self.retitle(self._matrix, "links" if shape.corner else "from↓ to→")
        self._matrix.shape_as(shape, state.names)
        self._matrix.show(link_matrix(state, now, shape))
        self._table.select(frame.selected, state.names)
        self._table.show(node_table(state, now, width - shape.width - beside, frame.selected))
        self._lanes.resize(count + 1)
        self._lanes.show(lanes(state, now, width))
        self._events.show_frame(frame)
        if self._detail.display:
            self.retitle(self._detail, f"node {frame.selected}")
            self._why.show(reason_lines(state, self._why.size.width, self._why.size.height))
            told = detail(state, frame.selected, now, self._detail.size.width)
            self._detail.resize(len(told))
            self._detail.show(told)
            # Without room for a picture its title would stand there alone.
            self._ring.display = self._aside.size.height - len(told) - 2 * BORDER_ROWS >= HEIGHT_MIN
            if self._ring.display:
                self._draw_ring(state, now)

    def _draw_ring(self, state: State, now: float) -> None:
        """Its dots never stand still, and each picture of them is drawn anew."""
        tick = int(now * RING_PICTURES)
        if tick != self._ring_tick:
            self._ring_tick = tick
            self._ring.show(ring(state, now, self._ring.size.width, self._ring.size.height))

    def turn(self, way: str) -> None:
        self._events.turn(way)
