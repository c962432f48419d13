"""The snapshot of the state machine on disk: one file, in the folder of the log.

Rules:

1. A file has its name only once all of it is durable (written aside, synced, renamed, folder synced).
   So a named file is whole, or damaged; it is never torn.
2. Chunks are opaque bytes. Each has a checksum of its own, and the last record has one over all.
3. There is one snapshot, the one of the highest index; when a newer one has its name, the older goes.
4. Want of room is no reason to stop: nothing was promised. Any other failure is (PITFALLS 6).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgpack

from raftkv.errors import CorruptLog, ForeignData, StorageError, other_format
from raftkv.raft import Configuration, SnapshotMark
from raftkv.storage import records
from raftkv.storage.files import Directory, File, Readable, remove_spared, sync
from raftkv.storage.records import Record, RecordType
from raftkv.types import LogIndex, Term

FORMAT_VERSION = 2
TEMPORARY = "snapshot.tmp"
SYNC_BYTES = 1 << 20
"""Written between two syncs: the log waits for one of them at most."""
HEADER_SEED = 0
"""Of the first record's checksum; those of the others are seeded with the snapshot's id, which it holds."""
_NAME = re.compile(r"^([0-9]{16})-([0-9a-f]{16})\.snap$")


def snapshot_name(mark: SnapshotMark) -> str:
    return f"{mark.index:016d}-{mark.id:016x}.snap"


@dataclass(slots=True)
class Stored:
    """A whole snapshot on disk."""

    mark: SnapshotMark
    name: str
    file: File
    offsets: list[int]
    """Of each chunk's record."""
    size: int
    cluster: str

    def chunks(self, path: str) -> Iterator[bytes]:
        for number in range(len(self.offsets)):
            yield self.read(number, path)

    def read(self, number: int, path: str) -> bytes:
        """Raises ``CorruptLog``: it was whole when it got its name."""
        record = records.read(self.mark.id, self.file, self.offsets[number])
        if record is None or record.kind is not RecordType.CHUNK:
            raise _damaged(
                path, self.name, self.offsets[number], f"chunk {number} of the snapshot is damaged"
            )
        return record.payload


class SnapshotFile:
    """A snapshot that is being written, chunk by chunk, under a name of whoever made the file."""

    def __init__(self, file: File, cluster: str, mark: SnapshotMark) -> None:
        self.file = file
        self.mark = mark
        self.size = 0
        self.offsets: list[int] = []
        self._crc = 0
        self._unsynced = 0
        header: bytes = msgpack.packb(
            (FORMAT_VERSION, cluster, mark.index, mark.term, mark.id, mark.configuration)
        )
        self._write(HEADER_SEED, RecordType.SNAPSHOT, header)

    def add(self, data: bytes) -> None:
        self.offsets.append(self.size)
        self._crc = zlib.crc32(data, self._crc)
        self._write(self.mark.id, RecordType.CHUNK, data)
        if self._unsynced >= SYNC_BYTES:
            sync(self.file)
            self._unsynced = 0

    def finish(self) -> SnapshotMark:
        """All of it is durable, but for the file's name."""
        end: bytes = msgpack.packb((len(self.offsets), self._crc))
        self._write(self.mark.id, RecordType.END, end)
        sync(self.file)
        return self.mark._replace(chunks=len(self.offsets))

    def _write(self, seed: int, kind: RecordType, payload: bytes) -> None:
        buffers = records.encode(seed, self.size, kind, records.body_of(payload))
        self.file.write(self.size, buffers)
        size = sum(map(len, buffers))
        self.size += size
        self._unsynced += size


