"""Everything the dashboard knows: frozen state and the one function that changes it.

Rules:

1. ``reduce(state, item)`` is pure. Time comes only from the items; what depends on the present
   moment (silence, time left) is worked out in ``view`` from a ``now`` that the caller gives.
2. Everything is bounded by a constant below; the dashboard may stay open for days.
3. A node's events are numbered without gaps from 1 at every start, but PUB drops silently: a gap,
   seen in an event or in a snapshot's ``event_sequence``, becomes a line of the event log, and goes once
   the node has told what was missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce as fold

from raftkv.observe import (
    Earlier,
    Event,
    LoadReport,
    NodeSnapshot,
    ProcessSnapshot,
    events,
    leader_of,
)
from raftkv.tui import checks, event_log, since, terms
from raftkv.tui.checks import Checks, Finding
from raftkv.tui.event_log import LogLine, clean
from raftkv.tui.ports import FeedItem
from raftkv.tui.terms import Terms

COUNTERS_MAX = 12
"""Counter readings behind a rate: ten snapshots a second, so a little over one second."""
HISTORY_MAX = 60
"""Samples behind a sparkline: one a second, as many as the widest detail panel can show."""
HISTORY_SECONDS = 1.0
STRETCHES_MAX = 200
"""Changes of role kept of a node: a bar of time has no more columns."""
TIME_MAX = 1e10
"""Seconds. What says that it happened later, three hundred years from now, or at no moment at all cannot be
drawn, and is taken for not said."""

RUNNING, PAUSED, EXITED = "running", "paused", "exited"  # of ProcessSnapshot.state


@dataclass(frozen=True, slots=True)
class CommandDone:
    """An action succeeded; ``command`` is the command line that does the same, or says in parentheses what
    was done."""

    time: float
    command: str


@dataclass(frozen=True, slots=True)
class CommandFailed:
    time: float
    text: str


@dataclass(frozen=True, slots=True)
class RosterChanged:
    """The cluster's nodes from now on, in the order of the configuration."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stroke:
    """What befell a simulated cluster, or how its run came out."""

    time: float
    text: str
    bad: bool


@dataclass(frozen=True, slots=True)
class Violated:
    """What ``checks`` found when it saw every snapshot; a recording holds only some of them."""

    time: float
    invariant: int
    text: str


Item = FeedItem | CommandDone | CommandFailed | RosterChanged | Stroke | Violated


