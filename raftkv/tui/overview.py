"""The overview: every panel of the first screen, their arrangement, and how they are filled."""

from __future__ import annotations

from datetime import datetime

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content

from raftkv.tui.commands import COMMANDS
from raftkv.tui.model import LogLine, State
from raftkv.tui.view.detail import detail
from raftkv.tui.view.event_log import event_line
from raftkv.tui.view.faults import faults, faults_line
from raftkv.tui.view.header import header_line
from raftkv.tui.view.lanes import LEGEND, lanes
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
        count = len(state.names)
        self._header = Lines(id="header")
        self._table = NodeTable(count)
        self._matrix = LinkMatrix(count)
        self._lanes = Lines(id="lanes", rows=count + 1)
        self.event_log = EventLog(self._event_line)
        self._detail = Lines(id="detail")
        self._faults = Lines(id="faults")
        self._titles: dict[Lines, str] = {}

    def compose(self) -> ComposeResult:
        yield self._header
        with Horizontal(id="top"):
            yield self._table
            yield self._matrix
        yield self._lanes
        with Horizontal(id="bottom"):
            yield self.event_log
            yield self._detail
        yield self._faults
        yield KeyBar(COMMANDS)

    def on_mount(self) -> None:
        self._table.border_title = _title("nodes")
        self._lanes.border_title = Content.assemble((" logs ", "bold"), f"  {LEGEND} ")
        self.event_log.border_title = _title("events")

    def on_resize(self) -> None:
        titled = 2 * len(self._names) + FIXED_ROWS + TITLE_ROWS <= self.size.height
        self.set_class(not titled, "-tight")

    def show(self, state: State, now: float, selected: str, *, frozen: bool, load: bool) -> None:
        if not self.is_mounted:
            return  # the first resize comes before the panels
        width = self.size.width
        count = len(faults(state, now))
        self._header.show((header_line(state, now, width, frozen=frozen, faults=count),))
        beside = self._matrix.gutter.width
        shape = matrix_shape(state, width - TABLE_MIN - beside)
        self._retitle(self._matrix, "links" if shape.corner else "from↓ to→")
        self._matrix.shape_as(shape)
        self._matrix.show(link_matrix(state, now, shape))
        self._table.select(self._names.index(selected))
        self._table.show(node_table(state, now, width - shape.width - beside, selected))
        self._lanes.show(lanes(state, now, width))
        self.event_log.show_entries(state.lines, state.lines_total)
        self._faults.show((faults_line(state, now, width, load),))
        if self._detail.display:
            self._retitle(self._detail, f"node {selected}")
            self._detail.show(detail(state, selected, now, self._detail.size.width))

    def _retitle(self, panel: Lines, title: str) -> None:
        """Setting a title draws the whole panel anew, even if it is the same."""
        if self._titles.get(panel) != title:
            self._titles[panel] = title
            panel.border_title = _title(title)

    def _event_line(self, line: LogLine) -> Line:
        return event_line(line, self._origin, self._name_width)


def _title(text: str) -> Content:
    return Content.styled(f" {text} ", "bold")
