"""Time: what everybody was, when; any moment of it again, and why it came to that."""

from __future__ import annotations

from textual.app import ComposeResult

from raftkv.tui.frame import Frame, Mode
from raftkv.tui.pages.page import Page, heading
from raftkv.tui.view.lives import LEGEND as LIVES_LEGEND
from raftkv.tui.view.lives import lives
from raftkv.tui.view.reasons import reason_lines
from raftkv.tui.view.spans import Line, Span, duration
from raftkv.tui.view.timeline import LEGEND, clock_text, timeline
from raftkv.tui.widgets.event_log import EventLog
from raftkv.tui.widgets.lines import Lines
from raftkv.tui.widgets.time_bar import TimeBar

WHY_ROWS = 4


class TimelinePage(Page):
    def __init__(self) -> None:
        super().__init__("timeline")
        self._where = Lines(id="where")
        self._bar = TimeBar("time-bar")
        self._lives = Lines(id="lives")
        self._legend = Lines(id="time-legend", rows=2)
        self._events = EventLog("timeline-events")
        self._why = Lines(id="timeline-why", rows=WHY_ROWS)

    def compose(self) -> ComposeResult:
        yield self._where
        yield self._bar
        yield self._lives
        yield self._legend
        yield self._events
        yield self._why

    def on_mount(self) -> None:
        self._events.border_title = heading("events: click one to see its moment")
        self._why.border_title = heading("why")

    def fill(self, frame: Frame) -> None:
        width = self.size.width
        self._where.show((_where(frame),))
        self._bar.show_times(frame.times, timeline(frame.times, width))
        self._lives.resize(len(frame.state.names))
        self._lives.show(lives(frame.state, frame.times, width))
        self._legend.show(((Span(f" {LEGEND}", "dim"),), (Span(f" {LIVES_LEGEND}", "dim"),)))
        self._events.show_frame(frame)
        self._why.show(reason_lines(frame.state, width, WHY_ROWS))

    def turn(self, way: str) -> None:
        self._events.turn(way)


def _where(frame: Frame) -> Line:
    times = frame.times
    length = duration(times.end - times.start)
    place = Span(f" {clock_text(times)} ", "bold")
    behind = duration(max(0.0, times.end - times.position))
    match times.mode:
        case Mode.LIVE:
            text = f"live; {length} to look back at: space freezes, [ ] steps, {{ }} elections"
        case Mode.FROZEN:
            text = f"{behind} ago; the cluster goes on: space returns to it"
        case _:
            state = "plays" if times.playing else "stands still"
            at = duration(times.position - times.start)
            text = f"{at} of {length}, {state} at ×{times.speed:g}: space plays or pauses, < > speed"
    return place, Span(text, "dim")
