"""Which followers an append may pass by for a while. A quorum commits; whoever is beyond it works for its own
log alone, and where nodes share a machine it takes the processor from those that a client waits for. So
a leader with little to do sends a batch to a quorum only, and the others get a few of them in one append. To
them this is a network that kept a message for a moment."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from raftkv.raft.progress import ProgressState
from raftkv.raft.quorum import is_quorum, majority
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
NOBODY: frozenset[NodeId] = frozenset()


class Thrift:
    """A leader's count of the batches that were held back. They wait for so many, or for a tick."""

    __slots__ = ("_batches", "_due", "_last_index", "holds_back")

    def __init__(self) -> None:
        self._batches = 0
        self._last_index = LogIndex(0)
        self._due = False
        self.holds_back = False
        """Whether somebody has not been sent all there is, for no other reason than this."""

    def flush(self) -> None:
        """Everybody gets everything next time: one of those that commit may have fallen silent."""
        self._due = True

    def spared(self, raft: Raft, leadership: Leadership) -> Set[NodeId]:
        """Who gets nothing this turn."""
        last_index = raft.log.last_index
        if last_index > self._last_index:
            self._last_index = last_index
            self._batches += 1
        if self._batches < raft.options.thrifty_batches and not self._due:
            spared = _beyond_quorum(raft, leadership)
            if spared:
                books = leadership.progress
                self.holds_back = any(books[peer].next_index <= last_index for peer in spared)
                return spared
        self._batches, self._due, self.holds_back = 0, False, False
        return NOBODY


def _beyond_quorum(raft: Raft, leadership: Leadership) -> Set[NodeId]:
    """All but the quorum that holds most. Who has fallen silent does not stay in it; who is slow, but catches
    up between two writes, may."""
    configuration, books, log = raft.configuration, leadership.progress, raft.log
    much = (
        log.last_index > log.commit_index + UNCOMMITTED_MAX
        or leadership.uncommitted_bytes > UNCOMMITTED_BYTES_MAX
    )
    if much or configuration.joint:
        return NOBODY
    holds = {raft.node_id: log.persisted_index}
    for peer, progress in books.items():
        if progress.state is ProgressState.REPLICATE:
            holds[peer] = progress.match_index
    voters = configuration.voters
    able = [node for node in holds if node in voters]
    needed = majority(len(voters))
    if len(able) < needed:
        return NOBODY
    foremost = sorted(able, key=holds.__getitem__, reverse=True)[:needed]
    close = log.last_index - HELD_BACK_MAX
    return {peer for peer in books if peer in holds and books[peer].next_index > close}.difference(foremost)


def readers_quorum(raft: Raft, confirmed_last: Set[NodeId]) -> Set[NodeId]:
    """Who is asked whether this node still leads, for a round of reads: those that said so first the last
    time. With the next tick everybody is."""
    thrifty = raft.options.thrifty_batches and is_quorum(confirmed_last, raft.configuration)
    return confirmed_last if thrifty else set(raft.peers)
