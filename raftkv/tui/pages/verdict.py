"""The verdict: is it still what it promises to be?"""

from __future__ import annotations

from textual.app import ComposeResult

from raftkv.tui.frame import Frame
from raftkv.tui.pages.page import Page, heading
from raftkv.tui.view.verdict import digests, invariants, load_lines, verdict_line
from raftkv.tui.widgets.lines import Lines


class VerdictPage(Page):
    def __init__(self) -> None:
        super().__init__("verdict")
        self._summary = Lines(id="verdict-summary")
        self._invariants = Lines(id="invariants")
        self._digests = Lines(id="digests")
        self._load = Lines(id="load")

    def compose(self) -> ComposeResult:
        yield self._summary
        yield self._invariants
        yield self._digests
        yield self._load

    def on_mount(self) -> None:
        self._invariants.border_title = heading("invariants, checked at every word of every node")
        self._digests.border_title = heading("states: equal digests at equal applied index")
        self._load.border_title = heading("history of the built-in load")

    def fill(self, frame: Frame) -> None:
        state, width = frame.state, self.size.width
        found = invariants(state.checks, width)
        self._summary.show((verdict_line(state),))
        self._invariants.resize(len(found))
        self._invariants.show(found)
        self._digests.resize(len(state.names))
        self._digests.show(digests(state, frame.now))
        self._load.show(load_lines(state, width, frame.breakable))
