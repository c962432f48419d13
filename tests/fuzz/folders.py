"""Log folders for fuzzing: good ones, a small language of damage, and what must hold whatever was done.

The rule: ``Wal.open`` gives back what some number of the acknowledged writes, from the first on, had
made of the log, or it refuses with a ``StorageError`` and leaves every byte as it was. (Whole records
missing at the end cannot be told from records that were never written: hence "some number".)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from raftkv.errors import StorageError
from raftkv.storage import Recovered, records
from raftkv.storage.memory import MemoryDirectory, MemoryFile
from raftkv.storage.records import RecordType
from tests.fuzz.refusals import refused_with
from tests.storage.support import (
    N1,
    State,
    Write,
    entries,
    entry,
    hard_state,
    open_wal,
    reopened,
    replay,
    state_of,
    written,
)

Files = dict[str, bytearray]

FIRST_SEGMENT = "000000000001-0000000000000001.log"
FILE_BYTES_MAX = 16 << 10
"""What damage may let a file grow to: several times a segment."""

HISTORIES: tuple[list[Write], ...] = (
    [(hard_state(1, N1), []), (None, entries(1, 3)), (hard_state(1, N1, 3), entries(4, 4, size=600))],
    [(hard_state(1, N1, index - 1), entries(index, index, size=400)) for index in range(1, 12)],
    [
        (hard_state(1, N1), entries(1, 6, size=250)),
        (hard_state(2, None, 2), entries(4, 8, term=2, size=200)),
        (None, entries(7, 7, term=2, size=1100)),
        (hard_state(4, N1, 3), entries(5, 5, term=4)),
        (hard_state(4, N1, 5), [entry(6, term=4, data=bytes(900))]),
        (None, entries(7, 9, term=4, size=500)),
    ],
)
"""One segment; many; and many with tails that a later leader overwrote."""


@cache
def good_files(history: int) -> dict[str, bytes]:
    directory = written(HISTORIES[history])
    return {name: bytes(file.live) for name, file in directory.files.items()}


@cache
def possible_states(history: int) -> list[State]:
    writes = HISTORIES[history]
    return [replay(writes[:count]) for count in range(len(writes) + 1)]


def disk_with(files: Files) -> MemoryDirectory:
    directory = MemoryDirectory()
    directory.files = {name: MemoryFile(directory, bytes(data)) for name, data in files.items()}
    directory.sync()
    return directory


def open_or_refuse(files: Files) -> Recovered | None:
    """What the log in ``files`` holds. None: refused, and nothing on disk has changed.

    What was opened takes an append and can be opened again.
    """
    directory = disk_with(files)
    with refused_with(StorageError) as refusal:
        wal, recovered = open_wal(directory)
    if refusal.error:
        after = {name: file.live for name, file in directory.files.items()}
        assert after == files, "a refused log was changed"
        return None
    _check_types(recovered)
    state, log = recovered.hard_state, list(recovered.entries)
    term = max(state.current_term, log[-1].term if log else 1)
    new = entry(len(log) + 1, term, b"what comes after")
    wal.append(None, [new])
    again = open_wal(reopened(directory))[1]
    assert state_of(again) == (state, [*log, new]), "what was read and then written is not what is there"
    assert again.cut is None, "a torn tail was left behind"
    return recovered


def _check_types(recovered: Recovered) -> None:
    """What comes from here goes to the core and to followers without another look."""
    term, vote, commit = recovered.hard_state
    assert (type(term), type(commit)) == (int, int)
    assert vote is None or type(vote) is str
    for item in recovered.entries:
        assert tuple(map(type, item)) == (int, int, int, bytes), f"no entry: {item!r:.100}"


def check_damaged(script: bytes) -> None:
    """Damage a good folder as ``script`` says, and hold what becomes of it against the rule."""
    reader = Script(script)
    history = reader.number(len(HISTORIES))
    files = {name: bytearray(data) for name, data in good_files(history).items()}
    while reader.left and files:
        DAMAGES[reader.number(len(DAMAGES))](files, reader)
    recovered = open_or_refuse(files)
    if recovered:
        assert state_of(recovered) in possible_states(history), "the log never was like this"


class Script:
    """Bytes read as a list of small decisions; whoever reads on behind their end gets zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def left(self) -> int:
        return max(0, len(self._data) - self._position)

    def number(self, below: int) -> int:
        """0 to ``below`` - 1; one byte for what fits into one, else two."""
        size = 1 if below <= 256 else 2
        part = self.take(size)
        return int.from_bytes(part, "little") % below if below else 0

    def take(self, size: int) -> bytes:
        part = self._data[self._position : self._position + size]
        self._position += size
        return part

    def name(self, files: Files) -> str:
        return sorted(files)[self.number(len(files))]

    def span(self, data: bytearray) -> tuple[int, int]:
        """Start and end of a piece: now a few bytes, now the better part of the file."""
        start = self.number(len(data) + 1)
        return start, min(len(data), start + (1 << self.number(12)))


