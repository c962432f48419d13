"""What nodes say to each other, and what the core and its shell hand each other.

One class a message; ``sender``, ``to`` and ``term`` come first in every one. Requests of a
leader or candidate carry the sender's ``current_term``; a ``PreVote`` carries the term the sender
*would* campaign in, without having adopted it (thesis §9.6).

Nobody changes a message once it has reached a core. Python is not told so: a frozen dataclass sets its
fields through a call each, and an append of eight takes almost five times as long to make (1.4 to 0.3 µs,
warm), which showed in every turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from raftkv.types import LogIndex, NodeId, Term


class EntryKind(IntEnum):
    """What an entry's ``data`` is."""

    NO_OP = 0
    """Empty; the first entry of every term (§8)."""
    COMMAND = 1
    """One client command, opaque bytes to everything but the state machine."""
    CLOCK = 2
    """Milliseconds that have passed at the leader since its last one: what the state machine's time is
    made of."""
    CONFIGURATION = 3
    """An encoded ``Configuration``: who belongs to the cluster from here on."""


class Entry(NamedTuple):
    """One log entry. A tuple, not a dataclass: a batch of them is packed and unpacked by one call
    of the serialiser, and a node handles tens of thousands a second."""

    index: LogIndex  # type: ignore[assignment]  # hides tuple.index, which an entry has no use for
    term: Term
    kind: int
    """An ``EntryKind``; a plain int after decoding."""
    data: bytes


class HardState(NamedTuple):
    """What a node must remember over a crash. ``commit_index`` is a hint: it may lag, never lead."""

    current_term: Term
    voted_for: NodeId | None
    commit_index: LogIndex


class PersistMark(NamedTuple):
    """Names one write to storage; comes back as ``Raft.persisted(mark)`` once it is durable.

    ``term`` keeps a late mark from covering an entry that was overwritten meanwhile;
    ``current_term`` keeps it from covering one that was overwritten and put back by a third
    leader: within one term an index is overwritten at most once.
    """

    index: LogIndex  # type: ignore[assignment]  # hides tuple.index, as above
    term: Term
    current_term: Term


class SnapshotMark(NamedTuple):
    """What a snapshot stands for: everything up to the entry at ``index``, which has ``term``.

    ``id`` is drawn when it is taken: two snapshots of one index hold the same state, but not the same
    bytes, and their chunks must not be mixed. ``chunks`` is 0 as long as it is being taken.
    ``configuration`` is the encoded one in effect at ``index``; empty when the snapshot says nothing
    about members: the founding one holds."""

    index: LogIndex  # type: ignore[assignment]  # hides tuple.index, as above
    term: Term
    id: int
    chunks: int
    configuration: bytes = b""


class SnapshotChunk(NamedTuple):
    """One chunk that a leader has sent, for the shell to store."""

    mark: SnapshotMark
    number: int
    data: bytes


class ReadState(NamedTuple):
    """A linearizable read may be served once ``last_applied >= read_index``.

    ``read_index`` is None when the read failed: no leader, or leadership was lost meanwhile.
    """

    context: int
    read_index: LogIndex | None


_NOWHERE, _NO_TERM = LogIndex(0), Term(0)


@dataclass(slots=True)
class Message:
    """The header of every message."""

    sender: NodeId
    to: NodeId
    term: Term


@dataclass(slots=True)
class PreVote(Message):
    """Would you vote for me in ``term``? Changes nothing at the receiver."""

    last_log_index: LogIndex
    last_log_term: Term


@dataclass(slots=True)
class PreVoteResponse(Message):
    """``term`` is the term asked about when granted, else the receiver's current term."""

    granted: bool


@dataclass(slots=True)
class RequestVote(Message):
    """§5.2, §5.4.1. ``transfer``: the leader itself asked for this election (thesis §3.10), so whoever
    still hears that leader votes all the same."""

    last_log_index: LogIndex
    last_log_term: Term
    transfer: bool = False


@dataclass(slots=True)
class RequestVoteResponse(Message):
    granted: bool


@dataclass(slots=True)
class AppendEntries(Message):
    """§5.3. An empty one probes: does the receiver hold ``prev_log_index`` at ``prev_log_term``?"""

    prev_log_index: LogIndex
    prev_log_term: Term
    entries: tuple[Entry, ...] | list[Entry]
    leader_commit: LogIndex
    book: int = 0
    """Number of the leader's book about the receiver; the answer repeats it. A node that was removed and
    added again gets another book, for which answers to the earlier one mean nothing (PITFALLS 26)."""


@dataclass(slots=True)
class AppendEntriesResponse(Message):
    """Accepted: everything up to ``match_index`` is durable here and equals the leader's log.

    Rejected: ``prev_log_index`` repeats the request's, and the receiver's conflicting term with
    its first index there tells the leader how far to go back in one step (§5.3, last paragraphs).
    ``conflict_term`` is 0 when the receiver's log simply ends before ``conflict_index``.
    """

    success: bool
    match_index: LogIndex = _NOWHERE
    prev_log_index: LogIndex = _NOWHERE
    conflict_term: Term = _NO_TERM
    conflict_index: LogIndex = _NOWHERE
    book: int = 0


@dataclass(slots=True)
class Heartbeat(Message):
    """Keeps authority, carries the commit index, and confirms a round of reads (§8).

    ``leader_commit`` never exceeds what the receiver is known to hold.
    ``read_round`` is 0 when no read waits.
    """

    leader_commit: LogIndex
    read_round: int
    book: int = 0
    sent_us: int = 0
    """By the leader's clock; the answer repeats it if the receiver keeps leases. 0 where none are wanted."""


@dataclass(slots=True)
class HeartbeatResponse(Message):
    read_round: int
    book: int = 0
    sent_us: int = 0
    behind: bool = False
    """With so much to apply first that it would not take over."""
    full: bool = False
    """Its disk: it could neither vote nor acknowledge."""


@dataclass(slots=True)
class FoundingCall(Message):
    """The first founder asks another one whether it is new. ``incarnation`` is the asker's."""

    incarnation: str


@dataclass(slots=True)
class FoundingAnswer(Message):
    """It is. ``called`` repeats the asker's incarnation."""

    called: str
    incarnation: str


@dataclass(slots=True)
class FoundingEntry(Message):
    """The first entry of the log, of term 1: who the founders are."""

    configuration: bytes


@dataclass(slots=True)
class TimeoutNow(Message):
    """A leader hands over: campaign at once, without waiting and without a pre-vote (thesis §3.10)."""


@dataclass(slots=True)
class InstallSnapshot(Message):
    """Chunk ``number`` of the snapshot that stands for what the receiver lacks (§7). The core leaves
    ``data`` empty: the shell reads it from disk before the message leaves."""

    mark: SnapshotMark
    number: int
    data: bytes
    book: int = 0


@dataclass(slots=True)
class InstallSnapshotResponse(Message):
    """``next_number`` is the chunk to go on with; all before it are on the sender's disk. When the last
    one is, an ``AppendEntriesResponse`` for the snapshot's index says so instead."""

    snapshot_id: int
    next_number: int
    book: int = 0


@dataclass(slots=True)
class ReadIndex(Message):
    """A follower asks the leader from which index on its own state is fresh enough (thesis §6.4)."""

    context: int


@dataclass(slots=True)
class ReadIndexResponse(Message):
    context: int
    read_index: LogIndex
