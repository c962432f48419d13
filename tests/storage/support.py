"""What the storage tests share: an identity, small entries, a list that stands in for the log, and
the ways in which a disk can lose power."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from raftkv.raft import Entry, HardState
from raftkv.storage import Directory, Identity, Recovered, Wal, WalOptions
from raftkv.storage.memory import (
    Hook,
    MemoryDirectory,
    MemoryFile,
    Tear,
    keep,
    keep_prefix,
    keep_random_sectors,
    lose,
)
from raftkv.types import LogIndex, NodeId, Term

N1 = NodeId("n1")
IDENTITY = Identity("test", N1, "first-life")
SMALL = WalOptions(segment_bytes=2048)
NOTHING = HardState(Term(0), None, LogIndex(0))

Write = tuple[HardState | None, list[Entry]]
State = tuple[HardState, list[Entry]]


class PowerLoss(Exception):
    """Raised by a disk's hook: neither this operation nor anything after it happened."""


def entry(index: int, term: int = 1, data: bytes = b"value") -> Entry:
    return Entry(LogIndex(index), Term(term), 1, data)


def entries(first: int, last: int, term: int = 1, size: int = 20) -> list[Entry]:
    """Entries ``first..last`` with data that no two indexes or terms share."""
    return [
        entry(index, term, random.Random(index * 1000 + term).randbytes(size))
        for index in range(first, last + 1)
    ]


def hard_state(term: int, vote: NodeId | None = None, commit: int = 0) -> HardState:
    return HardState(Term(term), vote, LogIndex(commit))


def replay(writes: Iterable[Write]) -> State:
    """What a log must hold after ``writes``: the obvious implementation."""
    state, log = NOTHING, list[Entry]()
    for new_state, batch in writes:
        state = new_state or state
        for item in batch:
            log = [*log[: item.index - 1], item]
    return state, log


def open_wal(directory: Directory, options: WalOptions = SMALL) -> tuple[Wal, Recovered]:
    return Wal.open(directory, IDENTITY, options)


def state_of(recovered: Recovered) -> State:
    return recovered.hard_state, recovered.entries


def reopened(directory: MemoryDirectory) -> MemoryDirectory:
    """The same disk in a new process: the old one ended without losing power."""
    return directory.power_loss(keep, keep_names=True)


def reopen(directory: MemoryDirectory, options: WalOptions = SMALL) -> tuple[Wal, Recovered]:
    return open_wal(reopened(directory), options)


def written(writes: Sequence[Write], options: WalOptions = SMALL) -> MemoryDirectory:
    """A disk that holds exactly ``writes``, all acknowledged."""
    directory = MemoryDirectory()
    wal, _ = open_wal(directory, options)
    for state, batch in writes:
        wal.append(state, batch)
    return reopened(directory)


def lose_power_at(number: int) -> Hook:
    """A hook that lets ``number`` operations through and no more."""
    left = number

    def before(operation: str) -> None:
        nonlocal left
        if left == 0:
            raise PowerLoss(operation)
        left -= 1

    return before


def failing(wanted: str, error_number: int) -> Hook:
    """A hook under which every operation ``wanted`` fails."""

    def before(operation: str) -> None:
        if operation == wanted:
            raise OSError(error_number, "made to fail")

    return before


class FillingFile(MemoryFile):
    """Writes what still fits and then reports that the disk is full, as pwrite does."""

    def __init__(self, disk: FillingDirectory, durable: bytes = b"") -> None:
        super().__init__(disk, durable)
        self.filling = disk

    def write(self, offset: int, buffers: Sequence[bytes]) -> None:
        data = b"".join(buffers)
        room = self.filling.room
        if room is None or len(data) <= room:
            super().write(offset, buffers)
        else:
            super().write(offset, [data[:room]])
            raise OSError(errno.ENOSPC, "No space left on device")


class FillingDirectory(MemoryDirectory):
    """A disk that can be made to fill up in the middle of a write: ``room`` is what still fits."""

    room: int | None = None

    @staticmethod
    def holding(files: Mapping[str, bytes]) -> FillingDirectory:
        directory = FillingDirectory()
        directory.files = {name: FillingFile(directory, data) for name, data in files.items()}
        directory.sync()
        return directory

    def create(self, name: str) -> MemoryFile:
        super().create(name)
        self.files[name] = FillingFile(self)
        return self.files[name]


def flip(directory: MemoryDirectory, name: str, offset: int, mask: int) -> None:
    file = directory.files[name]
    file.live[offset] ^= mask
    file.durable[offset] ^= mask


# A record's header lies within one sector, and a disk writes a sector whole; shorter prefixes stand
# for a file system that appends byte by byte.
PREFIXES = (1, 7, 15, 16, 17, 40, 100, 496, 511, 512, 513, 700, 1024, 1500, 2500)
SEEDS = range(8)


def _sectors(seed: int) -> Tear:
    return keep_random_sectors(random.Random(seed))


SURVIVALS: dict[str, Callable[[], Tear]] = {
    "lose": lambda: lose,
    "keep": lambda: keep,
    **{f"prefix {length}": partial(keep_prefix, length) for length in PREFIXES},
    **{f"sectors {seed}": partial(_sectors, seed) for seed in SEEDS},
}
"""What may survive of the unsynced writes. Functions, for a survival by chance is drawn anew each time."""
