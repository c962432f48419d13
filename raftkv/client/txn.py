"""What transactions are made of: compares and operations.

    >>> from raftkv.client import txn
    >>> txn.value("seat") == "free"
    (0, 0, b'seat', None, b'free')

A compare is of a key (``value("k") == "v"``) or of every key of a range (``version("a", end="b") > 0``). A
missing key has no value, so every compare of its value fails, and 0 in everything else: ``version("k") == 0``
says that there is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from raftkv.client.requests import (
    Step,
    decode_page,
    decode_txn,
    to_bytes,
    to_key,
    to_lease,
    to_number,
    to_revision,
    to_value,
    transaction,
)
from raftkv.client.types import Bytes, Entry, entry_of
from raftkv.kv import prefix_end
from raftkv.kv.transactions import Relation, Target
from raftkv.kv.transactions import Step as Kind


class Compare(tuple[Any, ...]):
    """Of a key or a range; for the list of compares of a transaction."""

    __slots__ = ()

    def __bool__(self) -> bool:
        # 'and' would silently leave out all but the last, and so would 0 < version("k") < 5.
        raise TypeError("a compare is neither true nor false: put several in a list instead of 'and'")


class Comparable:
    """One side of a compare: use ``==``, ``!=``, ``<`` or ``>`` with the other."""

    __slots__ = ("_end", "_key", "_target")
    __hash__ = None  # type: ignore[assignment]  # equality makes a compare, and is no equality

    def __init__(self, target: Target, key: Bytes, end: Bytes | None) -> None:
        self._target = target
        self._key = to_key(key) if end is None else to_bytes(key)
        self._end = None if end is None else to_bytes(end)

    def __eq__(self, other: Any) -> Compare:  # type: ignore[override]
        return self._make(Relation.EQUAL, other)

    def __ne__(self, other: Any) -> Compare:  # type: ignore[override]
        return self._make(Relation.NOT_EQUAL, other)

    def __lt__(self, other: Any) -> Compare:
        return self._make(Relation.LESS, other)

    def __gt__(self, other: Any) -> Compare:
        return self._make(Relation.GREATER, other)

    def _make(self, relation: Relation, other: Any) -> Compare:
        if self._target is Target.VALUE:
            other = to_bytes(other, "a value")
        else:
            other = to_number(other, f"what a {self._target.name.lower()} is compared with")
        return Compare((int(self._target), int(relation), self._key, self._end, other))


def value(key: Bytes, *, end: Bytes | None = None) -> Comparable:
    return Comparable(Target.VALUE, key, end)


def version(key: Bytes, *, end: Bytes | None = None) -> Comparable:
    return Comparable(Target.VERSION, key, end)


def create_revision(key: Bytes, *, end: Bytes | None = None) -> Comparable:
    return Comparable(Target.CREATE_REVISION, key, end)


def mod_revision(key: Bytes, *, end: Bytes | None = None) -> Comparable:
    return Comparable(Target.MOD_REVISION, key, end)


def lease(key: Bytes, *, end: Bytes | None = None) -> Comparable:
    return Comparable(Target.LEASE, key, end)


def exists(key: Bytes) -> Compare:
    return version(key) > 0


def absent(key: Bytes) -> Compare:
    return version(key) == 0


# -- operations


def put(key: Bytes, value: Bytes, lease: int = 0) -> Step:
    return Step((int(Kind.PUT), to_key(key), to_value(value), to_lease(lease)), lambda _, __: None)


def get(key: Bytes, revision: int = 0) -> Step:
    name = to_key(key)

    def decode(detail: Any, store_revision: int) -> Entry | None:
        items = detail[0]
        return entry_of(name, items[0][1], store_revision) if items else None

    return Step((int(Kind.RANGE), name, None, 1, False, False, False, to_revision(revision)), decode)


def range_(
    start: Bytes = b"",
    end: Bytes = b"",
    *,
    limit: int = 0,
    reverse: bool = False,
    keys_only: bool = False,
    count_only: bool = False,
    revision: int = 0,
) -> Step:
    """``start <= key < end``, to the last key if ``end`` is empty; a ``Page`` of at most 256 KiB."""
    flags = (bool(reverse), bool(keys_only), bool(count_only))
    fields = (to_bytes(start), to_bytes(end), to_number(limit, "a limit"), *flags, to_revision(revision))
    return Step((int(Kind.RANGE), *fields), decode_page)


def prefix(prefix: Bytes, **options: Any) -> Step:
    start = to_bytes(prefix)
    return range_(start, prefix_end(start), **options)


def delete(key: Bytes, *, end: Bytes | None = None) -> Step:
    """``key``, or all of ``key <= … < end``."""
    if end is None:
        return Step((int(Kind.DELETE), to_key(key), None), lambda detail, _: detail)
    return Step((int(Kind.DELETE), to_bytes(key), to_bytes(end)), lambda detail, _: detail)


def nested(compares: Iterable[Compare], success: Iterable[Step] = (), failure: Iterable[Step] = ()) -> Step:
    """A transaction inside a transaction: its compares see what was written before it."""
    parts, first, second = transaction(compares, success, failure)
    return Step(
        (int(Kind.TXN), *parts),
        lambda detail, revision: decode_txn(detail, revision, first, second),
    )
