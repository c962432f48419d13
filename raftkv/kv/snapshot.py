"""An image of the whole state machine at one index, taken piece by piece while the machine goes on.

No key or value is copied up front and nothing stops. A ``Capture`` walks the keys in order; whatever is about
to change ahead of it is written out first, as it was. So every key and every session that existed at
the capture's index is in some chunk exactly once, in no particular order.

A chunk is one MessagePack array ``[kind, …]``:

====  ========  ==================================================================================
kind  name      fields
====  ========  ==================================================================================
0     HEADER    format version, applied index, revision, digest, session horizon, log time,
                compacted revision, [[log time, revision], …]: the first
1     ITEMS     [[key, value, create revision, mod revision, version, lease], …]
2     SESSIONS  [[client id, last index, last ms, floor, highest, answers], …], where answers are
                [[sequence, code, revision, detail], …]
3     END       numbers of items, sessions, leases and events: the last chunk
4     LEASES    [[lease id, time to live in ms, renewed index], …]
5     HISTORY   [[key, item, item before], …], in the order of their revisions, after all items; see
                ``history.event_rows``
====  ========  ==================================================================================
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgpack

from raftkv.errors import other_format
from raftkv.kv.history import event_of, event_rows
from raftkv.kv.items import KeyValue
from raftkv.kv.sessions import Answer, Session, weight

if TYPE_CHECKING:
    from raftkv.kv.machine import StateMachine

FORMAT_VERSION = 2
HEADER, ITEMS, SESSIONS, END, LEASES, HISTORY = range(6)
CHUNK_BYTES = 256 << 10
"""About, before packing: some milliseconds of work, so that no heartbeat waits for a chunk."""
KEYS_A_CHUNK_MAX = 8192
"""Looked at: most of them may have changed since."""
_ITEM_BYTES = 32
_ANSWER_BYTES = 24
"""What an item or an answer is taken for besides its key and value."""
_LEASES_A_CHUNK = 8192
_ITEM_TYPES = (bytes, bytes, int, int, int, int)

Row = tuple[Any, ...]


class Capture:
    """The chunks of one image. Ends with the machine's ``capture`` attribute set back to None."""

    def __init__(self, machine: StateMachine, chunk_bytes: int) -> None:
        self.index = machine.applied_index
        self._machine = machine
        self._chunk_bytes = chunk_bytes
        self._revision = machine.revision
        self._cursor = b""
        """Keys up to here were written out; none is empty."""
        self._saved: deque[tuple[bytes, KeyValue]] = deque()
        """Ahead of the cursor, changed since: as they were."""
        machine.sessions.begin_capture()
        self._header: Row | None = (
            HEADER,
            FORMAT_VERSION,
            machine.applied_index,
            machine.revision,
            machine.digest,
            machine.sessions.horizon,
            machine.sessions.now_ms,
            machine.history.compacted,
            list(machine.history.marks),
        )
        # Copied: twenty thousand leases, and references to a hundred thousand events, are milliseconds.
        self._leases = [view[:3] for view in machine.leases.views()]
        events = machine.history.kept_events()
        self._events = len(events)
        self._history = event_rows(events)
        self._counts = [0, 0, 0, 0]
        self._walked = False

    def before_change(self, key: bytes, item: KeyValue) -> None:
        """``item`` is about to be replaced or removed."""
        if item.mod_revision <= self._revision and key > self._cursor:
            self._saved.append((key, item))

    def next_chunk(self) -> tuple[bytes, bool]:
        """The next chunk, and whether it is the last."""
        if self._header:
            row, self._header = self._header, None
            return _pack(row), False
        rows = self._take_sessions()
        if rows:
            self._counts[1] += len(rows)
            return _pack((SESSIONS, rows)), False
        if self._saved or not self._walked:
            rows = self._take_items()
            self._counts[0] += len(rows)
            return _pack((ITEMS, rows)), False
        if self._leases:
            rows, self._leases = self._leases[:_LEASES_A_CHUNK], self._leases[_LEASES_A_CHUNK:]
            self._counts[2] += len(rows)
            return _pack((LEASES, rows)), False
        if self._counts[3] < self._events:
            rows = self._take_events()
            self._counts[3] += len(rows)
            return _pack((HISTORY, rows)), False
        self.abandon()
        return _pack((END, *self._counts)), True

    def abandon(self) -> None:
        """No further chunk is wanted."""
        self._machine.sessions.end_capture()
        self._machine.capture = None

    def _take_sessions(self) -> list[Row]:
        rows: list[Row] = []
        size = 0
        while size < self._chunk_bytes and (found := self._machine.sessions.take_captured()):
            client_id, session = found
            answers = [(sequence, *answer) for sequence, answer in session.answers.items()]
            details = [weight(answer.detail) for answer in session.answers.values() if answer.detail]
            rows.append(
                (client_id, session.last_index, session.last_ms, session.floor, session.highest, answers)
            )
            size += _ITEM_BYTES + _ANSWER_BYTES * len(answers) + sum(details)
        return rows

    def _take_events(self) -> list[Row]:
        rows: list[Row] = []
        size = 0
        for row in self._history:
            rows.append(row)
            size += len(row[0]) + len(row[1][0]) + (len(row[2][0]) if row[2] else 0) + 2 * _ITEM_BYTES
            if size >= self._chunk_bytes:
                break
        return rows

    def _take_items(self) -> list[Row]:
        rows: list[Row] = []
        size = 0
        while self._saved and size < self._chunk_bytes:
            key, item = self._saved.popleft()
            rows.append((key, *item))
            size += len(key) + len(item[0]) + _ITEM_BYTES
        if size >= self._chunk_bytes or self._walked:
            return rows
        items, revision = self._machine.items, self._revision
        ahead = self._machine.keys.irange(self._cursor, None, inclusive=(False, True))
        for key in islice(ahead, KEYS_A_CHUNK_MAX):
            self._cursor = key
            item = items[key]
            if item.mod_revision <= revision:
                rows.append((key, *item))
                size += len(key) + len(item[0]) + _ITEM_BYTES
                if size >= self._chunk_bytes:
                    return rows
        self._walked = next(ahead, None) is None
        return rows


