"""The two threads of a node: one runs the loop, whatever the disk does."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import pytest

from raftkv.actors.patience import Patience
from raftkv.actors.relay import Relay
from raftkv.actors.storage import DiskResult
from raftkv.errors import DiskFull, StorageFailed
from raftkv.observe import DiskFault
from raftkv.raft import Entry, SnapshotMark
from raftkv.storage import Append, DiskJob, ReadChunk, Volume, WalOptions
from raftkv.types import LogIndex, Term
from tests.storage.support import IDENTITY, FillingDirectory, entries

DEADLINE_SECONDS = 20.0
ENDLESS = partial(Patience, most=2 * DEADLINE_SECONDS, quick=2 * DEADLINE_SECONDS)
"""Whatever else this machine does, no job takes long."""
APPEND = Append(None, [])
READ = ReadChunk(SnapshotMark(LogIndex(1), Term(1), 1, 1, b""), 0)
TURNS_MEANWHILE = 5


class ScriptedVolume:
    """Does nothing with its jobs but what ``behave`` does, and checks that there is one at a time."""

    def __init__(self) -> None:
        self.log_bytes = self.snapshot_bytes = 0
        self.behave: Callable[[int], object] = lambda number: None
        """Called with the number of the job, from 0."""
        self.threads: list[int] = []
        self.closed = False
        self._busy = threading.Lock()

    def do(self, job: DiskJob) -> bool:
        assert self._busy.acquire(blocking=False), "two jobs at once"
        try:
            self.threads.append(threading.get_ident())
            self.behave(len(self.threads) - 1)
            return True
        finally:
            self._busy.release()

    def close(self) -> None:
        self.closed = True


class Scripted:
    """A volume, the relay over it, and a loop that goes through a script: the next step each turn, and one
    that returns False again in the turn after."""

    def __init__(self, patience: Patience) -> None:
        self.volume = ScriptedVolume()
        self.relay = Relay(cast("Volume", self.volume), patience)
        self.results: list[DiskResult] = []
        self.threads: list[int] = []
        """Of each turn."""
        self._busy = threading.Lock()

    def submit(self, job: DiskJob = APPEND) -> Callable[[], None]:
        return lambda: self.relay.submit(job)

    def has(self, results: int) -> Callable[[], bool]:
        return lambda: len(self.results) == results

    def meanwhile(self) -> Callable[[], bool]:
        """Several turns."""
        left = [*range(TURNS_MEANWHILE)]
        return lambda: left.pop() == 0

    def run(self, *script: Callable[[], bool | None]) -> None:
        steps, until = list(script), time.monotonic() + DEADLINE_SECONDS

        def turn() -> bool:
            assert self._busy.acquire(blocking=False), "two turns at once"
            try:
                assert time.monotonic() < until, f"{len(steps)} steps are left"
                self.threads.append(threading.get_ident())
                self.results += self.relay.collect()
                if steps[0]() is not False:
                    del steps[0]
                return bool(steps)
            finally:
                self._busy.release()

        self.relay.run(turn)


@pytest.fixture
def scripted(request: pytest.FixtureRequest) -> Iterator[Scripted]:
    scripted = Scripted(getattr(request, "param", Patience)())
    yield scripted
    os.close(scripted.relay.wake_fd)


@pytest.mark.parametrize("scripted", [ENDLESS], indirect=True)
def test_a_quick_job_is_done_by_the_thread_that_runs_the_loop(scripted: Scripted) -> None:
    scripted.run(scripted.submit(), scripted.has(1), scripted.submit(), scripted.has(2))
    scripted.relay.close(DEADLINE_SECONDS)
    assert len({*scripted.threads, *scripted.volume.threads}) == 1
    assert len(scripted.threads) == 4, "each result is there in the turn after its job"
    with pytest.raises(BlockingIOError):
        os.eventfd_read(scripted.relay.wake_fd)
    assert scripted.volume.closed


def test_the_loop_goes_on_while_the_disk_hangs_again_and_again(scripted: Scripted) -> None:
    """After the first time the threads have changed places: the next finds all of it the other way round."""
    hangs = [threading.Event() for _ in range(3)]
    scripted.volume.behave = lambda number: hangs[number].wait(DEADLINE_SECONDS)
    firsts: list[int] = []

    def first() -> None:
        firsts.append(len(scripted.threads))

    script: list[Callable[[], bool | None]] = []
    for number, hang in enumerate(hangs):
        script += [scripted.submit(), first, scripted.meanwhile(), hang.set, scripted.has(number + 1)]
    scripted.run(*script)
    scripted.relay.close(DEADLINE_SECONDS)
    assert len(scripted.volume.threads) == len(hangs)
    for thread, turn in zip(scripted.volume.threads, firsts, strict=True):
        assert thread not in scripted.threads[turn - 1 : turn + TURNS_MEANWHILE]
    assert scripted.volume.threads[0] != scripted.volume.threads[1], "who was held up by the disk rests"
    assert os.eventfd_read(scripted.relay.wake_fd) == len(hangs), "each wakes a loop that sleeps"
    assert scripted.volume.closed


@pytest.mark.parametrize(
    ("scripted", "job"),
    [(ENDLESS, READ), (partial(Patience, most=2 * DEADLINE_SECONDS, quick=0.0), APPEND)],
    indirect=["scripted"],
)
def test_the_loop_does_not_wait_for_what_takes_long(scripted: Scripted, job: DiskJob) -> None:
    """What is no append, or was slow on average."""
    hang = threading.Event()
    scripted.volume.behave = lambda number: hang.wait(DEADLINE_SECONDS)
    scripted.run(scripted.submit(job), scripted.meanwhile(), hang.set, scripted.has(1))
    scripted.relay.close(DEADLINE_SECONDS)
    assert scripted.volume.closed


def test_a_disk_that_was_slow_is_waited_for_again_once_it_is_quick() -> None:
    """One batch of a second, and then they take no time: their average falls by an eighth each."""
    patience = Patience(most=DEADLINE_SECONDS, quick=0.05)
    waited = []
    for seconds in (1.0, *[0.0] * 9):
        waited.append(patience.waits_for(APPEND))
        patience.took(APPEND, seconds)
        patience.took(READ, DEADLINE_SECONDS)
    assert waited == [True, *[False] * 7, True, True]


def test_one_very_long_batch_counts_for_no_more_than_the_loop_would_have_waited() -> None:
    patience = Patience(most=0.025, quick=0.002)
    patience.took(APPEND, 3600.0)
    batches = 0
    while not patience.waits_for(APPEND):
        patience.took(APPEND, 0.0)
        batches += 1
    assert batches == 4


@pytest.mark.parametrize("scripted", [partial(Patience, most=0.001)], indirect=True)
def test_there_is_one_turn_and_one_job_at_a_time(scripted: Scripted) -> None:
    """Jobs that take about as long as the loop is patient: both threads want it at the same moment."""
    patience, jobs = 0.001, 400
    rng = random.Random(1)
    scripted.volume.behave = lambda number: time.sleep(rng.choice((0, 0.5, 1, 1, 1.5, 2, 3)) * patience)
    done = iter(range(jobs))

    def next_job() -> bool:
        if len(scripted.results) == len(scripted.volume.threads):
            number = next(done, None)
            if number is None:
                return True
            scripted.relay.submit(READ if number % 7 == 0 else APPEND)
        return False

    scripted.run(next_job)
    scripted.relay.close(DEADLINE_SECONDS)
    assert len(scripted.results) == len(scripted.volume.threads) == jobs
    assert len(set(scripted.volume.threads)) == 2


def test_what_the_last_turn_submitted_is_done_before_the_end(scripted: Scripted) -> None:
    scripted.run(lambda: None, scripted.submit())
    scripted.relay.close(DEADLINE_SECONDS)
    assert len(scripted.volume.threads) == 1
    assert scripted.volume.closed


def test_a_disk_that_hangs_keeps_nobody_from_ending(scripted: Scripted) -> None:
    """And what it still works on is not closed under it."""
    hang = threading.Event()
    scripted.volume.behave = lambda number: hang.wait(DEADLINE_SECONDS)
    scripted.run(scripted.submit(), scripted.meanwhile())
    scripted.relay.close(0.01)
    assert not scripted.volume.closed
    hang.set()
    scripted.relay.close(DEADLINE_SECONDS)
    assert scripted.volume.closed


@pytest.mark.parametrize("hangs", [False, True])
def test_what_a_turn_raises_is_raised_to_who_runs_the_node(scripted: Scripted, hangs: bool) -> None:
    hang = threading.Event()
    if hangs:
        scripted.volume.behave = lambda number: hang.wait(DEADLINE_SECONDS)

    def fail() -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        scripted.run(scripted.submit(), scripted.meanwhile(), fail)
    hang.set()
    scripted.relay.close(DEADLINE_SECONDS)
    assert scripted.volume.closed


@pytest.mark.parametrize(
    ("fault", "error"),
    [(DiskFault(fail=True), StorageFailed), (DiskFault(full=True), DiskFull), (DiskFault(slow_ms=1), None)],
)
def test_a_fault_that_was_asked_for_comes_before_the_disk(
    scripted: Scripted, fault: DiskFault, error: type[Exception] | None
) -> None:
    scripted.run(lambda: scripted.relay.set_fault(fault), scripted.submit(), scripted.has(1))
    scripted.relay.close(DEADLINE_SECONDS)
    (result,) = scripted.results
    assert (type(result.error) if result.error else None) is error
    assert len(scripted.volume.threads) == (0 if error else 1)


class Batch(list[Entry]):
    """One that can be referred to weakly."""


def test_a_full_disk_keeps_nothing_of_what_it_refuses(scripted: Scripted) -> None:
    """Nodes run without the collector, and a batch is tried again and again while there is no room: a cycle
    between an error and the frames of its traceback would keep all of it each time."""
    directory = FillingDirectory()
    volume, _ = Volume.open(directory, IDENTITY, WalOptions(segment_bytes=512))
    directory.room = 0
    batches: list[weakref.ref[Batch]] = []

    def refuse(number: int) -> None:
        batch = Batch(entries(1, 20, 1, size=60))
        batches.append(weakref.ref(batch))
        volume.do(Append(None, batch))

    scripted.volume.behave = refuse
    gc.disable()
    try:
        scripted.run(scripted.submit(), scripted.has(1), scripted.submit(), scripted.has(2))
        scripted.relay.close(DEADLINE_SECONDS)
        assert [type(result.error) for result in scripted.results] == [DiskFull, DiskFull]
        assert [batch() for batch in batches] == [None, None]
    finally:
        gc.enable()


def test_a_relay_that_never_ran_is_closed_like_any_other(scripted: Scripted) -> None:
    scripted.relay.close(DEADLINE_SECONDS)
    assert scripted.volume.closed


def test_the_loop_ends_when_the_other_thread_fails(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of memory, say, with the disk's result in its hands."""
    hang = threading.Event()

    def fail(job: DiskJob) -> DiskResult:
        assert hang.wait(DEADLINE_SECONDS)
        raise MemoryError

    monkeypatch.setattr(scripted.relay, "_perform", fail)
    with pytest.raises(MemoryError):
        scripted.run(scripted.submit(READ), scripted.meanwhile(), hang.set, lambda: False)
    scripted.relay.close(DEADLINE_SECONDS)
    assert scripted.volume.closed
