"""One bit of the log changes while the node is down, anywhere."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest

from raftkv.errors import CorruptLog, ForeignData
from raftkv.raft import SnapshotMark
from raftkv.storage.memory import MemoryDirectory
from raftkv.storage.snapshots import SnapshotFile, open_snapshot
from raftkv.types import LogIndex, Term
from tests.storage.support import (
    N1,
    Write,
    entries,
    entry,
    flip,
    hard_state,
    open_wal,
    reopened,
    replay,
    state_of,
    written,
)

ONE_SEGMENT: list[Write] = [
    (hard_state(1, N1), []),
    (None, entries(1, 3)),
    (hard_state(1, N1, 3), entries(4, 4, size=600)),
    (None, entries(3, 5, term=2, size=25)),
    (None, entries(6, 6, term=2, size=0)),
]
THREE_SEGMENTS: list[Write] = [(hard_state(1), entries(index, index, size=400)) for index in range(1, 12)]


def check_flip(pristine: MemoryDirectory, writes: list[Write], name: str, offset: int, mask: int) -> bool:
    """Whether the start was refused, which it must be unless every acknowledged entry is there."""
    directory = reopened(pristine)
    flip(directory, name, offset, mask)
    refusal: CorruptLog | None = None
    try:
        _, recovered = open_wal(directory)
    except CorruptLog as error:
        refusal = error
    if refusal:
        assert refusal.file == f"memory/{name}"
        assert 0 <= refusal.offset <= offset
        return True
    assert state_of(recovered) == replay(writes), f"bit {mask} of byte {offset} of {name}"
    return False


def used_bytes(directory: MemoryDirectory, name: str) -> int:
    return len(bytes(directory.files[name].durable).rstrip(b"\0"))


@pytest.mark.parametrize("bit", range(8))
def test_no_flipped_bit_in_a_small_log_loses_or_changes_an_acknowledged_entry(bit: int) -> None:
    pristine = written(ONE_SEGMENT)
    name = pristine.list()[0]
    used = used_bytes(pristine, name)
    refused = sum(check_flip(pristine, ONE_SEGMENT, name, offset, 1 << bit) for offset in range(used + 64))
    assert used - refused < 16 * (len(ONE_SEGMENT) + 1), "only padding may change unnoticed"


def test_no_flipped_bit_in_any_of_several_segments_loses_or_changes_an_acknowledged_entry() -> None:
    pristine = written(THREE_SEGMENTS)
    assert len(pristine.list()) >= 3
    rng = random.Random(5)
    for name in pristine.list():
        for offset in range(len(pristine.files[name].durable)):
            check_flip(pristine, THREE_SEGMENTS, name, offset, 1 << rng.randrange(8))


def test_no_flipped_bit_loses_a_last_record_full_of_zeros() -> None:
    """A value of zeros looks like sectors that were never written; it was acknowledged all the same."""
    writes: list[Write] = [*ONE_SEGMENT[:2], (None, [entry(4, data=b"head" + bytes(1200) + b"tail")])]
    pristine = written(writes)
    name = pristine.list()[0]
    for offset in range(0, used_bytes(pristine, name) + 64, 7):
        check_flip(pristine, writes, name, offset, 1)


@pytest.mark.parametrize("bit", range(8))
def test_no_flipped_bit_makes_a_sector_that_holds_one_bit_look_unwritten(bit: int) -> None:
    """Sectors of zeros but for one bit, each row of zeros shorter than a sector: with that bit gone,
    the last record looks as if a sector of it had never been written, yet it was acknowledged."""
    sparse = (bytes(511) + bytes([1 << bit])) * 3
    writes: list[Write] = [*ONE_SEGMENT[:2], (None, [entry(4, data=sparse + b"tail")])]
    pristine = written(writes)
    (name,) = pristine.list()
    for offset in range(used_bytes(pristine, name)):
        check_flip(pristine, writes, name, offset, 1 << bit)


def test_no_pair_of_flipped_bytes_is_served() -> None:
    """Two flips may not be told from a torn write, but what is served must have been written."""
    pristine = written(ONE_SEGMENT)
    name = pristine.list()[0]
    rng = random.Random(7)
    prefixes = [replay(ONE_SEGMENT[:count]) for count in range(len(ONE_SEGMENT) + 1)]
    for _ in range(1500):
        directory = reopened(pristine)
        for _ in range(2):
            flip(directory, name, rng.randrange(used_bytes(pristine, name)), 1 << rng.randrange(8))
        try:
            _, recovered = open_wal(directory)
        except CorruptLog:
            continue
        assert state_of(recovered) in prefixes


@pytest.mark.parametrize("length", [16, 100, 512, 1024])
def test_a_zeroed_range_before_the_last_record_is_refused(length: int) -> None:
    pristine = written(ONE_SEGMENT)
    name = pristine.list()[0]
    for offset in range(0, used_bytes(pristine, name) - length - 64, 16):
        directory = reopened(pristine)
        file = directory.files[name]
        if any(file.durable[offset : offset + length]):
            for image in (file.live, file.durable):
                image[offset : offset + length] = bytes(length)
            with pytest.raises(CorruptLog):
                open_wal(directory)


SNAPSHOT = "0.snap"


def snapshot_folder(change: Callable[[bytearray], None]) -> MemoryDirectory:
    """A folder with a snapshot in which no record fills its padding, changed."""
    directory = MemoryDirectory()
    writing = SnapshotFile(directory.create(SNAPSHOT), "test", SnapshotMark(LogIndex(7), Term(2), 99, 0))
    for chunk in (b"one", b"", bytes(900), b"the last"):
        writing.add(chunk)
    writing.finish()
    change(directory.files[SNAPSHOT].live)
    return directory


def test_no_changed_bit_of_a_snapshot_and_no_other_end_of_it_is_taken_for_whole() -> None:
    """Its padding included: whoever keeps a backup wants to know that it has changed at all."""
    size = len(snapshot_folder(lambda data: None).files[SNAPSHOT].live)
    assert len(open_snapshot(snapshot_folder(lambda data: None), SNAPSHOT).offsets) == 4

    def flipped(data: bytearray, bit: int) -> None:
        data[bit // 8] ^= 1 << bit % 8

    def shortened(data: bytearray, length: int) -> None:
        del data[length:]

    def lengthened(data: bytearray, byte: int) -> None:
        data.append(byte)

    changes = [partial(flipped, bit=bit) for bit in range(8 * size)]
    changes += [partial(shortened, length=length) for length in range(size)]
    changes += [partial(lengthened, byte=byte) for byte in (0, 1)]
    for change in changes:
        with pytest.raises((CorruptLog, ForeignData)):
            open_snapshot(snapshot_folder(change), SNAPSHOT)
