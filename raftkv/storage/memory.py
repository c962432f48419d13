"""A disk in memory that behaves like the worst real one.

Bytes and names are durable only after their ``sync``. ``power_loss`` gives the disk as the next
start finds it: every unsynced write may be there, be missing, or be there in part, and an unsynced
name may have stayed the old one. ``before`` is called ahead of every operation that changes something, and
may raise.
"""

from __future__ import annotations

import errno
import random
import sys
from collections.abc import Callable, Sequence

from raftkv.errors import DataFolderLocked
from raftkv.storage.records import SECTOR_BYTES

Hook = Callable[[str], None]
Tear = Callable[[int, bytes], list[tuple[int, bytes]]]
"""What survives of one unsynced write at an offset of its file: pieces, as (offset within the write,
bytes)."""


def lose(_offset: int, _data: bytes) -> list[tuple[int, bytes]]:
    return []


def keep(_offset: int, data: bytes) -> list[tuple[int, bytes]]:
    return [(0, data)]


def keep_prefix(length: int) -> Tear:
    return lambda _, data: [(0, data[:length])]


def keep_random_sectors(rng: random.Random) -> Tear:
    """Each sector of the write reaches the disk or not, on its own."""

    def tear(offset: int, data: bytes) -> list[tuple[int, bytes]]:
        pieces = []
        start = 0
        while start < len(data):
            end = min(len(data), start + SECTOR_BYTES - (offset + start) % SECTOR_BYTES)
            if rng.random() < 0.5:
                pieces.append((start, data[start:end]))
            start = end
        return pieces

    return tear


class MemoryFile:
    def __init__(self, disk: MemoryDirectory, durable: bytes = b"") -> None:
        self._disk = disk
        self.live = bytearray(durable)
        self.durable = bytearray(durable)
        self.unsynced: list[tuple[int, bytes]] = []
        self.dropped: list[tuple[int, bytes]] = []
        """Written before a sync that failed: the kernel may have dropped them, and no later sync that
        succeeds says anything about them (PITFALLS 6)."""

    def size(self) -> int:
        return len(self.live)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self.live[offset : offset + length])

    def write(self, offset: int, buffers: Sequence[bytes]) -> None:
        data = b"".join(buffers)
        self._disk.before("write")
        self._disk.charge(max(0, offset + len(data) - len(self.live)))
        if self._disk.full:
            data = data[: len(data) // 2]
        _put(self.live, offset, data)
        self.unsynced.append((offset, data))
        if self._disk.full:
            raise OSError(errno.ENOSPC, "No space left on device")

    def allocate(self, size: int) -> None:
        self._disk.before("allocate")
        granted = min(size, len(self.live) + self._disk.free())
        # Allocation is journalled by real file systems: taken as durable with the file's name. Where there is
        # room for a part of it, that part stays.
        for image in (self.live, self.durable):
            image.extend(bytes(max(0, granted - len(image))))
        self._disk.charge(size - granted)

    def zero_ahead(self, start: int, end: int) -> None:
        """Of no effect, as long as it is called for zeros."""
        self._disk.before("zero")
        assert not any(self.live[start:end]), "zeros go only where nothing is"

    def sync(self) -> None:
        try:
            self._disk.before("sync")
        except OSError:
            self.dropped += self.unsynced
            self.unsynced.clear()
            raise
        for offset, data in self.unsynced:
            _put(self.durable, offset, data)
        self.unsynced.clear()

    def close(self) -> None:
        pass

    def move_to(self, disk: MemoryDirectory) -> None:
        self._disk = disk

    def after_power_loss(self, disk: MemoryDirectory, tear: Tear) -> MemoryFile:
        image = bytearray(self.durable)
        for offset, data in (*self.dropped, *self.unsynced):
            for start, piece in tear(offset, data):
                _put(image, offset + start, piece)
        return MemoryFile(disk, bytes(image))


class MemoryDirectory:
    """See the module. ``space_bytes`` bounds the sum of all file sizes; None is unbounded. ``full``: of
    every write only half finds room, as where blocks are allocated when they are written."""

    def __init__(
        self, path: str = "memory", before: Hook | None = None, space_bytes: int | None = None
    ) -> None:
        self._path = path
        self.before: Hook = before or _do_nothing
        self.space_bytes = space_bytes
        self.full = False
        self.files: dict[str, MemoryFile] = {}
        self._durable_names: dict[str, MemoryFile] = {}
        self._locked = False

    @property
    def path(self) -> str:
        return self._path

    @property
    def limited(self) -> bool:
        return self.full or self.space_bytes is not None

    def lift_limits(self) -> None:
        self.full, self.space_bytes = False, None

    def used(self) -> int:
        """Bytes of all files together."""
        return sum(len(file.live) for file in self.files.values())

    def free(self) -> int:
        """Bytes that are left."""
        return sys.maxsize if self.space_bytes is None else max(0, self.space_bytes - self.used())

    def charge(self, growth: int) -> None:
        if growth > self.free():
            raise OSError(errno.ENOSPC, "No space left on device")

    def list(self) -> list[str]:
        return sorted(self.files)

    def create(self, name: str) -> MemoryFile:
        self.before("create")
        if name in self.files:
            raise FileExistsError(errno.EEXIST, "File exists", name)
        self.files[name] = MemoryFile(self)
        return self.files[name]

    def open(self, name: str) -> MemoryFile:
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)
        return self.files[name]

    def rename(self, old: str, new: str) -> None:
        self.before("rename")
        self.files[new] = self.files.pop(old)

    def remove(self, name: str) -> None:
        self.before("remove")
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)
        del self.files[name]

    def sync(self) -> None:
        self.before("sync_directory")
        self._durable_names = dict(self.files)

    def lock(self) -> None:
        if self._locked:
            raise DataFolderLocked(f"data folder {self._path} is in use")
        self._locked = True

    def power_loss(self, tear: Tear = lose, keep_names: bool | random.Random = False) -> MemoryDirectory:
        """The disk at the next start. ``keep_names``: unsynced names happened to survive; with a source of
        chance some of them did."""
        after = MemoryDirectory(self._path, space_bytes=self.space_bytes)
        after.full = self.full
        if isinstance(keep_names, random.Random):
            names = self._some_names(keep_names)
        else:
            names = self.files if keep_names else self._durable_names
        after.files = {name: file.after_power_loss(after, tear) for name, file in names.items()}
        after._durable_names = dict(after.files)
        return after

    def _some_names(self, chance: random.Random) -> dict[str, MemoryFile]:
        """Of each name what it stands for now, or stood for when the folder was last synced."""
        found = {}
        for name in sorted(self.files.keys() | self._durable_names.keys()):
            chosen = self.files if chance.random() < 0.5 else self._durable_names
            if name in chosen:
                found[name] = chosen[name]
        return found

    def process_loss(self) -> MemoryDirectory:
        """The disk when only the process has ended: everything it wrote can be read, and what it did
        not sync can still be lost when the power goes."""
        after = MemoryDirectory(self._path, space_bytes=self.space_bytes)
        after.full = self.full
        after.files, after._durable_names = self.files, self._durable_names
        for file in {
            id(file): file for file in (*self.files.values(), *self._durable_names.values())
        }.values():
            file.move_to(after)
        return after


def _do_nothing(operation: str) -> None:
    del operation


def _put(image: bytearray, offset: int, data: bytes) -> None:
    if offset > len(image):
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(data)] = data
