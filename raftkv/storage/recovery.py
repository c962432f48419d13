"""Reading a log back: one pass over all segments, at a start or for whoever inspects a folder.

Where there is a snapshot the log need not begin at entry 1: segments that the snapshot covers are
gone. What is left is held against it. Entries up to the snapshot's are dropped; a log that does not
hold the snapshot's last entry, because it ends before it or has another one there, is void: all of it
was overtaken by what the snapshot stands for (PITFALLS 28, 29).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

import msgpack

from raftkv.errors import SHOWN_CHARACTERS, CorruptLog, ForeignData, other_format, shown
from raftkv.raft import Configuration, Entry, EntryKind, HardState, SnapshotMark
from raftkv.storage import records
from raftkv.storage.files import File, Readable
from raftkv.storage.records import Judgement, RecordType, Verdict
from raftkv.types import LogIndex, NodeId, Term, new

FORMAT_VERSION = 4
FORMATS_READ = (3, 4)
"""The third had no seals."""
SEAL_BYTES = records.size_of(records.Body(0, bytes(9)))
"""Of the record that seals a segment; it holds a number."""
BLOCK_BYTES = 256 << 10
"""Of a segment's end, looked at at once: so few that they stay in the cache."""
_ZEROS = bytes(BLOCK_BYTES)
_NAME = re.compile(r"^([0-9]{12})-([0-9]{16})\.log$")
_ENTRY_TYPES = (int, int, int, bytes)
_CONFIGURATION = EntryKind.CONFIGURATION
_new = new
"""Of a million entries the constructor would take a fifth of a second."""


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
    """Those after the snapshot's."""
    cut: str | None = None
    """One line about a torn tail that was cut, for the node's own log."""
    snapshot: SnapshotMark | None = None
    state: Iterable[bytes] = ()
    """The snapshot's chunks, read from disk as they are asked for."""

    @property
    def last_index(self) -> LogIndex:
        if self.entries:
            return self.entries[-1].index
        return self.snapshot.index if self.snapshot else LogIndex(0)

    @property
    def last_term(self) -> Term:
        if self.entries:
            return self.entries[-1].term
        return self.snapshot.term if self.snapshot else Term(0)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What ``Wal.read`` found."""

    recovered: Recovered
    segments: list[str]
    """Their names, in order."""
    bytes_used: int


@dataclass(frozen=True, slots=True)
class Segment:
    name: str
    number: int
    first_index: int
    bytes_used: int


def segment_name(number: int, first_index: int) -> str:
    return f"{number:012d}-{first_index:016d}.log"


class Reader:
    """One pass over all segments."""

    def __init__(self, directory: Readable, identity: Identity | None, snapshot: SnapshotMark | None) -> None:
        """``identity`` None: take the log for whosever it says it is."""
        self._directory = directory
        self._identity = identity
        self._snapshot = snapshot
        self._found = [match for name in directory.list() if (match := _NAME.match(name))]
        self._name = ""
        self._offset_index = 0
        """The entries begin after this one, whose term is the next."""
        self._offset_term = 0
        nobody = Identity("", NodeId(""), "")
        state = HardState(Term(0), None, LogIndex(0))
        self._recovered = Recovered(identity or nobody, state, snapshot=snapshot)
        self.segments: list[Segment] = []
        self.end = 0
        """Of the last segment's records."""
        self.dirty_end = 0
        self.last_record = 0
        """Where the last one begins in the last segment."""
        self.capacity = 0
        """The bytes that the last segment was made with."""
        self._sealed = False
        """The latest segment that was read says that another follows."""
        self.void = False
        """The log does not hold the snapshot's last entry."""

    def read_all(self) -> Recovered:
        before = 0
        for position, match in enumerate(self._found):
            self._name, number = match.group(0), int(match.group(1))
            if number != before + 1 and (position or not self._snapshot):
                raise self._corrupt(0, f"the segment before it, number {number - 1}, is missing")
            before = number
            first_index = self._read_segment(number, first=not position, last=match is self._found[-1])
            self.segments.append(Segment(self._name, number, first_index, self.end))
        if self._sealed:
            raise self._corrupt(self.end, f"the segment after it, number {before + 1}, is missing")
        self._hold_against_snapshot()
        recovered = self._recovered
        if recovered.hard_state.commit_index > recovered.last_index:
            commit, last = recovered.hard_state.commit_index, recovered.last_index
            raise self._corrupt(self.end, f"commit index {commit} lies beyond the last entry {last}")
        return recovered

    def _read_segment(self, number: int, first: bool, last: bool) -> int:
        """Returns the index that the segment begins with."""
        file = self._directory.open(self._name)
        try:
            size = file.size()
            data = _without_zeros(file, size)
        finally:
            file.close()
        offset = first_index = 0
        self._sealed = False
        while record := records.decode(number, data, offset):
            self.last_record = offset
            if (record.kind is RecordType.SEGMENT) != (offset == 0):
                raise self._corrupt(offset, "a segment header out of place")
            if self._sealed:
                raise self._corrupt(offset, "a record behind the seal of the segment")
            try:
                content = msgpack.unpackb(record.payload, use_list=False)
                if record.kind is RecordType.SEGMENT:
                    first_index = self._on_header(number, content, first)
                elif record.kind is RecordType.WRITE:
                    self._replay(offset, content)
                elif record.kind is RecordType.SEAL:
                    self._sealed = True
                else:
                    raise self._corrupt(offset, "a record out of place")
            except (ValueError, TypeError, LookupError, msgpack.UnpackException) as error:
                raise self._corrupt(offset, f"a record that cannot be read: {error}") from error
            offset = record.end
        judgement = records.judge(number, data, offset)
        if offset == 0:
            raise self._corrupt(0, "no valid segment header")
        self._judge_end(size, offset, judgement, last)
        self.end, self.dirty_end = offset, judgement.dirty_end
        return first_index

    def _judge_end(self, size: int, offset: int, judgement: Judgement, last: bool) -> None:
        """Of a segment's file, in which no valid record begins at ``offset`` any more."""
        torn = judgement.verdict is Verdict.TORN
        # Where zeros follow a whole record no more was ever written, and nothing but zeros was cut off.
        whole_but_for_zeros = not torn and judgement.dirty_end + records.HEADER_BYTES <= size < self.capacity
        if size != self.capacity and not whole_but_for_zeros:
            cause = f"the file ends here, and was made with {self.capacity:,} bytes: somebody has changed it"
            raise self._corrupt(size, cause)
        torn_seal = torn and not last and judgement.dirty_end <= offset + SEAL_BYTES
        if judgement.verdict is Verdict.DAMAGED or (torn and not last and not torn_seal):
            raise self._corrupt(offset, judgement.cause)
        if torn and last:
            self._recovered.cut = (
                f"{self._directory.path}/{self._name} at byte {offset}: {judgement.cause}; cut"
            )

    def _on_header(self, number: int, content: Any, first: bool) -> int:
        where = f"data folder {self._directory.path}"
        version = content[0]  # whatever else a later version puts behind it
        if version not in FORMATS_READ:
            raise ForeignData(f"{where} {other_format(version, FORMAT_VERSION)}")
        _, cluster, node, incarnation, stated, first_index, prev_term, hard_state, anew, capacity = content
        if not type(cluster) is type(node) is type(incarnation) is str or type(capacity) is not int:
            raise ValueError("a name that is no text, or a size that is no number")
        mine = self._identity
        if mine and (cluster, node) != (mine.cluster, mine.node):
            raise ForeignData(
                f"{where} belongs to node {_named(node)} of cluster {_named(cluster)}, not to node "
                f"{mine.node} of cluster {mine.cluster}; point the node at its own folder or give it "
                "an empty one"
            )
        if not first and incarnation != self._recovered.identity.incarnation:
            raise ForeignData(f"{where} mixes segments of two lives of node {node}: {self._name}")
        if anew or (first and number > 1):
            self._recovered.entries.clear()
            self._offset_index, self._offset_term = first_index - 1, prev_term
        entries = self._recovered.entries
        last = (entries[-1].index, entries[-1].term) if entries else (self._offset_index, self._offset_term)
        if stated != number or (first_index - 1, prev_term) != last:
            raise self._corrupt(0, f"starts at entry {first_index}, but the log before it ends at {last[0]}")
        self.capacity = capacity
        self._recovered.identity = Identity(cluster, NodeId(node), incarnation)
        self._recovered.hard_state = _hard_state(hard_state)
        return int(first_index)

    def _replay(self, offset: int, content: Any) -> None:
        hard_state, rows = content
        if hard_state is not None:
            self._recovered.hard_state = _hard_state(hard_state)
        entries = self._recovered.entries
        last_index, last_term = (entries[-1][0], entries[-1][1]) if entries else (self._offset_index, 0)
        for row in rows:
            if tuple(map(type, row)) != _ENTRY_TYPES:
                raise ValueError("an entry with fields of the wrong type")
            index, term, kind, data = row
            if kind == _CONFIGURATION:
                Configuration.decode(data)
            if not 0 < index <= last_index + 1:
                raise self._corrupt(offset, f"entry {index} after entry {last_index}")
            if index <= last_index:
                last_term = self._cut(index)
            if term < last_term:
                raise self._corrupt(offset, f"entry {index} has a lower term than the one before it")
            entries.append(_new(Entry, row))
            last_index, last_term = index, term

    def _cut(self, index: int) -> int:
        """Whatever stood there or later is overwritten; the term of the entry before."""
        entries = self._recovered.entries
        if index <= self._offset_index:
            # It stood in segments that are gone; the snapshot knows what came of it.
            entries.clear()
            self._offset_index, self._offset_term = index - 1, 0
        else:
            del entries[index - self._offset_index - 1 :]
        return entries[-1][1] if entries else 0

    def _hold_against_snapshot(self) -> None:
        mark, entries = self._snapshot, self._recovered.entries
        reach = mark.index if mark else 0
        if self._offset_index > reach:
            cause = f"the log starts after entry {self._offset_index}, but the snapshot ends at {reach}"
            raise self._corrupt(0, cause)
        if mark is None:
            return
        if not self.segments:
            where = f"{self._directory.path}: snapshot of entry {mark.index}"
            raise CorruptLog(where, 0, "there is no log beside it")
        position = reach - self._offset_index - 1
        term: int | None = self._offset_term
        if position >= 0:
            term = entries[position].term if position < len(entries) else None
        self.void = term != mark.term
        if self.void:
            entries.clear()
        else:
            del entries[: position + 1]

    def _corrupt(self, offset: int, cause: str) -> CorruptLog:
        return CorruptLog(f"{self._directory.path}/{self._name}", offset, cause)


