"""What storage needs of a disk, as two small protocols, and the real thing.

Nothing is durable before ``sync``: neither bytes (``File.sync``) nor names (``Directory.sync``,
PITFALLS 8). Every method may raise ``OSError``; ``conclude`` says whether that is ``DiskFull``.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from raftkv.errors import DataFolderLocked, DiskFull, ForeignData, StorageFailed

ROOMLESS_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE})
"""No space, quota exceeded, the limit on a file's size (``ulimit -f``), and no descriptor for another file:
connections take those, and give them back."""


class File(Protocol):
    """Random access to one file's bytes."""

    def size(self) -> int: ...
    def read(self, offset: int, length: int) -> bytes:
        """Fewer bytes than asked only at the end of the file."""
        ...

    def write(self, offset: int, buffers: Sequence[bytes]) -> None:
        """All of ``buffers``, one after the other. After an error any part may have been written."""
        ...

    def allocate(self, size: int) -> None:
        """Reserve ``size`` bytes, zeros where nothing was written."""
        ...

    def zero_ahead(self, start: int, end: int) -> None:
        """Write the zeros that these bytes are taken for already. Nothing that can be read changes, but the
        blocks count as written, and a sync of what is put there needs no journal of the file system."""
        ...

    def sync(self) -> None:
        """Make the bytes durable. After an error nothing is known about them (PITFALLS 6)."""
        ...

    def close(self) -> None: ...


class Readable(Protocol):
    """A flat folder of files, to be read."""

    @property
    def path(self) -> str:
        """For messages only."""
        ...

    def list(self) -> list[str]: ...
    def open(self, name: str) -> File: ...


class Directory(Readable, Protocol):
    """A flat folder of files."""

    def create(self, name: str) -> File: ...
    def rename(self, old: str, new: str) -> None: ...
    def remove(self, name: str) -> None: ...
    def sync(self) -> None: ...
    def lock(self) -> None:
        """Hold the folder until the process ends, or raise ``DataFolderLocked``."""
        ...


class OsFile:
    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, offset: int, length: int) -> bytes:
        parts = []
        while length > 0:
            part = os.pread(self._fd, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)

    def write(self, offset: int, buffers: Sequence[bytes]) -> None:
        total = sum(map(len, buffers))
        written = os.pwritev(self._fd, buffers, offset)
        if written < total:
            # A short write is rare (a signal, a disk that fills up): finish it plainly.
            rest = memoryview(b"".join(buffers))[written:]
            while rest:
                count = os.pwrite(self._fd, rest, offset + written)
                written += count
                rest = rest[count:]

    def allocate(self, size: int) -> None:
        os.posix_fallocate(self._fd, 0, size)

    def zero_ahead(self, start: int, end: int) -> None:
        self.write(start, [bytes(end - start)])

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


class OsDirectory:
    """A real folder; made, with its parents, if it is absent. Raises ``ForeignData`` where it cannot be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        for place in (path, *path.parents):
            if place.exists() and not place.is_dir():
                raise ForeignData(f"data folder {path} cannot be made: {place} is a file")
        missing = [folder for folder in [path, *path.parents] if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            sync_folder(folder.parent)
        self._lock_fd: int | None = None

    @property
    def path(self) -> str:
        return str(self._path)

    def list(self) -> list[str]:
        return sorted(entry.name for entry in self._path.iterdir())

    def create(self, name: str) -> File:
        return OsFile(os.open(self._path / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def open(self, name: str) -> File:
        return OsFile(os.open(self._path / name, os.O_RDWR | os.O_CLOEXEC))

    def rename(self, old: str, new: str) -> None:
        (self._path / old).rename(self._path / new)

    def remove(self, name: str) -> None:
        (self._path / name).unlink()

    def sync(self) -> None:
        if self._lock_fd is None:
            sync_folder(self._path)
        else:
            os.fsync(self._lock_fd)  # no descriptor that might not be had

    def lock(self) -> None:
        """On the folder itself: a file that is locked can be deleted, and another locked under its name."""
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fd = os.open(self._path / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(folder)
            os.close(fd)
            by = f"process {holder}" if holder else "another process"
            raise DataFolderLocked(
                f"data folder {self._path} is in use by {by}; stop that node first, or choose another folder"
            ) from None
        with suppress(OSError):  # the pid is for people; the lock itself needs no space
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
        os.close(fd)
        self._lock_fd = folder


class ReadOnlyDirectory:
    """A real folder that is looked at and never touched: for tools that read what a node has written,
    on a disk that may not even be writable."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def path(self) -> str:
        return str(self._path)

    def list(self) -> list[str]:
        return sorted(entry.name for entry in self._path.iterdir())

    def open(self, name: str) -> File:
        return OsFile(os.open(self._path / name, os.O_RDONLY | os.O_CLOEXEC))


class SyncError(OSError):
    """A sync failed, whatever the errno: the kernel may have dropped what it could not write."""


def sync(target: File | Directory) -> None:
    try:
        target.sync()
    except OSError as error:
        raise SyncError(error.errno, error.strerror or str(error)) from error


def conclude(directory: Directory, error: OSError) -> DiskFull | StorageFailed:
    """For want of space, or of a descriptor, nothing was begun: that is survivable as long as no sync was
    involved. Nothing else is."""
    if error.errno in ROOMLESS_ERRNOS and not isinstance(error, SyncError):
        what = "no more files can be opened" if error.errno in (errno.EMFILE, errno.ENFILE) else "no space"
        return DiskFull(f"{what} in {directory.path}: {error.strerror}")
    return StorageFailed(
        f"disk failure in {directory.path}: {error.strerror or error}; "
        "this node stops because it cannot know what reached the disk. "
        "Check the disk, then start the node again"
    )


def remove_spared(directory: Directory, name: str) -> bool:
    """Remove a file that only takes up room. False where even that takes room, of which there is none (as on
    file systems that copy on write): it stays for another time."""
    try:
        directory.remove(name)
    except OSError as error:
        if error.errno not in ROOMLESS_ERRNOS:
            raise
        return False
    return True


def sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
