"""The one other thread of a node: it writes a batch, syncs it, and wakes the loop.

The GIL is free while a batch is written and synced. Hand-over is a ``SimpleQueue`` one way and a
deque plus an eventfd the other, both atomic under the GIL; the log itself belongs to this thread
alone.
"""

from __future__ import annotations

import os
import time
from collections import deque
from queue import SimpleQueue
from threading import Thread

from raftkv.actors.storage import DiskBatch, DiskResult
from raftkv.errors import DiskFull, StorageFailed
from raftkv.observe import DiskFault
from raftkv.storage import Wal


class DiskThread:
    """Implements ``Disk``. ``wake_fd`` is readable when results are to be collected."""

    def __init__(self, wal: Wal) -> None:
        self._wal = wal
        self._batches: SimpleQueue[DiskBatch | None] = SimpleQueue()
        self._results: deque[DiskResult] = deque()
        self._fault: DiskFault | None = None
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # A daemon: a disk that hangs must not keep the process from ending.
        self._thread = Thread(target=self._run, name="disk", daemon=True)
        self._thread.start()

    def submit(self, batch: DiskBatch) -> None:
        self._batches.put(batch)

    def set_fault(self, fault: DiskFault | None) -> None:
        self._fault = fault

    def collect(self) -> list[DiskResult]:
        try:
            os.eventfd_read(self.wake_fd)
        except BlockingIOError:
            return []
        results = []
        while self._results:
            results.append(self._results.popleft())
        return results

    def close(self, timeout: float) -> None:
        """Finish what was submitted, within ``timeout`` seconds."""
        self._batches.put(None)
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._wal.close()

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            started = time.perf_counter()
            error: Exception | None = None
            try:
                self._suffer()
                self._wal.append(batch.hard_state, batch.entries)
            except Exception as failure:  # whatever it is, the loop must hear of it and end the node
                error = failure
            seconds = time.perf_counter() - started
            self._results.append(DiskResult(error, seconds, self._wal.bytes_used))
            os.eventfd_write(self.wake_fd, 1)

    def _suffer(self) -> None:
        """What 'raftkv chaos disk' asked for, before anything reaches the log."""
        fault = self._fault
        if fault is None:
            return
        time.sleep(fault.slow_ms / 1000)
        if fault.fail:
            raise StorageFailed("disk failure asked for by 'raftkv chaos disk'; this node stops")
        if fault.full:
            raise DiskFull("no space, as asked for by 'raftkv chaos disk'")
