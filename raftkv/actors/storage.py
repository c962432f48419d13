"""Keeps the disk busy with one job at a time and everything else in order.

While a batch is being synced, further writes gather and go together as the next one: under load
batches grow by themselves, at rest nothing waits. Messages that depend on a write leave when it is
durable; those without a write of their own wait for the ones before them (PITFALLS 5).

Chunks of snapshots, to be written or read, take turns with the batches: one each, so that neither waits
for more than one of the other.

A full disk is not the end: the batch is kept and tried again until space returns, and meanwhile
this node neither acknowledges nor accepts writes. Any other disk error stops the node (PITFALLS 6).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Protocol

from raftkv.actors.messages import (
    DiskPressure,
    Note,
    Persisted,
    Send,
    Stop,
    Tick,
    Write,
)
from raftkv.actors.meter import Meter
from raftkv.actors.snapshot_messages import (
    ChunkFetched,
    ChunkStored,
    FetchChunk,
    SendChunks,
    WriteChunk,
)
from raftkv.actors.system import Context
from raftkv.errors import DiskFull
from raftkv.observe import DiskFault, events
from raftkv.raft import Entry, HardState, SnapshotMark
from raftkv.raft.log import size_of
from raftkv.raft.messages import InstallSnapshot
from raftkv.storage import Append, DiskJob, ReadChunk

BATCH_BYTES_MAX = 8 << 20
"""One record on disk: bounds how long one sync can take."""
BACKLOG_BYTES_MAX = 128 << 20
"""What may wait for a slow disk before appends are refused (PITFALLS 39)."""
WRITE_OVERHEAD_BYTES = 1024
"""What a write is taken for beside its entries: the messages that wait with it."""
FETCHES_MAX = 64
"""Chunks that may wait for the disk before a tool that copies a snapshot is turned away."""
RETRY_SECONDS = 0.2
"""How often a full disk is tried again."""


@dataclass(frozen=True, slots=True)
class DiskResult:
    value: bytes | bool | None
    """What ``Volume.do`` returned."""
    error: Exception | None
    seconds: float
    """How long the job took."""
    log_bytes: int
    snapshot_bytes: int
    """On disk now."""


class Disk(Protocol):
    """Does one job at a time; its results arrive, in order, in the mailbox of this actor."""

    def submit(self, job: DiskJob) -> None: ...

    def set_fault(self, fault: DiskFault | None) -> None:
        """From the next job on."""
        ...


ChunkTask = WriteChunk | FetchChunk | InstallSnapshot


@dataclass(slots=True, eq=False)
class _Batch:
    """Writes that become durable together."""

    writes: list[Write]
    job: Append


@dataclass(slots=True, eq=False)
class _Transfer:
    """A chunk of a snapshot, on its way to the disk or from it."""

    task: ChunkTask
    job: DiskJob


class _SnapshotRoom:
    """Whether a snapshot finds room beside the log. Where it does not, that is said once."""

    def __init__(self) -> None:
        self._lacking = False
        self._log_was_full = False
        """Since the last chunk: what there was of a snapshot has made way for the log."""

    def log_is_full(self) -> None:
        self._log_was_full = True

    def after(self, error: Exception | None, stored: bool, last: bool) -> str | None:
        """A chunk was stored, or not. Why the snapshot is given up, where that is news."""
        lacks = bool(error) or (self._log_was_full and not stored)
        news = lacks and not self._lacking
        self._lacking = lacks or (self._lacking and not (stored and last))
        self._log_was_full = False
        return str(error or "the log took what room there was") if news else None


class StorageActor:
    def __init__(self, context: Context, disk: Disk, bytes_used: int) -> None:
        self._context = context
        self._disk = disk
        self._queue: deque[Write] = deque()
        self.backlog_bytes = 0
        """Of what waits behind the batch under way."""
        self.messages_lost = 0
        """That would have waited in a queue which is too long already."""
        self._chunks: deque[ChunkTask] = deque()
        self._chunk_is_next = True
        self._under_way: _Batch | _Transfer | None = None
        self._refused: _Batch | None = None
        """It found no room, and waits to be tried again. Some chunks go on meanwhile: a peer that lacks one
        may have room, and a snapshot that finds some lets go of more than it takes."""
        self._retry_due = False
        self._pressure = DiskPressure(False, False)
        self._room = _SnapshotRoom()
        self.syncs = Meter()
        self.bytes_used = bytes_used

    @property
    def full(self) -> bool:
        return self._pressure.full

    def handle(self, message: Any) -> None:
        match message:
            case Write():
                if message.mark is None and not self._writes:
                    self._release([message])  # nothing it could depend on is under way
                elif message.mark is None and self.backlog_bytes > BACKLOG_BYTES_MAX:
                    self.messages_lost += len(message.messages)  # as on a network; they are asked for again
                else:
                    self._queue.append(message)
                    self.backlog_bytes += _size(message)
            case DiskResult():
                self._on_result(message)
            case WriteChunk():
                self._chunks.append(message)
            case FetchChunk():
                if len(self._chunks) < FETCHES_MAX:
                    self._chunks.append(message)
                else:
                    self._context.send("control", ChunkFetched(message, None))
            case SendChunks():
                # One that is asked for again waits for the disk already.
                self._chunks += [chunk for chunk in message.messages if chunk not in self._chunks]
            case Tick():
                self._retry_due = True
            case _:
                raise AssertionError(f"storage got {message}")

    @property
    def _writes(self) -> bool:
        """Something waits to be written, or is being written."""
        return bool(self._queue or self._refused) or isinstance(self._under_way, _Batch)

    def end_of_turn(self) -> None:
        if self._under_way is None:
            if self._refused:
                self._go_on_without_room(self._refused)
            elif self._chunks and (self._chunk_is_next or not self._queue):
                self._start_chunk(self._chunks.popleft())
            elif self._queue:
                self._start_batch()
        self._signal(self._pressure.full)

    def _go_on_without_room(self, refused: _Batch) -> None:
        if self._retry_due:
            self._under_way, self._refused, self._retry_due = refused, None, False
            self._disk.submit(refused.job)
            return
        task = next((task for task in self._chunks if self._may_go_ahead(task, refused)), None)
        if task:
            self._chunks.remove(task)
            self._start_chunk(task)

    def _may_go_ahead(self, task: ChunkTask, refused: _Batch) -> bool:
        """A snapshot may of which nothing waits to be written. Entries are applied as soon as others have
        them on their disks, but a snapshot must not be ahead of this node's own log and term."""
        if not isinstance(task, WriteChunk):
            return True  # it is only read
        waiting: list[Append | Write] = [refused.job, *self._queue]
        begin = min([each.entries[0].index for each in waiting if each.entries], default=None)
        anew = any(each.anew for each in waiting)
        return task.reply_to == "store" and not anew and (begin is None or task.job.mark.index < begin)

    def _start_chunk(self, task: ChunkTask) -> None:
        self._chunk_is_next = False
        job = task.job if isinstance(task, WriteChunk) else ReadChunk(task.mark, task.number)
        self._under_way = _Transfer(task, job)
        self._disk.submit(job)

    def _start_batch(self) -> None:
        """Take what fits into one batch; the first write of the queue always has content."""
        self._chunk_is_next = True
        writes: list[Write] = []
        size = 0
        anew: SnapshotMark | None = None
        hard_state: HardState | None = None
        entries: list[Entry] = []
        while self._queue and (not writes or size + _size(self._queue[0]) <= BATCH_BYTES_MAX):
            write = self._queue.popleft()
            size += _size(write)
            writes.append(write)
            hard_state = write.hard_state or hard_state
            if write.anew:
                anew, entries = write.anew, []  # whatever was to be written before is void
            if write.entries and entries and write.entries[0].index <= entries[-1].index:
                # Overwritten before it ever reached the disk.
                entries = [entry for entry in entries if entry.index < write.entries[0].index]
            entries += write.entries
        self.backlog_bytes -= size
        job = Append(hard_state, entries, anew)
        self._under_way = _Batch(writes, job)
        self._disk.submit(job)

    def _on_result(self, result: DiskResult) -> None:
        if result.error and not isinstance(result.error, DiskFull):
            self._context.send("node", Stop("disk failure", result.error))
            return
        match self._under_way:
            case _Batch() as batch:
                self._on_append(batch, result)
            case _Transfer(task=WriteChunk() as task):
                self._under_way = None
                self._on_stored(task, result)
            case _Transfer(task=FetchChunk() | InstallSnapshot() as task):
                self._under_way = None
                self._on_read(task, result.value if isinstance(result.value, bytes) else None)
            case _:
                raise AssertionError("the result of no job")

    def _on_stored(self, task: WriteChunk, result: DiskResult) -> None:
        """Without space a snapshot is given up: nothing was promised."""
        job, stored = task.job, result.value is True
        self.bytes_used = result.log_bytes  # fewer, when the last one has made segments superfluous
        cause = self._room.after(result.error, stored, job.last)
        if cause:
            self._context.send("status", Note(events.SNAPSHOT_GIVEN_UP, {"cause": cause}))
        answer = ChunkStored(job.mark.id, job.number, stored, job.last, result.snapshot_bytes)
        self._context.send(task.reply_to, answer)

    def _on_read(self, task: FetchChunk | InstallSnapshot, data: bytes | None) -> None:
        if isinstance(task, FetchChunk):
            self._context.send("control", ChunkFetched(task, data))
        elif data is not None:
            self._context.send("peers", Send([replace(task, data=data)]))

    def _on_append(self, batch: _Batch, result: DiskResult) -> None:
        if result.error:
            if not self._pressure.full:
                self._context.send("status", Note(events.SPACE_LOW, {"cause": str(result.error)}))
            self._signal(True)
            self._room.log_is_full()
            self._under_way, self._refused = None, batch
            self._context.set_timer("storage", RETRY_SECONDS, Tick())
            return
        if self._pressure.full:
            self._context.send("status", Note(events.SPACE_BACK, {}))
            self._signal(False)
        self.syncs.record(self._context.now(), result.seconds)
        self.bytes_used = result.log_bytes
        self._under_way = None
        written = batch.writes
        while self._queue and self._queue[0].mark is None:
            waited = self._queue.popleft()  # only for what is durable now
            self.backlog_bytes -= _size(waited)
            written.append(waited)
        self._release(written)

    def _release(self, writes: list[Write]) -> None:
        """The messages first: other nodes wait for them, and their clients."""
        messages = [message for write in writes for message in write.messages]
        marks = [write.mark for write in writes if write.mark]
        if messages:
            self._context.send("peers", Send(messages, at_once=bool(marks)))
        if marks:
            self._context.send("raft", Persisted(marks))

    def _signal(self, full: bool) -> None:
        backlogged, known = self.backlog_bytes > BACKLOG_BYTES_MAX, self._pressure
        if full is not known.full or backlogged is not known.backlogged:
            self._pressure = pressure = DiskPressure(full, backlogged)
            self._context.send("raft", pressure)
            self._context.send("gateway", pressure)


def _size(write: Write) -> int:
    return size_of(write.entries) + WRITE_OVERHEAD_BYTES
