"""The two threads of a node, of which one runs the loop. At the end of a turn it does itself what the turn
wants of the disk, and the other takes the loop over if that takes long: a disk that is quick costs no change
of threads, and one that hangs does not make the node deaf.

The GIL is free while bytes are written and synced. Sockets and the log belong to nobody in particular: only
the thread that runs the loop uses the ones, and only the one with a job uses the other, of which there is one
at a time. The loop changes hands under a lock, in ``_take_over``. Whoever runs it has a *shift*, and runs it
for as long as no later one has begun:

- ``_vacant`` and ``_shift`` are written under the lock.
- ``_awaited`` is set by whoever runs the loop, without the lock: it can only make the other look, and it is
  the number of a job, so that the other never mistakes the next job for the one that it has waited for.
- ``_submitted`` and ``_jobs`` are touched by whoever runs the loop and nobody else. While it runs a turn,
  both ``_vacant`` and ``_awaited`` are unset, so nobody takes over.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Event, Thread

from raftkv.actors.patience import Patience
from raftkv.actors.storage import DiskResult
from raftkv.errors import DiskFull, StorageFailed
from raftkv.observe import DiskFault
from raftkv.storage import DiskJob, ReadChunk, Volume


class Relay:
    """Implements ``Disk``. ``wake_fd`` is readable once a job is done that was not waited for."""

    def __init__(self, volume: Volume, patience: Patience | None = None) -> None:
        self._volume = volume
        self._patience = patience or Patience()
        self._fault: DiskFault | None = None
        self._submitted: DiskJob | None = None
        self._results: deque[DiskResult] = deque()
        self._turn: Callable[[], bool] = lambda: False
        self._over = Event()
        self._failure: BaseException | None = None
        self._changed = Condition()
        self._vacant = True
        """The loop waits for a thread to run it."""
        self._shift = 0
        """Rises whenever one takes it over."""
        self._jobs = 0
        self._awaited = 0
        """Number of the job that the loop waits for, or 0."""
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # Daemons: a disk that hangs must not keep the process from ending. And neither is the main thread,
        # which has to hear signals whatever the disk does.
        self._threads = [Thread(target=self._work, name=f"relay-{number}", daemon=True) for number in (1, 2)]

    def submit(self, job: DiskJob) -> None:
        """It begins when the turn is over."""
        self._submitted = job

    def set_fault(self, fault: DiskFault | None) -> None:
        self._fault = fault

    def collect(self) -> list[DiskResult]:
        results = []
        while self._results:
            results.append(self._results.popleft())
        return results

    def run(self, turn: Callable[[], bool]) -> None:
        """Call ``turn`` until it returns False. Raises what it raises."""
        self._turn = turn
        try:
            for thread in self._threads:
                thread.start()
            self._over.wait()
        finally:
            self._end()  # also where a second thread was not to be had
        if self._failure:
            raise self._failure

    def close(self, timeout: float) -> None:
        """After ``run``, or instead of it: finish what was submitted, within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            self._volume.close()

    # -- in either thread

    def _work(self) -> None:
        try:
            while (shift := self._take_over()) is not None:
                self._run_loop(shift)
        except BaseException as failure:
            self._failure = failure
            self._end()

    def _take_over(self) -> int | None:
        """Wait until the loop has nobody, or whoever runs it is held up by the disk. The number of the shift
        that begins; None: the loop has ended."""
        with self._changed:
            while not (self._vacant or self._over.is_set()):
                seen = self._awaited
                self._changed.wait(self._patience.most)
                if seen and seen == self._awaited:
                    self._vacant = True
            self._vacant, self._awaited = False, 0
            self._shift += 1
            return None if self._over.is_set() else self._shift

    def _run_loop(self, shift: int) -> None:
        """Until another has taken over, or the end."""
        going_on = True
        while going_on and shift == self._shift and not self._over.is_set():
            going_on = self._turn()
            if not going_on:
                self._end()
            job, self._submitted = self._submitted, None
            if job:
                self._do(job, shift)

    def _end(self) -> None:
        with self._changed:
            self._over.set()
            self._changed.notify_all()

    def _do(self, job: DiskJob, shift: int) -> None:
        self._jobs += 1
        if self._patience.waits_for(job):
            self._awaited = self._jobs
        else:
            with self._changed:
                self._vacant = True
                self._changed.notify_all()
        result = self._perform(job)
        self._patience.took(job, result.seconds)
        with self._changed:
            self._results.append(result)
            if shift == self._shift:
                # Nobody has taken it over, though it may have been free.
                self._vacant, self._awaited = False, 0
                return
        os.eventfd_write(self.wake_fd, 1)

    def _perform(self, job: DiskJob) -> DiskResult:
        volume = self._volume
        started = time.perf_counter()
        value: bytes | bool | None = None
        error: Exception | None = None
        try:
            self._suffer(job)
            value = volume.do(job)
        except DiskFull as full:
            # Tried again and again. With its traceback each would keep this frame, which keeps it, and what
            # was to be written: nothing collects cycles in a node.
            error = DiskFull(str(full))
        except Exception as failure:  # whatever it is, the loop must hear of it and end the node
            error = failure
        seconds = time.perf_counter() - started
        return DiskResult(value, error, seconds, volume.log_bytes, volume.snapshot_bytes)

    def _suffer(self, job: DiskJob) -> None:
        """What 'raftkv chaos disk' asked for, before anything reaches the log."""
        fault = self._fault
        if fault is None:
            return
        time.sleep(fault.slow_ms / 1000)
        if fault.fail:
            raise StorageFailed("disk failure asked for by 'raftkv chaos disk'; this node stops")
        if fault.full and not isinstance(job, ReadChunk):
            raise DiskFull("no space, as asked for by 'raftkv chaos disk'")
