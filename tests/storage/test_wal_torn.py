"""A torn tail is cut, and the log goes on behind the cut as if it had never been."""

from __future__ import annotations

import pytest

from raftkv.storage import Wal, WalOptions
from raftkv.storage.memory import MemoryDirectory, keep_prefix
from raftkv.storage.recovery import BLOCK_BYTES, segment_name
from tests.storage.support import (
    NOTHING,
    SURVIVALS,
    PowerLoss,
    Write,
    entries,
    hard_state,
    open_wal,
    reopen,
    replay,
    state_of,
)

FIRST = segment_name(1, 1)
ACKNOWLEDGED: list[Write] = [(hard_state(1), entries(1, 3))]
LOST: Write = (hard_state(2), entries(4, 6, size=400))


def torn(length: int) -> tuple[MemoryDirectory, int]:
    """A disk that lost power with ``length`` bytes of ``LOST`` written, and where that began."""
    directory = MemoryDirectory()
    wal, _ = open_wal(directory)
    for state, batch in ACKNOWLEDGED:
        wal.append(state, batch)
    offset = wal.bytes_used

    def before(operation: str) -> None:
        if operation == "sync":
            raise PowerLoss

    directory.before = before
    with pytest.raises(PowerLoss):
        wal.append(*LOST)
    return directory.power_loss(keep_prefix(length)), offset


def test_a_torn_tail_is_cut_and_one_line_names_file_and_offset() -> None:
    directory, offset = torn(500)
    _, recovered = open_wal(directory)
    assert state_of(recovered) == replay(ACKNOWLEDGED)
    assert recovered.cut is not None
    assert f"memory/{FIRST} at byte {offset}" in recovered.cut
    assert "\n" not in recovered.cut


def test_a_tail_cut_once_is_not_reported_again() -> None:
    directory, _ = torn(500)
    open_wal(directory)
    assert reopen(directory)[1].cut is None
    assert not any(directory.files[FIRST].durable[torn(500)[1] :])


@pytest.mark.parametrize("size", [0, 10, 100, 370, 1100, 3000])
@pytest.mark.parametrize("length", [1, 12, 16, 17, 300, 512, 1000])
def test_what_is_appended_after_a_cut_may_be_shorter_or_longer_than_what_was_cut(
    length: int, size: int
) -> None:
    directory, _ = torn(length)
    wal, _ = open_wal(directory)
    more: list[Write] = [(hard_state(3), entries(4, 4, term=3, size=size)), (None, entries(5, 5, term=3))]
    for count, write in enumerate(more, start=1):
        wal.append(*write)
        _, recovered = reopen(directory)
        assert state_of(recovered) == replay(ACKNOWLEDGED + more[:count])
        assert recovered.cut is None


def test_a_whole_record_that_was_never_acknowledged_may_be_found_and_then_stays() -> None:
    directory, _ = torn(1 << 20)
    assert state_of(open_wal(directory)[1]) == replay([*ACKNOWLEDGED, LOST])
    assert state_of(reopen(directory)[1]) == replay([*ACKNOWLEDGED, LOST])


@pytest.mark.parametrize("survival", SURVIVALS)
def test_a_first_start_cut_short_leaves_a_folder_that_starts_again(survival: str) -> None:
    for number in range(20):
        directory = MemoryDirectory()
        left = number

        def before(operation: str) -> None:
            nonlocal left
            if left == 0:
                raise PowerLoss(operation)
            left -= 1

        directory.before = before
        try:
            open_wal(directory)
        except PowerLoss:
            for keep_names in (False, True):
                after = directory.power_loss(SURVIVALS[survival](), keep_names)
                wal, recovered = open_wal(after)
                assert state_of(recovered) == (NOTHING, [])
                wal.append(None, entries(1, 2))
                assert reopen(after)[1].entries == entries(1, 2)
        else:
            assert number == 6, "create, allocate, write, sync, rename, sync of the folder"
            return
    raise AssertionError("the log never opened")


def test_what_a_node_writes_while_its_folder_is_looked_at_is_not_taken_for_torn() -> None:
    """From one block of what looked like zeros into the next, after they were looked at."""
    directory = MemoryDirectory()
    options = WalOptions(segment_bytes=4 * BLOCK_BYTES)
    wal, _ = open_wal(directory, options)
    wal.append(hard_state(1), entries(1, 1, size=BLOCK_BYTES - 10_000))
    file = directory.files[directory.list()[0]]
    index, read = 2, file.read

    def read_late(offset: int, length: int) -> bytes:
        nonlocal index
        if offset == 0 and index < 4:
            wal.append(None, entries(index, index, size=20_000))
            index += 1
        return read(offset, length)

    file.read = read_late  # type: ignore[method-assign]
    found = Wal.read(directory).recovered
    assert (found.last_index, found.cut) == (3, None)
