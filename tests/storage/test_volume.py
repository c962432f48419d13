"""A node's whole folder: its log beside its snapshot, through every crash (PITFALLS 10, 28, 29).

The scripts below are run with the power lost before each operation of the disk, and with every way in
which unsynced bytes and names may survive; then again with the power lost in the recovery. What is
found must be what the jobs that were done left, or that and the one under way.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence

import pytest

from raftkv.errors import CorruptLog, DiskFull, ForeignData, StorageError, StorageFailed
from raftkv.raft import Entry, SnapshotMark
from raftkv.sim.disk import Contents
from raftkv.storage import Append, DiskJob, Identity, ReadChunk, Recovered, StoreChunk, Volume, WalOptions
from raftkv.storage.memory import MemoryDirectory, Tear, keep
from raftkv.storage.snapshots import TEMPORARY
from raftkv.storage.volume import STALLED_REFUSALS
from raftkv.types import LogIndex, Term
from tests.storage.support import (
    IDENTITY,
    N1,
    SURVIVALS,
    FillingDirectory,
    PowerLoss,
    entries,
    failing,
    flip,
    hard_state,
    lose_power_at,
    reopened,
)

TINY = WalOptions(segment_bytes=512)
"""A batch or two fill a segment, so that there is something to drop."""


def mark(index: int, term: int = 1, snapshot_id: int | None = None, chunks: int = 0) -> SnapshotMark:
    return SnapshotMark(LogIndex(index), Term(term), snapshot_id or index * 10 + term, chunks)


def snapshot(of: SnapshotMark, *chunks: bytes) -> list[DiskJob]:
    """The jobs that store it."""
    return [StoreChunk(of, number, chunk, number == len(chunks) - 1) for number, chunk in enumerate(chunks)]


def append(first: int, last: int, term: int = 1, anew: SnapshotMark | None = None) -> Append:
    return Append(hard_state(term, N1), entries(first, last, term, size=60), anew)


def open_volume(directory: MemoryDirectory, options: WalOptions = TINY) -> tuple[Volume, Recovered]:
    return Volume.open(directory, IDENTITY, options)


def done(jobs: Sequence[DiskJob]) -> Contents:
    contents = Contents()
    for job in jobs:
        contents.apply(job)
    return contents


def found(recovered: Recovered) -> Contents:
    contents = Contents(recovered.hard_state, [], recovered.snapshot).at_start()
    contents.terms += [entry.term for entry in recovered.entries]
    return contents


def written(jobs: Sequence[DiskJob]) -> MemoryDirectory:
    directory = MemoryDirectory()
    volume, _ = open_volume(directory)
    for job in jobs:
        assert volume.do(job) is True
    return reopened(directory)


OWN = [
    append(1, 4),
    append(5, 8),
    *snapshot(mark(6), b"one", b"two" * 200, b""),
    append(9, 12),
    append(13, 13),
]
"""A node's own snapshot, and its log going on while it is taken and afterwards."""
TWO = [*OWN, *snapshot(mark(12), b"newer"), append(14, 16)]
"""Two snapshots close together: the older one and more segments go."""
BEHIND = [
    append(1, 3),
    *snapshot(mark(20, 2), b"far", b"ahead"),
    append(21, 23, 3, mark(20, 2)),
    append(24, 24, 3),
]
"""A leader's snapshot of what this log never had: it begins anew."""
CONFLICT = [append(1, 9), *snapshot(mark(5, 4), b"theirs"), append(6, 7, 4, mark(5, 4)), append(8, 8, 4)]
"""The snapshot's last entry is another one than ours: what follows ours is void (PITFALLS 28)."""
OVERWRITTEN = [append(1, 4), append(5, 8), append(3, 6, 2), *snapshot(mark(6, 2), b"s"), append(7, 9, 2)]
"""A later segment begins with entries that replaced those of an earlier one."""
GIVEN_UP = [append(1, 4), *snapshot(mark(2), b"a", b"b")[:1], *snapshot(mark(3), b"c"), append(5, 6)]
SCRIPTS: dict[str, list[DiskJob]] = {
    "own": OWN,
    "two": TWO,
    "behind": BEHIND,
    "conflict": CONFLICT,
    "overwritten": OVERWRITTEN,
    "given up": GIVEN_UP,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_after_every_job_the_next_start_finds_it(name: str) -> None:
    jobs = SCRIPTS[name]
    for count in range(len(jobs) + 1):
        _, recovered = open_volume(written(jobs[:count]))
        assert found(recovered) == done(jobs[:count]).at_start()


def crash(jobs: Sequence[DiskJob], operation: int) -> tuple[MemoryDirectory, list[Contents]] | None:
    """Power is lost before this operation of the disk; None when there are fewer. Beside the disk, what
    may be found on it."""
    directory = MemoryDirectory(before=lose_power_at(operation))
    finished: list[DiskJob] = []
    possible = [Contents()]
    try:
        volume, _ = open_volume(directory)
        for job in jobs:
            before = done(finished)
            finished.append(job)
            possible = [before.at_start(), done(finished).at_start()]
            if isinstance(job, Append) and job.anew:
                possible.append(Contents(before.hard_state, [], before.snapshot).at_start())
            volume.do(job)
            possible = [done(finished).at_start()]
    except PowerLoss:
        return directory, possible
    return None


@pytest.mark.parametrize("survival", SURVIVALS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_power_lost_anywhere_loses_nothing_that_was_done(name: str, survival: str) -> None:
    operation = 0
    while crashed := crash(SCRIPTS[name], operation):
        directory, possible = crashed
        for keep_names in (False, True, random.Random(1), random.Random(2)):
            tear: Tear = SURVIVALS[survival]()
            after = directory.power_loss(tear, keep_names=keep_names)
            assert_recovers(after, possible)
        operation += 1
    assert operation > 10


def assert_recovers(directory: MemoryDirectory, possible: list[Contents]) -> None:
    """Also when power fails again in the recovery, and whatever survives of that."""
    steps = 0
    while True:
        image = directory.power_loss(keep, keep_names=True)
        image.before = lose_power_at(steps)
        try:
            volume, recovered = open_volume(image)
        except PowerLoss:
            for keep_names in (False, True, random.Random(1), random.Random(2)):
                again = image.power_loss(SURVIVALS["lose"](), keep_names=keep_names)
                assert found(open_volume(again)[1]) in possible
            steps += 1
            continue
        assert found(recovered) in possible
        # And it goes on from there.
        image.before = lambda operation: None
        last = recovered.last_index
        volume.do(append(last + 1, last + 1, 9))
        _, later = open_volume(reopened(image))
        assert (later.last_index, later.last_term) == (last + 1, 9)
        return


def test_a_segment_stays_as_long_as_the_next_begins_after_the_snapshot() -> None:
    """That one begins at 9 and overwrites from 3 on: without the one before it the log would have a hole,
    until a snapshot reaches that far."""
    directory = written(OVERWRITTEN)
    assert [name[13:29].lstrip("0") for name in directory.list() if name.endswith(".log")] == ["5", "9", "7"]
    volume, _ = open_volume(directory)
    for job in snapshot(mark(8, 2), b"later"):
        volume.do(job)
    assert [name[13:29].lstrip("0") for name in directory.list() if name.endswith(".log")] == ["7"]


@pytest.mark.parametrize("name", ["own", "two", "behind", "conflict"])
def test_segments_that_the_snapshot_covers_are_gone(name: str) -> None:
    directory = written(SCRIPTS[name])
    _, recovered = open_volume(directory)
    assert recovered.snapshot
    segments = sorted(each for each in directory.list() if each.endswith(".log"))
    firsts = [int(each[13:29]) for each in segments]
    assert all(first - 1 > recovered.snapshot.index for first in firsts[1:]), firsts
    assert [each for each in directory.list() if each.endswith((".snap", ".tmp"))] == [
        f"{recovered.snapshot.index:016d}-{recovered.snapshot.id:016x}.snap"
    ]


def test_the_state_is_there_chunk_by_chunk() -> None:
    directory = written(OWN)
    volume, recovered = open_volume(directory)
    chunks = [b"one", b"two" * 200, b""]
    assert list(recovered.state) == chunks
    assert recovered.snapshot == mark(6, chunks=3)
    assert [volume.do(ReadChunk(recovered.snapshot, number)) for number in range(4)] == [*chunks, None]
    assert volume.do(ReadChunk(mark(6, snapshot_id=1), 0)) is None
    assert volume.snapshot_bytes > 600


def test_a_chunk_out_of_turn_is_of_no_use_and_changes_nothing() -> None:
    directory = MemoryDirectory()
    volume, _ = open_volume(directory)
    volume.do(append(1, 4))
    assert volume.do(StoreChunk(mark(2), 1, b"x", True)) is False
    assert volume.do(StoreChunk(mark(2), 0, b"x", False)) is True
    assert volume.do(StoreChunk(mark(2), 2, b"x", True)) is False
    assert volume.do(StoreChunk(mark(3), 1, b"x", True)) is False
    assert open_volume(reopened(directory))[1].snapshot is None


def test_an_older_snapshot_never_replaces_a_newer_one() -> None:
    directory = written([append(1, 9), *snapshot(mark(7), b"newer"), *snapshot(mark(5), b"older")])
    _, recovered = open_volume(directory)
    assert recovered.snapshot == mark(7, chunks=1)
    assert TEMPORARY not in directory.list()


def test_without_space_a_snapshot_is_given_up_and_the_log_goes_on() -> None:
    directory = MemoryDirectory()
    volume, _ = open_volume(directory)
    volume.do(append(1, 4))
    volume.do(StoreChunk(mark(2), 0, b"x", False))
    directory.space_bytes = directory.used()
    with pytest.raises(DiskFull):
        volume.do(StoreChunk(mark(2), 1, b"x" * 5000, True))
    directory.lift_limits()
    assert volume.do(StoreChunk(mark(2), 1, b"x", True)) is False
    volume.do(append(5, 6))
    assert TEMPORARY not in directory.list()
    assert found(open_volume(reopened(directory))[1]) == done([append(1, 4), append(5, 6)]).at_start()


@pytest.mark.parametrize("operation", ["sync", "sync_directory", "rename", "remove"])
def test_a_disk_that_fails_under_a_snapshot_stops_the_node(operation: str) -> None:
    directory = MemoryDirectory()
    volume, _ = open_volume(directory)
    for job in (append(1, 4), append(5, 8), append(9, 12)):
        volume.do(job)
    directory.before = failing(operation, 5)
    with pytest.raises(StorageFailed):
        volume.do(StoreChunk(mark(12), 0, b"x", True))
    directory.before = lambda each: None
    with pytest.raises(StorageFailed):
        volume.do(append(13, 13))
    assert found(open_volume(reopened(directory))[1]).last_index == 12


def test_what_is_not_needed_stays_where_even_a_removal_takes_room() -> None:
    """As where files are copied on write: the snapshot is durable all the same, and is said to be."""
    directory = MemoryDirectory()
    volume, _ = open_volume(directory)
    for job in (append(1, 4), append(5, 8), append(9, 12), *snapshot(mark(6), b"one")):
        volume.do(job)
    directory.before = failing("remove", errno.ENOSPC)
    assert [volume.do(job) for job in snapshot(mark(12), b"two")] == [True]
    directory.before = lambda each: None
    assert volume.do(ReadChunk(mark(12), 0)) == b"two"
    assert len([name for name in directory.list() if name.endswith(".snap")]) == 2
    volume.do(append(13, 16))
    assert [volume.do(job) for job in snapshot(mark(16), b"three")] == [True]
    after = reopened(directory)
    assert found(open_volume(after)[1]).last_index == 16
    assert sorted(name.rpartition(".")[2] for name in after.list()) == ["log", "snap"]


@pytest.mark.parametrize("job", [append(13, 13), *snapshot(mark(12), b"x"), ReadChunk(mark(6), 0)])
def test_after_a_failed_sync_nothing_at_all_is_done(job: DiskJob) -> None:
    """Segments must not go on the word of a disk that is not to be trusted any more."""
    directory = MemoryDirectory()
    volume, _ = open_volume(directory)
    for each in (append(1, 4), append(5, 8), *snapshot(mark(6), b"one")):
        volume.do(each)
    directory.before = failing("sync", errno.EIO)
    with pytest.raises(StorageFailed):
        volume.do(append(9, 12))
    operations: list[str] = []
    directory.before = operations.append
    with pytest.raises(StorageFailed):
        volume.do(job)
    assert operations == []


# -- damage


def refusal(directory: MemoryDirectory) -> StorageError:
    with pytest.raises(StorageError) as caught:
        open_volume(directory)
    assert "\n" not in str(caught.value)
    return caught.value


def test_every_flipped_byte_of_a_snapshot_is_refused_and_named() -> None:
    for offset in range(len(image_of_snapshot(written(OWN)))):
        directory = written(OWN)
        name = next(each for each in directory.list() if each.endswith(".snap"))
        padding = image_of_snapshot(directory)
        flip(directory, name, offset, 1 << (offset % 8))
        try:
            _, recovered = open_volume(directory)
        except CorruptLog as refused:
            error = refused
        else:
            # Between a record and the next there may be padding, which nobody reads.
            assert padding[offset] == 0
            assert list(recovered.state) == [b"one", b"two" * 200, b""]
            continue
        assert error.file.endswith(name)
        assert error.offset <= offset


def image_of_snapshot(directory: MemoryDirectory) -> bytes:
    name = next(each for each in directory.list() if each.endswith(".snap"))
    return bytes(directory.files[name].durable)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 100, 500, -20])
