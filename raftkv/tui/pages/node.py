"""One node in full: its state, its book about each peer, its own lines and those of its last life."""

from __future__ import annotations

from dataclasses import replace

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from raftkv.observe import events
from raftkv.tui.event_log import LogLine
from raftkv.tui.frame import Frame
from raftkv.tui.pages.page import Page, heading
from raftkv.tui.view.detail import detail
from raftkv.tui.view.reasons import reason_lines
from raftkv.tui.widgets.event_log import EventLog
from raftkv.tui.widgets.lines import Lines


class NodePage(Page):
    def __init__(self) -> None:
        super().__init__("node")
        self._detail = Lines(id="node-detail")
        self._why = Lines(id="node-why")
        self._now = EventLog("node-events")
        self._before = EventLog("node-before")

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield self._detail
            with Vertical():
                yield self._now
                yield self._why
                yield self._before

    def on_mount(self) -> None:
        self._now.border_title = heading("its lines")
        self._why.border_title = heading("why")
        self._before.border_title = heading("of its life before")

    def fill(self, frame: Frame) -> None:
        self.retitle(self._detail, f"node {frame.selected}")
        self._detail.show(detail(frame.state, frame.selected, frame.now, self._detail.size.width))
        before, now = lives_apart(frame.state.lines, frame.selected)
        total = frame.state.lines_total
        self._now.show_lines(now, total, frame)
        self._before.show_lines(before, total, frame)
        own = replace(frame.state, lines=(*before, *now))
        self._why.show(reason_lines(own, self._why.size.width, self._why.size.height))

    def turn(self, way: str) -> None:
        self._now.turn(way)


def lives_apart(lines: tuple[LogLine, ...], name: str) -> tuple[tuple[LogLine, ...], tuple[LogLine, ...]]:
    """The node's lines of its life before the last start, and those since."""
    own = [line for line in lines if line.node == name]
    starts = [
        number for number, line in enumerate(own) if line.event and line.event.kind == events.NODE_STARTED
    ]
    cut = starts[-1] if starts else 0
    first = starts[-2] if len(starts) > 1 else 0
    return tuple(own[first:cut]), tuple(own[cut:])
