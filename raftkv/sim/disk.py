"""The disk of a simulated node: the real log over a ``MemoryDirectory`` that can lose power.

A ``Platter`` is what outlives the node: the directory, and a second, obvious record of what is
durable on it, so that every start can be held against it. ``SimDisk`` is the relay of one
life: one batch at a time, done some time after it was submitted.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from raftkv.actors.storage import DiskResult
from raftkv.errors import DiskFull, StorageError, StorageFailed
from raftkv.observe import DiskFault
from raftkv.raft import Entry, HardState, SnapshotMark
from raftkv.sim.schedule import Schedule
from raftkv.storage import Append, DiskJob, Identity, ReadChunk, Recovered, StoreChunk, Volume, WalOptions
from raftkv.storage.memory import MemoryDirectory, keep_random_sectors
from raftkv.types import LogIndex, Term

NEVER_RAN = HardState(Term(0), None, LogIndex(0))


class PowerCut(Exception):
    """The machine stops in the middle of an operation on its disk."""


@dataclass(slots=True)
class Contents:
    """A log and a snapshot, the obvious way: nothing is ever forgotten."""

    hard_state: HardState = NEVER_RAN
    terms: list[Term] = field(default_factory=list)
    """``terms[i]`` is that of entry ``i + 1``; 0 where only a snapshot knows of it."""
    snapshot: SnapshotMark | None = None

    def copy(self) -> Contents:
        return Contents(self.hard_state, list(self.terms), self.snapshot)

    def apply(self, job: DiskJob) -> None:
        """``job`` is done."""
        if isinstance(job, Append):
            self._append(job.hard_state, job.entries, job.anew)
        elif isinstance(job, StoreChunk) and job.last:
            mark = job.mark._replace(chunks=job.number + 1)
            self.snapshot = max(self.snapshot or mark, mark, key=lambda each: each.index)

    def _append(
        self, hard_state: HardState | None, entries: Sequence[Entry], anew: SnapshotMark | None
    ) -> None:
        if hard_state:
            self.hard_state = hard_state
        if anew:
            self._begin_after(anew)
        if entries:
            del self.terms[entries[0].index - 1 :]
            self.terms += [entry.term for entry in entries]

    def _begin_after(self, mark: SnapshotMark) -> None:
        self.terms[:] = [Term(0)] * (mark.index - 1) + [mark.term]

    def at_start(self) -> Contents:
        """What is left of it when it is read back: a log that does not hold the snapshot's last entry is
        void, and what lies before that is forgotten."""
        found = self.copy()
        if self.snapshot:
            found._begin_after(self.snapshot)
            last = self.snapshot.index
            if self.terms[last - 1 : last] == [self.snapshot.term]:
                found.terms += self.terms[last:]
        return found

    def term_at(self, index: int) -> Term | None:
        """0 where it is covered by a snapshot; None where it is not held."""
        if self.snapshot and index <= self.snapshot.index:
            return self.snapshot.term if index == self.snapshot.index else Term(0)
        return self.terms[index - 1] if 0 < index <= len(self.terms) else None

    def holds(self, entry: Entry) -> bool:
        """By itself, or by a snapshot, which holds only what is committed."""
        if self.snapshot and entry.index <= self.snapshot.index:
            return True
        return self.term_at(entry.index) == entry.term

    @property
    def last_index(self) -> int:
        return max(len(self.terms), self.snapshot.index if self.snapshot else 0)


@dataclass(slots=True)
class Platter:
    """What is left of a node when it is not running."""

    directory: MemoryDirectory
    durable: Contents = field(default_factory=Contents)
    in_flight: DiskJob | None = None
    """Submitted and not reported done: after a crash it may be there or not, but not in part."""
    starts: int = 0

    def possible(self) -> list[Contents]:
        """What a start may find."""
        found = [self.durable.at_start()]
        if self.in_flight:
            after = self.durable.copy()
            after.apply(self.in_flight)
            found.append(after.at_start())
            if isinstance(self.in_flight, Append) and self.in_flight.anew:
                # A segment that begins anew comes first; by itself it only says what the snapshot says.
                found.append(Contents(self.durable.hard_state, [], self.durable.snapshot).at_start())
        return found

    def open(self, identity: Identity, options: WalOptions) -> tuple[Volume, Recovered]:
        """Raises what ``Volume.open`` raises, and ``PowerCut`` where one was planned."""
        volume, recovered = Volume.open(self.directory, identity, options)
        contents = Contents(recovered.hard_state, [], recovered.snapshot).at_start()
        contents.terms += [entry.term for entry in recovered.entries]
        if contents not in self.possible():
            raise AssertionError(
                f"{identity.node}: the log lost what was durable: {_difference(self, contents)}"
            )
        self.durable, self.in_flight = contents, None
        self.starts += 1
        return volume, recovered

    def lose_power(self, rng: random.Random) -> None:
        """What was not synced is there, or not, sector by sector."""
        self.directory = self.directory.power_loss(keep_random_sectors(rng), keep_names=rng)

    def lose_process(self) -> None:
        """The process is gone; what it wrote is in the page cache, and unsynced what was unsynced."""
        self.directory = self.directory.process_loss()


def _difference(platter: Platter, found: Contents) -> str:
    durable = platter.durable
    return (
        f"durable were {durable.hard_state}, {durable.snapshot} and {len(durable.terms)} entries, "
        f"found {found.hard_state}, {found.snapshot} and {len(found.terms)} entries"
    )


class SimDisk:
    """Implements ``actors.storage.Disk``."""

    def __init__(
        self,
        schedule: Schedule,
        rng: random.Random,
        platter: Platter,
        volume: Volume,
        seconds: float,
        begun: Callable[[DiskJob], None],
        done: Callable[[DiskResult], None],
    ) -> None:
        """``seconds``: mean time of one job."""
        self._schedule = schedule
        self._rng = rng
        self._platter = platter
        self._volume = volume
        self._seconds = seconds
        self._begun = begun
        self._done = done
        self._fault = DiskFault()
        self._starts = 0
        self._busy = False
        """A job was submitted, and its result has not been told."""
        self._dead = False
        self.hangs = False
        """While set, nothing is done."""
        self.slow_seconds = 0.0
        self.fails_next: str | None = None
        """The operation (``write``, ``sync``, …) whose next use reports an input/output error."""
        self.submitted = 0

    def submit(self, job: DiskJob) -> None:
        self.submitted += 1
        self._platter.in_flight = job
        self._busy = True
        self._begun(job)
        if not self.hangs:
            self._start()

    def set_fault(self, fault: DiskFault | None) -> None:
        self._fault = fault or DiskFault()

    def faults(self) -> list[str]:
        """Those it has now, a few words each."""
        fault, directory = self._fault, self._platter.directory
        slow = self.slow_seconds * 1000 + fault.slow_ms
        found = ["disk full"] if fault.full or directory.limited else []
        found += [f"disk slow {slow:g} ms"] if slow else []
        return found + (["disk hangs"] if self.hangs else [])

    def resume(self) -> None:
        if self.hangs and not self._dead:
            self.hangs = False
            if self._busy:
                self._start()

    def mend(self) -> None:
        """Whole and fast again, and the job under way with it: what was slow when it was submitted would
        otherwise end long after, in a world that is said to be sound."""
        self.slow_seconds = 0.0
        self.fails_next = None
        self._fault = DiskFault()
        self.hangs = False
        if self._busy and not self._dead:
            self._start()

    def _start(self) -> None:
        self._starts += 1
        start = self._starts
        delay = self._rng.expovariate(1 / self._seconds) + self.slow_seconds + self._fault.slow_ms / 1000
        self._schedule.after(delay, lambda: self._complete(start, delay))

    def _complete(self, start: int, seconds: float) -> None:
        job = self._platter.in_flight
        if self._dead or start != self._starts or self.hangs or job is None:
            return
        value = error = None
        volume = self._volume
        try:
            self._suffer(job)
            value = volume.do(job)
        except StorageError as failure:
            error = failure
        if error is None:
            if value is True:
                self._platter.durable.apply(job)
            self._platter.in_flight = None
        self._busy = False
        self._done(DiskResult(value, error, seconds, volume.log_bytes, volume.snapshot_bytes))

    def _suffer(self, job: DiskJob) -> None:
        if self._fault.fail:
            raise StorageFailed("disk failure asked for")
        if self._fault.full and not isinstance(job, ReadChunk):
            raise DiskFull("no space asked for")
        if self.fails_next:
            self._platter.directory.before = fail_once(self.fails_next)
            self.fails_next = None

    def die(self, rng: random.Random) -> None:
        """The node ends now. A write under way may have got anywhere, as far as a planned cut."""
        self._dead = True
        job = self._platter.in_flight
        if job is None or self.hangs or rng.random() < 0.3:
            return
        directory = self._platter.directory
        # A batch is a write and a sync; only now and then does it begin a segment first.
        directory.before = cut_power_at(rng.choice((1, 2, 2, 3, 4, 6, 8)))
        with suppress(PowerCut, StorageError):
            self._volume.do(job)
        directory.before = let_pass


def let_pass(operation: str) -> None:
    """The hook of a sound disk."""
    del operation


def fail_once(operation: str) -> Callable[[str], None]:
    """A hook for ``MemoryDirectory.before``."""
    left = [1]

    def before(now: str) -> None:
        if now == operation and left[0]:
            left[0] = 0
            raise OSError(errno.EIO, "Input/output error")

    return before


def cut_power_at(count: int) -> Callable[[str], None]:
    """A hook that lets ``count`` - 1 operations pass."""
    left = [count]

    def before(operation: str) -> None:
        del operation
        left[0] -= 1
        if left[0] <= 0:
            raise PowerCut

    return before
