"""How one record lies in a segment, and what a bad one means.

::

    0      2    3     4        8            12            16
    | magic|type|form | length | header crc | payload crc | payload … | 0xA5 | 0 … to 16 |

Little endian. ``length`` counts the payload and its end mark. The header's checksum is seeded with
the segment's number and the record's offset, and the payload's with the header's: so it covers the
length, and a record in the wrong place, or one that a user stored as a *value*, is never valid.

Headers stand at multiples of 16 and so never straddle a disk sector. Segments are zero before they
are written, hence what a crash leaves of an unfinished write is the record with some of its sectors
(or, at worst, some last bytes) still zero. ``judge`` tells that from bytes that merely changed. So that
a sector of zeros always means a missing one, a payload with half as many zeros in a row is stored
deflated, ``form`` times. Half: a sector with one single bit set would pass for a missing one as soon
as that bit flips, and around such a bit half a sector of zeros lies on one side.
"""

from __future__ import annotations

import struct
import zlib
from enum import Enum
from typing import NamedTuple, Protocol

ALIGNMENT = 16
SECTOR_BYTES = 512
MAGIC = b"\xf7\x52"
END_MARK = b"\xa5"
PAYLOAD_BYTES_MAX = 256 << 20
"""Sanity bound on a length read from disk; a write is bounded far below it by its batch."""

