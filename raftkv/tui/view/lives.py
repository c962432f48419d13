"""What each node was over the time that the bar shows: follower, candidate, leader, paused or dead."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from raftkv.tui.frame import Times
from raftkv.tui.model import NodeState, State
from raftkv.tui.view.nodes import name_width
from raftkv.tui.view.spans import Line, Span, brief, joined, left, term_style

SYMBOLS = {"leader": "█", "follower": "▁", "candidate": "▒", "pre_candidate": "░", "learner": "▁"}
LEGEND = "█ leads  ▁ follows  ░▒ campaigns  ⏸ paused  ☠ dead   colour = term"


def lives(state: State, times: Times, width: int) -> tuple[Line, ...]:
    """A row a node, in step with the bar of time above it."""
    label = name_width(state) + 2
    cells = max(1, width - 2)
    return tuple(_life(node, times, label, cells, state.names) for node in state.nodes)


def _life(node: NodeState, times: Times, label: int, cells: int, names: tuple[str, ...]) -> Line:
    starts = [stretch.time for stretch in node.life]
    length = times.end - times.start
    spans: list[Span] = [Span(left(f" {brief(node.name, label - 2, names)}", label), "bold")]
    for column in range(label, cells + 1):  # the bar begins with an arrow
        # What began before the column's end; only the last column has its end as well, which is now.
        time = min(times.end, times.start + column / cells * length)
        number = (bisect_left if time < times.end else bisect_right)(starts, time) - 1
        if number < 0 or time > times.position:
            spans.append(Span(" "))
            continue
        stretch = node.life[number]
        match stretch.what:
            case "exited":
                begins = _first(starts[number], times, column, cells)
                spans.append(Span("☠" if begins else "·", "dim"))
            case "paused":
                spans.append(Span("⏸", "warn"))
            case what:
                spans.append(Span(SYMBOLS.get(what, "?"), term_style(stretch.term)))
    return joined(spans)


def _first(start: float, times: Times, column: int, cells: int) -> bool:
    """Whether ``start`` lies in this very column."""
    before = times.start + (column - 1) / cells * (times.end - times.start)
    return start >= before