def test_a_snapshot_cut_short_is_refused(length: int) -> None:
    directory = written(OWN)
    name = next(each for each in directory.list() if each.endswith(".snap"))
    for image in (directory.files[name].live, directory.files[name].durable):
        del image[length:]
    assert isinstance(refusal(directory), CorruptLog)


def test_a_log_without_the_snapshot_that_stands_for_its_beginning_is_refused() -> None:
    directory = written(OWN)
    name = next(each for each in directory.list() if each.endswith(".snap"))
    directory.remove(name)
    assert "segment before it" in str(refusal(directory))


def test_a_snapshot_without_a_log_is_refused() -> None:
    """Somebody has removed it, and with it what was acknowledged after the snapshot."""
    directory = written(OWN)
    for name in directory.list():
        if name.endswith(".log"):
            directory.remove(name)
    assert "no log beside it" in str(refusal(directory))


def test_a_hole_between_snapshot_and_log_is_refused() -> None:
    directory = written(TWO)
    older = written([append(1, 4), *snapshot(mark(2), b"old")])
    for name in directory.list():
        if name.endswith(".snap"):
            directory.remove(name)
    for name in older.list():
        if name.endswith(".snap"):
            directory.files[name] = older.files[name]
    assert "the snapshot ends at 2" in str(refusal(directory))


