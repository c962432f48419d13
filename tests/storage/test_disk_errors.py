"""A failed sync is final; a full disk is not."""

from __future__ import annotations

import errno

import pytest

from raftkv.errors import DiskFull, StorageFailed
from raftkv.raft import SnapshotMark
from raftkv.storage import Wal, WalOptions
from raftkv.storage.memory import Hook, MemoryDirectory, MemoryFile
from raftkv.types import LogIndex, Term
from tests.storage.support import (
    SMALL,
    FillingDirectory,
    PowerLoss,
    Write,
    entries,
    failing,
    hard_state,
    lose_power_at,
    open_wal,
    reopen,
    reopened,
    replay,
    state_of,
)
from tests.storage.survivals import disk_of, surviving

FIRST: Write = (hard_state(1), entries(1, 3))
SHORT: Write = (hard_state(2), entries(4, 4, size=100))
MIDDLE: Write = (None, entries(4, 4, size=800))
ROLLING: Write = (hard_state(2), entries(4, 7, size=500))
ROLL_OPERATIONS = ["create", "allocate", "write", "sync", "rename", "sync_directory"]


def watched(operations: list[str]) -> Hook:
    return operations.append


def prepared() -> tuple[MemoryDirectory, Wal]:
    directory = MemoryDirectory()
    wal, _ = open_wal(directory)
    wal.append(*FIRST)
    return directory, wal


def filling() -> tuple[FillingDirectory, Wal]:
    """A log whose only segment can be made to fill up in the middle of a write."""
    before, _ = prepared()
    directory = FillingDirectory.holding(
        {name: bytes(file.durable) for name, file in before.power_loss().files.items()}
    )
    return directory, open_wal(directory)[0]


# -- final


@pytest.mark.parametrize("operation", [*ROLL_OPERATIONS, "zero"])
@pytest.mark.parametrize("error_number", [errno.EIO, errno.EROFS])
def test_a_failed_operation_is_latched_and_nothing_is_tried_again(operation: str, error_number: int) -> None:
    directory, wal = prepared()
    directory.before = failing(operation, error_number)
    with pytest.raises(StorageFailed) as caught:
        wal.append(*ROLLING)
    operations: list[str] = []
    directory.before = watched(operations)
    for _ in range(3):
        with pytest.raises(StorageFailed) as again:
            wal.append(*SHORT)
        assert again.value is caught.value
        with pytest.raises(StorageFailed):
            wal.drop_covered(SnapshotMark(LogIndex(100), Term(9), 1, 1))
    assert operations == []
    assert "memory" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error_number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_failed_sync_of_a_batch_is_latched_whatever_the_reason(error_number: int) -> None:
    """No space reported by a sync means that bytes taken before may be gone: it is not survivable."""
    directory, wal = prepared()
    directory.before = failing("sync", error_number)
    with pytest.raises(StorageFailed):
        wal.append(*SHORT)
    directory.before = watched([])
    with pytest.raises(StorageFailed):
        wal.append(*SHORT)
    for keep_names in (False, True):
        assert state_of(open_wal(directory.power_loss(keep_names=keep_names))[1]) == replay([FIRST])


@pytest.mark.parametrize(
    ("batch", "left"), [(SHORT, [FIRST, SHORT]), (ROLLING, [FIRST])], ids=["short", "rolling"]
)
def test_what_a_failed_sync_left_in_the_page_cache_is_written_anew_before_it_counts(
    batch: Write, left: list[Write]
) -> None:
    """The next life reads it, and no sync of its own would bring it to the disk: the kernel takes for written
    what it could not write."""
    directory, wal = prepared()
    directory.before = failing("sync", errno.EIO)
    with pytest.raises(StorageFailed):
        wal.append(*batch)
    directory = directory.process_loss()
    assert state_of(open_wal(directory)[1]) == replay(left)
    assert state_of(open_wal(directory.power_loss())[1]) == replay(left)


def test_a_failed_sync_of_the_folder_is_latched_even_for_want_of_space() -> None:
    directory, wal = prepared()
    directory.before = failing("sync_directory", errno.ENOSPC)
    with pytest.raises(StorageFailed):
        wal.append(*ROLLING)
    directory.before = watched([])
    with pytest.raises(StorageFailed):
        wal.append(*ROLLING)


