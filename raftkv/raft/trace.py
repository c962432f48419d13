"""What the core reports about itself: one frozen class an event, fields rather than prose.

``observe`` stamps them with node, sequence number and time; ``describe`` makes lines of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from raftkv.types import LogIndex, NodeId, Term


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """``reason`` is one of the ``REASON_…`` words, never a sentence."""

    term: Term
    role: str
    reason: str


@dataclass(frozen=True, slots=True)
class LeaderChanged:
    term: Term
    leader_id: NodeId | None


@dataclass(frozen=True, slots=True)
class VoteAnswered:
    """This node granted or refused its vote, or a pre-vote. What it compared stands with it, so that the
    reason can be told later."""

    term: Term
    candidate: NodeId
    granted: bool
    pre: bool
    reason: str
    voted_for: NodeId | None = None
    """After the answer."""
    last_index: LogIndex = field(default=LogIndex(0))
    last_term: Term = field(default=Term(0))
    """Of its own log;"""
    candidate_index: LogIndex = field(default=LogIndex(0))
    candidate_term: Term = field(default=Term(0))
    """and of the candidate's, which must be at least as up to date (§5.4.1)."""


@dataclass(frozen=True, slots=True)
class VoteReceived:
    """An answer to this node's own campaign, with the tally after it."""

    term: Term
    voter: NodeId
    granted: bool
    pre: bool
    votes: int
    needed: int


@dataclass(frozen=True, slots=True)
class EntriesTruncated:
    """Entries ``first_index..last_index`` conflicted with the leader's and were dropped."""

    term: Term
    first_index: LogIndex
    last_index: LogIndex


@dataclass(frozen=True, slots=True)
class EntriesLost:
    """``leader`` knows this node to hold the entry at ``known_index``, and its log ends at ``last_index``."""

    term: Term
    leader: NodeId
    known_index: LogIndex
    last_index: LogIndex


@dataclass(frozen=True, slots=True)
class LeaderDoubted:
    """``leader`` has another entry at ``index`` than the one that is committed here."""

    term: Term
    leader: NodeId
    index: LogIndex


@dataclass(frozen=True, slots=True)
class AppendRejected:
    """A leader was told that its ``prev_log_index`` does not match here."""

    term: Term
    leader: NodeId
    prev_log_index: LogIndex
    conflict_term: Term
    conflict_index: LogIndex


@dataclass(frozen=True, slots=True)
class TransferStarted:
    """This leader is handing over to ``to``, and takes no proposals meanwhile."""

    term: Term
    to: NodeId


@dataclass(frozen=True, slots=True)
class TransferAbandoned:
    """``to`` did not take over in time; this leader goes on."""

    term: Term
    to: NodeId


@dataclass(frozen=True, slots=True)
class SnapshotSent:
    """This leader begins to send ``to`` its snapshot: what that peer lacks is not in the log any more."""

    term: Term
    to: NodeId
    index: LogIndex


@dataclass(frozen=True, slots=True)
class SnapshotInstalled:
    """The leader's snapshot stands for everything up to ``index`` here. ``kept``: the log went on from
    there; otherwise it began anew."""

    term: Term
    index: LogIndex
    kept: bool


@dataclass(frozen=True, slots=True)
class LogCompacted:
    """Entries up to ``last_index`` are forgotten: the snapshot stands for them."""

    term: Term
    last_index: LogIndex


@dataclass(frozen=True, slots=True)
class FoundingAwaits:
    """A new cluster begins once these have been heard as well, all of them at once."""

    term: Term
    missing: str


@dataclass(frozen=True, slots=True)
class ConfigurationChanged:
    """``text`` describes the configuration in effect here from now on, which the entry at ``index`` says."""

    term: Term
    index: LogIndex
    text: str


RaftEvent = (
    RoleChanged
    | LeaderChanged
    | VoteAnswered
    | VoteReceived
    | EntriesTruncated
    | EntriesLost
    | LeaderDoubted
    | AppendRejected
    | TransferStarted
    | TransferAbandoned
    | SnapshotSent
    | SnapshotInstalled
    | LogCompacted
    | ConfigurationChanged
    | FoundingAwaits
)

REASON_TRANSFER = "leadership-transfer"
REASON_ELECTION_TIMEOUT = "election-timeout"
REASON_PRE_VOTE_WON = "pre-vote-won"
REASON_ELECTION_WON = "election-won"
REASON_ELECTION_LOST = "election-lost"
REASON_HIGHER_TERM = "higher-term"
REASON_LEADER_FOUND = "leader-found"
REASON_CHECK_QUORUM = "check-quorum"
REASON_DISK_STALLED = "disk-stalled"
REASON_REMOVED = "removed"
REASON_RESTART = "restart"

VOTE_GRANTED = "granted"
VOTE_LEADER_ALIVE = "leader-alive"
VOTE_ALREADY_CAST = "already-voted"
VOTE_LOG_BEHIND = "log-behind"
VOTE_OLD_TERM = "old-term"
VOTE_DISK_STALLED = "disk-stalled"
