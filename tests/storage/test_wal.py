"""The log on a disk that works: what was appended is what the next start finds."""

from __future__ import annotations

import random

import pytest

from raftkv.storage import Identity, Wal, WalOptions
from raftkv.storage.memory import MemoryDirectory, MemoryFile
from raftkv.storage.records import HEADER_BYTES, SECTOR_BYTES
from raftkv.storage.recovery import SEAL_BYTES, segment_name
from raftkv.storage.wal import ZERO_AHEAD_BYTES
from tests.storage.support import (
    IDENTITY,
    N1,
    NOTHING,
    SMALL,
    Write,
    entries,
    entry,
    hard_state,
    open_wal,
    reopen,
    reopened,
    replay,
    state_of,
    written,
)

APPENDS: list[Write] = [
    (hard_state(1, N1), []),
    (None, entries(1, 3)),
    (hard_state(1, N1, 2), entries(4, 4, size=0)),
    (hard_state(2), []),
    (None, entries(5, 9, term=2)),
]


def test_an_empty_folder_becomes_an_empty_log() -> None:
    directory = MemoryDirectory()
    wal, recovered = open_wal(directory)
    assert state_of(recovered) == (NOTHING, [])
    assert recovered.cut is None
    assert directory.list() == [segment_name(1, 1)]
    assert wal.segment_count == 1


