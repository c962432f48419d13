"""The table of nodes: one line each, with as many columns as the width allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raftkv.observe import NodeSnapshot
from raftkv.tui.model import NodeState, State, lag, operations_per_second
from raftkv.tui.view.health import Health, alive, health, last_word, quorum, stale_leader, voters
from raftkv.tui.view.spans import Line, Span, bar, brief, duration, left, milliseconds, right, shorten, size

NAME_MAX = 8
"""Characters of a node's name in tables; more would push the columns off an 80-column terminal."""
BAR_CELLS = 8
_INDEX_TITLE = "last/commit/applied"
_ROLES = {"leader": "LEADER ★", "pre_candidate": "pre-candidate"}


@dataclass(frozen=True, slots=True)
class Row:
    state: State
    node: NodeState
    snapshot: NodeSnapshot | None
    health: Health
    now: float


Cell = Callable[[Row, int], Span]


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    width: int
    cell: Cell
    numeric: bool = False


def name_width(state: State) -> int:
    return min(NAME_MAX, max(len(name) for name in state.names))


def node_table(state: State, now: float, width: int, selected: str) -> tuple[Line, ...]:
    columns = _columns(state, width)
    heading = " ".join(
        right(column.title, column.width) if column.numeric else left(column.title, column.width)
        for column in columns
    )
    return (
        (Span(shorten(f" {heading}", width), "dim"),),
        *(_row(state, node, now, columns, selected) for node in state.nodes),
    )


def _row(state: State, node: NodeState, now: float, columns: list[Column], selected: str) -> Line:
    row = Row(state, node, node.snapshot, health(node, now), now)
    spans = [Span("▸" if node.name == selected else " ", "accent")]
    for number, column in enumerate(columns):
        cell = column.cell(row, column.width)
        pad = right if column.numeric else left
        text = pad(cell.text, column.width) + (" " if number < len(columns) - 1 else "")
        quiet = row.health is not Health.ALIVE and cell.style in ("", "good")
        spans.append(Span(text, "dim" if quiet else cell.style))
    return tuple(spans)


def _columns(state: State, width: int) -> list[Column]:
    indexes = [
        len(f"{snapshot.last_index}/{snapshot.commit_index}/{snapshot.applied_index}")
        for snapshot in (node.snapshot for node in state.nodes)
        if snapshot
    ]
    columns = [
        Column("node", max(4, name_width(state) + 1), _name),
        Column("role", 13, role_cell),
        Column("term", 4, _of(lambda snapshot: f"{snapshot.term}"), numeric=True),
        Column("vote", 6, _vote),
        Column(_INDEX_TITLE, 0, _indexes),
        Column("timer", 10, timer_cell),
    ]
    used = 1 + sum(column.width for column in columns) + len(columns) - 1
    wanted = max(len(_INDEX_TITLE), *indexes, 0)
    title = _INDEX_TITLE if width - used >= len(_INDEX_TITLE) else "last/com/appl"
    columns[4] = Column(title, min(wanted, max(len(title), width - used)), _indexes)
    used += columns[4].width
    for column in _EXTRA:
        if used + column.width + 1 > width:
            break
        columns.append(column)
        used += column.width + 1
    return columns


def _of(value: Callable[[NodeSnapshot], str]) -> Cell:
    return lambda row, _: Span(value(row.snapshot) if row.snapshot else "–")


def _name(row: Row, width: int) -> Span:
    """An alarm is a badge beside the name; the detail panel and the fault line say which."""
    troubled = row.snapshot is not None and (row.snapshot.alarms or row.snapshot.disk_stalled)
    name = brief(row.node.name, width - 1, row.state.names)
    return Span(f"{name}!", "bad") if troubled else Span(name, "bold" if row.health is Health.ALIVE else "")


def role_cell(row: Row, _: int = 0) -> Span:
    stale = stale_leader(row.state, row.node, row.now)
    role = row.snapshot.role if row.snapshot else ""
    match row.health:
        case Health.EXITED:
            code = row.node.process.exit_code if row.node.process else None
            return Span("☠ exited" if code is None else f"☠ exit {code}", "dim")
        case Health.WAITING:
            return Span("starting…", "dim")
        case Health.PAUSED:
            return Span("⏸ ★ stale?" if stale else shorten(f"⏸ {_ROLES.get(role, role)}", 13), "dim")
        case Health.SILENT:
            return Span("silent ★?" if stale else "silent", "warn")
        case Health.ALIVE if stale:
            return Span("★ stale?", "dim")
        case Health.ALIVE:
            style = {"leader": "leader", "follower": "", "learner": "dim"}.get(role, "candidate")
            return Span(_ROLES.get(role, role), style)


def _vote(row: Row, width: int) -> Span:
    if row.snapshot is None:
        return Span("–")
    campaigning = row.snapshot.role in ("candidate", "pre_candidate") and row.health is Health.ALIVE
    if campaigning:
        return Span(f"{row.snapshot.votes} of {quorum(row.state, row.snapshot)}", "candidate")
    return Span(brief(row.snapshot.voted_for or "–", width, row.state.names))


def _indexes(row: Row, width: int) -> Span:
    """All three in full, or, where that is too wide, the last two as what they lack."""
    snapshot = row.snapshot
    if snapshot is None:
        return Span("–")
    last, commit, applied = snapshot.last_index, snapshot.commit_index, snapshot.applied_index
    text = f"{last}/{commit}/{applied}"
    return Span(text if len(text) <= width else f"{last}/-{last - commit}/-{last - applied}")


def timer_cell(row: Row, _: int = 0) -> Span:
    """A fuse: full after every word of the leader, empty when the node starts an election."""
    snapshot, process = row.snapshot, row.node.process
    since = process.since if process else row.now
    match row.health:
        case Health.EXITED:
            return Span(f"down {duration(row.now - since)}", "dim")
        case Health.PAUSED:
            return Span(f"for {duration(row.now - since)}", "dim")
        case Health.SILENT:
            return Span(f"for {duration(row.now - last_word(row.node, row.now))}", "warn")
    if snapshot is None or row.health is Health.WAITING:
        return Span("–")
    if snapshot.leads:
        counted = voters(row.state, snapshot)
        active = 1 + sum(peer.active for peer in snapshot.peers if peer.name in counted)
        enough = active >= quorum(row.state, snapshot)
        return Span(f"quorum {active}/{len(counted)}", "good" if enough else "bad")
    remaining = 1 - snapshot.election_elapsed / max(1, snapshot.election_timeout)
    return Span(bar(remaining, BAR_CELLS), "good" if remaining > 1 / 3 else "warn")


def _lag(row: Row, _: int) -> Span:
    behind = lag(row.state, row.node.name)
    return Span("–" if behind is None else f"{behind:,}", "warn" if behind else "")


def _rate(row: Row, _: int) -> Span:
    rate = operations_per_second(row.node) if alive(row.node, row.now) else None
    return Span("–" if rate is None else f"{rate:,.0f}")


_EXTRA = (
    Column("lag", 7, _lag, numeric=True),
    Column("op/s", 7, _rate, numeric=True),
    Column("sync p99", 8, _of(lambda snapshot: milliseconds(snapshot.sync_ms_p99)), numeric=True),
    Column("log", 9, _of(lambda snapshot: size(snapshot.log_bytes)), numeric=True),
    Column("keys", 8, _of(lambda snapshot: f"{snapshot.keys:,}"), numeric=True),
    Column("up", 6, _of(lambda snapshot: duration(snapshot.uptime)), numeric=True),
    Column("pid", 7, _of(lambda snapshot: f"{snapshot.pid}"), numeric=True),
)
