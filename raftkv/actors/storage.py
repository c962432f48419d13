"""Keeps the disk busy with one batch at a time and everything else in order.

While a batch is being synced, further writes gather and go together as the next one: under load
batches grow by themselves, at rest nothing waits. Messages that depend on a write leave when it is
durable; those without a write of their own wait for the ones before them (PITFALLS 5).

A full disk is not the end: the batch is kept and tried again until space returns, and meanwhile
this node neither acknowledges nor accepts writes. Any other disk error stops the node (PITFALLS 6).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from raftkv.actors.messages import DiskPressure, Note, Persisted, Send, SetDiskFault, Stop, Tick, Write
from raftkv.actors.meter import Meter
from raftkv.actors.system import Context
from raftkv.errors import DiskFull
from raftkv.observe import DiskFault, events
from raftkv.raft import Entry, HardState
from raftkv.raft.log import size_of

BATCH_BYTES_MAX = 8 << 20
"""One record on disk: bounds how long one sync can take."""
BACKLOG_BYTES_MAX = 128 << 20
"""What may wait for a slow disk before appends are refused (PITFALLS 39)."""
WRITE_OVERHEAD_BYTES = 256
"""What a write without entries is taken for: the messages that wait with it."""
RETRY_SECONDS = 0.2
"""How often a full disk is tried again."""


@dataclass(frozen=True, slots=True)
class DiskBatch:
    hard_state: HardState | None
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class DiskResult:
    error: Exception | None
    seconds: float
    """How long the write and its sync took."""
    bytes_used: int
    """By the whole log on disk."""


class Disk(Protocol):
    """Does one batch at a time; its results arrive, in order, in the mailbox of this actor."""

    def submit(self, batch: DiskBatch) -> None: ...

    def set_fault(self, fault: DiskFault | None) -> None:
        """From the next batch on."""
        ...


class StorageActor:
    def __init__(self, context: Context, disk: Disk, bytes_used: int) -> None:
        self._context = context
        self._disk = disk
        self._queue: deque[Write] = deque()
        self._queue_bytes = 0
        self._writing: list[Write] = []
        self._batch: DiskBatch | None = None
        self._pressure = DiskPressure(False, False)
        self.syncs = Meter()
        self.bytes_used = bytes_used
        self.fault: DiskFault | None = None

    @property
    def full(self) -> bool:
        return self._pressure.full

    def handle(self, message: Any) -> None:
        match message:
            case Write():
                if message.mark is None and not self._queue and self._batch is None:
                    self._release([message])  # nothing it could depend on is under way
                else:
                    self._queue.append(message)
                    self._queue_bytes += _size(message)
            case DiskResult():
                self._on_result(message)
            case SetDiskFault():
                self.fault = message.fault
                self._disk.set_fault(message.fault)
            case Tick():
                assert self._batch is not None
                self._disk.submit(self._batch)
            case _:
                raise AssertionError(f"storage got {message}")

    def end_of_turn(self) -> None:
        if self._batch is None and self._queue:
            self._start_batch()
        self._signal(self._pressure.full)

    def _start_batch(self) -> None:
        """Take what fits into one batch; the first write of the queue always has content."""
        size = 0
        hard_state: HardState | None = None
        entries: list[Entry] = []
        while self._queue and (not self._writing or size + _size(self._queue[0]) <= BATCH_BYTES_MAX):
            write = self._queue.popleft()
            size += _size(write)
            self._writing.append(write)
            hard_state = write.hard_state or hard_state
            if write.entries and entries and write.entries[0].index <= entries[-1].index:
                # Overwritten before it ever reached the disk.
                entries = [entry for entry in entries if entry.index < write.entries[0].index]
            entries += write.entries
        self._queue_bytes -= size
        self._batch = DiskBatch(hard_state, entries)
        self._disk.submit(self._batch)

    def _on_result(self, result: DiskResult) -> None:
        if isinstance(result.error, DiskFull):
            if not self._pressure.full:
                self._context.send("status", Note(events.SPACE_LOW, {"cause": str(result.error)}))
            self._signal(True)
            self._context.set_timer("storage", RETRY_SECONDS, Tick())
            return
        if result.error:
            self._context.send("node", Stop("disk failure", result.error))
            return
        if self._pressure.full:
            self._context.send("status", Note(events.SPACE_BACK, {}))
            self._signal(False)
        self.syncs.record(self._context.now(), result.seconds)
        self.bytes_used = result.bytes_used
        written, self._writing, self._batch = self._writing, [], None
        while self._queue and self._queue[0].mark is None:
            written.append(self._queue.popleft())  # waited only for what is durable now
        self._release(written)

    def _release(self, writes: list[Write]) -> None:
        marks = [write.mark for write in writes if write.mark]
        if marks:
            self._context.send("raft", Persisted(marks))
        messages = [message for write in writes for message in write.messages]
        if messages:
            self._context.send("peers", Send(messages))

    def _signal(self, full: bool) -> None:
        pressure = DiskPressure(full, self._queue_bytes > BACKLOG_BYTES_MAX)
        if pressure != self._pressure:
            self._pressure = pressure
            self._context.send("raft", pressure)
            self._context.send("gateway", pressure)


def _size(write: Write) -> int:
    return size_of(write.entries) + WRITE_OVERHEAD_BYTES
