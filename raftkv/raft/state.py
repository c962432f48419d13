"""The plain data around the core: its roles, its options, what it hands out, how it looks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from raftkv.raft import trace
from raftkv.raft.messages import Entry, HardState, Message, PersistMark, ReadState
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
    committed_entries_max: int = 4096
    """Per Ready, so that one long catch-up does not starve the timers."""


@dataclass(frozen=True, slots=True)
class SoftState:
    role: Role
    leader_id: NodeId | None
    current_term: Term


@dataclass(slots=True)
class Ready:
    """One turn's worth of work for the shell; see the package's theory of operation."""

    hard_state: HardState | None
    entries: list[Entry]
    mark: PersistMark | None
    """Set when there is something to write; to be handed back once that is durable."""
    messages: list[Message]
    messages_after_append: list[Message]
    committed: list[Entry]
    read_states: list[ReadState]
    soft_state: SoftState | None
    events: list[trace.RaftEvent]


@dataclass(frozen=True, slots=True)
class PeerStatus:
    name: NodeId
    state: str
    match_index: LogIndex
    next_index: LogIndex
    inflights: int
    active: bool


@dataclass(frozen=True, slots=True)
class RaftStatus:
    """A frozen view for dashboards, the CLI and the invariants."""

    node_id: NodeId
    voters: tuple[NodeId, ...]
    role: Role
    current_term: Term
    voted_for: NodeId | None
    leader_id: NodeId | None
    votes: int
    first_index: LogIndex
    last_index: LogIndex
    last_term: Term
    persisted_index: LogIndex
    commit_index: LogIndex
    last_applied: LogIndex
    election_elapsed: int
    election_timeout: int
    disk_stalled: bool
    transferee: NodeId | None
    """Whom this leader is handing over to."""
    peers: tuple[PeerStatus, ...]
