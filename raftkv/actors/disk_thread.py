"""The one other thread of a node: it does one job on the disk after the other, and wakes the loop.

The GIL is free while bytes are written and synced. Hand-over is a ``SimpleQueue`` one way and a
deque plus an eventfd the other, both atomic under the GIL; the log itself belongs to this thread
alone.
"""

from __future__ import annotations

import os
import time
from collections import deque
from queue import SimpleQueue
from threading import Thread

from raftkv.actors.storage import DiskResult
from raftkv.errors import DiskFull, StorageFailed
from raftkv.observe import DiskFault
from raftkv.storage import DiskJob, Volume


class DiskThread:
    """Implements ``Disk``. ``wake_fd`` is readable when results are to be collected."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._jobs: SimpleQueue[DiskJob | None] = SimpleQueue()
        self._results: deque[DiskResult] = deque()
        self._fault: DiskFault | None = None
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # A daemon: a disk that hangs must not keep the process from ending.
        self._thread = Thread(target=self._run, name="disk", daemon=True)
        self._thread.start()

    def submit(self, job: DiskJob) -> None:
        self._jobs.put(job)

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
        self._jobs.put(None)
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._volume.close()

    def _run(self) -> None:
        volume = self._volume
        while (job := self._jobs.get()) is not None:
            started = time.perf_counter()
            value = error = None
            try:
                self._suffer()
                value = volume.do(job)
            except Exception as failure:  # whatever it is, the loop must hear of it and end the node
                error = failure
            seconds = time.perf_counter() - started
            self._results.append(DiskResult(value, error, seconds, volume.log_bytes, volume.snapshot_bytes))
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
