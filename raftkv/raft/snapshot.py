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
from raftkv.raft.log import size_of
from raftkv.raft.messages import (
    AppendEntriesResponse,
    InstallSnapshot,
    InstallSnapshotResponse,
    SnapshotChunk,
    SnapshotMark,
)
from raftkv.raft.progress import Progress, ProgressState
from raftkv.types import LogIndex, NodeId, Term

if TYPE_CHECKING:
    from raftkv.raft.core import Raft


class Incoming:
    """A snapshot on its way to this node."""

    __slots__ = ("handed", "mark", "session", "stored")

    def __init__(self, mark: SnapshotMark) -> None:
        self.mark = mark
        self.session = 0
        """That the leader spoke in last."""
        self.handed = 0
        """Chunks below this were given to the shell,"""
        self.stored = 0
        """and below this are on disk."""


# -- forgetting


def taken(raft: Raft, mark: SnapshotMark) -> None:
    """This node's own snapshot is durable."""
    if raft.snapshot is None or mark.index > raft.snapshot.index:
        raft.snapshot = mark
        options = raft.options
        raft.retained = _affordable(raft, mark, options.retained_entries, options.retained_bytes)
        raft.lagging = _affordable(raft, mark, options.lagging_entries_max, options.lagging_bytes_max)


def _affordable(raft: Raft, mark: SnapshotMark, entries_max: int, bytes_max: int) -> int:
    """How many entries behind the snapshot may be kept: fewer, if they are large."""
    log = raft.log
    count = min(entries_max, mark.index - log.offset_index)
    while count > 0 and size_of(log.slice(LogIndex(mark.index - count + 1), mark.index)) > bytes_max:
        count //= 2
    return max(0, count)


def forgets(raft: Raft) -> bool:
    """Whether there is more to let go of, a part each tick."""
    return raft.snapshot is not None and raft.snapshot.index - raft.retained > raft.log.offset_index


def forget(raft: Raft) -> None:
    """Let go of a part of what the snapshot stands for, but for what followers may still ask for."""
    mark, log, options = raft.snapshot, raft.log, raft.options
    if mark is None or not forgets(raft):
        return
    target = mark.index - raft.retained
    if raft.leadership:
        for progress in raft.leadership.progress.values():
            if progress.alive and progress.state is ProgressState.REPLICATE:
                target = min(target, max(progress.match_index, mark.index - raft.lagging))
    # What is still to be applied, or to be handed to storage, is none of it, whatever the snapshot says.
    target = min(target, log.last_applied, log.handed_index, log.offset_index + options.forgotten_entries_max)
    if target > log.offset_index:
        log.compact(LogIndex(target))
        if target == mark.index - raft.retained:
            raft.trace(trace.LogCompacted(raft.current_term, LogIndex(target)))


# -- sending


def send_chunks(raft: Raft, peer: NodeId, progress: Progress) -> None:
    """A leader sends what the window has room for."""
    mark, stream = raft.snapshot, progress.stream
    assert mark is not None, "entries are only forgotten where a snapshot stands for them"
    if stream is None or stream.mark.id != mark.id:
        progress.become_snapshot(mark)
        stream = progress.stream
        assert stream is not None
        raft.trace(trace.SnapshotSent(raft.current_term, peer, mark.index))
    for number in stream.take(raft.options.inflight_chunks_max):
        raft.send(InstallSnapshot(raft.node_id, peer, raft.current_term, mark, number, b"", progress.session))


def on_response(progress: Progress, message: InstallSnapshotResponse) -> None:
    if progress.stream and progress.stream.mark.id == message.snapshot_id:
        progress.stream.acknowledged(message.next_number)


# -- receiving


def on_install_snapshot(raft: Raft, message: InstallSnapshot) -> None:
    raft.follow(message.sender)
    mark, log = message.mark, raft.log
    if log.matches(mark.index, mark.term) and mark.index > log.commit_index:
        log.commit_to(mark.index)  # the same entry stands here, so everything before it does
    if mark.index <= log.commit_index:
        expire(raft)
        _accept(raft, message.sender, log.commit_index, message.session)
        return
    incoming = raft.incoming
    if incoming is None or incoming.mark.id != mark.id:
        if incoming and incoming.handed == incoming.mark.chunks:
            return  # about to be installed: to begin another now would leave two on the disk
        if message.number:
            _respond(raft, message.sender, mark, 0, message.session)
            return
        incoming = raft.incoming = Incoming(mark)
    incoming.session = message.session
    if message.number == incoming.handed and message.number < mark.chunks:
        incoming.handed += 1
        raft.chunks.append(SnapshotChunk(mark, message.number, message.data))
    elif message.number < incoming.stored:
        _respond(raft, message.sender, mark, incoming.stored, message.session)
    # One that came too early, or is being stored: silence, and the leader asks again after a heartbeat.


def expire(raft: Raft) -> None:
    """A snapshot on its way is no use any more once the log has come as far by itself."""
    if raft.incoming and raft.incoming.mark.index <= raft.log.commit_index:
        abandon(raft)


def abandon(raft: Raft) -> None:
    """No more of it will come, or is wanted. One whose last chunk is on its way to the disk takes the place
    of this node's own there, whoever leads: so it is installed."""
    if raft.incoming and raft.incoming.handed < raft.incoming.mark.chunks:
        raft.incoming = None


def on_chunk_stored(raft: Raft, snapshot_id: int, number: int) -> None:
    incoming = raft.incoming
    if incoming is None or incoming.mark.id != snapshot_id or number != incoming.stored:
        return
    incoming.stored += 1
    if incoming.stored < incoming.mark.chunks:
        if raft.leader_id is not None and not raft.leadership:
            _respond(raft, raft.leader_id, incoming.mark, incoming.stored, incoming.session)
        return
    raft.incoming = None
    raft.doubt.session = incoming.session
    _install(raft, incoming.mark)
    if raft.leader_id is not None and not raft.leadership:
        _accept(raft, raft.leader_id, raft.log.commit_index, incoming.session)


def _install(raft: Raft, mark: SnapshotMark) -> None:
    """All of it is durable. An entry of its index may have been applied meanwhile: then the log has gone
    on by itself, and the snapshot is no more than a newer one to forget by."""
    log = raft.log
    if mark.index > log.last_applied:
        configuration = Configuration.decode(mark.configuration) if mark.configuration else None
        if raft.leadership and mark.index > log.commit_index:
            raft.leadership.uncommitted_bytes -= size_of(
                log.slice(LogIndex(log.commit_index + 1), mark.index)
            )
        kept = log.restore(mark.index, mark.term, configuration)
        raft.installed = mark
        if not kept:
            raft.anew = mark
        raft.trace(trace.SnapshotInstalled(raft.current_term, mark.index, kept))
    taken(raft, mark)


def _respond(raft: Raft, leader: NodeId, mark: SnapshotMark, next_number: int, session: int) -> None:
    term = raft.current_term
    raft.send(InstallSnapshotResponse(raft.node_id, leader, term, mark.id, next_number, session))


def _accept(raft: Raft, leader: NodeId, match_index: LogIndex, session: int) -> None:
    """As after an append: earlier entries may still be on their way to the disk."""
    nowhere, term = LogIndex(0), raft.current_term
    raft.send_after_append(
        AppendEntriesResponse(
            raft.node_id, leader, term, True, match_index, nowhere, Term(0), nowhere, session
        )
    )
