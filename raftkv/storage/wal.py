"""The write-ahead log: segments, appending, recovery.

Owns every file of one node's ``wal/`` folder. Rules:

1. ``append`` returns only once the batch is durable; batches become durable in order.
2. A failed write or sync is latched: every later call raises it again (PITFALLS 6). The one
   exception is a full disk noticed *before* a sync: nothing was promised, it may be tried again.
3. A segment appears under its name only after its header is durable; then the folder is synced
   before anything is written to it (PITFALLS 7, 8).
4. Only the last segment may end in a torn record. Everything else that is not right is refused,
   with file, offset and cause, and nothing is changed (PITFALLS 9).

Segments are named ``<number>-<first index>.log``: the number orders them, since after a truncation
a later segment may start at a lower index than an earlier one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

import msgpack

from raftkv.errors import SHOWN_CHARACTERS, CorruptLog, DiskFull, ForeignData, StorageFailed, shown
from raftkv.raft import Entry, HardState
from raftkv.storage import records
from raftkv.storage.files import NO_SPACE_ERRNOS, Directory, File, Readable
from raftkv.storage.records import RecordType, Verdict
from raftkv.types import LogIndex, NodeId, Term

FORMAT_VERSION = 1
_NAME = re.compile(r"^([0-9]{12})-([0-9]{16})\.log$")
_TEMPORARY = "next.tmp"


@dataclass(frozen=True, slots=True)
class WalOptions:
    segment_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose log this is. ``incarnation`` is drawn when the folder is made and never changes."""

    cluster: str
    node: NodeId
    incarnation: str


@dataclass(slots=True)
class Recovered:
    """What the disk held: the start of a new life."""

    identity: Identity
    hard_state: HardState
    entries: list[Entry] = field(default_factory=list)
    cut: str | None = None
    """One line about a torn tail that was cut, for the node's own log."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What ``Wal.read`` found."""

    recovered: Recovered
    segments: list[str]
    """Their names, in order."""
    bytes_used: int


