"""The line above the keys: the bar of time, the moment, and what is broken."""

from __future__ import annotations

from raftkv.tui.frame import Frame, Mode
from raftkv.tui.view.faults import faults_line
from raftkv.tui.view.spans import Line, Span, left
from raftkv.tui.view.timeline import clock_text, timeline

BAR_SHARE = 0.33


def bar_width(width: int) -> int:
    return int(width * BAR_SHARE)


def footer(frame: Frame, width: int) -> Line:
    bar = bar_width(width)
    clock = Span(f" {clock_text(frame.times)} ", "" if frame.times.mode is Mode.LIVE else "accent")
    lasting = f"{frame.seconds:g} s" if frame.seconds is not None else "until healed"
    room = width - bar - len(clock.text)
    if frame.said:
        text, style = frame.said
        if len(text) >= room:  # for a moment, and to its end
            return (Span(left(f" {text}", width), style),)
        rest: Line = (Span(left(f" {text}", room), style),)
    else:
        rest = faults_line(frame.state, frame.now, room, frame.load_on, lasting if frame.breakable else "")
    return (*timeline(frame.times, bar), clock, *rest)
