"""What operations give back. All frozen; keys and values are bytes, revisions and versions count from 1."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypedDict

from raftkv.kv import KeyValue

Bytes = bytes | bytearray | memoryview | str
"""Text is sent as UTF-8."""


class RangeOptions(TypedDict, total=False):
    """As ``Client.range`` has them."""

    limit: int
    reverse: bool
    keys_only: bool
    revision: int
    stale: bool
    node_endpoint: str | None


class WatchOptions(TypedDict, total=False):
    """As ``Client.watch`` has them."""

    revision: int
    previous: bool
    puts: bool
    deletes: bool


@dataclass(frozen=True, slots=True)
class PutResult:
    revision: int


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """True where there was something to delete."""

    revision: int
    deleted: int

    def __bool__(self) -> bool:
        return self.deleted > 0


@dataclass(frozen=True, slots=True)
class CasResult:
    """True where it succeeded. ``current`` is what stood in the way of a failed compare; None when the key
    was absent.

    A value over 1 KiB may come back empty from a retried compare."""

    succeeded: bool
    revision: int
    current: KeyValue | None

    def __bool__(self) -> bool:
        return self.succeeded


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and what it holds; ``revision`` is the store's when it was read, in a range when that
    began. ``lease`` 0: none."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int
    revision: int


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of a range inside a transaction; ``count`` is that of the whole range."""

    entries: tuple[Entry, ...]
    count: int
    more: bool


@dataclass(frozen=True, slots=True)
class TxnResult:
    """True where all compares held. ``results`` has one for each operation of the branch that was taken: None
    of a put, how many keys went of a delete, an ``Entry`` or None of a get, a ``Page`` of a range, another of
    these of a transaction."""

    succeeded: bool
    revision: int
    results: tuple[Any, ...]

    def __bool__(self) -> bool:
        return self.succeeded


class EventType(StrEnum):
    PUT = "put"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one key. Of a deletion ``value`` is empty and ``version`` 0. ``previous`` is what the key
    held before, if that was asked for and there was something."""

    type: EventType
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int
    previous: Entry | None


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    """Times in seconds. ``remaining`` is a node's view; ``keys`` are told of a single lease only."""

    id: int
    ttl: float
    remaining: float
    key_count: int
    keys: tuple[bytes, ...] = ()


def entry_of(key: bytes, item: Any, revision: int) -> Entry:
    """Raises TypeError or ValueError for what is none."""
    value, create_revision, mod_revision, version, lease = item
    return Entry(key, value, create_revision, mod_revision, version, lease, revision)


def event_of(row: Any, revision: int) -> Event:
    """Raises TypeError or ValueError for what is none."""
    key, item, before = row
    held = KeyValue(*item)
    kind = EventType.PUT if held.version else EventType.DELETE
    previous = None if before is None else entry_of(key, before, revision)
    return Event(kind, key, *held, previous)
