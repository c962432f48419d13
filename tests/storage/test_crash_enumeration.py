"""Power is lost before every single operation, and again during the recovery from that.

First in every small workload there is (``enumeration``; with ``RAFTKV_SOAK=1`` one operation longer and
in more detail), then in one long one. After each loss the disk is what an unlucky controller makes of
it (``SURVIVALS``, with unsynced names kept or not), and the next start must find what was acknowledged,
or that and the one batch that was in flight; then it must take further batches and find those too.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import asdict, dataclass
from functools import cache

import pytest

from raftkv.storage import Recovered, Wal, WalOptions
from raftkv.storage.memory import MemoryDirectory
from tests.storage.enumerate import main as enumerate_main
from tests.storage.enumeration import Counts, Operation, Start, enumerate_all, enumerate_workload, workloads
from tests.storage.support import (
    N1,
    SURVIVALS,
    PowerLoss,
    State,
    Write,
    entries,
    entry,
    hard_state,
    lose_power_at,
    open_wal,
    replay,
    state_of,
)

SOAK = os.environ.get("RAFTKV_SOAK") == "1"
OPERATIONS_MAX = 3 if SOAK else 2
OPTIONS = WalOptions(segment_bytes=1536)
WORKLOAD: list[Write] = [
    (hard_state(1, N1), []),
    (None, entries(1, 3, size=30)),
    (hard_state(1, N1, 2), entries(4, 5, size=450)),
    (None, entries(6, 8, size=150)),
    (hard_state(2, None, 4), []),
    (None, entries(5, 6, term=2, size=500)),  # overwrites, and ends lower than the log did
    (hard_state(2, None, 6), entries(7, 7, term=2, size=0)),
    (None, entries(8, 8, term=2, size=2300)),  # larger than a segment
    (hard_state(3, N1, 7), [entry(8, 3, bytes(700))]),  # zeros, which look like what was not written
    (hard_state(3, N1, 8), entries(9, 12, term=3, size=100)),
]


@dataclass(frozen=True, slots=True)
class Crash:
    """A disk on which power is about to be lost, and what the next start may find on it."""

    number: int
    directory: MemoryDirectory
    allowed: tuple[State, ...]


def run(directory: MemoryDirectory) -> int | None:
    """How many batches had been begun when power was lost; None when it never was."""
    begun = 0
    try:
        wal, _ = open_wal(directory, OPTIONS)
        for state, batch in WORKLOAD:
            begun += 1
            wal.append(state, batch)
    except PowerLoss:
        return begun
    return None


@cache
def crashes() -> tuple[Crash, ...]:
    """One for every operation of the workload."""
    found: list[Crash] = []
    while True:
        directory = MemoryDirectory(before=lose_power_at(len(found)))
        begun = run(directory)
        if begun is None:
            return tuple(found)
        allowed = replay(WORKLOAD[: max(0, begun - 1)]), replay(WORKLOAD[:begun])
        found.append(Crash(len(found), directory, allowed))


def check(directory: MemoryDirectory, allowed: tuple[State, ...]) -> Wal:
    wal, recovered = open_wal(directory, OPTIONS)
    assert state_of(recovered) in allowed
    return wal


def check_and_go_on(directory: MemoryDirectory, allowed: tuple[State, ...]) -> None:
    """Recover, append a short batch and one that rolls, and find both."""
    wal, recovered = open_wal(directory, OPTIONS)
    state, log = state_of(recovered)
    assert (state, log) in allowed
    last = len(log)
    more: list[Write] = [
        (hard_state(9, N1, last), entries(last + 1, last + 1, term=9, size=5)),
        (None, entries(last + 2, last + 4, term=9, size=420)),
    ]
    for write in more:
        wal.append(*write)
        expected = replay([(state, log), *more[: more.index(write) + 1]])
        _, again = open_wal(directory.power_loss(), OPTIONS)
        assert state_of(again) == expected
        assert again.cut is None


# -- every small workload


@pytest.mark.timeout(1800 if SOAK else 180)
@pytest.mark.parametrize("first", [None, *Operation], ids=lambda first: first.value if first else "open")
@pytest.mark.parametrize("start", Start, ids=lambda start: start.value)
def test_every_crash_and_every_changed_byte_of_every_small_workload(
    start: Start, first: Operation | None
) -> None:
    counts = Counts()
    for workload in workloads(start, OPERATIONS_MAX):
        if workload[1][:1] == ((first,) if first else ()):
            counts.add(enumerate_workload(workload, thorough=SOAK))
    assert counts.crash_points > counts.workloads
    assert min(counts.kills, counts.recovery_crash_points) > 0
    assert counts.bit_flips > counts.bit_flips_refused > 0
    if first:
        assert counts.workloads >= len(Operation) + 1
        assert counts.torn_states > 10 * counts.workloads
        assert counts.second_recovery_crash_points > 0


def test_the_count_of_what_was_tried_is_the_same_in_one_process_or_two(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = []
    for jobs in ("1", "2"):
        assert enumerate_main(["--operations", "0", "--json", "--jobs", jobs]) == 0
        lines.append(capsys.readouterr().out)
    assert lines[0] == lines[1]
    assert json.loads(lines[0]) == asdict(enumerate_all(0))


def test_what_a_start_found_in_the_page_cache_alone_is_durable_before_it_is_served() -> None:
    """``kill -9`` between a write and its sync: the next life reads the record, acknowledges by it,
    writes nothing more, and then power is lost."""
    directory = MemoryDirectory()
    wal, _ = open_wal(directory, OPTIONS)
    wal.append(*WORKLOAD[0])
    directory.before = lose_power_at(1)
    with pytest.raises(PowerLoss):
        wal.append(*WORKLOAD[1])
    found = state_of(next_process(directory)[1])
    assert found == replay(WORKLOAD[:2])
    assert state_of(open_wal(directory.power_loss(), OPTIONS)[1]) == found


def test_a_segment_whose_name_only_the_page_cache_knew_is_not_lost_with_what_is_appended_to_it() -> None:
    """``kill -9`` between a rename and the sync of the folder: the next life appends to that segment."""
    directory = MemoryDirectory()
    wal, _ = open_wal(directory, OPTIONS)
    wal.append(*WORKLOAD[0])
    write: Write = (None, entries(1, 1, size=2000))
    directory.before = lose_power_at(5)
    with pytest.raises(PowerLoss, match="sync_directory"):
        wal.append(*write)
    next_process(directory)[0].append(*WORKLOAD[1])
    after = directory.power_loss()
    assert len(after.list()) == 2
    assert state_of(open_wal(after, OPTIONS)[1]) == replay(WORKLOAD[:2])


def next_process(directory: MemoryDirectory) -> tuple[Wal, Recovered]:
    """The old one was killed; the disk, page cache included, is as it left it."""
    directory.before = lose_power_at(1 << 30)
    directory._locked = False
    return open_wal(directory, OPTIONS)


# -- one long workload


def test_the_workload_rolls_overwrites_and_crashes_often_enough() -> None:
    directory = MemoryDirectory()
    assert run(directory) is None
    assert len(directory.list()) >= 4
    assert len(crashes()) > 40


@pytest.mark.parametrize("names", ["lose", "keep", *(f"some {seed}" for seed in range(4))])
@pytest.mark.parametrize("survival", SURVIVALS)
def test_nothing_acknowledged_is_lost_whenever_power_fails(survival: str, names: str) -> None:
    for crash in crashes():
        some = random.Random(f"{crash.number} {names}")
        after = crash.directory.power_loss(SURVIVALS[survival](), some if " " in names else names == "keep")
        try:
            check_and_go_on(after, crash.allowed)
        except Exception as error:
            error.add_note(f"power was lost before operation {crash.number}")
            raise


@pytest.mark.parametrize("survival", ["lose", "keep", "prefix 512", "prefix 40", "sectors 0", "sectors 3"])
def test_nothing_acknowledged_is_lost_when_power_fails_again_during_recovery(survival: str) -> None:
    """The tail of the last write is lost at first, and then each way to lose a part of the cutting.
    Prefixes below a header's length are left out here: a header lies in one sector."""
    second_losses = 0
    for crash in crashes():
        torn = crash.directory.power_loss(SURVIVALS[survival]())
        while_cutting = 0
        while True:
            directory = torn.power_loss()
            directory.before = lose_power_at(while_cutting)
            try:
                check(directory, crash.allowed)
                break
            except PowerLoss:
                while_cutting += 1
                second_losses += 1
            for name, second in SURVIVALS.items():
                if name not in {"prefix 1", "prefix 7", "prefix 15"}:
                    check_and_go_on(directory.power_loss(second()), crash.allowed)
    assert second_losses > 0


