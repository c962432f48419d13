"""Applies commands to keys and values; answers reads.

Invariants: ``revision`` grows by one for each command that changed anything; a key's
``mod_revision`` is the revision of its last change; ``version`` counts its changes since
``create_revision``; ``keys`` holds exactly the keys of ``items``, in byte order; ``digest``
follows from the sequence of changes alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgpack
from sortedcontainers import SortedList

from raftkv.errors import InvalidRequest
from raftkv.kv.commands import Code, Op, decode_flat
from raftkv.kv.limits import (
    CLOCK_STEP_MS_MAX,
    KEPT_VALUE_BYTES_MAX,
    KEY_BYTES_MAX,
    MULTI_PUT_MAX,
    RANGE_BYTES_MAX,
    SESSION_WINDOW,
    VALUE_BYTES_MAX,
    check_key,
    check_value,
)
from raftkv.kv.sessions import Answer, SessionLimits, Sessions
from raftkv.kv.snapshot import CHUNK_BYTES, Capture

DEFAULT_LIMITS = SessionLimits()
_new: Any = tuple.__new__
"""Makes a NamedTuple without its Python-level constructor: three of them for every write cost a
tenth of a follower's time."""


class KeyValue(NamedTuple):
    """What a key holds. A tuple: there may be a million of them."""

    value: bytes
    create_revision: int
    mod_revision: int
    version: int


class Applied(NamedTuple):
    """Whose command it was, so that whoever holds the client's request can answer it."""

    client_id: int
    sequence: int
    answer: Answer


class RangeResult(NamedTuple):
    """``total`` counts the whole range; ``more`` says that items were left out."""

    items: list[tuple[bytes, KeyValue]]
    total: int
    more: bool