class OtherFormat(ValueError):
    """An image of another version of raftkv."""


class Restoration:
    """Builds a state machine from the chunks of an image, in their order."""

    def __init__(self, machine: StateMachine) -> None:
        """``machine`` is new, and belongs to whoever asks once ``feed`` has said so."""
        self.machine = machine
        self._counts = [0, 0, 0, 0]
        self._sessions: list[tuple[int, Session]] = []
        self._leased: list[tuple[bytes, int]] = []
        self._last: dict[bytes, KeyValue] = {}
        """What the events so far have left."""
        self._begun = False

    def feed(self, chunk: bytes) -> bool:
        """Whether that was the last. Raises ValueError for anything that does not belong here."""
        try:
            kind, *fields = msgpack.unpackb(chunk, use_list=False)
            if (kind == HEADER) == self._begun:
                raise ValueError("a header out of place")
            if kind == HEADER:
                self._on_header(*fields)
            elif kind == ITEMS:
                self._on_items(*fields)
            elif kind == SESSIONS:
                self._on_sessions(*fields)
            elif kind == LEASES:
                self._on_leases(*fields)
            elif kind == HISTORY:
                self._on_history(*fields)
            elif kind == END:
                return self._on_end(*fields)
            else:
                raise ValueError("an unknown kind")
        except (TypeError, AttributeError, msgpack.UnpackException) as error:
            raise ValueError(f"no chunk of a snapshot: {error}") from error
        return False

    def _on_header(self, version: int, *fields: Any) -> None:
        if version != FORMAT_VERSION:
            raise OtherFormat(f"its image {other_format(version, FORMAT_VERSION)}")
        machine = self.machine
        *numbers, marks = fields
        for number in (*numbers, *(part for mark in marks for part in mark)):
            if type(number) is not int or number < 0:
                raise ValueError("a header whose fields are no numbers")
        sessions, history = machine.sessions, machine.history
        machine.applied_index, machine.revision, machine.digest, *numbers = numbers
        sessions.horizon, sessions.now_ms, history.compacted = numbers
        history.marks.extend((now_ms, revision) for now_ms, revision in marks)
        self._begun = True

    def _on_items(self, rows: tuple[Row, ...]) -> None:
        for row in rows:
            if tuple(map(type, row)) != _ITEM_TYPES:
                raise ValueError("an item with fields of the wrong type")
            if row[5]:
                self._leased.append((row[0], row[5]))
        self.machine.load(rows)
        self._counts[0] += len(rows)

    def _on_sessions(self, rows: tuple[Row, ...]) -> None:
        for client_id, *numbers, answers in rows:
            if any(type(number) is not int for number in (client_id, *numbers)):
                raise ValueError("a session with fields of the wrong type")
            session = Session()
            session.last_index, session.last_ms, session.floor, session.highest = numbers
            for sequence, code, revision, detail in answers:
                session.answers[sequence] = Answer(code, revision, detail)
            session.weigh()
            self._sessions.append((client_id, session))
        self._counts[1] += len(rows)

    def _on_leases(self, rows: tuple[Row, ...]) -> None:
        for row in rows:
            if tuple(map(type, row)) != (int, int, int):
                raise ValueError("a lease with fields of the wrong type")
            self.machine.leases.load(*row)
        self._counts[2] += len(rows)

    def _on_history(self, rows: tuple[Row, ...]) -> None:
        items = self.machine.items
        self.machine.history.load([event_of(row, items, self._last) for row in rows])
        self._counts[3] += len(rows)

    def _on_end(self, *counts: int) -> bool:
        if list(counts) != self._counts or len(self.machine) != self._counts[0]:
            raise ValueError(
                f"{counts} items, sessions, leases and events were promised, {self._counts} came"
            )
        for key, lease in self._leased:
            if self.machine.leases.get(lease) is None:
                raise ValueError("an item that hangs on a lease that is none")
            self.machine.leases.move(key, 0, lease)
        # In the order in which the table forgets them: each was last active at an index of its own.
        self._sessions.sort(key=lambda pair: pair[1].last_index)
        self.machine.sessions.load(self._sessions)
        return True


def summary(header: bytes) -> dict[str, int]:
    """What the first chunk says, for people. Raises ValueError for anything else."""
    try:
        kind, version, index, revision, digest, *_ = msgpack.unpackb(header, use_list=False)
    except (TypeError, ValueError, msgpack.UnpackException) as error:
        raise ValueError("no header of a snapshot") from error
    if kind != HEADER:
        raise ValueError("no header of a snapshot")
    return {"format": version, "index": index, "revision": revision, "digest": digest}


def _pack(content: Row) -> bytes:
    packed: bytes = msgpack.packb(content)
    return packed