class Wal:
    """One node's log on disk, open for appending. Not thread-safe: one thread owns it."""

    def __init__(self, directory: Directory, options: WalOptions, recovered: Recovered) -> None:
        self._directory = directory
        self._options = options
        self._identity = recovered.identity
        self._hard_state = recovered.hard_state
        self._last_index = recovered.entries[-1].index if recovered.entries else LogIndex(0)
        self._last_term = recovered.entries[-1].term if recovered.entries else Term(0)
        self._failure: StorageFailed | None = None
        self._file: File | None = None
        self._number = 0
        self._offset = 0
        self._capacity = 0
        self._dirty_end = 0
        """Bytes up to here may hold parts of a write that found the disk full."""
        self.segment_count = 0
        self.bytes_used = 0

    @staticmethod
    def open(directory: Directory, identity: Identity, options: WalOptions) -> tuple[Wal, Recovered]:
        """Lock, recover and continue the log in ``directory``; start a new one if it is empty.

        Raises ``DataFolderLocked``, ``ForeignData``, ``CorruptLog``, ``DiskFull``, ``StorageFailed``.
        """
        directory.lock()
        try:
            reader = _Reader(directory, identity)
            recovered = reader.read_all()
            if _TEMPORARY in directory.list():
                directory.remove(_TEMPORARY)  # a segment whose creation a crash cut short
            wal = Wal(directory, options, recovered)
            if reader.numbers:
                wal._continue(reader)
            else:
                wal._start_segment()
        except OSError as error:
            raise _conclude(directory, error) from error
        return wal, recovered

    @staticmethod
    def read(directory: Readable) -> Inspection:
        """All that is in the log, whosever it is, without changing or locking anything.

        Raises ``CorruptLog``, ``ForeignData`` and, for a folder that cannot be read, ``OSError``."""
        reader = _Reader(directory, None)
        return Inspection(reader.read_all(), reader.names, reader.bytes_used)

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Make one batch durable. An entry at or below the last index replaces the log from there on.

        Raises ``DiskFull`` (nothing happened, try again) or ``StorageFailed`` (stop).
        """
        if self._failure:
            raise self._failure
        state = hard_state or self._hard_state
        payload: bytes = msgpack.packb((hard_state, entries))
        try:
            if self._file and self._dirty_end > self._offset:
                # What an append left that found the disk full. Behind a shorter record, or in a
                # segment that is not the last one any more, it would be damage; and to zero it in
                # the same write as the record is not enough: power may fail between the sectors.
                _erase(self._file, self._offset, self._dirty_end)
                self._dirty_end = 0
            if self._offset + records.encoded_size(len(payload)) > self._capacity:
                self._start_segment(records.encoded_size(len(payload)))
            self._write(RecordType.WRITE, payload)
        except OSError as error:
            conclusion = _conclude(self._directory, error)
            if isinstance(conclusion, StorageFailed):
                self._failure = conclusion
            raise conclusion from error
        self._hard_state = state
        if entries:
            self._last_index, self._last_term = entries[-1].index, entries[-1].term

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    # -- internals

    def _write(self, kind: RecordType, payload: bytes) -> None:
        assert self._file is not None
        buffers = records.encode(self._number, self._offset, kind, payload)
        end = self._offset + sum(map(len, buffers))
        self._dirty_end = end - len(buffers[-1]) + 1  # up to the end mark: that is what is erased first
        self._file.write(self._offset, buffers)
        _sync(self._file)
        self._dirty_end = 0
        self.bytes_used += end - self._offset
        self._offset = end

    def _start_segment(self, room: int = 0) -> None:
        """Prepare the next segment aside, then give it its name. A crash anywhere leaves either
        no trace but a temporary file, or a whole, empty segment."""
        first_index = LogIndex(self._last_index + 1)
        number = self._number + 1
        payload: bytes = msgpack.packb(
            (
                FORMAT_VERSION,
                self._identity.cluster,
                self._identity.node,
                self._identity.incarnation,
                number,
                first_index,
                self._last_term,
                self._hard_state,
            )
        )
        header = records.encode(number, 0, RecordType.SEGMENT, payload)
        start = sum(map(len, header))
        capacity = max(self._options.segment_bytes, start + room)
        if _TEMPORARY in self._directory.list():
            self._directory.remove(_TEMPORARY)
        file = self._directory.create(_TEMPORARY)
        try:
            file.allocate(capacity)
            file.write(0, header)
            _sync(file)
            self._directory.rename(_TEMPORARY, segment_name(number, first_index))
            _sync(self._directory)
        except OSError:
            file.close()
            raise
        self.close()
        self._file, self._number, self._offset, self._capacity = file, number, start, capacity
        self._dirty_end = 0
        self.segment_count += 1
        self.bytes_used += start

    def _continue(self, reader: _Reader) -> None:
        """Go on in the last segment, after making a torn tail zero again: what is written there
        next must not be followed by leftovers that look like damage.

        And make durable what was read: a process that was killed between a write and its sync, or a
        rename and its sync, left in the page cache what this life is about to vouch for, and only a
        sync takes that out of the reach of a later loss of power. Nothing older can be unsynced."""
        name = reader.names[-1]
        file = self._directory.open(name)
        self._file, self._number, self._offset = file, reader.numbers[-1], reader.end
        if reader.dirty_end > reader.end:
            _erase(file, reader.end, reader.dirty_end)
        _sync(file)
        _sync(self._directory)
        self._capacity = file.size()
        self.segment_count = len(reader.names)
        self.bytes_used = reader.bytes_used


def _named(name: str) -> str:
    """As it is, if a line can hold it."""
    return name if name.isprintable() and len(name) <= SHOWN_CHARACTERS else shown(name)


_ENTRY_TYPES = (int, int, int, bytes)


def _hard_state(row: Any) -> HardState:
    """Raises TypeError or ValueError for anything else."""
    state = HardState(*row)
    if tuple(map(type, state)) not in ((int, str, int), (int, NoneType, int)):
        raise ValueError("a hard state with fields of the wrong type")
    return state


def _conclude(directory: Directory, error: OSError) -> DiskFull | StorageFailed:
    """No space is survivable as long as no sync was involved; nothing else is."""
    if error.errno in NO_SPACE_ERRNOS and not isinstance(error, _SyncError):
        return DiskFull(f"no space in {directory.path}: {error.strerror}")
    return StorageFailed(
        f"disk failure in {directory.path}: {error.strerror or error}; "
        "this node stops because it cannot know what reached the disk. "
        "Check the disk, then start the node again"
    )


def _erase(file: File, start: int, end: int) -> None:
    """Make a torn record zero. The end mark goes first and the header last, so that a crash at any
    point of this leaves what is still plainly a torn record."""
    body = min(start + records.HEADER_BYTES, end)
    for low, high in ((end - 1, end), (body, end), (start, body)):
        file.write(low, [bytes(high - low)])
        _sync(file)


def segment_name(number: int, first_index: int) -> str:
    return f"{number:012d}-{first_index:016d}.log"


class _SyncError(OSError):
    """A sync failed, whatever the errno: the kernel may have dropped what it could not write."""


def _sync(target: File | Directory) -> None:
    try:
        target.sync()
    except OSError as error:
        raise _SyncError(error.errno, error.strerror or str(error)) from error


class _Reader:
    """One pass over all segments at start."""

    def __init__(self, directory: Readable, identity: Identity | None) -> None:
        """``identity`` None: take the log for whosever it says it is."""
        self._directory = directory
        self._identity = identity
        found = [match for name in directory.list() if (match := _NAME.match(name))]
        self.names = [match.group(0) for match in found]
        self.numbers = [int(match.group(1)) for match in found]
        self.end = 0
        self.dirty_end = 0
        self.bytes_used = 0
        nobody = Identity("", NodeId(""), "")
        self._recovered = Recovered(identity or nobody, HardState(Term(0), None, LogIndex(0)))

    def read_all(self) -> Recovered:
        for position, number in enumerate(self.numbers):
            name = self.names[position]
            if number != position + 1:
                raise CorruptLog(
                    f"{self._directory.path}/{name}",
                    0,
                    f"the segment before it, number {number - 1}, is missing",
                )
            self._read_segment(name, number, last=position == len(self.numbers) - 1)
            self.bytes_used += self.end
        recovered = self._recovered
        last_index = recovered.entries[-1].index if recovered.entries else 0
        if recovered.hard_state.commit_index > last_index:
            commit = recovered.hard_state.commit_index
            raise self._corrupt(self.end, f"commit index {commit} lies beyond the last entry {last_index}")
        return recovered

    def _read_segment(self, name: str, number: int, last: bool) -> None:
        self._name = name
        file = self._directory.open(name)
        try:
            data = file.read(0, file.size())
        finally:
            file.close()
        offset = 0
        while record := records.decode(number, data, offset):
            if (record.kind is RecordType.SEGMENT) != (offset == 0):
                raise self._corrupt(offset, "a segment header out of place")
            try:
                content = msgpack.unpackb(record.payload, use_list=False)
                if record.kind is RecordType.SEGMENT:
                    self._check_header(number, content)
                else:
                    self._replay(offset, content)
            except (ValueError, TypeError, LookupError, msgpack.UnpackException) as error:
                raise self._corrupt(offset, f"a record that cannot be read: {error}") from error
            offset = record.end
        judgement = records.judge(number, data, offset)
        if offset == 0:
            raise self._corrupt(0, "no valid segment header")
        if judgement.verdict is Verdict.DAMAGED or (judgement.verdict is Verdict.TORN and not last):
            raise self._corrupt(offset, judgement.cause)
        if judgement.verdict is Verdict.TORN:
            self._recovered.cut = f"{self._directory.path}/{name} at byte {offset}: {judgement.cause}; cut"
        self.end, self.dirty_end = offset, judgement.dirty_end

    def _check_header(self, number: int, content: Any) -> None:
        where = f"data folder {self._directory.path}"
        version = content[0]  # whatever else a later version puts behind it
        if version > FORMAT_VERSION:
            raise ForeignData(
                f"{where} has format version {version}, but this raftkv reads up to version "
                f"{FORMAT_VERSION}: upgrade raftkv"
            )
        _, cluster, node, incarnation, stated, first_index, prev_term, hard_state = content
        if not type(cluster) is type(node) is type(incarnation) is str:
            raise ValueError("a name that is no text")
        mine = self._identity
        if mine and (cluster, node) != (mine.cluster, mine.node):
            raise ForeignData(
                f"{where} belongs to node {_named(node)} of cluster {_named(cluster)}, not to node "
                f"{mine.node} of cluster {mine.cluster}; point the node at its own folder or give it "
                "an empty one"
            )
        if number > 1 and incarnation != self._recovered.identity.incarnation:
            raise ForeignData(f"{where} mixes segments of two lives of node {node}: {self._name}")
        entries = self._recovered.entries
        last = (entries[-1].index, entries[-1].term) if entries else (0, 0)
        if stated != number or (first_index - 1, prev_term) != last:
            raise self._corrupt(0, f"starts at entry {first_index}, but the log before it ends at {last[0]}")
        self._recovered.identity = Identity(cluster, NodeId(node), incarnation)
        self._recovered.hard_state = _hard_state(hard_state)

    def _replay(self, offset: int, content: Any) -> None:
        hard_state, rows = content
        if hard_state is not None:
            self._recovered.hard_state = _hard_state(hard_state)
        entries = self._recovered.entries
        for row in rows:
            entry = Entry(*row)
            if tuple(map(type, entry)) != _ENTRY_TYPES:
                raise ValueError("an entry with fields of the wrong type")
            last_index = entries[-1].index if entries else 0
            if not 0 < entry.index <= last_index + 1:
                raise self._corrupt(offset, f"entry {entry.index} after entry {last_index}")
            if entry.index <= last_index:
                del entries[entry.index - 1 :]
            if entries and entry.term < entries[-1].term:
                raise self._corrupt(offset, f"entry {entry.index} has a lower term than the one before it")
            entries.append(entry)

    def _corrupt(self, offset: int, cause: str) -> CorruptLog:
        return CorruptLog(f"{self._directory.path}/{self._name}", offset, cause)
