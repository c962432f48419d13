"""What becomes of a log that has grown: forgetting what a snapshot stands for, and giving the snapshot
to a peer whose next entry is forgotten (§7).

A snapshot travels in chunks, each acknowledged, a few in flight: so appends and heartbeats to others,
and to the same peer, never wait behind a whole one. Its receiver takes it up where it was interrupted,
even under another leader, as long as it is the same snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftkv.raft import trace
from raftkv.raft.configuration import Configuration
from raftkv.raft.log import BEFORE_LOG, size_of
from raftkv.raft.messages import (
    AppendEntriesResponse,
    InstallSnapshot,
    InstallSnapshotResponse,
    SnapshotChunk,
    SnapshotMark,
)
from raftkv.raft.progress import Progress, ProgressState
from raftkv.types import LogIndex, NodeId

if TYPE_CHECKING:
    from raftkv.raft.core import Raft


REFUSING_TICKS = 100
"""Or a leader would fill the disk of a follower that has no room again and again."""


class Incoming:
    """A snapshot on its way to this node."""

    __slots__ = ("book", "handed", "mark", "stored")

    def __init__(self, mark: SnapshotMark) -> None:
        self.mark = mark
        self.book = 0
        """Of the leader's word that came last."""
        self.handed = 0
        """Chunks below this were given to the shell,"""
        self.stored = 0
        """and below this are on disk."""