def test_the_snapshot_of_another_cluster_is_refused() -> None:
    directory = written(OWN)
    with pytest.raises(ForeignData, match="of another cluster"):
        Volume.open(directory, Identity("other", N1, "life"), TINY)


@pytest.mark.parametrize("seed", range(20))
def test_random_jobs_with_crashes_in_between(seed: int) -> None:
    """A longer life: jobs at random, each start held against the obvious record of what was done."""
    rng = random.Random(seed)
    directory = MemoryDirectory()
    contents = Contents()
    for _ in range(12):
        volume, recovered = open_volume(directory)
        assert found(recovered) == contents.at_start()
        contents = contents.at_start()
        for _ in range(rng.randint(1, 6)):
            for job in random_jobs(contents, rng):
                assert volume.do(job) is True
                contents.apply(job)
        directory = directory.power_loss(SURVIVALS["lose"]())


def random_jobs(contents: Contents, rng: random.Random) -> list[DiskJob]:
    covered = contents.snapshot.index if contents.snapshot else 0
    last, term = contents.last_index, contents.hard_state.current_term + 1
    roll = rng.random()
    if roll < 0.5:
        first = rng.randint(covered + 1, last + 1)
        return [append(first, first + rng.randint(0, 4), term)]
    if roll < 0.8 and last > covered:
        index = rng.randint(covered + 1, last)
        at = contents.term_at(index) or 1
        return snapshot(mark(index, at, rng.getrandbits(60)), *[rng.randbytes(rng.randint(0, 300))] * 2)
    anew = mark(last + rng.randint(1, 9), term, rng.getrandbits(60))
    return [*snapshot(anew, b"theirs"), Append(hard_state(term), list[Entry](), anew._replace(chunks=1))]