_PREFIX = struct.Struct("<2sBBI")
_CHECKSUMS = struct.Struct("<II")
_SEED = struct.Struct("<QQ")
HEADER_BYTES = _PREFIX.size + _CHECKSUMS.size
_ZERO_HEADER = bytes(HEADER_BYTES)
_ZERO_RUN = bytes(SECTOR_BYTES // 2)
_DEFLATIONS_MAX = 8
"""Deflated zeros may hold zeros again, depending on the zlib at hand; each round leaves far fewer."""


class RecordType(int, Enum):
    SEGMENT = 1
    """The first record of every segment: whose it is and where it starts."""
    WRITE = 2
    """Hard state and entries that became durable together."""
    SNAPSHOT = 3
    """The first record of a snapshot's file: whose it is and what it stands for."""
    CHUNK = 4
    END = 5
    """The last record of a snapshot's file: a checksum over all chunks."""
    SEAL = 6
    """The last record of a segment that another one follows: without it the newest could be taken away."""


class Readable(Protocol):
    def read(self, offset: int, length: int) -> bytes: ...


class Record(NamedTuple):
    kind: RecordType
    payload: bytes
    end: int
    """Offset of the next record."""


class Verdict(Enum):
    END = "end"
    """Zeros to the end of the file: nothing was ever written here."""
    TORN = "torn"
    """An unfinished write: never acknowledged, may be cut."""
    DAMAGED = "damaged"
    """Was complete once."""


class Judgement(NamedTuple):
    verdict: Verdict
    cause: str
    dirty_end: int
    """Where the last byte that is not zero ends."""


class Body(NamedTuple):
    """A payload as it is written."""

    form: int
    """How often it was deflated, which may have made it larger."""
    data: bytes


def body_of(payload: bytes) -> Body:
    form = 0
    while _ZERO_RUN in payload and form < _DEFLATIONS_MAX:
        form, payload = form + 1, zlib.compress(payload, 1)
    return Body(form, payload)


def encode(segment: int, offset: int, kind: RecordType, body: Body) -> list[bytes]:
    """The buffers of one record at ``offset``, padded to the next multiple of 16."""
    length = len(body.data) + 1
    prefix = _PREFIX.pack(MAGIC, kind, body.form, length)
    header_crc = zlib.crc32(prefix, zlib.crc32(_SEED.pack(segment, offset)))
    payload_crc = zlib.crc32(END_MARK, zlib.crc32(body.data, header_crc))
    padding = bytes(-(HEADER_BYTES + length) % ALIGNMENT)
    return [prefix + _CHECKSUMS.pack(header_crc, payload_crc), body.data, END_MARK + padding]


def size_of(body: Body) -> int:
    """Of the record that holds it."""
    return _padded(len(body.data))


def _padded(body_bytes: int) -> int:
    size = HEADER_BYTES + body_bytes + 1
    return size + -size % ALIGNMENT


def read(segment: int, file: Readable, offset: int) -> Record | None:
    """The record at ``offset`` of a file that is too large to be held in memory, its padding checked too:
    such a file was written whole, so any other byte in it has changed."""
    header = file.read(offset, HEADER_BYTES)
    length = _header_length(segment, header, offset, base=offset)
    if length is None:
        return None
    body = file.read(offset + HEADER_BYTES, _padded(length - 1) - HEADER_BYTES)
    if body[length:] != bytes(-(HEADER_BYTES + length) % ALIGNMENT):
        return None
    return decode(segment, header + body, offset, base=offset)


def decode(segment: int, data: bytes, offset: int, base: int = 0) -> Record | None:
    """The record at ``offset`` of the file, whose bytes from ``base`` on are ``data``; None where there
    is no valid one."""
    length = _header_length(segment, data, offset, base)
    if length is None:
        return None
    end = offset + _padded(length - 1)
    offset -= base
    start = offset + HEADER_BYTES
    body = data[start : start + length]
    header_crc, payload_crc = _CHECKSUMS.unpack_from(data, offset + _PREFIX.size)
    if len(body) < length or body[-1:] != END_MARK or zlib.crc32(body, header_crc) != payload_crc:
        return None
    payload = body[:-1]
    try:
        kind = RecordType(data[offset + 2])
        for _ in range(data[offset + 3]):
            payload = zlib.decompress(payload)
    except (ValueError, zlib.error):
        return None
    return Record(kind, payload, end)


def judge(segment: int, data: bytes, offset: int) -> Judgement:
    """What it means that there is no valid record at ``offset``."""
    dirty_end = offset + len(data[offset:].rstrip(b"\0"))  # what is before is not copied
    if dirty_end <= offset:
        return Judgement(Verdict.END, "", offset)
    later = _find_header(segment, data, offset + ALIGNMENT)
    if later is not None:
        cause = f"bad record, but another one follows it at byte {later}"
        return Judgement(Verdict.DAMAGED, cause, dirty_end)
    verdict, cause = _judge_last(data, offset, dirty_end, _header_length(segment, data, offset))
    return Judgement(verdict, cause, dirty_end)


def _judge_last(data: bytes, offset: int, dirty_end: int, length: int | None) -> tuple[Verdict, str]:
    """Of the last write, of ``length`` by its header, if that holds. Nothing is ever written behind it: more
    bytes than it has are no write's, but were moved here by somebody."""
    if length is None:
        if data[offset : offset + HEADER_BYTES] == _ZERO_HEADER:
            if not any(data[offset : offset - offset % SECTOR_BYTES + SECTOR_BYTES]):
                return Verdict.TORN, "the first sector of the last write is missing"
            return Verdict.DAMAGED, "no record header, in a sector that was written"
        if dirty_end <= offset + HEADER_BYTES:
            return Verdict.TORN, "the last write ends within its header"
        return Verdict.DAMAGED, "bad record header"
    end = offset + HEADER_BYTES + length
    if dirty_end > end:
        return (
            Verdict.DAMAGED,
            f"a bad record that ends at byte {end}, but what was written goes on behind it",
        )
    if dirty_end < end:
        return Verdict.TORN, "the last write is cut short"
    if data[end - 1 : end] == END_MARK and _has_zero_sector(data, offset, end):
        return Verdict.TORN, "a sector of the last write is missing"
    return Verdict.DAMAGED, "checksum mismatch in a record that was written whole"


def _header_length(segment: int, data: bytes, offset: int, base: int = 0) -> int | None:
    """Payload length by a header whose own checksum holds."""
    start = offset - base
    if len(data) < start + HEADER_BYTES or data[start : start + 2] != MAGIC:
        return None
    prefix = data[start : start + _PREFIX.size]
    header_crc, _ = _CHECKSUMS.unpack_from(data, start + _PREFIX.size)
    if zlib.crc32(prefix, zlib.crc32(_SEED.pack(segment, offset))) != header_crc:
        return None
    length: int = _PREFIX.unpack(prefix)[3]
    return length if 0 < length <= PAYLOAD_BYTES_MAX else None


def _find_header(segment: int, data: bytes, start: int) -> int | None:
    position = data.find(MAGIC, start)
    while position >= 0:
        if position % ALIGNMENT == 0 and _header_length(segment, data, position) is not None:
            return position
        position = data.find(MAGIC, position + 1)
    return None


def _has_zero_sector(data: bytes, start: int, end: int) -> bool:
    """Whether the record's part of any sector is all zero, as if it had never been written."""
    position = start
    while position < end:
        sector_end = min(end, position - position % SECTOR_BYTES + SECTOR_BYTES)
        if not any(data[position:sector_end]):
            return True
        position = sector_end
    return False
