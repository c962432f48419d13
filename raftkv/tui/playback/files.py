"""Recordings: a line that says what the file is, then blocks, each with its length and checksum.

The first block is a document about the cluster, the others are the tape's. A recorder that died leaves
half a block at the end, which is not damage: the recording ends before it. Anything else that does not
fit its checksum is damage, and refused with its place; the head of a block has a checksum of its own, or a
damaged length would pass for half a block.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import BinaryIO

from raftkv import __version__
from raftkv.errors import RecordingError, WireError, shown
from raftkv.tui.model import State, initial, timely
from raftkv.tui.playback.tape import Tape
from raftkv.wire.packing import expect, pack, unpack

MAGIC = b"raftkv recording\n"
FORMAT_VERSION = 1
_HEAD = struct.Struct("<II")
"""Bytes that follow, and their CRC-32; then comes the CRC-32 of this."""
_SUM = struct.Struct("<I")
BLOCK_BYTES_MAX = 16 << 20
FILE_BYTES_MAX = 1 << 30
"""A day of five nodes. A recording longer than that is in nobody's interest."""


@dataclass(frozen=True, slots=True)
class About:
    """What a recording is of. Times are seconds since 1970."""

    format: int
    version: str
    """Of the raftkv that made it."""
    names: tuple[str, ...]
    started: float
    origin: float
    """When the clock of its items was at 0."""
    source: str
    """Where the cluster was found, or which simulation it was."""


@dataclass(frozen=True, slots=True)
class Recording:
    about: About
    tape: Tape
    state: State
    """At its end."""
    cut: bool
    """Its last block was incomplete."""


class RecordingFile:
    """Writes one. ``write`` and ``close`` raise ``RecordingError`` once, when it cannot go on; ``ended`` says
    afterwards why."""

    def __init__(self, path: Path, names: Sequence[str], source: str, started: float, origin: float) -> None:
        """Refuses to write over anything that is there."""
        self.path = path
        self.ended = ""
        self._size = 0
        about = About(FORMAT_VERSION, __version__, tuple(names), started, origin, source)
        try:
            self._file: BinaryIO | None = path.open("xb")
        except FileExistsError:
            raise RecordingError(f"{path} exists already; remove it, or record into another file") from None
        except OSError as error:
            raise RecordingError(f"cannot record into {path}: {error.strerror}") from None
        self._put(MAGIC)
        self.write(pack(asdict(about)))

    def write(self, block: bytes) -> None:
        if self._file is None:
            return
        if self._size + len(block) > FILE_BYTES_MAX:
            raise self._end(f"the recording {self.path} has reached {FILE_BYTES_MAX >> 20} MiB and ends here")
        head = _HEAD.pack(len(block), zlib.crc32(block))
        self._put(head + _SUM.pack(zlib.crc32(head)) + block)

    def _put(self, data: bytes) -> None:
        assert self._file is not None
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise self._end(f"cannot record into {self.path} any more: {error.strerror}") from None
        self._size += len(data)

    def _end(self, why: str) -> RecordingError:
        with suppress(RecordingError):
            self.close()
        self.ended = why
        return RecordingError(why)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                self.ended = f"cannot record into {self.path} any more: {error.strerror}"
                raise RecordingError(self.ended) from None


def write_recording(path: Path, about: About, blocks: Sequence[bytes]) -> None:
    """A whole recording of ``Tape.blocks``."""
    file = RecordingFile(path, about.names, about.source, about.started, about.origin)
    try:
        for block in blocks:
            file.write(block)
    finally:
        file.close()


def read_recording(path: Path, progress: Callable[[float], None] = lambda _: None) -> Recording:
    """``progress`` is told the share that has been read. Raises ``RecordingError`` with the reason."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _read(file, path, size, progress)
    except FileNotFoundError:
        raise RecordingError(f"there is no file {path}") from None
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from None


def _read(file: BinaryIO, path: Path, size: int, progress: Callable[[float], None]) -> Recording:
    if file.read(len(MAGIC)) != MAGIC:
        raise RecordingError(f"{path} is no recording; 'raftkv up --record FILE' makes one")
    first = _block(file, path, size)
    if first is None:
        raise RecordingError(f"{path} ends before it says what it is of; there is nothing to be replayed")
    about = _read_about(first, path)
    tape = Tape(about.names, bytes_max=None)
    state = initial(about.names)
    while (block := _block(file, path, size)) is not None:
        try:
            state = tape.append(block, state)
        except WireError as error:
            raise RecordingError(f"{path} is damaged before byte {file.tell():,}: {error}") from None
        progress(file.tell() / size)
    if not tape.blocks():
        raise RecordingError(f"{path} is empty: it ended before anything was heard")
    return Recording(about, tape, state, cut=file.tell() < size)


def _block(file: BinaryIO, path: Path, size: int) -> bytes | None:
    """None at the end, or where the last one is incomplete; the file then stands where that begins."""
    place = file.tell()
    head, checksum = file.read(_HEAD.size), file.read(_SUM.size)
    if len(checksum) == _SUM.size:
        if _SUM.pack(zlib.crc32(head)) != checksum:
            raise RecordingError(f"{path} is damaged at byte {place:,}: no block begins there")
        length, expected = _HEAD.unpack(head)
        if length > BLOCK_BYTES_MAX:
            raise RecordingError(f"{path} is damaged at byte {place:,}: a block of {length:,} bytes")
        if file.tell() + length <= size:
            block = file.read(length)
            if zlib.crc32(block) != expected:
                raise RecordingError(f"{path} is damaged at byte {place:,}: a block with a wrong checksum")
            return block
    file.seek(place)
    return None


def _read_about(block: bytes, path: Path) -> About:
    try:
        fields = unpack(block, BLOCK_BYTES_MAX)
        expect(type(fields) is dict and type(fields.get("format")) is int, "no document")
        if fields["format"] > FORMAT_VERSION:
            raise RecordingError(
                f"{path} was made by raftkv {shown(fields.get('version'))} in format {fields['format']}; "
                f"this raftkv reads formats up to {FORMAT_VERSION}"
            )
        expect(fields.keys() == {field.name for field in dataclass_fields(About)}, "no document")
        names, moments = fields["names"], (fields["started"], fields["origin"])
        expect(type(names) is tuple and all(type(name) is str for name in names), "no nodes")
        expect(all(type(moment) in (int, float) and timely(moment) for moment in moments), "no moment")
        expect(all(type(fields[name]) is str for name in ("version", "source")), "no source")
    except WireError as error:
        raise RecordingError(f"{path} is damaged: it does not say what it is of ({error})") from None
    if not names:
        raise RecordingError(f"{path} is damaged: it names no nodes")
    return About(**fields)
