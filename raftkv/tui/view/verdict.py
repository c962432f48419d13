"""The verdict: what must hold and does, equal states, and what the load's history comes to."""

from __future__ import annotations

from raftkv.errors import counted
from raftkv.tui.checks import INVARIANTS, Checks
from raftkv.tui.model import State
from raftkv.tui.view.health import alive
from raftkv.tui.view.nodes import name_width
from raftkv.tui.view.spans import Line, Span, brief, left, right, shorten

GOOD, BAD, OPEN = "✓", "✗", "·"


def verdict_line(state: State) -> Line:
    """The whole of it in one line, for the top of the page."""
    problem = state.load.problem if state.load else None
    if state.checks.findings or problem:
        return (Span(f" {BAD} VIOLATED: this cluster has broken its promise", "bad"),)
    checked = sum(state.checks.counts)
    if not checked:
        return (Span(f" {OPEN} nothing has been checked yet: no node has been heard", "dim"),)
    rounds = state.load.rounds if state.load else 0
    history = f", {counted(rounds, 'round')} of the load linearizable" if rounds else ""
    return Span(f" {GOOD} everything holds ", "good"), Span(f" {checked:,} checks{history}", "dim")


def invariants(checks: Checks, width: int) -> tuple[Line, ...]:
    broken = {finding.invariant for finding in checks.findings}
    lines: list[Line] = []
    for number, (name, text, section) in enumerate(INVARIANTS):
        count = checks.counts[number]
        mark, style = (BAD, "bad") if number in broken else (GOOD, "good") if count else (OPEN, "dim")
        counted = right(f"{count:,}", 12)
        lines.append(
            (
                Span(f" {mark} ", style),
                Span(left(name, 22), "bold"),
                Span(left(text, max(10, min(40, width - 48)))),
                Span(counted, ""),
                Span(f"  {section}", "dim"),
            )
        )
    lines += [
        (Span(f"   {BAD} {shorten(finding.text, max(10, width - 6))}", "bad"),) for finding in checks.findings
    ]
    return tuple(lines)


def digests(state: State, now: float) -> tuple[Line, ...]:
    """A row a node; nodes at one applied index must show one digest."""
    at: dict[int, set[str]] = {}
    for node in state.nodes:
        if node.snapshot and alive(node, now):
            at.setdefault(node.snapshot.applied_index, set()).add(node.snapshot.state_digest)
    label = name_width(state) + 2
    lines: list[Line] = []
    for node in state.nodes:
        name = Span(f" {left(brief(node.name, label - 1, state.names), label)}", "bold")
        snapshot = node.snapshot
        if snapshot is None or not alive(node, now):
            lines.append((name, Span("nothing to compare", "dim")))
            continue
        fellows = sum(
            1
            for other in state.nodes
            if other.snapshot and alive(other, now) and other.snapshot.applied_index == snapshot.applied_index
        )
        if fellows == 1:
            lines.append(
                (
                    name,
                    Span(f"applied {snapshot.applied_index:>10,}  "),
                    Span("no other is at this index just now", "dim"),
                )
            )
            continue
        same = len(at[snapshot.applied_index]) == 1
        word, style = (f"equal on {fellows}", "good") if same else ("differs!", "bad")
        lines.append(
            (
                name,
                Span(f"applied {snapshot.applied_index:>10,}  "),
                Span(f"{snapshot.state_digest[:20]:<22}"),
                Span(word, style),
            )
        )
    return tuple(lines)


def load_lines(state: State, width: int, can_begin: bool) -> tuple[Line, ...]:
    """``can_begin``: unless a recording is shown."""
    load = state.load
    if load is None or not (load.running or load.ok + load.failed + load.unknown):
        if not can_begin:
            return ((Span(" There was no built-in load.", "dim"),),)
        return (
            (Span(" The built-in load is off. "), Span("L", "accent"), Span(" starts it: 8 clients read,")),
            (Span(" write and compare-and-set; every few seconds what they saw is judged."),),
        )
    running = Span(" ● running " if load.running else " ○ stopped ", "good" if load.running else "dim")
    asked = f"{load.ok:,} answered, {load.failed:,} refused, {load.unknown:,} of unknown outcome"
    asked = shorten(asked, max(10, width - len(running.text)))
    if load.problem:
        mark, style, text = BAD, "bad", f"NOT linearizable: {load.problem}"
    elif not load.ok:
        mark, style, text = OPEN, "dim", "nothing to judge: nothing was answered"
    elif load.rounds:
        mark, style = GOOD, "good"
        text = f"linearizable: {load.checked:,} operations in {counted(load.rounds, 'round')}"
    else:
        mark, style, text = OPEN, "dim", "the first round is not over yet"
    lines: list[Line] = [
        (running, Span(asked, "")),
        (Span(f" {mark} ", style), Span(shorten(text, max(10, width - 4)), style)),
    ]
    if load.undecided:
        lines.append((Span(f" {load.undecided:,} rounds were too long to judge", "warn"),))
    return tuple(lines)
