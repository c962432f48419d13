"""The bar of time: everything that can be looked back at, its elections, kills and cuts, and now."""

from __future__ import annotations

import math

from raftkv.tui.frame import Mode, Times
from raftkv.tui.playback.tape import Mark
from raftkv.tui.view.spans import Line, Span, joined

ELECTED, KILLED, CUT, TROUBLE = "E", "K", "P", "!"
LEGEND = "E elected  K killed  P link broken  ! trouble"
ROUNDING_STEPS_MAX = 8
"""A moment that is the boundary of two columns is at most so many roundings within the second."""
_ORDER = (ELECTED, KILLED, CUT, TROUBLE)
"""Which letter a column shows that could show several."""
_STYLES = {ELECTED: "leader", KILLED: "bad", CUT: "bad", TROUBLE: "warn"}


def letter(mark: Mark) -> str:
    """Empty for what is no landmark."""
    if mark.elected:
        return ELECTED
    return {"☠": KILLED, "✕": CUT, "!": TROUBLE}.get(mark.symbol, "")


def timeline(times: Times, width: int) -> Line:
    """``◀───E──┃══▶``: past to the left of the moment shown, what came after it to the right."""
    cells = max(1, width - 2)
    letters = [""] * cells
    for mark in times.marks:
        if found := letter(mark):
            _put(letters, column_at(times, mark.time, cells), found)
    here = column_at(times, times.position, cells)
    spans = [Span("◀", "dim")]
    for column, found in enumerate(letters):
        if column == here and times.mode is not Mode.LIVE:
            spans.append(Span("┃", "accent"))
        elif found:
            spans.append(Span(found, _STYLES[found]))
        else:
            spans.append(Span("─" if column <= here else "═", "dim"))
    spans.append(Span("▶", "dim"))
    return joined(spans)


def _put(letters: list[str], column: int, found: str) -> None:
    """The most telling letter stays. But an election follows soon upon what led to it, as when a leader is
    killed: that moves to the column before, where there is room."""
    there = letters[column]
    if not there or _ORDER.index(found) < _ORDER.index(there):
        letters[column] = found
        if there and found == ELECTED and column and not letters[column - 1]:
            letters[column - 1] = there


def column_at(times: Times, time: float, cells: int) -> int:
    length = times.end - times.start
    share = (time - times.start) / length if length > 0 else 1.0
    return min(cells - 1, max(0, int(share * cells)))


def time_at(times: Times, column: int, width: int) -> float:
    """The last moment that ``column`` of the bar stands for, so that a letter's moment is in the picture (but
    for one that has made room), and the mark of what is shown in the column that was clicked."""
    cells = max(1, width - 2)
    cell = min(cells, max(1, column)) - 1  # the bar begins with an arrow
    if cell == cells - 1:
        return times.end
    time = times.start + (cell + 1) / cells * (times.end - times.start)
    for _ in range(ROUNDING_STEPS_MAX):
        if column_at(times, time, cells) <= cell:
            break
        time = math.nextafter(time, -math.inf)
    return max(times.start, time)


def clock_text(times: Times) -> str:
    wall = times.wall(times.position)
    return f"{wall:%H:%M:%S}"