@pytest.mark.parametrize("spare", range(0, 160, 16))
def test_a_segment_never_grows_also_by_a_record_that_is_larger_deflated(spare: int) -> None:
    """It would be taken for damage. Of a mebibyte of noise around zeros deflating makes 100 bytes more."""
    noise = random.Random(0).randbytes(1 << 19)
    large = [entry(1, data=noise + bytes(SECTOR_BYTES // 2) + noise)]
    first = [entry(2, data=b"first")]
    sizes = []
    for options in (SMALL, WalOptions(segment_bytes=len(large[0].data) + 250 + spare)):
        directory = MemoryDirectory()
        wal, _ = open_wal(directory, options)
        wal.append(None, large)
        wal.append(None, first)
        sizes.append(wal.segment_count)
        _, recovered = reopen(directory, options)
        assert recovered.entries == large + first
    assert sizes[0] > 1


@pytest.mark.parametrize("restarts", [False, True])
def test_zeros_go_ahead_of_the_records_and_never_beyond_the_segment(
    monkeypatch: pytest.MonkeyPatch, restarts: bool
) -> None:
    zeroed: list[tuple[int, int]] = []

    def zero_ahead(file: MemoryFile, start: int, end: int) -> None:
        assert not any(file.live[start:])
        assert len(file.live) == options.segment_bytes
        zeroed.append((start, end))

    monkeypatch.setattr(MemoryFile, "zero_ahead", zero_ahead)
    options = WalOptions(segment_bytes=2 * ZERO_AHEAD_BYTES + ZERO_AHEAD_BYTES // 2)
    directory = MemoryDirectory()
    wal, _ = Wal.open(directory, IDENTITY, options)
    index = 0
    while True:
        index += 1
        wal.append(None, entries(index, index, size=20_000))
        if wal.segment_count > 1:
            break
        assert wal.bytes_used <= zeroed[-1][1], "a record has outrun the zeros"
        if restarts and index == 3:
            wal.close()
            directory = directory.process_loss()
            wal, _ = Wal.open(directory, IDENTITY, options)
    first, *others = zeroed[:-1]
    assert first == (first[0], first[0] + ZERO_AHEAD_BYTES)
    assert len(others) == 2 + restarts
    assert others[-1][1] == options.segment_bytes


def test_what_was_appended_is_there_after_each_append() -> None:
    for count in range(len(APPENDS) + 1):
        recovered = open_wal(written(APPENDS[:count]))[1]
        assert state_of(recovered) == replay(APPENDS[:count])
        assert recovered.cut is None


def test_every_append_may_be_followed_by_a_new_start() -> None:
    directory = MemoryDirectory()
    for count, (state, batch) in enumerate(APPENDS):
        wal, recovered = open_wal(directory)
        assert state_of(recovered) == replay(APPENDS[:count])
        wal.append(state, batch)
        wal.close()
        directory = reopened(directory)
    assert state_of(open_wal(directory)[1]) == replay(APPENDS)


def test_hard_state_survives_without_entries() -> None:
    recovered = open_wal(written([(hard_state(3, N1), []), (hard_state(4), [])]))[1]
    assert state_of(recovered) == (hard_state(4), [])


def test_an_append_without_hard_state_leaves_the_last_one() -> None:
    recovered = open_wal(written([(hard_state(3, N1), []), (None, entries(1, 2, term=3))]))[1]
    assert recovered.hard_state == hard_state(3, N1)


@pytest.mark.parametrize("first", [1, 2, 5, 6])
def test_an_entry_at_or_below_the_last_index_replaces_the_log_from_there(first: int) -> None:
    writes: list[Write] = [(None, entries(1, 5)), (hard_state(2), entries(first, first, term=2))]
    log = open_wal(written(writes))[1].entries
    assert [(item.index, item.term) for item in log] == [(i, 1) for i in range(1, first)] + [(first, 2)]


def test_a_log_that_shrank_grows_on_from_its_new_end() -> None:
    writes: list[Write] = [
        (None, entries(1, 6)),
        (None, entries(3, 3, term=2)),
        (None, entries(4, 5, term=2)),
    ]
    assert state_of(open_wal(written(writes))[1]) == replay(writes)


def test_entry_data_comes_back_to_the_byte() -> None:
    log = [
        entry(1, data=b""),
        entry(2, data=bytes(300)),
        entry(3, data=b"\xf7\x52" * 40),
        entry(4, data=b"\0"),
    ]
    log[1] = log[1]._replace(kind=0)
    assert open_wal(written([(None, log)]))[1].entries == log


def test_segments_roll_and_are_read_in_order() -> None:
    writes: list[Write] = [(None, entries(index, index, size=400)) for index in range(1, 21)]
    directory = written(writes)
    assert len(directory.list()) > 4
    assert all(len(file.live) == SMALL.segment_bytes for file in directory.files.values())
    wal, recovered = open_wal(directory)
    assert state_of(recovered) == replay(writes)
    assert wal.segment_count == len(directory.list())


def test_a_rolled_segment_is_named_by_its_number_and_first_index() -> None:
    directory = written([(None, entries(1, 3, size=500)), (None, entries(4, 6, size=500))])
    assert directory.list() == [segment_name(1, 1), segment_name(2, 4)]


def test_a_truncation_may_begin_a_segment_that_starts_at_a_lower_index_than_the_one_before() -> None:
    writes: list[Write] = [
        (None, entries(1, 3, size=500)),
        (hard_state(1, N1, 3), entries(4, 6, size=500)),
        (None, entries(4, 4, term=2, size=1500)),
        (None, entries(5, 7, term=2, size=500)),
    ]
    directory = written(writes)
    assert [int(name.split("-")[1][:16]) for name in directory.list()] == [1, 4, 7, 5]
    assert state_of(open_wal(directory)[1]) == replay(writes)


def test_a_record_larger_than_a_segment_gets_one_of_its_own_size() -> None:
    writes: list[Write] = [
        (None, entries(1, 1)),
        (hard_state(1), entries(2, 2, size=10 * SMALL.segment_bytes)),
        (None, entries(3, 3)),
        (None, entries(4, 4, size=10 * SMALL.segment_bytes)),
    ]
    directory = written(writes)
    assert state_of(open_wal(directory)[1]) == replay(writes)


def test_a_record_that_just_fits_does_not_roll_and_one_byte_more_does() -> None:
    """The largest batch that leaves the first segment just the room for its seal, found by trying."""
    counts = [len(written([(None, [entry(1, data=bytes([7]) * size)])]).list()) for size in range(1800, 2048)]
    assert counts == sorted(counts)
    assert set(counts) == {1, 2}
    largest = 1800 + counts.index(2) - 1
    directory = written([(None, [entry(1, data=bytes([7]) * largest)])])
    used = len(bytes(directory.files[segment_name(1, 1)].live).rstrip(b"\0"))
    assert SEAL_BYTES <= SMALL.segment_bytes - used < SEAL_BYTES + HEADER_BYTES
    wal, recovered = open_wal(directory)
    assert len(recovered.entries) == 1
    wal.append(None, entries(2, 2))
    assert len(reopen(directory)[1].entries) == 2


def test_segment_size_may_change_between_starts() -> None:
    writes: list[Write] = [(None, entries(index, index, size=400)) for index in range(1, 9)]
    directory = MemoryDirectory()
    for (state, batch), size in zip(writes, [2048, 1024, 4096, 512, 8192, 600, 2048, 1024], strict=True):
        wal, _ = open_wal(directory, WalOptions(segment_bytes=size))
        wal.append(state, batch)
        directory = reopened(directory)
    assert state_of(open_wal(directory)[1]) == replay(writes)


def test_the_bytes_used_are_counted_the_same_after_a_new_start() -> None:
    directory = MemoryDirectory()
    wal, _ = open_wal(directory)
    for index in range(1, 12):
        wal.append(hard_state(index), entries(index, index, term=index, size=300))
    again, _ = reopen(directory)
    assert (again.bytes_used, again.segment_count) == (wal.bytes_used, wal.segment_count)


def test_the_identity_on_disk_wins_over_a_new_incarnation() -> None:
    """The incarnation is drawn by whoever starts a node, and counts only for an empty folder."""
    directory = written(APPENDS)
    _, recovered = open_wal(directory)
    assert recovered.identity == IDENTITY
    wal, recovered = reopen(directory)
    for index in range(10, 20):
        wal.append(None, entries(index, index, term=2, size=400))
    assert recovered.identity.incarnation == "first-life"


def test_segments_rolled_in_a_later_life_keep_the_first_incarnation() -> None:
    directory = written(APPENDS)
    wal, _ = type(open_wal(MemoryDirectory())[0]).open(directory, Identity("test", N1, "second-life"), SMALL)
    for index in range(10, 20):
        wal.append(None, entries(index, index, term=2, size=400))
    wal, recovered = reopen(directory)
    assert wal.segment_count > 2
    assert recovered.identity == IDENTITY
    assert recovered.entries[-1].index == 19


def test_foreign_files_in_the_folder_are_left_alone() -> None:
    directory = written(APPENDS)
    for name in ("README", "000000000001-0000000000000001.log.bak", "1-1.log"):
        directory.create(name)
    assert state_of(open_wal(directory)[1]) == replay(APPENDS)
    assert len(directory.list()) == 4


def test_a_leftover_of_an_unfinished_segment_is_removed() -> None:
    directory = written(APPENDS)
    directory.create("next.tmp").write(0, [b"half a header"])
    wal, recovered = open_wal(directory)
    assert state_of(recovered) == replay(APPENDS)
    assert "next.tmp" not in directory.list()
    for index in range(10, 20):
        wal.append(None, entries(index, index, term=2, size=400))
    assert reopen(directory)[1].entries[-1].index == 19


def test_a_leftover_in_an_otherwise_empty_folder_is_removed() -> None:
    directory = MemoryDirectory()
    directory.create("next.tmp").write(0, [b"half a header"])
    assert state_of(open_wal(directory)[1]) == (NOTHING, [])
    assert directory.list() == [segment_name(1, 1)]
