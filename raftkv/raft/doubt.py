"""Whether a leader and this node can both be what they were.

Whoever leads holds all that is committed (Leader Completeness, §5.4.3), and knows a follower to hold no more
than it acknowledged. Where either shows to be false, one of the two runs on an older copy of its data folder,
or its disk has lost what it had synced. Raft promises nothing then; but to go on would be to acknowledge
other values for what was acknowledged, or to be in the way for ever, and to notice costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftkv.raft import trace
from raftkv.raft.log import RaftLog
from raftkv.raft.messages import AppendEntries, Heartbeat
from raftkv.types import LogIndex, NodeId, Term

if TYPE_CHECKING:
    from raftkv.raft.core import Raft


class Doubt:
    __slots__ = ("book", "lost", "term")

    def __init__(self) -> None:
        self.term: Term | None = None
        """Its leader lacks what is committed here, and is not listened to: without a quorum its term ends."""
        self.book: int | None = None
        """Number of the leader's book by which this log has grown; None: not since this node started."""
        self.lost: trace.EntriesLost | None = None
        """What this node lacks itself. It must end, and not come back."""


def contradiction(log: RaftLog, message: AppendEntries) -> LogIndex | None:
    """The first entry that is committed here and another one there, as far as the log still knows."""
    shown = [(message.prev_log_index, message.prev_log_term)]
    shown += [(entry.index, entry.term) for entry in message.entries if entry.index <= log.commit_index]
    for index, term in shown:
        known = log.term_at(index) if index <= log.commit_index else None
        if known is not None and known != term:
            return index
    return None


def disbelieve(raft: Raft, leader: NodeId, index: LogIndex) -> None:
    raft.doubt.term = raft.current_term
    raft.forget_leader()
    raft.trace(trace.LeaderDoubted(raft.current_term, leader, index))


def lacks_what_it_acknowledged(raft: Raft, message: Heartbeat) -> bool:
    """A heartbeat states no more than the leader knows this log to hold. One that began empty may be told
    what the folder before it held: by an earlier book, or before it holds anything."""
    last_index = raft.log.last_index
    if not 0 < last_index < message.leader_commit or raft.doubt.book not in (None, message.book):
        return False
    raft.doubt.lost = trace.EntriesLost(raft.current_term, message.sender, message.leader_commit, last_index)
    raft.trace(raft.doubt.lost)
    return True