class Snapshots:
    """Not thread-safe: one thread at a time, as for the log. Errors are plain ``OSError``."""

    def __init__(self, directory: Directory, cluster: str, latest: Stored | None) -> None:
        self._directory = directory
        self._cluster = cluster
        self._writing: SnapshotFile | None = None
        self.latest = latest

    @staticmethod
    def open(directory: Directory, cluster: str) -> Snapshots:
        """Find the newest snapshot and check all of it. Raises ``CorruptLog``, ``ForeignData``."""
        return Snapshots(directory, cluster, find_latest(directory, cluster))

    def clear_away(self) -> None:
        """What a crash left of others. The name of the latest is made durable first: a process that was
        killed before it had done so must not cost both."""
        latest = self.latest.name if self.latest else None
        left = [
            name
            for name in self._directory.list()
            if name == TEMPORARY or (_NAME.match(name) and latest and name != latest)
        ]
        if left:
            sync(self._directory)
        for name in left:
            self._directory.remove(name)

    def add(self, mark: SnapshotMark, number: int, data: bytes, last: bool) -> bool:
        """Write chunk ``number`` of the snapshot of ``mark``; chunk 0 begins it, and gives up any other
        that was begun. ``mark.chunks`` counts only once ``last`` is set; then the snapshot is durable.

        False when this chunk does not follow what is here: its snapshot was given up."""
        try:
            if number == 0:
                self._begin(mark)
            writing = self._writing
            if writing is None or writing.mark.id != mark.id or len(writing.offsets) != number:
                return False
            writing.add(data)
            if last:
                self._finish(writing)
        except OSError:
            self.give_up()
            raise
        return True

    def give_up(self) -> None:
        """Forget the snapshot that was begun."""
        if self._writing:
            self._writing.file.close()
            self._writing = None
            with suppress(OSError):  # the next one, or the next start, clears it away
                self._directory.remove(TEMPORARY)

    def read(self, mark: SnapshotMark, number: int) -> bytes | None:
        """A chunk of the latest snapshot; None when ``mark`` is not it any more."""
        latest = self.latest
        if latest is None or latest.mark.id != mark.id or number >= len(latest.offsets):
            return None
        return latest.read(number, self._directory.path)

    def close(self) -> None:
        self.give_up()
        if self.latest:
            self.latest.file.close()

    # -- internals

    def _begin(self, mark: SnapshotMark) -> None:
        self.give_up()
        if TEMPORARY in self._directory.list():
            self._directory.remove(TEMPORARY)
        file = self._directory.create(TEMPORARY)
        try:
            self._writing = SnapshotFile(file, self._cluster, mark)
        except OSError:
            file.close()
            with suppress(OSError):
                self._directory.remove(TEMPORARY)
            raise

    def _finish(self, writing: SnapshotFile) -> None:
        mark = writing.finish()
        before, name = self.latest, snapshot_name(mark)
        if before and before.mark.index >= mark.index:
            self.give_up()  # a newer one is here already
            return
        self._directory.rename(TEMPORARY, name)
        sync(self._directory)
        self._writing = None
        self.latest = Stored(mark, name, writing.file, writing.offsets, writing.size, self._cluster)
        if before:
            before.file.close()
            remove_spared(self._directory, before.name)


def find_latest(directory: Readable, cluster: str | None) -> Stored | None:
    """The newest snapshot in a folder, every byte of it checked. ``cluster`` None: whosever it is.

    Raises ``CorruptLog``, ``ForeignData``, and ``OSError`` for a folder that cannot be read."""
    names = [name for name in directory.list() if _NAME.match(name)]
    if not names:
        return None
    stored = open_snapshot(directory, max(names))
    try:
        if cluster is not None and stored.cluster != cluster:
            path = f"{directory.path}/{stored.name}"
            raise ForeignData(f"snapshot {path} is of another cluster, not of {cluster}")
        if snapshot_name(stored.mark) != stored.name:
            raise _damaged(directory.path, stored.name, 0, "the snapshot's header does not fit its name")
    except StorageError:
        stored.file.close()
        raise
    return stored


def open_snapshot(directory: Readable, name: str) -> Stored:
    """A snapshot's file, every byte of it checked. Raises as ``find_latest`` does."""
    file = directory.open(name)
    try:
        return _checked(file, directory.path, name)
    except (StorageError, OSError):
        file.close()
        raise


def _checked(file: File, path: str, name: str) -> Stored:
    def damaged(cause: str) -> CorruptLog:
        return _damaged(path, name, offset, cause)

    offset = 0
    record = records.read(HEADER_SEED, file, offset)
    header = _unpacked(record) if record and record.kind is RecordType.SNAPSHOT else None
    if record is None or header is None or type(header[0]) is not int:
        raise damaged("no valid header of a snapshot")
    if header[0] != FORMAT_VERSION:
        raise ForeignData(f"snapshot {path}/{name} {other_format(header[0], FORMAT_VERSION)}")
    if tuple(map(type, header)) != (int, str, int, int, int, bytes):
        raise damaged("a header with fields of the wrong type")
    _, cluster, index, term, snapshot_id, configuration = header
    try:
        Configuration.decode(configuration)
    except ValueError as error:
        raise damaged(str(error)) from error
    offsets, crc, offset = [], 0, record.end
    while (record := records.read(snapshot_id, file, offset)) and record.kind is RecordType.CHUNK:
        offsets.append(offset)
        crc = zlib.crc32(record.payload, crc)
        offset = record.end
    if record is None or record.kind is not RecordType.END or _unpacked(record) != (len(offsets), crc):
        raise damaged("the snapshot is damaged from here on")
    if file.read(record.end, 1):
        offset = record.end
        raise damaged("something follows the end of the snapshot")
    mark = SnapshotMark(LogIndex(index), Term(term), snapshot_id, len(offsets), configuration)
    return Stored(mark, name, file, offsets, record.end, cluster)


def _unpacked(record: Record) -> tuple[Any, ...] | None:
    try:
        content = msgpack.unpackb(record.payload, use_list=False)
    except (ValueError, msgpack.UnpackException):
        return None
    return content if type(content) is tuple and content else None


def _damaged(path: str, name: str, offset: int, cause: str) -> CorruptLog:
    return CorruptLog(f"{path}/{name}", offset, cause)
