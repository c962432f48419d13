"""Transactions: if all compares hold, one list of operations, else the other; all or nothing, one revision.

``[compares, success, failure]``, where a compare is ``[target, relation, key, end, value]`` and an operation
``[step, …arguments]``. ``end`` nil means that one key, b"" "to the last key", as everywhere.

Rules. What is malformed is refused before anything is done, in both branches. A transaction works on a
*draft* over the store: its reads see its earlier writes, and what fails half-way leaves nothing behind
(PITFALLS 38). A key that is written several times changes once, to what was written last. Whether a
transaction fails follows from the log alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from enum import IntEnum
from operator import eq, gt, lt, ne
from typing import TYPE_CHECKING, Any

from raftkv.errors import InvalidRequest
from raftkv.kv.items import KeyValue, Page, RangeResult
from raftkv.kv.limits import (
    ITEM_BYTES,
    TXN_ANSWER_BYTES_MAX,
    TXN_DEPTH_MAX,
    TXN_KEYS_MAX,
    TXN_STEPS_MAX,
    check_bytes,
    check_key,
    check_pair,
)

if TYPE_CHECKING:
    from raftkv.kv.machine import StateMachine


class Target(IntEnum):
    """What of a key is compared. A missing key has 0 everywhere and no value."""

    VALUE = 0
    VERSION = 1
    CREATE_REVISION = 2
    MOD_REVISION = 3
    LEASE = 4


class Relation(IntEnum):
    EQUAL = 0
    NOT_EQUAL = 1
    LESS = 2
    GREATER = 3


class Step(IntEnum):
    PUT = 1
    """key, value, lease (0: none)"""
    RANGE = 2
    """start, end or nil, limit, reverse, keys only, count only, revision (0: now)"""
    DELETE = 3
    """start, end or nil"""
    TXN = 4
    """compares, success, failure"""


_RELATIONS: dict[int, Callable[[Any, Any], bool]] = {
    Relation.EQUAL: eq,
    Relation.NOT_EQUAL: ne,
    Relation.LESS: lt,
    Relation.GREATER: gt,
}
_FIELD: dict[int, str] = {
    Target.VALUE: "value",
    Target.VERSION: "version",
    Target.CREATE_REVISION: "create_revision",
    Target.MOD_REVISION: "mod_revision",
    Target.LEASE: "lease",
}


# -- is it well formed?


def check(compares: Any, success: Any, failure: Any) -> None:
    """Raises ``InvalidRequest`` for anything that could not be carried out as it stands."""
    _check(compares, success, failure, 1, TXN_STEPS_MAX)


def _check(compares: Any, success: Any, failure: Any, depth: int, left: int) -> int:
    """How many compares and operations are left of so many."""
    if depth > TXN_DEPTH_MAX:
        raise InvalidRequest(f"transactions nest at most {TXN_DEPTH_MAX} deep")
    for steps in (compares, success, failure):
        if type(steps) is not tuple:
            raise InvalidRequest("a transaction has compares and two lists of operations")
    left -= len(compares) + len(success) + len(failure)
    if left < 0:
        raise InvalidRequest(f"a transaction has at most {TXN_STEPS_MAX:,} compares and operations")
    for compare in compares:
        _check_compare(compare)
    for step in (*success, *failure):
        match step:
            case (Step.PUT, key, value, lease) if type(lease) is int and lease >= 0:
                check_pair(key, value)
            case (Step.RANGE, start, end, int(limit), bool(), bool(), bool(), int(revision)):
                _check_range(start, end)
                if limit < 0 or revision < 0:
                    raise InvalidRequest("a limit and a revision are 0 or more")
            case (Step.DELETE, start, end):
                _check_range(start, end)
            case (Step.TXN, inner_compares, inner_success, inner_failure):
                left = _check(inner_compares, inner_success, inner_failure, depth + 1, left)
            case _:
                raise InvalidRequest("a transaction with an operation that is none")
    return left


def _check_compare(compare: Any) -> None:
    match compare:
        case (int(target), int(relation), start, end, value):
            _check_range(start, end)
            wanted = bytes if target == Target.VALUE else int
            if target in _FIELD and relation in _RELATIONS and type(value) is wanted:
                return
    raise InvalidRequest("a transaction with a compare that is none")


def _check_range(start: Any, end: Any) -> None:
    check_bytes(start)
    if end is None:
        check_key(start)
    else:
        check_bytes(end)


# -- carrying it out


class Draft:
    """What a transaction is about to do, over what there is."""

    def __init__(self, machine: StateMachine) -> None:
        self._machine = machine
        self._revision = machine.revision + 1
        self.changes: dict[bytes, KeyValue | None] = {}
        """What is written, None for "deleted"; in the order in which the keys were first touched."""
        self._keys_left = TXN_KEYS_MAX
        self._bytes_left = TXN_ANSWER_BYTES_MAX

    def run(self, compares: Any, success: Any, failure: Any) -> tuple[bool, list[Any]]:
        """(whether all compares held, an answer for each operation that was chosen)."""
        holds = all(self._holds(*compare) for compare in compares)
        return holds, [self._do(step) for step in (success if holds else failure)]

    def _do(self, step: Any) -> Any:
        match step:
            case (Step.PUT, key, value, lease):
                return self._put(key, value, lease)
            case (Step.RANGE, start, end, limit, reverse, keys_only, count_only, revision):
                return self._range(start, end, limit, reverse, keys_only, count_only, revision)
            case (Step.DELETE, start, end):
                return self._delete(start, end)
        return self.run(*step[1:])

    def _get(self, key: bytes) -> KeyValue | None:
        return self.changes[key] if key in self.changes else self._machine.items.get(key)

    def _holds(self, target: int, relation: int, start: bytes, end: bytes | None, value: Any) -> bool:
        """Of a range every key must; of an empty one, what a missing key has."""
        compares, field = _RELATIONS[relation], _FIELD[target]
        if end is None:
            item = self._get(start)
            found = [] if item is None else [item]
        else:
            found = [item for _, item in self._walk(start, end)]
        if not found:
            return target != Target.VALUE and compares(0, value)
        return all(compares(getattr(item, field), value) for item in found)

    def _walk(self, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, KeyValue]]:
        """Items of a range, in order."""
        changes, items = self.changes, self._machine.items
        self._charge(len(changes))
        ours = sorted((key for key in changes if start <= key and (key < end or not end)), reverse=reverse)
        theirs = self._machine.keys.irange(start, end or None, (True, False), reverse)
        untouched = (key for key in theirs if key not in changes)
        for key in heapq.merge(untouched, ours, reverse=reverse):
            self._charge(1)
            item = changes[key] if key in changes else items[key]
            if item is not None:
                yield key, item

    def _charge(self, keys: int) -> None:
        self._keys_left -= keys
        if self._keys_left < 0:
            raise InvalidRequest(f"a transaction goes through at most {TXN_KEYS_MAX:,} keys")

    def _put(self, key: bytes, value: bytes, lease: int) -> None:
        if lease:
            self._machine.leases.find(lease)
        revision = self._revision
        before = self._get(key)
        if before is None:
            self.changes[key] = KeyValue(value, revision, revision, 1, lease)
        else:
            version = before.version + (before.mod_revision != revision)
            self.changes[key] = KeyValue(value, before.create_revision, revision, version, lease)

    def _delete(self, start: bytes, end: bytes | None) -> int:
        keys = [start] if end is None else [key for key, _ in self._walk(start, end)]
        keys = [key for key in keys if self._get(key) is not None]
        for key in keys:
            self.changes[key] = None
        return len(keys)

    def _range(
        self,
        start: bytes,
        end: bytes | None,
        limit: int,
        reverse: bool,
        keys_only: bool,
        count_only: bool,
        revision: int,
    ) -> RangeResult:
        stop = start + b"\0" if end is None else end
        if revision:
            self._charge(self._machine.history.changes_since(revision))
            found = self._machine.range(start, stop, limit, reverse, keys_only, count_only, revision)
        else:
            found = self._range_now(start, stop, limit, reverse, keys_only, count_only)
        self._bytes_left -= sum(len(key) + len(item.value) + ITEM_BYTES for key, item in found.items)
        if self._bytes_left < 0:
            raise InvalidRequest(f"a transaction reads at most {TXN_ANSWER_BYTES_MAX:,} bytes")
        return found

    def _range_now(
        self, start: bytes, end: bytes, limit: int, reverse: bool, keys_only: bool, count_only: bool
    ) -> RangeResult:
        keys, items = self._machine.keys, self._machine.items
        first = keys.bisect_left(start)
        total = max(0, (keys.bisect_left(end) if end else len(keys)) - first)
        self._charge(len(self.changes))
        for key, item in self.changes.items():
            if start <= key and (key < end or not end):
                total += (item is not None) - (key in items)
        page = Page(limit, keys_only)
        if not count_only:
            for key, item in self._walk(start, end, reverse):
                if not page.add(key, item):
                    break
        return RangeResult(page.items, total, not count_only and len(page.items) < total)