@pytest.mark.parametrize("first", ["prefix 16", "prefix 512", "prefix 700"])
@pytest.mark.parametrize("second", ["prefix 1", "prefix 7", "prefix 15"])
def test_cutting_a_torn_tail_byte_by_byte_may_be_cut_short_itself(first: str, second: str) -> None:
    for crash in crashes():
        torn = crash.directory.power_loss(SURVIVALS[first]())
        for while_cutting in range(2):
            directory = torn.power_loss()
            directory.before = lose_power_at(while_cutting)
            try:
                check(directory, crash.allowed)
            except PowerLoss:
                check(directory.power_loss(SURVIVALS[second]()), crash.allowed)


def test_a_new_life_that_loses_power_in_its_first_append_keeps_what_the_old_one_had() -> None:
    """Torn, cut, appended to, torn again: three lives on one segment."""
    for crash in crashes()[::3]:
        for survival in ("prefix 100", "prefix 513", "sectors 1"):
            directory = crash.directory.power_loss(SURVIVALS[survival]())
            wal = check(directory, crash.allowed)
            known = state_of(open_wal(directory.power_loss(), OPTIONS)[1])
            last = len(known[1])
            write: Write = (hard_state(8), entries(last + 1, last + 2, term=8, size=600))
            directory.before = lose_power_at(1)
            with pytest.raises(PowerLoss):
                wal.append(*write)
            for second in SURVIVALS.values():
                check_and_go_on(directory.power_loss(second()), (known, replay([known, write])))
