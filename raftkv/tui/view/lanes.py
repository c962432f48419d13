"""The logs of all nodes as lanes over the same indexes, newest at the right.

An entry is its term as digit and colour; ``[7]`` is committed as far as that node knows, ``7✗``
differs from the leader's entry (from the most up-to-date living log when nobody leads, §5.4.1).
"""

from __future__ import annotations

from raftkv.tui.model import NodeState, State, operations_per_second
from raftkv.tui.terms import UNKNOWN, diverges_at
from raftkv.tui.view.health import alive, leader
from raftkv.tui.view.nodes import name_width
from raftkv.tui.view.spans import Line, Span, brief, left, shorten, term_style

NOTE_WIDTH = 22
"""Columns at the right for a word about the lane: ``✗ diverges at 1234567``."""
LEGEND = "digit = term   [ ] = committed   ✗ = differs from the leader's"
_SKEW_SECONDS = 0.3
"""Snapshots of two nodes in step are this far apart at most."""


def lanes(state: State, now: float, width: int) -> tuple[Line, ...]:
    label = max(5, name_width(state)) + 4
    cell = 2 + max(1, max(len(str(node.terms.highest_term)) for node in state.nodes))
    columns = max(1, (width - label - NOTE_WIDTH) // cell)
    end = _right_edge(state, now, columns)
    known = min((node.terms.first for node in state.nodes if node.terms.runs), default=1)
    start = max(1, end - columns + 1, min(known, end))
    shown = range(start, start + columns)
    reference = _reference(state, now)
    lines = [_ruler(shown, end, label, cell)]
    for node in state.nodes:
        name = brief(node.name, label - 3, state.names)
        lines.append(_lane(node, name, reference, now, shown, label, cell))
    return tuple(lines)


def _right_edge(state: State, now: float, columns: int) -> int:
    """The newest entry of any living node, so that what is not yet committed can be seen. Under
    load the snapshots of nodes in step differ by more than the screen holds; then the newest
    that all of those have, or their lanes would flicker between full and empty."""
    living = [node.terms.last for node in state.nodes if alive(node, now)]
    everyone = [node.terms.last for node in state.nodes]
    newest = max(living or everyone)
    head = leader(state, now)
    rate = operations_per_second(head) if head else None
    skew = (rate or 0.0) * _SKEW_SECONDS
    in_step = min((last for last in living if newest - last <= skew), default=newest)
    if newest - in_step > columns // 2:
        return in_step
    # A dead node's longer log is worth seeing too, unless that pushes the living off the screen.
    return max((last for last in everyone if last - newest <= columns // 2), default=newest)


def _reference(state: State, now: float) -> NodeState | None:
    head = leader(state, now)
    if head:
        return head
    living = [node for node in state.nodes if alive(node, now) and node.terms.last]
    return max(living, key=lambda node: (node.terms.last_term, node.terms.last), default=None)


def _ruler(shown: range, end: int, label: int, cell: int) -> Line:
    """The first index in full, then two digits a column; full tens stand out."""
    first = str(shown.start)
    overhang = max(0, len(first) + 1 - cell)  # the first label may reach into the empty label column
    spans = [
        Span(_heading(label - overhang), "dim"),
        Span(first.rjust(cell + overhang - 1) + " ", "dim"),
    ]
    for index in shown[1:]:
        text = f"{index % 100:02}" if shown.stop > 100 else str(index)
        style = "" if index % 10 == 0 else "dim"
        spans.append(Span(f"{text if index <= end else '':>{cell - 1}} ", style))
    return tuple(spans)


def _heading(room: int) -> str:
    """Never up against the number that follows."""
    text = next((text for text in (" index", " at") if len(text) < room), "")
    return text.ljust(room)


def _lane(
    node: NodeState, name: str, reference: NodeState | None, now: float, shown: range, label: int, cell: int
) -> Line:
    living = alive(node, now)
    commit = node.snapshot.commit_index if node.snapshot else 0
    fork = diverges_at(node.terms, reference.terms) if reference and reference is not node else None
    spans = [Span(f" {left(name, label - 1)}", "bold" if living else "dim")]
    for index in shown:
        spans += _entry(node, reference, index, commit, cell, fork is not None and index >= fork[0], living)
    spans.append(_note(node, reference, fork, shown))
    return tuple(spans)


def _entry(
    node: NodeState,
    reference: NodeState | None,
    index: int,
    commit: int,
    cell: int,
    forked: bool,
    living: bool,
) -> tuple[Span, ...]:
    term = node.terms.at(index)
    if term is None:
        return (Span(" " * cell),)
    theirs = reference.terms.at(index) if reference else None
    differs = forked and term != UNKNOWN and theirs not in (None, UNKNOWN, term)
    digits = "‥" if term == UNKNOWN else str(term)
    opening, closing = ("[", "]") if index <= commit and term != UNKNOWN else (" ", " ")
    body = f"{opening}{digits}".rjust(cell - 1)
    mark = Span("✗", "bad") if differs else Span(closing, "dim")
    colour = "dim" if term == UNKNOWN or not living else term_style(term)
    head = body[: -len(digits)]
    return Span(head, "dim"), Span(digits, colour), mark


def _note(node: NodeState, reference: NodeState | None, fork: tuple[int, bool] | None, shown: range) -> Span:
    last = node.terms.last
    if fork:
        index, certain = fork
        return Span(shorten(f" ✗ diverges {'at' if certain else 'by'} {index}", NOTE_WIDTH), "bad")
    if node.snapshot is None:
        return Span(" nothing heard yet", "dim")
    if last == 0:
        return Span(" empty", "dim")
    if last < shown.start:
        behind = (reference.terms.last if reference else shown.stop - 1) - last
        return Span(shorten(f" ‹ {behind:,} behind", NOTE_WIDTH), "warn")
    if last >= shown.stop:
        return Span(shorten(f" … up to {last}", NOTE_WIDTH), "dim")
    return Span("")
