"""The overview: every panel of the first screen, their arrangement, and how they are filled."""

from __future__ import annotations

from datetime import datetime

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from raftkv.tui.commands import COMMANDS
from raftkv.tui.model import LogLine, State
from raftkv.tui.view.detail import detail
from raftkv.tui.view.event_log import event_line
from raftkv.tui.view.faults import faults, faults_line
from raftkv.tui.view.header import header_line
from raftkv.tui.view.lanes import TITLE as LANES_TITLE
from raftkv.tui.view.lanes import lanes
from raftkv.tui.view.matrix import link_matrix, matrix_shape
from raftkv.tui.view.nodes import name_width, node_table
from raftkv.tui.view.spans import Line
from raftkv.tui.widgets.event_log import EventLog
from raftkv.tui.widgets.key_bar import KeyBar
from raftkv.tui.widgets.lines import Lines
from raftkv.tui.widgets.link_matrix import LinkMatrix
from raftkv.tui.widgets.node_table import NodeTable

TABLE_MIN = 62
"""Columns the node table cannot do without: with six-digit indexes all in full."""
FIXED_ROWS = 8
"""Rows beside the two a node has: header, two headings, two footer lines, three events."""
TITLE_ROWS = 3
"""Rows of the panels' titles, given up first where there are many nodes."""


class Overview(Vertical):
    def __init__(self, state: State, origin: datetime) -> None:
        super().__init__(id="overview")
        self._names = state.names
        self._origin = origin
        self._name_width = name_width(state)

    def compose(self) -> ComposeResult:
        count = len(self._names)
        yield Lines(id="header")
        with Horizontal(id="top"):
            yield NodeTable(count)
            yield LinkMatrix(count)
        yield Lines(id="lanes", rows=count + 1)
        with Horizontal(id="bottom"):
            yield EventLog(self._event_line)
            yield Lines(id="detail")
        yield Lines(id="faults")
        yield KeyBar(COMMANDS)

    def on_mount(self) -> None:
        self.query_one("#nodes").border_title = "nodes"
        self.query_one("#matrix").border_title = "links"
        self.query_one("#lanes").border_title = LANES_TITLE
        self.query_one("#events").border_title = "events"

    def on_resize(self) -> None:
        titled = 2 * len(self._names) + FIXED_ROWS + TITLE_ROWS <= self.size.height
        self.set_class(not titled, "-tight")

    def show(self, state: State, now: float, selected: str, *, frozen: bool, load: bool) -> None:
        width = self.size.width
        count = len(faults(state, now))
        self._lines("header").show((header_line(state, now, width, frozen=frozen, faults=count),))
        matrix = self.query_one(LinkMatrix)
        shape = matrix_shape(state, width - TABLE_MIN - matrix.gutter.width)
        matrix.shape_as(shape)
        matrix.show(link_matrix(state, now, shape))
        table = self.query_one(NodeTable)
        table.select(self._names.index(selected))
        table.show(node_table(state, now, width - shape.width - matrix.gutter.width, selected))
        self._lines("lanes").show(lanes(state, now, width))
        self.query_one(EventLog).show_entries(state.lines, state.lines_total)
        self._lines("faults").show((faults_line(state, now, width, load),))
        panel = self._lines("detail")
        if panel.display:
            panel.border_title = f"node {selected}"
            panel.show(detail(state, selected, now, panel.size.width))

    def _lines(self, name: str) -> Lines:
        return self.query_one(f"#{name}", Lines)

    def _event_line(self, line: LogLine) -> Line:
        return event_line(line, self._origin, self._name_width)
