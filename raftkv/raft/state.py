"""The plain data around the core: its roles, what it hands out, how it looks."""

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
