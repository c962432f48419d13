"""The logs side by side: a row an index, a column a node, the entry's own words at the right.

An entry is its term as digit and colour, ``[7]`` where that node knows it to be committed, ``7✗`` where
it differs from the leader's, ``╳`` for a few seconds where it was just truncated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raftkv.observe import LogEntry
from raftkv.tui.model import NodeState, State
from raftkv.tui.terms import UNKNOWN
from raftkv.tui.view.health import alive, leader
from raftkv.tui.view.nodes import name_width
from raftkv.tui.view.spans import Line, Span, brief, left, shorten, term_style

TRUNCATED_SECONDS = 5.0
SEARCHED_LINES = 60
CELL_MIN = 5
"""Columns of a node: ``[12]`` and a space."""
LEGEND = "[7] committed  7 not yet  ✗ differs  ╳ truncated  ↑ ↓ PgUp PgDn scroll  / find"

Entries = Mapping[str, Mapping[int, LogEntry]]
"""By node and index: what was looked up."""


@dataclass(frozen=True, slots=True)
class Window:
    last: int | None = None
    """The lowest index on the screen's bottom row; None: follow the newest."""
    entries: Entries = field(default_factory=dict)
    found: int | None = None
    """What a search has found."""


def bottom(state: State, window: Window) -> int:
    """The index of the lowest row."""
    newest = max((node.terms.last for node in state.nodes), default=0)
    return newest if window.last is None else min(window.last, max(newest, 1))


def logbook(state: State, now: float, window: Window, width: int, height: int) -> tuple[Line, ...]:
    rows = max(1, height - 1)
    last = bottom(state, window)
    first = max(1, last - rows + 1)
    cell = min(max(name_width(state), 6) + 1, max(CELL_MIN, (width - 10) // len(state.nodes)))
    reference = leader(state, now) or max(
        (node for node in state.nodes if node.terms.last),
        key=lambda node: (node.terms.last_term, node.terms.last),
        default=None,
    )
    names = [left(brief(name, cell - 1, state.names), cell) for name in state.names]
    heading = left("    index ", 10) + "".join(names)
    lines: list[Line] = [(Span(shorten(f"{heading} entry", width), "dim"),)]
    cut = {node.name: _truncated(state, node, now) for node in state.nodes}
    for index in range(first, last + 1):
        mark = "▸" if index == window.found else " "
        spans: list[Span] = [Span(f"{mark}{index:>8} ", "accent" if mark == "▸" else "dim")]
        for node in state.nodes:
            spans += _cell(node, reference, window.entries, index, cell, cut[node.name], alive(node, now))
        text = _text(state, reference, window.entries, index)
        spans.append(Span(shorten(f" {text}", max(0, width - 10 - cell * len(state.nodes)))))
        lines.append(tuple(spans))
    return tuple(lines)


def term_of(node: NodeState, entries: Entries, index: int) -> int | None:
    """As ``Terms.at``, with what was looked up besides."""
    term = node.terms.at(index)
    if term == UNKNOWN:
        entry = entries.get(node.name, {}).get(index)
        return entry.term if entry else term
    return term


def _cell(
    node: NodeState,
    reference: NodeState | None,
    entries: Entries,
    index: int,
    cell: int,
    cut: range,
    living: bool,
) -> tuple[Span, ...]:
    term = term_of(node, entries, index)
    if term is None:
        if index in cut:
            return (Span(left(" ╳", cell), "bad"),)
        return (Span(" " * cell),)
    if node.snapshot and index < node.snapshot.first_index:
        return (Span(left(" ▪", cell), "dim"),)  # compacted: the snapshot stands for it
    committed = node.snapshot is not None and index <= node.snapshot.commit_index
    digits = "‥" if term == UNKNOWN else _digits(term, cell - 2)
    theirs = term_of(reference, entries, index) if reference else None
    differs = UNKNOWN not in (term, theirs) and theirs not in (None, term)
    opening, closing = ("[", "]") if committed else (" ", "✗" if differs else " ")
    colour = "dim" if term == UNKNOWN or not living else term_style(term)
    rest = " " * max(0, cell - 2 - len(digits))
    return Span(opening, "dim"), Span(digits, colour), Span(closing + rest, "bad" if differs else "dim")


def _digits(term: int, width: int) -> str:
    """The last ones of a term too long for its cell; colours tell terms apart as well."""
    digits = str(term)
    return digits if len(digits) <= width else f"…{digits[1 - width :]}"


def _text(state: State, reference: NodeState | None, entries: Entries, index: int) -> str:
    nodes = [*([reference] if reference else []), *state.nodes]
    for node in nodes:
        entry = entries.get(node.name, {}).get(index)
        if (entry and entry.term == node.terms.at(index)) or (entry and node.terms.at(index) == UNKNOWN):
            return entry.text
    return ""


def _truncated(state: State, node: NodeState, now: float) -> range:
    for line in reversed(state.lines[-SEARCHED_LINES:]):
        event = line.event
        if event and event.node == node.name and event.kind == "EntriesTruncated":
            first, last = event.fields.get("first_index"), event.fields.get("last_index")
            recent = now - event.time <= TRUNCATED_SECONDS
            if recent and type(first) is int and type(last) is int:
                return range(first, last + 1)
            break
    return range(0)