@dataclass(frozen=True, slots=True)
class Sample:
    """One second of a node's life, for the sparklines."""

    time: float
    operations: float
    """A second."""
    sync_ms_p99: float
    lag: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a node was from ``time`` on, until the next one begins."""

    time: float
    what: str
    """Its role, or ``exited`` or ``paused``."""
    term: int


@dataclass(frozen=True, slots=True)
class NodeState:
    name: str
    snapshot: NodeSnapshot | None = None
    process: ProcessSnapshot | None = None
    boot: int | None = None
    """None until a snapshot or a start event has named it."""
    sequence: int | None = None
    """The last event seen, or known to be missed, of this boot; None before the first word."""
    event_time: float = 0.0
    missed: int = 0
    terms: Terms = terms.NONE
    counters: tuple[tuple[float, int], ...] = ()
    """(time, writes and reads so far)"""
    history: tuple[Sample, ...] = ()
    sending: frozenset[str] = frozenset()
    """To whom frames went between the last two snapshots."""
    life: tuple[Stretch, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    nodes: tuple[NodeState, ...]
    """In the order of the configuration."""
    lines: tuple[LogLine, ...] = ()
    lines_total: int = 0
    """Of all times: tells a scrolled event log how far the kept lines have moved."""
    checks: Checks = checks.NONE
    load: LoadReport | None = None

    def node(self, name: str) -> NodeState | None:
        return next((node for node in self.nodes if node.name == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes)


def initial(names: Sequence[str]) -> State:
    return State(tuple(NodeState(name) for name in names))


def reduce_all(state: State, items: Iterable[Item]) -> State:
    return fold(reduce, items, state)


def reduce(state: State, item: Item) -> State:
    match item:
        case CommandDone() if item.command.startswith("("):  # no command does the same
            return _with_line(state, LogLine(item.time, "", "✓", "good", clean(item.command)))
        case CommandDone():
            return _with_line(state, LogLine(item.time, "", "$", "command", clean(item.command)))
        case CommandFailed():
            return _with_line(state, LogLine(item.time, "", "!", "bad", clean(item.text)))
        case Stroke():
            mark, style = ("✕", "bad") if item.bad else ("✓", "good")
            return _with_line(state, LogLine(item.time, "", mark, style, clean(item.text)))
        case RosterChanged():
            known = {node.name: node for node in state.nodes}
            return replace(state, nodes=tuple(known.get(name) or NodeState(name) for name in item.names))
        case Violated():
            finding = Finding(item.invariant, item.time, clean(item.text))
            return replace(state, checks=checks.noted(state.checks, finding))
        case LoadReport():
            return replace(state, load=item)
        case NodeSnapshot() if timely(item.time):
            return _on_snapshot(state, item)
        case Event() if timely(item.time):
            return _on_event(state, item)
        case Earlier():
            past = [event for event in item.events if timely(event.time) and state.node(event.node)]
            # Nothing has happened just now, and neither the log nor the timeline is to move for them.
            return replace(state, lines=event_log.with_past(state.lines, past))
        case ProcessSnapshot() if timely(item.since) and (item.until is None or timely(item.until)):
            return _on_process(state, item)
    return state


def timely(time: float) -> bool:
    return -TIME_MAX <= time <= TIME_MAX


def operations_per_second(node: NodeState) -> float | None:
    """Over the last second or so; None while there are too few readings to tell."""
    if len(node.counters) < 2:
        return None
    (start, before), (end, after) = node.counters[0], node.counters[-1]
    return max(0, after - before) / (end - start)


# -- snapshots ---------------------------------------------------------------------------------


def _on_snapshot(state: State, snapshot: NodeSnapshot) -> State:
    node = state.node(snapshot.name)
    if node is None:
        return state
    if node.snapshot and snapshot.boot == node.snapshot.boot and snapshot.time <= node.snapshot.time:
        return state  # an older one that came late
    state, node = _account(state, node, snapshot.boot, snapshot.event_sequence, snapshot.time)
    restarted = node.snapshot is None or node.snapshot.boot != snapshot.boot
    before = terms.NONE if restarted else node.terms
    node = replace(
        node,
        snapshot=snapshot,
        terms=terms.merge(before, snapshot.tail, snapshot.last_index),
        counters=_counted(() if restarted else node.counters, snapshot),
        sending=frozenset() if node.snapshot is None or restarted else _sending(node.snapshot, snapshot),
    )
    node = _living(node, snapshot.time, snapshot.role, snapshot.term)
    state = replace(state, checks=checks.after(state.checks, snapshot))
    return _with_node(state, replace(node, history=_sampled(state, node, snapshot)))


def _living(node: NodeState, time: float, what: str, term: int) -> NodeState:
    if node.process and node.process.state != RUNNING and what not in (EXITED, PAUSED):
        return node  # its last word before the end, or before it was stopped
    if node.life and (node.life[-1].what, node.life[-1].term) == (what, term):
        return node
    if node.life:
        time = max(time, node.life[-1].time)  # a launcher's word may come late; they stay in order
    return replace(node, life=(*node.life, Stretch(time, what, term))[-STRETCHES_MAX:])


def _sending(before: NodeSnapshot, snapshot: NodeSnapshot) -> frozenset[str]:
    sent = {link.to: link.frames_sent + link.frames_dropped for link in before.links}
    return frozenset(
        str(link.to)
        for link in snapshot.links
        if link.frames_sent + link.frames_dropped > sent.get(link.to, 0)
    )


def _counted(
    counters: tuple[tuple[float, int], ...], snapshot: NodeSnapshot
) -> tuple[tuple[float, int], ...]:
    return (*counters, (snapshot.time, snapshot.writes_total + snapshot.reads_total))[-COUNTERS_MAX:]


def _sampled(state: State, node: NodeState, snapshot: NodeSnapshot) -> tuple[Sample, ...]:
    if node.history and snapshot.time - node.history[-1].time < HISTORY_SECONDS:
        return node.history
    sample = Sample(
        snapshot.time, operations_per_second(node) or 0.0, snapshot.sync_ms_p99, lag(state, node.name) or 0
    )
    return (*node.history, sample)[-HISTORY_MAX:]


def lag(state: State, name: str) -> int | None:
    """Entries that the newest leader knows ``name`` to lack; None when nobody can tell.

    Taken from the leader's own book, because the snapshots of two nodes are up to a tenth of a
    second apart and their last indexes then differ by a thousand entries under load.
    """
    leader = leader_of(node.snapshot for node in state.nodes)
    if leader is None:
        return None
    if leader.name == name:
        return 0
    match = next((peer.match_index for peer in leader.peers if peer.name == name), None)
    # A new leader knows nothing of a peer before its first answer, and of one that is dead for ever.
    return max(0, leader.last_index - match) if match else None


# -- events ------------------------------------------------------------------------------------


def _on_event(state: State, event: Event) -> State:
    node = state.node(event.node)
    if node is None:
        return state
    boot = event.fields.get("boot") if event.kind == events.NODE_STARTED else None
    if node.sequence is not None and event.sequence <= node.sequence:
        if event.time <= node.event_time or (boot is not None and boot == node.boot):
            return state  # seen before
        # The numbers began anew, so the node has restarted. Whatever names the boot comes later.
        node = replace(node, boot=None, sequence=0)
    state, node = _account(state, node, boot or node.boot, event.sequence - 1, event.time)
    node = replace(node, sequence=event.sequence, event_time=event.time)
    if event.kind == "EntriesTruncated":
        first_index = event.fields.get("first_index")
        node = replace(node, terms=terms.cut(node.terms, first_index if type(first_index) is int else 0))
    if node.snapshot and node.boot == node.snapshot.boot:
        snapshot = since.updated(node.snapshot, event)
        node = _living(replace(node, snapshot=snapshot), event.time, snapshot.role, snapshot.term)
    return _with_line(_with_node(state, node), event_log.of_event(event))


def _account(
    state: State, node: NodeState, boot: int | None, sequence: int, time: float
) -> tuple[State, NodeState]:
    """``node`` after hearing that events up to ``sequence`` of ``boot`` have happened."""
    first_word = node.sequence is None  # whoever joins late has missed nothing it could have had
    known = 0 if node.boot is not None and boot != node.boot else (node.sequence or 0)
    missed = 0 if first_word else max(0, sequence - known)
    node = replace(
        node, boot=boot, sequence=max(known, sequence), event_time=time, missed=node.missed + missed
    )
    if missed:
        # What was missed may have been a truncation, so nothing older is known of the log.
        node = replace(node, terms=terms.NONE)
        state = _with_line(state, event_log.gap(time, node.name, range(sequence - missed + 1, sequence + 1)))
    return _with_node(state, node), node


# -- processes ---------------------------------------------------------------------------------


def _on_process(state: State, process: ProcessSnapshot) -> State:
    node = state.node(process.name)
    if node is None or node.process == process:
        return state
    before = node.process
    node = replace(node, process=process)
    if process.state != RUNNING:
        node = _living(node, process.since, process.state, node.life[-1].term if node.life else 0)
    state = _with_node(state, node)
    same = before is not None and (before.state, before.pid) == (process.state, process.pid)
    if same or (before is None and process.state == RUNNING):
        return state
    return _with_line(state, _process_line(before, process))


def _process_line(before: ProcessSnapshot | None, process: ProcessSnapshot) -> LogLine:
    match process.state:
        case "exited":
            code = "" if process.exit_code is None else f" with code {process.exit_code}"
            mark, style, text = "☠", "bad", f"process exited{code}"
        case "paused":
            mark, style, text = "⏸", "warn", "process paused"
        case _ if before and before.state == PAUSED and before.pid == process.pid:
            mark, style, text = "▶", "good", "process resumed"
        case _:
            mark, style, text = "▶", "good", f"process started, pid {process.pid}"
    return LogLine(process.since, process.name, mark, style, text)


def _with_node(state: State, changed: NodeState) -> State:
    nodes = tuple(changed if node.name == changed.name else node for node in state.nodes)
    return replace(state, nodes=nodes)


def _with_line(state: State, line: LogLine) -> State:
    number = state.lines_total + 1
    lines = event_log.with_line(state.lines, replace(line, number=number))
    return replace(state, lines=lines, lines_total=number)