def test_the_log_gets_the_space_that_an_unfinished_snapshot_takes() -> None:
    """Or both would wait for each other, where nothing more comes of the snapshot."""
    directory = MemoryDirectory()
    volume, _ = open_volume(directory)
    volume.do(append(1, 4))
    volume.do(StoreChunk(mark(2), 0, bytes(range(256)) * 8, False))
    directory.space_bytes = directory.used() + 100
    for _ in range(STALLED_REFUSALS):
        with pytest.raises(DiskFull):
            volume.do(append(5, 12))
    volume.do(append(5, 12))
    assert volume.do(StoreChunk(mark(2), 1, b"x", True)) is False
    assert open_volume(reopened(directory))[1].last_index == 12


def test_a_snapshot_that_gets_on_is_finished_and_makes_the_room_that_the_log_lacks() -> None:
    """However often the log is refused meanwhile: given up each time, it would never be whole, and what it
    covers never be removed."""
    directory = MemoryDirectory()
    volume, _ = open_volume(directory)
    for batch in range(8):
        volume.do(append(4 * batch + 1, 4 * batch + 4))
    directory.space_bytes = directory.used() + TINY.segment_bytes - 1
    chunks = snapshot(mark(32), *(b"x" for _ in range(4)))
    for chunk in chunks:
        for _ in range(STALLED_REFUSALS - 1):
            with pytest.raises(DiskFull):
                volume.do(append(33, 36))
        assert volume.do(chunk) is True
    volume.do(append(33, 36))
    assert directory.used() < 4 * TINY.segment_bytes
    assert open_volume(reopened(directory))[1].last_index == 36