class Snapshots:
    """What a node has and what is on its way to it: the newest that is durable here, how much of the log
    is kept behind it, and what the next ``Ready`` hands out."""

    __slots__ = (
        "_lagging",
        "_raft",
        "_refusing_ticks",
        "_retained",
        "anew",
        "chunks",
        "incoming",
        "installed",
        "newest",
    )

    def __init__(self, raft: Raft, newest: SnapshotMark | None) -> None:
        self._raft = raft
        self.newest = newest
        self._retained = raft.options.retained_entries
        """Entries kept behind it always,"""
        self._lagging = raft.options.lagging_entries_max
        """and for a follower that is alive."""
        self.incoming: Incoming | None = None
        self._refusing_ticks = 0
        """For so long none is begun: there was no room for the last one, or it was of no use."""
        self.chunks: list[SnapshotChunk] = []
        """To be stored."""
        self.installed: SnapshotMark | None = None
        """To take the place of what was applied;"""
        self.anew: SnapshotMark | None = None
        """and of the log, in which its entry does not stand."""

    @property
    def covered_index(self) -> LogIndex:
        """Of the last entry that the newest stands for."""
        return self.newest.index if self.newest else BEFORE_LOG

    def tick(self) -> None:
        self._refusing_ticks = max(0, self._refusing_ticks - 1)
        self.expire()
        self.forget()

    # -- forgetting

    def taken(self, mark: SnapshotMark) -> None:
        """This node's own snapshot is durable."""
        if mark.index > self.covered_index:
            self.newest = mark
            options = self._raft.options
            self._retained = self._affordable(options.retained_entries, options.retained_bytes)
            self._lagging = self._affordable(options.lagging_entries_max, options.lagging_bytes_max)

    def _affordable(self, entries_max: int, bytes_max: int) -> int:
        """How many entries behind the newest may be kept: fewer, if they are large."""
        log, last = self._raft.log, self.covered_index
        count = min(entries_max, last - log.offset_index)
        while count > 0 and size_of(log.slice(LogIndex(last - count + 1), last)) > bytes_max:
            count //= 2
        return max(0, count)

    @property
    def forgets(self) -> bool:
        """Whether there is more to let go of, a part each tick."""
        return self.covered_index - self._retained > self._raft.log.offset_index

    def forget(self) -> None:
        """Let go of a part of what the newest stands for, but for what followers may still ask for."""
        if not self.forgets:
            return
        raft, log, last = self._raft, self._raft.log, self.covered_index
        target = last - self._retained
        if raft.leadership:
            for progress in raft.leadership.progress.values():
                if progress.alive and progress.state is ProgressState.REPLICATE:
                    target = min(target, max(progress.match_index, last - self._lagging))
        # What is still to be applied, or to be handed to storage, is none of it, whatever the snapshot says.
        at_once = log.offset_index + raft.options.forgotten_entries_max
        target = min(target, log.last_applied, log.handed_index, at_once)
        if target > log.offset_index:
            log.compact(LogIndex(target))
            if target == last - self._retained:
                raft.trace(trace.LogCompacted(raft.current_term, LogIndex(target)))

    # -- receiving

    def on_install_snapshot(self, message: InstallSnapshot) -> None:
        raft, log, mark = self._raft, self._raft.log, message.mark
        raft.follow(message.sender)
        if log.matches(mark.index, mark.term) and mark.index > log.commit_index:
            log.commit_to(mark.index)  # the same entry stands here, so everything before it does
        if mark.index <= log.commit_index:
            self.expire()
            self._accept(message.sender, message.book)
            return
        incoming = self.incoming
        if incoming is None or incoming.mark.id != mark.id:
            if incoming and incoming.handed == incoming.mark.chunks:
                return  # about to be installed: to begin another now would leave two on the disk
            if self._refusing_ticks:
                return  # the leader asks again, with a chunk for each heartbeat
            if message.number:
                self._ask_for(message.sender, mark, 0, message.book)
                return
            incoming = self.incoming = Incoming(mark)
        incoming.book = message.book
        if message.number == incoming.handed and message.number < mark.chunks:
            incoming.handed += 1
            self.chunks.append(SnapshotChunk(mark, message.number, message.data))
        elif message.number < incoming.stored:
            self._ask_for(message.sender, mark, incoming.stored, message.book)
        # One that came too early, or is being stored: silence, and the leader asks again after a while.

    def expire(self) -> None:
        """One on its way is no use any more once the log has come as far by itself."""
        if self.incoming and self.incoming.mark.index <= self._raft.log.commit_index:
            self.abandon()

    def abandon(self) -> None:
        """No more of it will come, or is wanted. One whose last chunk is on its way to the disk takes the
        place of this node's own there, whoever leads: so it is installed."""
        if self.incoming and self.incoming.handed < self.incoming.mark.chunks:
            self.incoming = None

    def chunk_refused(self, snapshot_id: int) -> None:
        if self.incoming and self.incoming.mark.id == snapshot_id:
            self.incoming = None
            self._refusing_ticks = REFUSING_TICKS

    def chunk_stored(self, snapshot_id: int, number: int) -> None:
        raft, incoming = self._raft, self.incoming
        if incoming is None or incoming.mark.id != snapshot_id or number != incoming.stored:
            return
        incoming.stored += 1
        leader = None if raft.leadership else raft.leader_id
        if incoming.stored < incoming.mark.chunks:
            if leader is not None:
                self._ask_for(leader, incoming.mark, incoming.stored, incoming.book)
            return
        self.incoming = None
        raft.doubt.book = incoming.book
        self._install(incoming.mark)
        if leader is not None:
            self._accept(leader, incoming.book)

    def _install(self, mark: SnapshotMark) -> None:
        """All of it is durable. An entry of its index may have been applied meanwhile: then the log has gone
        on by itself, and the snapshot is no more than a newer one to forget by."""
        raft, log = self._raft, self._raft.log
        if mark.index > log.last_applied:
            configuration = Configuration.decode(mark.configuration) if mark.configuration else None
            if raft.leadership and mark.index > log.commit_index:
                raft.leadership.count_committed(mark.index)
            kept = log.restore(mark.index, mark.term, configuration)
            self.installed = mark
            if not kept:
                self.anew = mark
            raft.trace(trace.SnapshotInstalled(raft.current_term, mark.index, kept))
        self.taken(mark)

    def _ask_for(self, leader: NodeId, mark: SnapshotMark, next_number: int, book: int) -> None:
        raft = self._raft
        term = raft.current_term
        raft.send(InstallSnapshotResponse(raft.node_id, leader, term, mark.id, next_number, book))

    def _accept(self, leader: NodeId, book: int) -> None:
        """As after an append: earlier entries may still be on their way to the disk."""
        raft = self._raft
        head, held = (raft.node_id, leader, raft.current_term), raft.log.commit_index
        raft.send_after_append(AppendEntriesResponse(*head, True, held, book=book))


# -- sending


def send_chunks(raft: Raft, peer: NodeId, progress: Progress) -> None:
    """A leader sends what the window has room for."""
    mark, stream = raft.snapshots.newest, progress.stream
    assert mark is not None, "entries are only forgotten where a snapshot stands for them"
    if stream is None or stream.mark.id != mark.id:
        progress.become_snapshot(mark)
        stream = progress.stream
        assert stream is not None
        raft.trace(trace.SnapshotSent(raft.current_term, peer, mark.index))
    for number in stream.take(raft.options.inflight_chunks_max):
        raft.send(InstallSnapshot(raft.node_id, peer, raft.current_term, mark, number, b"", progress.book))


def on_response(progress: Progress, message: InstallSnapshotResponse) -> None:
    if progress.stream and progress.stream.mark.id == message.snapshot_id:
        progress.stream.acknowledged(message.next_number)
