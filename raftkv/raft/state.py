"""The plain data around the core: its roles, its options, what it hands out, how it looks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from raftkv.raft import trace
from raftkv.raft.configuration import Configuration
from raftkv.raft.messages import (
    Entry,
    HardState,
    Message,
    PersistMark,
    ReadState,
    SnapshotChunk,
    SnapshotMark,
)
from raftkv.types import LogIndex, NodeId, Term


class Role(Enum):
    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre_candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class Proposal(Enum):
    """What became of a proposal; only ACCEPTED ones are in the log."""

    ACCEPTED = "accepted"
    NOT_LEADER = "not leader"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class RaftOptions:
    """Times are in ticks, sizes in bytes."""

    election_ticks_min: int = 30
    election_ticks_max: int = 60
    heartbeat_ticks: int = 5
    append_bytes_max: int = 1 << 20
    """One append: small enough that a heartbeat never waits long behind it on the link."""
    inflight_messages_max: int = 64
    inflight_bytes_max: int = 8 << 20
    """Per peer: what a slow or dead follower can make the leader queue (PITFALLS 39)."""
    uncommitted_bytes_max: int = 64 << 20
    """What a leader without a quorum takes on before it answers BUSY (PITFALLS 39)."""
    reads_waiting_max: int = 4096
    lease_us: int = 0
    """How long after a heartbeat that a quorum has answered its leader may serve reads without another one,
    in microseconds; 0: not at all. The same on all nodes."""
    committed_entries_max: int = 2048
    """Per Ready, so that a long catch-up does not starve the timers: some ten milliseconds,"""
    committed_bytes_max: int = 1 << 20
    """and no more than so much of them: a single command may set a thousand keys."""
    unapplied_entries_max: int = 8192
    """Committed ones. A leader that is further behind answers BUSY, and others that are leave it to the rest
    to lead (``election.is_behind``)."""
    inflight_chunks_max: int = 4
    """Of a snapshot, per peer: few, so that appends and heartbeats to others never wait long."""
    retained_entries: int = 10_000
    """Kept behind a snapshot, so that a follower a little behind needs no snapshot."""
    retained_bytes: int = 16 << 20
    lagging_entries_max: int = 100_000
    """What is kept at most for a follower that is behind, but alive,"""
    lagging_bytes_max: int = 64 << 20
    """and how much."""
    priority: int = 0
    """A leader hands over to a voter that has a higher one."""
    forgotten_entries_max: int = 10_000
    """Per tick: to let go of a million at once would take longer than a heartbeat."""


@dataclass(frozen=True, slots=True)
class SoftState:
    role: Role
    leader_id: NodeId | None
    current_term: Term


@dataclass(frozen=True, slots=True)
class Membership:
    """Who belongs to the cluster, as far as this node knows: in effect here, and for sure. The indexes are
    those of the entries that say so."""

    latest: Configuration
    latest_index: LogIndex
    committed: Configuration
    committed_index: LogIndex


@dataclass(slots=True)
class Ready:
    """One turn's worth of work for the shell; see the package's theory of operation."""

    hard_state: HardState | None
    entries: list[Entry]
    mark: PersistMark | None
    """Set when there is something to write; to be handed back once that is durable."""
    messages: list[Message]
    messages_after_append: list[Message]
    anew: SnapshotMark | None
    """The log before ``entries`` is void: they follow this snapshot, which is durable."""
    chunks: list[SnapshotChunk]
    """To be stored; each is answered by ``chunk_stored`` or ``chunk_refused``."""
    installed: SnapshotMark | None
    """The state machine is now this snapshot's; ``committed`` follows it."""
    committed: list[Entry]
    read_states: list[ReadState]
    soft_state: SoftState | None
    membership: Membership | None
    """Set when it has changed."""
    events: list[trace.RaftEvent]