def _set_byte(files: Files, script: Script) -> None:
    data = files[script.name(files)]
    if data:
        data[script.number(len(data))] = script.number(256)


def _overwrite(files: Files, script: Script) -> None:
    data = files[script.name(files)]
    start = script.number(len(data) + 1)
    part = script.take(script.number(24))
    data[start : start + len(part)] = part


def _zero(files: Files, script: Script) -> None:
    data = files[script.name(files)]
    start, end = script.span(data)
    data[start:end] = bytes(end - start)


def _truncate(files: Files, script: Script) -> None:
    data = files[script.name(files)]
    del data[script.number(len(data) + 1) :]


def _extend(files: Files, script: Script) -> None:
    data = files[script.name(files)]
    data += bytes([script.number(256)]) * (1 << script.number(12))


def _delete(files: Files, script: Script) -> None:
    data = files[script.name(files)]
    start, end = script.span(data)
    del data[start:end]


def _duplicate(files: Files, script: Script) -> None:
    data = files[script.name(files)]
    start, end = script.span(data)
    data[end:end] = data[start:end]
    del data[FILE_BYTES_MAX:]


def _splice(files: Files, script: Script) -> None:
    """Part of one segment over part of another, as a disk that wrote to the wrong place."""
    source, target = files[script.name(files)], files[script.name(files)]
    start, end = script.span(source)
    at = start if script.number(2) else script.number(len(target) + 1)
    target[at : at + end - start] = source[start:end]


def _swap(files: Files, script: Script) -> None:
    one, other = script.name(files), script.name(files)
    files[one], files[other] = files[other], files[one]


def _remove(files: Files, script: Script) -> None:
    del files[script.name(files)]


def _copy(files: Files, script: Script) -> None:
    number, first = script.number(16), script.number(16)
    files[f"{number:012d}-{first:016d}.log"] = bytearray(files[script.name(files)])


def _leave_temporary(files: Files, script: Script) -> None:
    """What a crash leaves while a segment is being made; and files that are none of ours."""
    name = ("next.tmp", "LOCK", "000000000001-0000000000000001.log\n", "1-1.log")[script.number(4)]
    files[name] = bytearray(files[script.name(files)])


DAMAGES: tuple[Callable[[Files, Script], None], ...] = (
    _set_byte,
    _overwrite,
    _zero,
    _truncate,
    _extend,
    _delete,
    _duplicate,
    _splice,
    _swap,
    _remove,
    _copy,
    _leave_temporary,
)


# -- records whose checksums hold, whatever they say


@cache
def good_header() -> bytes:
    """The first record of a good log."""
    data = good_files(0)[FIRST_SEGMENT]
    record = records.decode(1, data, 0)
    assert record is not None
    return data[: record.end]


def segment_of(header: bytes, payload: bytes) -> Files:
    """A segment of this header and one record with this payload, all checksums true."""
    record = records.encode(1, len(header), RecordType.WRITE, records.body_of(payload))
    return {FIRST_SEGMENT: bytearray(header + b"".join(record) + bytes(256))}


def header_of(payload: bytes) -> bytes:
    return b"".join(records.encode(1, 0, RecordType.SEGMENT, records.body_of(payload)))
