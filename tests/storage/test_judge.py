"""What a bad record means: the end, a torn write that was never acknowledged, or damage."""

from __future__ import annotations

import pytest

from raftkv.storage import records
from raftkv.storage.records import ALIGNMENT, HEADER_BYTES, SECTOR_BYTES, RecordType, Verdict
from tests.storage.support import entries

SEGMENT = 3
CAPACITY = 8192
LONG = b"".join([item.data for item in entries(1, 1, size=2000)])


def segment(*payloads: bytes) -> tuple[bytearray, list[int]]:
    """A segment of these records, and where each begins and the last one ends."""
    data, starts = bytearray(), [0]
    for payload in payloads:
        data += b"".join(records.encode(SEGMENT, len(data), RecordType.WRITE, records.body_of(payload)))
        starts.append(len(data))
    return data + bytes(CAPACITY - len(data)), starts


def verdict(data: bytearray, offset: int) -> Verdict:
    return records.judge(SEGMENT, bytes(data), offset).verdict


def test_zeros_to_the_end_of_the_file_are_the_end() -> None:
    data, starts = segment(b"one", b"two")
    judgement = records.judge(SEGMENT, bytes(data), starts[-1])
    assert judgement == (Verdict.END, "", starts[-1])


def test_the_end_of_a_full_file_is_the_end() -> None:
    data, starts = segment(b"one")
    assert verdict(data[: starts[-1]], starts[-1]) is Verdict.END


@pytest.mark.parametrize("payload", [b"", b"x", b"short", b"x" * 15, LONG])
def test_a_last_record_cut_at_any_byte_is_torn(payload: bytes) -> None:
    """From its first byte on, inside the header too; up to the byte before the end mark."""
    data, starts = segment(b"first", payload)
    whole = starts[1] + HEADER_BYTES + len(payload) + 1
    for cut in range(starts[1] + 1, whole):
        torn = data[:cut] + bytes(CAPACITY - cut)
        if any(torn[starts[1] :]):
            judgement = records.judge(SEGMENT, bytes(torn), starts[1])
            assert judgement.verdict is Verdict.TORN, (cut - starts[1], judgement.cause)
            assert judgement.dirty_end == len(bytes(torn).rstrip(b"\0"))


def test_any_set_of_missing_sectors_of_the_last_record_is_torn() -> None:
    """The record is 2,017 bytes from byte 32: five sectors, of which every proper subset is tried."""
    data, starts = segment(b"first", LONG)
    sectors = range(0, starts[2], SECTOR_BYTES)
    assert len(sectors) == 5
    for missing in range(1, 2 ** len(sectors) - 1):
        torn = bytearray(data)
        for number, sector in enumerate(sectors):
            if missing >> number & 1:
                begin, end = max(sector, starts[1]), min(sector + SECTOR_BYTES, starts[2])
                torn[begin:end] = bytes(end - begin)
        assert verdict(torn, starts[1]) is Verdict.TORN, bin(missing)


def test_a_missing_first_sector_is_torn_and_says_so() -> None:
    data, starts = segment(b"first", LONG)
    data[starts[1] : SECTOR_BYTES] = bytes(SECTOR_BYTES - starts[1])
    judgement = records.judge(SEGMENT, bytes(data), starts[1])
    assert judgement.verdict is Verdict.TORN
    assert "first sector" in judgement.cause


@pytest.mark.parametrize("payload", [b"x", b"x" * 40, LONG])
def test_a_flipped_bit_in_the_last_record_is_damage(payload: bytes) -> None:
    data, starts = segment(b"first", payload)
    whole = starts[1] + HEADER_BYTES + len(payload) + 1
    for position in range(starts[1], whole):
        data[position] ^= 1 << position % 8
        assert verdict(data, starts[1]) is Verdict.DAMAGED, position - starts[1]
        data[position] ^= 1 << position % 8


def test_a_flipped_bit_is_damage_although_the_value_holds_a_sector_of_zeros() -> None:
    """Zeros that were written must not pass for a sector that never was: the record was complete,
    hence acknowledged, and to cut it would lose it."""
    data, starts = segment(b"first", b"head" + bytes(2 * SECTOR_BYTES) + b"tail")
    data[starts[1] + HEADER_BYTES] ^= 1
    assert records.decode(SEGMENT, bytes(data), starts[1]) is None
    assert verdict(data, starts[1]) is Verdict.DAMAGED


@pytest.mark.parametrize("position", [0, 3, 8, 12, HEADER_BYTES, HEADER_BYTES + 200])
def test_a_bad_record_that_a_valid_one_follows_is_damage(position: int) -> None:
    data, starts = segment(b"first", LONG, b"last")
    data[starts[1] + position] ^= 0x10
    judgement = records.judge(SEGMENT, bytes(data), starts[1])
    assert judgement.verdict is Verdict.DAMAGED
    assert str(starts[2]) in judgement.cause


def test_a_zeroed_record_that_a_valid_one_follows_is_damage() -> None:
    data, starts = segment(b"first", LONG, b"last")
    data[starts[1] : starts[2]] = bytes(starts[2] - starts[1])
    assert verdict(data, starts[1]) is Verdict.DAMAGED


def test_a_bad_record_followed_by_one_whose_body_is_torn_is_damage_all_the_same() -> None:
    """The torn one was only begun once the bad one had been synced."""
    data, starts = segment(b"first", b"second", LONG)
    data[starts[1] + HEADER_BYTES] ^= 1
    data[starts[3] - SECTOR_BYTES : starts[3]] = bytes(SECTOR_BYTES)
    assert verdict(data, starts[1]) is Verdict.DAMAGED


def test_stray_bytes_far_beyond_the_end_are_reported_up_to_their_end() -> None:
    data, starts = segment(b"first")
    data[5000] = 1
    judgement = records.judge(SEGMENT, bytes(data), starts[1])
    assert judgement.verdict is Verdict.TORN
    assert judgement.dirty_end == 5001


def test_every_record_begins_at_a_multiple_of_sixteen_and_so_within_one_sector() -> None:
    _, starts = segment(b"", b"x", b"x" * 15, b"x" * 16, LONG)
    assert all(start % ALIGNMENT == 0 for start in starts)
    assert SECTOR_BYTES % ALIGNMENT == 0
    assert HEADER_BYTES <= ALIGNMENT