def _without_zeros(file: File, size: int) -> bytes:
    """All blocks but those at the end that are nothing but zeros. A segment is made at its full size, and a
    young one is mostly zeros: to read them all at once took 175 ms of a start instead of 21, and 131 MB. File
    systems can tell where their holes are, but some have been wrong about it."""
    end = size
    while end > 0 and _is_zeros(file, start := (end - 1) // BLOCK_BYTES * BLOCK_BYTES, end):
        end = start
    data = file.read(0, end)
    # Whoever inspects a folder in which a node works must not take for torn what was written meanwhile.
    while not _is_zeros(file, end, following := min(size, end + BLOCK_BYTES)):
        end = following
        data = file.read(0, end)
    return data


def _is_zeros(file: File, start: int, end: int) -> bool:
    return file.read(start, end - start) == _ZEROS[: end - start]


def _named(name: str) -> str:
    """As it is, if a line can hold it."""
    return name if name.isprintable() and len(name) <= SHOWN_CHARACTERS else shown(name)


def _hard_state(row: Any) -> HardState:
    """Raises TypeError or ValueError for anything else."""
    state = HardState(*row)
    if tuple(map(type, state)) not in ((int, str, int), (int, NoneType, int)):
        raise ValueError("a hard state with fields of the wrong type")
    return state
