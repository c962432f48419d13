"""Whom a leader passes by for a while. A quorum commits; whoever is beyond it works for its log alone, and
where nodes share a machine it takes the processor from those that a client waits for. So a leader with
little to do talks to the quorum that was quickest the last time: of a batch, whoever made the last commit; of
a round of reads, whoever confirmed the last one. The others get a few batches in one append, and with each
tick everything: to them this is a network that kept a message for a moment, and one that is quicker takes
the place of a slower one. A follower with clients answers them from its own state: it is not passed by."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from raftkv.raft.progress import ProgressState
from raftkv.raft.quorum import is_quorum
from raftkv.types import LogIndex, NodeId

if TYPE_CHECKING:
    from raftkv.raft.core import Raft
    from raftkv.raft.leader import Leadership

HELD_BACK_MAX = 32
"""Entries that a follower may lack for this reason."""
UNCOMMITTED_MAX = 16
"""Entries: with more at a time an append is worth its turn, and nobody is passed by;"""
UNCOMMITTED_BYTES_MAX = 64 << 10
"""nor with more than this on its way."""
CLIENTS_TICKS = 100
"""A follower counts as one with clients for so long after it has asked something for them."""
NOBODY: frozenset[NodeId] = frozenset()


class Thrift:
    """A leader's account of it. What is held back waits for a few batches (see the options) or for a tick."""

    __slots__ = ("_batches", "_due", "_last_index", "committers", "holds_back", "ticks")

    def __init__(self) -> None:
        self._batches = 0
        self._last_index = LogIndex(0)
        self._due = False
        self.ticks = 0
        """Of this leadership."""
        self.committers: Set[NodeId] = NOBODY
        """The voters that held what was committed last at the moment when it was."""
        self.holds_back = False
        """Whether somebody has not been sent all there is, for no other reason than this."""

    def tick(self) -> None:
        """Everybody gets everything: one of those that are to commit may be slow, or have fallen silent."""
        self.ticks += 1
        self._due = True

    def next_turn(self, raft: Raft, leadership: Leadership) -> Set[NodeId]:
        """Who gets no entries in it."""
        batches_max, last_index = raft.options.thrifty_batches, raft.log.last_index
        if batches_max < 2:
            return NOBODY
        if last_index > self._last_index:
            self._last_index = last_index
            self._batches += 1
        elif not self.holds_back:
            # Most turns of a leader that is only read from.
            self._batches, self._due = 0, False
            return NOBODY
        if self._batches < batches_max and not self._due:
            passed_by = self._dispensable(raft, leadership)
            if passed_by:
                self.holds_back = any(_may_get(raft, leadership, peer) for peer in passed_by)
                return passed_by
        self._batches, self._due, self.holds_back = 0, False, False
        return NOBODY

    def asked(self, raft: Raft, leadership: Leadership) -> Set[NodeId]:
        """Who is asked at once, for a round of reads, whether this node still leads; the others with the next
        tick."""
        confirmed_last = leadership.reads.confirmed_last
        if raft.options.thrifty_batches < 2 or not is_quorum(confirmed_last, raft.configuration):
            return leadership.progress.keys()
        return confirmed_last | self._with_clients(leadership)

    def _dispensable(self, raft: Raft, leadership: Leadership) -> Set[NodeId]:
        configuration, log = raft.configuration, raft.log
        if (
            log.last_index > log.commit_index + UNCOMMITTED_MAX
            or leadership.uncommitted_bytes > UNCOMMITTED_BYTES_MAX
            or leadership.succession.transferee is not None
            or not is_quorum(self.committers, configuration)
        ):
            return NOBODY
        close = log.last_index - HELD_BACK_MAX
        needed = self.committers | self._with_clients(leadership)
        return {
            peer
            for peer, book in leadership.progress.items()
            if peer not in needed and book.state is ProgressState.REPLICATE and book.next_index > close
        }

    def _with_clients(self, leadership: Leadership) -> Set[NodeId]:
        since = self.ticks - CLIENTS_TICKS
        return {peer for peer, book in leadership.progress.items() if book.clients_heard_at > since}


def _may_get(raft: Raft, leadership: Leadership, peer: NodeId) -> bool:
    """There is something for it, and its window has room."""
    book, options = leadership.progress[peer], raft.options
    room = book.can_send(options.inflight_messages_max, options.inflight_bytes_max)
    return room and book.next_index <= raft.log.last_index
