"""One record in a segment: what is valid and, above all, what never is."""

from __future__ import annotations

import zlib
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raftkv.storage import records
from raftkv.storage.records import ALIGNMENT, HEADER_BYTES, SECTOR_BYTES, RecordType, Verdict

SEGMENT = 7
payloads = st.binary(max_size=2000)
RANDOM = Random(0).randbytes(1 << 20)
offsets = st.integers(0, 200).map(lambda number: number * ALIGNMENT)


def image(offset: int, payload: bytes, room: int = 64, kind: RecordType = RecordType.WRITE) -> bytes:
    """A segment that holds one record at ``offset`` and zeros elsewhere."""
    return (
        bytes(offset)
        + b"".join(records.encode(SEGMENT, offset, kind, records.body_of(payload)))
        + bytes(room)
    )


@given(offsets, payloads, st.sampled_from(RecordType))
def test_a_record_reads_back_as_it_was_written(offset: int, payload: bytes, kind: RecordType) -> None:
    record = records.decode(SEGMENT, image(offset, payload, kind=kind), offset)
    assert record == (kind, payload, offset + records.size_of(records.body_of(payload)))


@given(offsets, payloads)
@example(0, RANDOM + bytes(SECTOR_BYTES // 2) + RANDOM)
def test_the_size_foretold_is_the_size_written_and_keeps_headers_aligned(offset: int, payload: bytes) -> None:
    """Also of a payload that is larger deflated, as it is where only the zeros in it can be."""
    body = records.body_of(payload)
    assert (len(body.data) > len(payload)) == (len(payload) > 2 * len(RANDOM))
    size = sum(map(len, records.encode(SEGMENT, offset, RecordType.WRITE, body)))
    assert size == records.size_of(body)
    assert size % ALIGNMENT == 0


def test_records_of_every_short_length_follow_one_another() -> None:
    data, starts = b"", []
    for length in range(70):
        starts.append(len(data))
        data += b"".join(
            records.encode(SEGMENT, len(data), RecordType.WRITE, records.body_of(bytes([length]) * length))
        )
    offset = 0
    for length, start in enumerate(starts):
        assert offset == start
        record = records.decode(SEGMENT, data, offset)
        assert record is not None
        assert record.payload == bytes([length]) * length
        offset = record.end
    assert offset == len(data)


@pytest.mark.parametrize("payload", [b"", b"x", bytes(30), bytes(range(100)), b"\xff" * 47])
def test_no_changed_byte_leaves_a_record_valid(payload: bytes) -> None:
    """Every value of every byte up to the end mark; what pads to the next header carries nothing."""
    offset = 32
    data = image(offset, payload)
    for position in range(offset, offset + HEADER_BYTES + len(payload) + 1):
        damaged = bytearray(data)
        for value in range(256):
            damaged[position] = value
            if value != data[position]:
                assert records.decode(SEGMENT, bytes(damaged), offset) is None, (position, value)


@pytest.mark.parametrize("payload", [b"", b"x" * 15, b"x" * 16, bytes(100)])
def test_a_record_cut_anywhere_is_not_valid(payload: bytes) -> None:
    data = image(0, payload, room=0)
    for length in range(HEADER_BYTES + len(payload) + 1):
        assert records.decode(SEGMENT, data[:length], 0) is None
        assert records.decode(SEGMENT, data[:length] + bytes(len(data) - length), 0) is None


@given(offsets, offsets, payloads)
def test_a_record_in_another_place_is_not_valid(wrote: int, found: int, payload: bytes) -> None:
    data = (
        bytes(found)
        + b"".join(records.encode(SEGMENT, wrote, RecordType.WRITE, records.body_of(payload)))
        + bytes(64)
    )
    assert (records.decode(SEGMENT, data, found) is not None) == (wrote == found)


@given(st.integers(1, 10**6), payloads)
def test_a_record_of_another_segment_is_not_valid(other: int, payload: bytes) -> None:
    assert (records.decode(other, image(0, payload), 0) is not None) == (other == SEGMENT)


def test_an_unknown_type_is_not_valid_even_with_right_checksums() -> None:
    data = b"".join(records.encode(SEGMENT, 0, 77, records.body_of(b"payload")))  # type: ignore[arg-type]  # the point
    assert records.decode(SEGMENT, data, 0) is None


def test_a_length_beyond_the_sanity_bound_is_refused_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = image(0, b"x" * 100)
    monkeypatch.setattr(records, "PAYLOAD_BYTES_MAX", 101)
    assert records.decode(SEGMENT, data, 0) is not None
    monkeypatch.setattr(records, "PAYLOAD_BYTES_MAX", 100)
    assert records.decode(SEGMENT, data, 0) is None


@given(st.binary(max_size=300), offsets)
@settings(max_examples=300)
def test_random_bytes_are_no_record(data: bytes, offset: int) -> None:
    assert records.decode(SEGMENT, data, offset) is None


@given(st.integers(0, 40), payloads)
@settings(max_examples=200)
def test_a_record_stored_as_a_value_is_never_found(shift: int, value: bytes) -> None:
    """A user stores the bytes of a record, aligned or not: a copy of any that this segment holds or
    would hold. When the record around it is torn, the copy must not pass for one that follows it."""
    copies = b"".join(
        b"".join(records.encode(SEGMENT, offset, RecordType.WRITE, records.body_of(value)))
        for offset in (0, 16, 4096, records.size_of(records.body_of(value)))
    )
    start = 48
    data = bytearray(image(start, bytes(shift) + copies, room=200))
    end = start + records.size_of(records.body_of(bytes(shift) + copies))
    assert records.judge(SEGMENT, bytes(data), end).verdict is Verdict.END
    sector = data[start : records.SECTOR_BYTES]
    data[start : records.SECTOR_BYTES] = bytes(len(sector))
    for offset in range(start, len(data), ALIGNMENT):
        assert records.decode(SEGMENT, bytes(data), offset) is None
    assert records.judge(SEGMENT, bytes(data), start).verdict in (Verdict.TORN, Verdict.END)
    data[start : records.SECTOR_BYTES] = bytes(HEADER_BYTES) + sector[HEADER_BYTES:]
    assert records.judge(SEGMENT, bytes(data), start).verdict is Verdict.DAMAGED, "no crash does that"


def test_no_payload_is_stored_with_half_a_sector_of_zeros_whatever_the_zlib_at_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some compressors turn a long run of one byte into a long run of zeros: that is deflated again."""
    compress = zlib.compress
    monkeypatch.setattr(zlib, "compress", lambda data, _: compress(data, 9))
    payload = bytes(1 << 20)
    run = bytes(records.SECTOR_BYTES // 2)
    assert run in compress(payload, 9)
    data = image(0, payload, room=0)
    assert run not in data
    record = records.decode(SEGMENT, data, 0)
    assert record is not None
    assert record.payload == payload


@given(st.binary(max_size=40), st.integers(0, 600), st.binary(max_size=40), st.integers(0, 600))
def test_zeros_in_a_payload_come_back(head: bytes, one: int, middle: bytes, other: int) -> None:
    payload = head + bytes(one) + middle + bytes(other)
    record = records.decode(SEGMENT, image(0, payload), 0)
    assert record is not None
    assert record.payload == payload
