"""The network page: every directed link with what it suffers, the groups that are left, the faults."""

from __future__ import annotations

from dataclasses import dataclass

from raftkv.tui.model import NodeState, State
from raftkv.tui.view.faults import Fault, fault_time, faults, groups, is_open, short_fault
from raftkv.tui.view.health import alive, health
from raftkv.tui.view.matrix import BLOCKED, CORNER, DEGRADED, OK, SELF, UNKNOWN, end_mark, link
from raftkv.tui.view.nodes import name_width
from raftkv.tui.view.spans import Line, Span, brief, left, shorten

CELL_MIN, CELL_MAX, FACT_MAX = 6, 18, 40


@dataclass(frozen=True, slots=True)
class Grid:
    """Columns of text: ``label`` for the sender's name, ``cell`` for every receiver."""

    label: int
    cell: int

    def cell_at(self, x: int, y: int, count: int) -> tuple[int, int] | None:
        """(sender, receiver) under column ``x`` of row ``y``, from 0; None beside the cells."""
        column = (x - self.label) // self.cell
        inside = x >= self.label and 0 <= column < count and 1 <= y <= count
        return (y - 1, column) if inside else None


def grid(state: State, width: int) -> Grid:
    label = max(len(CORNER), name_width(state)) + 2
    cell = (width - label) // max(1, len(state.nodes))
    return Grid(label, min(CELL_MAX, max(CELL_MIN, cell)))


def network(state: State, now: float, shape: Grid, cursor: tuple[int, int]) -> tuple[Line, ...]:
    heading = left(f" {CORNER}", shape.label) + "".join(
        left(f" {brief(name, shape.cell - 2, state.names)}", shape.cell) for name in state.names
    )
    lines: list[Line] = [(Span(heading, "dim"),)]
    for row, sender in enumerate(state.nodes):
        spans = [Span(left(f" {brief(sender.name, shape.label - 2, state.names)}", shape.label), "bold")]
        for column, to in enumerate(state.names):
            cell = link_text(state, sender, to, now, shape.cell - 2)
            chosen = (row, column) == cursor
            text = left(("▸" if chosen else " ") + cell.text, shape.cell)
            spans.append(Span(text, "tab" if chosen else cell.style))
        lines.append(tuple(spans))
    return tuple(lines)


_ENDS = {"☠": "dead", "⏸": "paused", UNKNOWN: "silent"}


def link_text(state: State, sender: NodeState, to: str, now: float, width: int) -> Span:
    if sender.name == to:
        return Span(SELF, "dim")
    way, receiver = link(sender, to), state.node(to)
    mark = end_mark(health(sender, now), *((health(receiver, now),) if receiver else ()))
    if way is None or not alive(sender, now) or (mark and way.fault is None):
        mark = mark or UNKNOWN
        return Span(shorten(f"{mark} {_ENDS[mark]}", width), "dim")
    if way.fault is None:
        return Span(f"{OK} ok", "good")
    mark, style = (BLOCKED, "bad") if way.fault.block else (DEGRADED, "warn")
    return Span(shorten(f"{mark} {short_fault(way.fault)}", width), style)


def link_facts(state: State, sender: str, to: str, now: float) -> Line:
    """What there is to say about the chosen link."""
    node = state.node(sender)
    if node is None or sender == to:
        return (Span(" ↑ ↓ ← → choose a link", "dim"),)
    way = link(node, to)
    if way is None:
        return (Span(f" {sender} → {to}: nothing heard of it", "dim"),)
    fault = link_text(state, node, to, now, FACT_MAX).text
    seconds = way.seconds_left
    left_text = f", {seconds:.0f} s left" if way.fault and seconds is not None else ""
    sent = f"{way.frames_sent:,} frames sent, {way.frames_dropped:,} dropped"
    return Span(f" {sender} → {to} ", "bold"), Span(f"{fault}{left_text}"), Span(f"   {sent}", "dim")


def group_line(state: State, now: float) -> Line:
    """``[n1 n2] [n3]``: which nodes still reach each other in some way."""
    found = groups(state, now)
    if not found:
        return (Span(" no node answers", "bad"),)
    text = " ".join(f"[{' '.join(group)}]" for group in found)
    one_way = [word for group in found if len(group) > 1 for word in _one_way(state, group)]
    style = "bad" if len(found) > 1 or one_way else "good"
    return Span(" reach each other  ", "dim"), Span("  ".join((text, *one_way)), style)


def _one_way(state: State, group: list[str]) -> list[str]:
    """Those that have links to the rest of their group in one direction only."""
    found = []
    for name in group:
        node = state.node(name)
        others = [other for other in group if other != name]
        peers = [peer for other in others if (peer := state.node(other))]
        if node and not any(is_open(node, other) for other in others):
            found.append(f"nobody hears {name}")
        if not any(is_open(peer, name) for peer in peers):
            found.append(f"{name} hears nobody")
    return found


def fault_list(state: State, now: float, width: int, height: int) -> tuple[Line, ...]:
    listed = faults(state, now)
    if not listed:
        return ((Span(" nothing is broken", "dim"),),)
    room = len(listed) if len(listed) <= height else max(0, height - 1)
    lines = tuple(_fault_line(fault, now, width) for fault in listed[:room])
    rest = len(listed) - room
    return (*lines, (Span(f" and {rest} more", "dim"),)) if rest else lines


def _fault_line(fault: Fault, now: float, width: int) -> Line:
    time = fault_time(fault, now)
    text = shorten(f" {fault.mark} {fault.text}", max(1, width - len(time) - 3))
    return Span(text, "bad"), Span(f"  {time}")