class StateMachine:
    def __init__(self, limits: SessionLimits = DEFAULT_LIMITS) -> None:
        self.revision = 0
        self.digest = 0
        self.applied_index = 0
        self.sessions = Sessions(limits)
        self.items: dict[bytes, KeyValue] = {}
        self.keys: SortedList = SortedList()
        self.capture: Capture | None = None
        """The snapshot that is being taken."""

    def __len__(self) -> int:
        return len(self.items)

    # -- snapshots

    def begin_capture(self, chunk_bytes: int = CHUNK_BYTES) -> Capture:
        """An image of this moment, to be taken chunk by chunk; whatever is applied meanwhile is not in it."""
        assert self.capture is None, "one snapshot at a time"
        self.capture = Capture(self, chunk_bytes)
        return self.capture

    def load(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Items of a snapshot: ``(key, *KeyValue)``."""
        for row in rows:
            self.items[row[0]] = _new(KeyValue, row[1:])
        self.keys.update([row[0] for row in rows])

    # -- writes

    def apply(self, index: int, data: bytes) -> Applied | None:
        """Apply the command at ``index``. None for bytes that are no command: nobody waits for them."""
        self.applied_index = index
        try:
            fields = decode_flat(data)
        except ValueError:
            return None
        client_id, born, sequence, floor, op = fields[:5]
        session = self.sessions.enter(client_id, born, index)
        if session is None:
            return Applied(client_id, sequence, Answer(Code.SESSION_EXPIRED, self.revision))
        answer = session.answers.get(sequence)
        if answer is not None:
            return Applied(client_id, sequence, answer)
        if floor > session.floor:
            session.raise_floor(floor)
        if sequence < session.floor:
            # A stray copy of something the client has long had its answer to.
            return Applied(client_id, sequence, Answer(Code.INVALID, self.revision, "no longer waited for"))
        if sequence >= session.floor + SESSION_WINDOW:
            # Not kept: it may be asked again once the floor has risen, and then be applied.
            return Applied(client_id, sequence, Answer(Code.BUSY, self.revision))
        handler = _OPERATIONS.get(op)
        if handler is None:
            answer = Answer(Code.INVALID, self.revision, f"unknown operation {op}")
        else:
            try:
                answer = handler(self, *fields[5:])
            except InvalidRequest as error:
                answer = Answer(Code.INVALID, self.revision, str(error))
            except TypeError:  # the number of arguments; their types are checked one by one
                answer = Answer(Code.INVALID, self.revision, f"wrong arguments for operation {op}")
        session.keep(sequence, answer)
        applied: Applied = _new(Applied, (client_id, sequence, answer))
        return applied

    def skip(self, index: int) -> None:
        """An entry without a command, such as a leader's no-op."""
        self.applied_index = index

    def advance(self, index: int, data: bytes) -> None:
        """A clock entry; one that makes no sense changes nothing."""
        self.applied_index = index
        try:
            elapsed_ms = msgpack.unpackb(data)
        except (ValueError, msgpack.UnpackException):
            return
        if type(elapsed_ms) is int and 0 < elapsed_ms <= CLOCK_STEP_MS_MAX:
            self.sessions.advance(elapsed_ms)

    def _put(self, key: bytes, value: bytes) -> Answer:
        _check_pair(key, value)
        self.revision += 1
        self._set(key, value)
        answer: Answer = _new(Answer, (Code.OK, self.revision, None))
        return answer

    def _multi_put(self, pairs: Any) -> Answer:
        """All or nothing: everything is checked before anything is changed."""
        if type(pairs) is not tuple or not 0 < len(pairs) <= MULTI_PUT_MAX:
            raise InvalidRequest(f"a multi-put takes 1 to {MULTI_PUT_MAX} pairs")
        for pair in pairs:
            if type(pair) is not tuple or len(pair) != 2:
                raise InvalidRequest("a multi-put takes pairs of key and value")
            _check_pair(*pair)
        if len({key for key, _ in pairs}) < len(pairs):
            raise InvalidRequest("a multi-put names a key twice")
        self.revision += 1
        for key, value in pairs:
            self._set(key, value)
        return Answer(Code.OK, self.revision, len(pairs))

    def _delete(self, key: bytes) -> Answer:
        _check_bytes(key)
        check_key(key)
        return self._remove([key] if key in self.items else [])

    def _delete_range(self, start: bytes, end: bytes) -> Answer:
        _check_bytes(start, end)
        keys = list(self.keys.irange(start, end or None, inclusive=(True, False)))
        return self._remove(keys)

    def _compare_and_set(self, key: bytes, expected: bytes | None, value: bytes) -> Answer:
        _check_pair(key, value)
        if expected is not None:
            _check_bytes(expected)
        item = self.items.get(key)
        if (item.value if item else None) != expected:
            if item and len(item.value) > KEPT_VALUE_BYTES_MAX:
                item = item._replace(value=b"")
            return Answer(Code.COMPARE_FAILED, self.revision, item)
        self.revision += 1
        self._set(key, value)
        return Answer(Code.OK, self.revision)

    def _set(self, key: bytes, value: bytes) -> None:
        revision = self.revision
        before = self.items.get(key)
        if before is None:
            self.items[key] = KeyValue(value, revision, revision, 1)
            self.keys.add(key)
        else:
            if self.capture is not None:
                self.capture.before_change(key, before)
            self.items[key] = _new(KeyValue, (value, before[1], revision, before[3] + 1))
        self.digest = zlib.crc32(value, zlib.crc32(key, self.digest ^ (revision & 0xFFFFFFFF)))

    def _remove(self, keys: list[bytes]) -> Answer:
        if keys:
            self.revision += 1
            first = self.keys.bisect_left(keys[0])
            del self.keys[first : first + len(keys)]  # they stand side by side
        for key in keys:
            item = self.items.pop(key)
            if self.capture is not None:
                self.capture.before_change(key, item)
            self.digest = zlib.crc32(key, ~self.digest & 0xFFFFFFFF)
        return Answer(Code.OK, self.revision, len(keys))

    # -- reads

    def get(self, key: bytes) -> KeyValue | None:
        return self.items.get(key)

    def range(
        self,
        start: bytes,
        end: bytes,
        limit: int = 0,
        reverse: bool = False,
        keys_only: bool = False,
        count_only: bool = False,
    ) -> RangeResult:
        """Keys of ``start <= key < end`` (``end`` b"": to the last), at most ``limit`` (0: all that fit)."""
        first = self.keys.bisect_left(start)
        last = self.keys.bisect_left(end) if end else len(self.keys)
        total = max(0, last - first)
        if count_only or not total:
            return RangeResult([], total, False)
        items: list[tuple[bytes, KeyValue]] = []
        size = 0
        for key in self.keys.islice(first, last, reverse):
            item = self.items[key]
            if keys_only:
                item = item._replace(value=b"")
            size += len(key) + len(item.value)
            if items and size > RANGE_BYTES_MAX:
                break
            items.append((key, item))
            if len(items) == limit:
                break
        return RangeResult(items, total, len(items) < total)


def _check_bytes(*values: Any) -> None:
    if not all(type(value) is bytes for value in values):
        raise InvalidRequest("keys and values are bytes")


def _check_pair(key: Any, value: Any) -> None:
    if not (type(key) is type(value) is bytes):
        raise InvalidRequest("keys and values are bytes")
    if not 0 < len(key) <= KEY_BYTES_MAX or len(value) > VALUE_BYTES_MAX:
        check_key(key)  # the one that does not hold says so
        check_value(value)


_OPERATIONS: dict[int, Callable[..., Answer]] = {
    Op.PUT: StateMachine._put,
    Op.DELETE: StateMachine._delete,
    Op.DELETE_RANGE: StateMachine._delete_range,
    Op.COMPARE_AND_SET: StateMachine._compare_and_set,
    Op.MULTI_PUT: StateMachine._multi_put,
}