def test_a_segment_that_found_no_room_keeps_none() -> None:
    """What there was of it may be all that a snapshot needs, or another node on the same disk."""
    directory = MemoryDirectory()
    volume, _ = open_volume(directory)
    volume.do(append(1, 4))
    free = 300
    directory.space_bytes = directory.used() + free
    with pytest.raises(DiskFull):
        volume.do(append(5, 12))
    assert directory.free() == free
    assert "next.tmp" not in directory.list()


def test_a_snapshot_that_cannot_even_begin_leaves_nothing_open() -> None:
    directory = FillingDirectory()
    volume, _ = open_volume(directory)
    directory.room = 0
    with pytest.raises(DiskFull):
        volume.do(StoreChunk(mark(2), 0, b"x", True))
    assert TEMPORARY not in directory.list()
    directory.room = None
    assert volume.do(StoreChunk(mark(2), 0, b"x", False)) is True


def test_a_refusal_changes_nothing_beside_a_snapshot_either() -> None:
    directory = written(OWN)
    directory.create(TEMPORARY)
    segment = next(name for name in directory.list() if name.endswith(".log"))
    flip(directory, segment, 100, 1)
    before = sorted(directory.list())
    assert isinstance(refusal(directory), CorruptLog)
    assert sorted(directory.list()) == before
