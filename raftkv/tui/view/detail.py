"""One node in full, for screens that have the room."""

from __future__ import annotations

from collections.abc import Callable

from raftkv.observe import LinkSnapshot, NodeSnapshot, PeerSnapshot
from raftkv.tui.model import NodeState, Sample, State, lag, operations_per_second
from raftkv.tui.view.faults import short_fault
from raftkv.tui.view.health import alive, health
from raftkv.tui.view.nodes import Row, role_cell, timer_cell
from raftkv.tui.view.spans import Line, Span, duration, left, milliseconds, right, shorten, size, spark

_LABEL = 9
_VALUE = 10
MAILBOXES_MAX = 4


def detail(state: State, name: str, now: float, width: int) -> tuple[Line, ...]:
    node = state.node(name)
    if node is None:
        return ()
    role, timer = (
        cell(Row(state, node, node.snapshot, health(node, now), now)) for cell in (role_cell, timer_cell)
    )
    heading: Line = (Span(f" {name}", "bold"), Span("  "), role, Span("  "), timer)
    snapshot = node.snapshot
    if snapshot is None:
        return heading, (), (Span(" nothing heard of it yet", "dim"),)
    facts = [*_facts(snapshot), (), *_peers(snapshot, width)]
    if alive(node, now):
        return heading, (), *_rates(state, node, now, width), (), *facts
    stale: Line = (Span(" as it was when last heard", "dim"),)
    return heading, (), *_rates(state, node, now, width), stale, *map(_faded, facts)


def _faded(line: Line) -> Line:
    """Not news any more."""
    return tuple(Span(span.text, "dim") for span in line)


def _rates(state: State, node: NodeState, now: float, width: int) -> list[Line]:
    snapshot = node.snapshot
    living = alive(node, now)
    rate = operations_per_second(node) if living else None
    behind = lag(state, node.name) if living else None
    sync_ms = snapshot.sync_ms_p99 if living and snapshot else None

    def line(label: str, value: str, pick: Callable[[Sample], float], style: str) -> Line:
        bars = spark([pick(sample) for sample in node.history], max(0, width - _LABEL - _VALUE - 5))
        return Span(f" {label:<{_LABEL}}", "dim"), Span(f"{value:>{_VALUE}}  "), Span(bars, style)

    return [
        line("op/s", "–" if rate is None else f"{rate:,.0f}", lambda sample: sample.operations, "good"),
        line("sync p99", "–" if sync_ms is None else milliseconds(sync_ms), _sync, "accent"),
        line("lag", "–" if behind is None else f"{behind:,}", lambda sample: float(sample.lag), "warn"),
    ]


def _sync(sample: Sample) -> float:
    return sample.sync_ms_p99


def _facts(snapshot: NodeSnapshot) -> list[Line]:
    pairs = [
        ("log", f"{snapshot.first_index:,}–{snapshot.last_index:,}, {size(snapshot.log_bytes)}"),
        ("snapshot", f"of entry {snapshot.snapshot_index:,}" if snapshot.snapshot_index else "none yet"),
        ("persisted", f"{snapshot.persisted_index:,}   applied {snapshot.applied_index:,}"),
        ("writes", f"p50 {milliseconds(snapshot.write_ms_p50)}   p99 {milliseconds(snapshot.write_ms_p99)}"),
        ("", f"{snapshot.writes_total:,} in all   {snapshot.pending_writes:,} pending"),
        ("reads", f"{snapshot.reads_total:,} in all"),
        ("syncs", f"p50 {milliseconds(snapshot.sync_ms_p50)}   {snapshot.syncs_total:,} in all"),
        (
            "state",
            f"revision {snapshot.revision:,}   keys {snapshot.keys:,}   sessions {snapshot.sessions:,}",
        ),
        ("digest", snapshot.state_digest[:24]),
        ("mailboxes", _mailboxes(snapshot)),
        ("process", f"pid {snapshot.pid}   up {duration(snapshot.uptime)}"),
        ("clients", snapshot.client_endpoint),
    ]
    lines: list[Line] = [(Span(f" {label:<{_LABEL}} ", "dim"), Span(value)) for label, value in pairs]
    stalled = ("disk stalled",) if snapshot.disk_stalled else ()
    alarms = (*stalled, *snapshot.alarms)
    if alarms:
        lines.append((Span(f" {'alarms':<{_LABEL}} ", "dim"), Span("! " + ", ".join(alarms), "bad")))
    if snapshot.frames_rejected:
        rejected = f"{snapshot.frames_rejected:,} rejected"
        lines.append((Span(f" {'frames':<{_LABEL}} ", "dim"), Span(rejected, "warn")))
    return lines


def _mailboxes(snapshot: NodeSnapshot) -> str:
    """The fullest, deepest first."""
    fullest = sorted(snapshot.mailboxes.items(), key=lambda box: -box[1])[:MAILBOXES_MAX]
    return "   ".join(f"{name} {depth:,}" for name, depth in fullest if depth) or "empty"


def _peers(snapshot: NodeSnapshot, width: int) -> list[Line]:
    """A leader's book about each peer; anyone else's links."""
    books = {peer.name: peer for peer in snapshot.peers}
    title = f"{'match':>9} {'next':>9} {'flight':>6}  state" if books else f"{'sent':>9} {'dropped':>9}  link"
    lines: list[Line] = [(Span(f" {left('peer', _LABEL)} {title}", "dim"),)]
    for way in snapshot.links:
        book = books.get(way.to)
        values = (_book(book), _book_style(book)) if book else (_traffic(way), "warn" if way.fault else "")
        name = Span(f" {left(way.to, _LABEL)} ", "bold")
        lines.append((name, Span(shorten(values[0], max(0, width - _LABEL - 2)), values[1])))
    return lines


def _book(peer: PeerSnapshot) -> str:
    silent = "" if peer.active else ", silent"
    return (
        f"{right(str(peer.match_index), 9)} {right(str(peer.next_index), 9)} {peer.inflights:>6}"
        f"  {peer.state.lower()}{silent}"
    )


def _book_style(peer: PeerSnapshot) -> str:
    return "" if peer.active else "warn"


def _traffic(way: LinkSnapshot) -> str:
    fault = short_fault(way.fault) if way.fault else "ok"
    return f"{right(str(way.frames_sent), 9)} {right(str(way.frames_dropped), 9)}  {fault}"
