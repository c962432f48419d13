"""The write-ahead log: segments and appending. ``recovery`` reads them back.

Owns every segment of one node's ``wal/`` folder. Rules:

1. ``append`` returns only once the batch is durable; batches become durable in order.
2. A failed write or sync is latched: every later call raises it again (PITFALLS 6). The one
   exception is a full disk noticed *before* a sync: nothing was promised, it may be tried again.
3. A segment appears under its name only after its header is durable; then the folder is synced
   before anything is written to it (PITFALLS 7, 8).
4. Only the last segment may end in a torn record; those before it end in a seal, which says that another
   follows and may be torn itself. Everything else that is not right is refused,
   with file, offset and cause, and nothing is changed (PITFALLS 9).
5. A segment has its full size from the first, and its header says which: one that is shorter was cut by
   somebody, and is refused like any other damage, unless only zeros are missing behind a whole record; one
   that is longer is refused as well.
6. Segments go from the oldest on, one by one, and only what a durable snapshot covers.

Segments are named ``<number>-<first index>.log``: the number orders them, since after a truncation
a later segment may start at a lower index than an earlier one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgpack

from raftkv.errors import CorruptLog, DiskFull, StorageFailed
from raftkv.raft import Entry, HardState, SnapshotMark
from raftkv.storage import records
from raftkv.storage.files import Directory, File, Readable, conclude, remove_spared, sync
from raftkv.storage.records import Body, RecordType
from raftkv.storage.recovery import (
    FORMAT_VERSION,
    SEAL_BYTES,
    Identity,
    Inspection,
    Reader,
    Recovered,
    Segment,
    segment_name,
)
from raftkv.storage.snapshots import find_latest
from raftkv.types import LogIndex, Term

_TEMPORARY = "next.tmp"
_LARGEST = (1 << 64) - 1
READS_MAX = 10
"""Of a folder that a node goes on writing to meanwhile."""
ZERO_AHEAD_BYTES = 256 << 10
"""Zeros are written this far ahead, at once: a sync of blocks that were only allocated has to journal that
they hold something now, and takes half as long again (``docs/performance.md``)."""


@dataclass(frozen=True, slots=True)
class WalOptions:
    segment_bytes: int = 64 << 20


class Wal:
    """One node's log on disk, open for appending. Not thread-safe: one thread at a time."""

    def __init__(self, directory: Directory, options: WalOptions, recovered: Recovered) -> None:
        self._directory = directory
        self._options = options
        self._identity = recovered.identity
        self._hard_state = recovered.hard_state
        self._last_index = recovered.last_index
        self._last_term = recovered.last_term
        self._failure: StorageFailed | None = None
        self._file: File | None = None
        self._number = 0
        self._offset = 0
        self._capacity = 0
        self._dirty_end = 0
        """Bytes up to here may hold parts of a write that found the disk full."""
        self._zeroed_end = 0
        """Blocks up to here have been written before, or are about to be."""
        self._earlier: deque[Segment] = deque()
        """All but the one that is written to."""
        self._first_index = 0
        """Of the one that is."""

    @staticmethod
    def open(
        directory: Directory, identity: Identity, options: WalOptions, snapshot: SnapshotMark | None = None
    ) -> tuple[Wal, Recovered]:
        """Recover and continue the log in ``directory``, which is locked; start a new one if there is none.

        Raises ``ForeignData``, ``CorruptLog``, ``DiskFull``, ``StorageFailed``.
        """
        try:
            reader = Reader(directory, identity, snapshot)
            recovered = reader.read_all()
            if _TEMPORARY in directory.list():
                directory.remove(_TEMPORARY)  # a segment whose creation a crash cut short
            wal = Wal(directory, options, recovered)
            if reader.segments:
                wal._continue(reader)
            if reader.void or not reader.segments:
                wal._start_segment(wal._last_index, wal._last_term, anew=reader.void)
        except OSError as error:
            raise conclude(directory, error) from error
        return wal, recovered

    @staticmethod
    def read(directory: Readable) -> Inspection:
        """All that is in the log, whosever it is, without changing or locking anything.

        Raises ``CorruptLog``, ``ForeignData`` and, for a folder that cannot be read, ``OSError``."""
        for _ in range(READS_MAX - 1):
            names = directory.list()
            try:
                return Wal._read(directory)
            except (CorruptLog, OSError):
                if directory.list() == names:
                    raise
                # A node works here, and has begun a segment or dropped one meanwhile.
        return Wal._read(directory)

    @staticmethod
    def _read(directory: Readable) -> Inspection:
        stored = find_latest(directory, None)
        if stored:
            stored.file.close()
        reader = Reader(directory, None, stored.mark if stored else None)
        recovered = reader.read_all()
        return Inspection(
            recovered,
            [segment.name for segment in reader.segments],
            sum(segment.bytes_used for segment in reader.segments),
        )

    @property
    def segment_count(self) -> int:
        return len(self._earlier) + 1

    @property
    def bytes_used(self) -> int:
        return sum([segment.bytes_used for segment in self._earlier]) + self._offset

    def append(
        self,
        hard_state: HardState | None,
        entries: Sequence[Entry],
        anew: SnapshotMark | None = None,
    ) -> None:
        """Make one batch durable. An entry at or below the last index replaces the log from there on;
        ``anew`` replaces all of it: ``entries`` follow that snapshot.

        Raises ``DiskFull`` (nothing happened, try again) or ``StorageFailed`` (stop).
        """
        if self._failure:
            raise self._failure
        body = records.body_of(msgpack.packb((hard_state, entries)))
        size = records.size_of(body)
        try:
            if self._file and self._dirty_end > self._offset:
                # What an append left that found the disk full. Behind a shorter record, or in a
                # segment that is not the last one any more, it would be damage; and to zero it in
                # the same write as the record is not enough: power may fail between the sectors.
                _erase(self._file, self._offset, self._dirty_end)
                self._dirty_end = 0
            if anew:
                self._start_segment(anew.index, anew.term, size, anew=True)
            elif self._offset + size + SEAL_BYTES > self._capacity:
                self._start_segment(self._last_index, self._last_term, size)
            self._write(RecordType.WRITE, body)
        except OSError as error:
            raise self._latched(error) from error
        self._hard_state = hard_state or self._hard_state
        if entries:
            self._last_index, self._last_term = entries[-1].index, entries[-1].term

    def drop_covered(self, mark: SnapshotMark) -> None:
        """Remove the segments of which nothing is needed beside this durable snapshot, or as many of them as
        can be. Raises ``StorageFailed``."""
        if self._failure:
            raise self._failure
        try:
            while self._earlier:
                following = self._earlier[1].first_index if len(self._earlier) > 1 else self._first_index
                if following - 1 > mark.index:
                    return
                if not remove_spared(self._directory, self._earlier[0].name):
                    return
                # One at a time: of several removals any may survive a loss of power, and leave a gap.
                sync(self._directory)
                self._earlier.popleft()
        except OSError as error:
            raise self._latched(error) from error

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    # -- internals

    def _latched(self, error: OSError) -> DiskFull | StorageFailed:
        conclusion = conclude(self._directory, error)
        if isinstance(conclusion, StorageFailed):
            self._failure = conclusion
        return conclusion

    def _write(self, kind: RecordType, body: Body) -> None:
        assert self._file is not None
        buffers = records.encode(self._number, self._offset, kind, body)
        end = self._offset + sum(map(len, buffers))
        assert end <= self._capacity, "a segment that grows is taken for damage at the next start"
        if end > self._zeroed_end:
            self._zeroed_end = max(end, min(end + ZERO_AHEAD_BYTES, self._capacity))
            self._file.zero_ahead(end, self._zeroed_end)
        self._dirty_end = end - len(buffers[-1]) + 1  # up to the end mark: that is what is erased first
        self._file.write(self._offset, buffers)
        sync(self._file)
        self._dirty_end = 0
        self._offset = end

    def _start_segment(
        self, last_index: LogIndex, last_term: Term, room: int = 0, anew: bool = False
    ) -> None:
        """Prepare the next segment aside, then give it its name. A crash anywhere leaves either
        no trace but a temporary file, or a whole, empty segment."""
        first_index = LogIndex(last_index + 1)
        number = self._number + 1
        described = (
            FORMAT_VERSION,
            self._identity.cluster,
            self._identity.node,
            self._identity.incarnation,
            number,
            first_index,
            last_term,
            self._hard_state,
            anew,
        )
        longest = records.size_of(records.body_of(msgpack.packb((*described, _LARGEST))))
        capacity = max(self._options.segment_bytes, longest + room + SEAL_BYTES)
        body = records.body_of(msgpack.packb((*described, capacity)))
        header = records.encode(number, 0, RecordType.SEGMENT, body)
        start = sum(map(len, header))
        if _TEMPORARY in self._directory.list():
            self._directory.remove(_TEMPORARY)
        name = segment_name(number, first_index)
        file = self._directory.create(_TEMPORARY)
        try:
            file.allocate(capacity)
            file.write(0, header)
            sync(file)
            self._directory.rename(_TEMPORARY, name)
            sync(self._directory)
            self._seal(number)
        except OSError:
            file.close()
            with suppress(OSError):  # it may hold all the room that was left, and others need it
                self._directory.remove(_TEMPORARY)
            raise
        if self._file:
            finished = segment_name(self._number, self._first_index)
            self._earlier.append(Segment(finished, self._number, self._first_index, self._offset))
            self.close()
        self._file, self._number, self._offset, self._capacity = file, number, start, capacity
        self._first_index, self._dirty_end, self._zeroed_end = first_index, 0, start
        self._last_index, self._last_term = last_index, last_term

    def _seal(self, following: int) -> None:
        """Write into the segment that is the newest no more that another follows. Where there is no room for
        that, as on a file system that copies what it writes, or in a segment of a format without seals, so be
        it: the next one is there."""
        if self._file is None or self._offset + SEAL_BYTES > self._capacity:
            return
        try:
            self._write(RecordType.SEAL, records.body_of(msgpack.packb(following)))
        except OSError as error:
            if not isinstance(conclude(self._directory, error), DiskFull):
                raise

    def _continue(self, reader: Reader) -> None:
        """Go on in the last segment, after making a torn tail zero again: what is written there
        next must not be followed by leftovers that look like damage.

        And make durable what was read: a process that was killed between a write and its sync, or a
        rename and its sync, left in the page cache what this life is about to vouch for, and only a
        sync takes that out of the reach of a later loss of power. Where a sync failed not even that: the
        kernel may hold what it could not write for written (PITFALLS 6), so the last record is written
        anew. Nothing older can be unsynced."""
        *earlier, last = reader.segments
        self._earlier.extend(earlier)
        file = self._directory.open(last.name)
        self._file, self._number, self._offset = file, last.number, reader.end
        self._first_index, self._zeroed_end = last.first_index, reader.end
        if reader.dirty_end > reader.end:
            _erase(file, reader.end, reader.dirty_end)
        file.write(reader.last_record, [file.read(reader.last_record, reader.end - reader.last_record)])
        if file.size() < reader.capacity:
            file.allocate(reader.capacity)  # nothing but zeros was cut off
        sync(file)
        sync(self._directory)
        self._capacity = reader.capacity


def _erase(file: File, start: int, end: int) -> None:
    """Make a torn record zero. The end mark goes first and the header last, so that a crash at any
    point of this leaves what is still plainly a torn record."""
    body = min(start + records.HEADER_BYTES, end)
    for low, high in ((end - 1, end), (body, end), (start, body)):
        file.write(low, [bytes(high - low)])
        sync(file)