@pytest.mark.parametrize("operation", ROLL_OPERATIONS)
def test_a_disk_that_fails_at_the_first_start_is_reported_as_such(operation: str) -> None:
    with pytest.raises(StorageFailed):
        open_wal(MemoryDirectory(before=failing(operation, errno.EIO)))


class UnreadableFile(MemoryFile):
    def read(self, offset: int, length: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


def test_a_segment_that_cannot_be_read_is_a_failed_disk_not_a_crash_of_the_node() -> None:
    directory, _ = prepared()
    directory = reopened(directory)
    directory.files[directory.list()[0]] = UnreadableFile(directory, bytes(SMALL.segment_bytes))
    with pytest.raises(StorageFailed, match="Input/output error"):
        open_wal(directory)


def test_a_leftover_that_cannot_be_removed_is_a_failed_disk_not_a_crash_of_the_node() -> None:
    directory, _ = prepared()
    directory = reopened(directory)
    directory.create("next.tmp")
    directory.before = failing("remove", errno.EIO)
    with pytest.raises(StorageFailed):
        open_wal(directory)


def test_a_torn_tail_that_cannot_be_zeroed_is_a_failed_disk() -> None:
    directory, _ = prepared()
    directory = reopened(directory)
    file = directory.files[directory.list()[0]]
    file.live[1000] = file.durable[1000] = 1
    for operation in ("write", "sync"):
        torn = reopened(directory)
        torn.before = failing(operation, errno.EIO)
        with pytest.raises(StorageFailed):
            open_wal(torn)


# -- not final


@pytest.mark.parametrize("error_number", [errno.EIO, errno.ENOSPC, errno.EFBIG])
def test_zeros_ahead_that_find_no_room_are_a_full_disk_and_any_other_error_is_final(
    monkeypatch: pytest.MonkeyPatch, error_number: int
) -> None:
    directory = MemoryDirectory()
    wal, _ = open_wal(directory)

    def zero_ahead(file: MemoryFile, start: int, end: int) -> None:
        monkeypatch.undo()
        raise OSError(error_number, "made to fail")

    monkeypatch.setattr(MemoryFile, "zero_ahead", zero_ahead)
    with pytest.raises(StorageFailed if error_number == errno.EIO else DiskFull):
        wal.append(*FIRST)
    if error_number == errno.EIO:
        with pytest.raises(StorageFailed):
            wal.append(*FIRST)
        assert state_of(reopen(directory)[1]) == replay([])
    else:
        wal.append(*FIRST)
        assert state_of(reopen(directory)[1]) == replay([FIRST])


@pytest.mark.parametrize("operation", ["create", "allocate", "write", "rename"])
@pytest.mark.parametrize("error_number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE])
def test_a_full_disk_while_rolling_is_survived(operation: str, error_number: int) -> None:
    directory, wal = prepared()
    directory.before = failing(operation, error_number)
    for _ in range(3):
        with pytest.raises(DiskFull):
            wal.append(*ROLLING)
        assert state_of(open_wal(directory.power_loss())[1]) == replay([FIRST])
    directory.before = watched([])
    wal.append(*ROLLING)
    assert state_of(reopen(directory)[1]) == replay([FIRST, ROLLING])
    assert reopen(directory)[1].cut is None
    assert "next.tmp" not in directory.list()


def test_a_disk_without_room_for_another_segment_takes_it_once_there_is_room() -> None:
    directory = MemoryDirectory(space_bytes=SMALL.segment_bytes + 500)
    wal, _ = open_wal(directory)
    wal.append(*FIRST)
    with pytest.raises(DiskFull):
        wal.append(*ROLLING)
    wal.append(*SHORT)
    directory.space_bytes = 4 * SMALL.segment_bytes
    after: Write = (hard_state(3), entries(5, 8, size=500))
    wal.append(*after)
    assert state_of(reopen(directory)[1]) == replay([FIRST, SHORT, after])


def test_a_disk_too_small_for_the_first_segment_is_full() -> None:
    directory = MemoryDirectory(space_bytes=100)
    with pytest.raises(DiskFull):
        open_wal(directory)
    directory = reopened(directory)
    directory.space_bytes = None
    assert open_wal(directory)[1].entries == []


@pytest.mark.parametrize("room", [0, 1, 15, 16, 17, 100, 512, 700])
def test_a_write_that_fills_the_disk_half_way_may_be_tried_again(room: int) -> None:
    directory, wal = filling()
    directory.room = room
    for _ in range(2):
        with pytest.raises(DiskFull):
            wal.append(*MIDDLE)
    found = reopen(directory)[1]
    assert state_of(found) == replay([FIRST])
    directory.room = None
    wal.append(*MIDDLE)
    assert state_of(reopen(directory)[1]) == replay([FIRST, MIDDLE])
    assert state_of(open_wal(directory.power_loss())[1]) == replay([FIRST, MIDDLE])


@pytest.mark.parametrize("room", [1, 100, 700])
def test_a_shorter_batch_after_a_full_disk_leaves_nothing_of_the_longer_one(room: int) -> None:
    directory, wal = filling()
    directory.room = room
    with pytest.raises(DiskFull):
        wal.append(*MIDDLE)
    directory.room = None
    wal.append(*SHORT)
    recovered = reopen(directory)[1]
    assert state_of(recovered) == replay([FIRST, SHORT])
    assert recovered.cut is None


@pytest.mark.parametrize("room", [17, 100, 700])
def test_power_lost_in_a_shorter_batch_after_a_full_disk_is_no_damage(room: int) -> None:
    """The longer one's leftovers must not be zeroed in the same write as the shorter one: what
    survives of that write may be the new record and, behind it, what looks like a damaged one."""
    crashes = 0
    while True:
        directory, wal = filling()
        directory.room = room
        with pytest.raises(DiskFull):
            wal.append(*MIDDLE)
        directory.room = None
        directory.before = lose_power_at(crashes)
        try:
            wal.append(*SHORT)
            break
        except PowerLoss:
            crashes += 1
        for image, _ in surviving(directory):
            found = state_of(open_wal(disk_of(image))[1])
            assert found in (replay([FIRST]), replay([FIRST, SHORT]))
    assert crashes > 2


@pytest.mark.parametrize("room", [1, 100, 700])
def test_a_batch_that_rolls_after_a_full_disk_leaves_nothing_of_the_one_before_it(room: int) -> None:
    """What is left of the failed write lies in a segment that is no longer the last: there it would
    be damage, and the node would never start again."""
    directory, wal = filling()
    directory.room = room
    with pytest.raises(DiskFull):
        wal.append(*MIDDLE)
    directory.room = None
    wal.append(*ROLLING)
    assert state_of(reopen(directory)[1]) == replay([FIRST, ROLLING])


def test_a_start_after_a_write_that_filled_the_disk_cuts_it() -> None:
    directory, wal = filling()
    directory.room = 300
    with pytest.raises(DiskFull):
        wal.append(*MIDDLE)
    wal, recovered = reopen(directory)
    assert recovered.cut is not None
    wal.append(*SHORT)


def test_the_message_of_a_full_disk_names_the_folder() -> None:
    directory, wal = prepared()
    directory.before = failing("allocate", errno.ENOSPC)
    with pytest.raises(DiskFull, match="no space in memory"):
        wal.append(*ROLLING)


def test_closing_after_a_failure_does_not_raise() -> None:
    directory, wal = prepared()
    directory.before = failing("sync", errno.EIO)
    with pytest.raises(StorageFailed):
        wal.append(*SHORT)
    wal.close()
    wal.close()


def test_options_default_to_segments_of_64_mib() -> None:
    assert WalOptions().segment_bytes == 64 << 20


@pytest.mark.parametrize("fits", [0, 1, 16, 20])
def test_a_disk_that_is_full_when_a_segment_is_to_be_sealed_costs_no_second_segment(fits: int) -> None:
    """As where writing over what is there takes room. The seal, or a part of it, is missing: nothing needs it
    as long as the segment that follows is there."""
    directory, wal = filling()

    def fill(operation: str) -> None:
        if operation == "rename":
            directory.room = fits
        elif operation == "write":
            directory.room = None

    directory.before = fill
    wal.append(*ROLLING)
    directory.before = watched([])
    assert len(directory.list()) == 2, "one more, and nothing aside"
    for image in (directory, directory.power_loss()):
        assert state_of(open_wal(image)[1]) == replay([FIRST, ROLLING])
