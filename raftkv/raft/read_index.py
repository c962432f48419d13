"""Linearizable reads without writing to the log (§8, thesis §6.4).

A read may be served at the commit index of the moment it arrived, once a quorum has confirmed,
*after* it arrived, that this node still leads. All reads waiting share one round of heartbeats.
A round has a number that is never used again: an answer to an earlier round must not vouch for a
read that came later (PITFALLS 32, 33). Reads that arrive while a round is open wait for the next,
which is what makes the batches grow with the load.
"""

from __future__ import annotations

from raftkv.raft.configuration import Configuration
from raftkv.raft.quorum import is_quorum
from raftkv.types import LogIndex, NodeId

Reader = tuple[NodeId, int]
"""Who asked (the leader itself or a follower), and the asker's own context number."""


class ReadIndexQueue:
    __slots__ = ("_acks", "_node_id", "_open_index", "_open_readers", "last_round", "waiting")

    def __init__(self, node_id: NodeId) -> None:
        self.waiting: list[Reader] = []
        self.last_round = 0
        self._node_id = node_id
        self._open_index: LogIndex | None = None
        self._open_readers: list[Reader] = []
        self._acks: set[NodeId] = {node_id}

    @property
    def open_round(self) -> int:
        """The round that heartbeats must carry; 0 when none is open."""
        return self.last_round if self._open_index is not None else 0

    def start_round(self, commit_index: LogIndex) -> None:
        """All reads waiting now are bound to the commit index of now."""
        assert self._open_index is None, "one round at a time"
        self.last_round += 1
        self._open_index = commit_index
        self._open_readers, self.waiting = self.waiting, []
        self._acks = {self._node_id}

    def take_waiting(self) -> list[Reader]:
        """Those that wait for the next round: they need none."""
        readers, self.waiting = self.waiting, []
        return readers

    @property
    def confirmed_last(self) -> frozenset[NodeId]:
        """Who has confirmed the latest round, this node included: a quorum, once it is over."""
        return frozenset(self._acks)

    def confirmed_by(self, peer: NodeId, read_round: int) -> None:
        if read_round and read_round == self.open_round:
            self._acks.add(peer)

    def take_confirmed(self, configuration: Configuration) -> tuple[LogIndex, list[Reader]] | None:
        """The open round's reads once a quorum (this node counts, if it votes) has confirmed it."""
        if self._open_index is None or not is_quorum(self._acks, configuration):
            return None
        index, readers = self._open_index, self._open_readers
        self._open_index, self._open_readers = None, []
        return index, readers

    def drain(self) -> list[Reader]:
        """Every read not answered yet, for a leader that stops being one."""
        readers = self._open_readers + self.waiting
        self._open_index, self._open_readers, self.waiting = None, [], []
        return readers
