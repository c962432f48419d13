"""What a key holds, and what a read gives back."""

from __future__ import annotations

from typing import Any, NamedTuple

from raftkv.kv.limits import ITEM_BYTES, RANGE_BYTES_MAX
from raftkv.types import new


class KeyValue(NamedTuple):
    """What a key holds. A tuple: there may be a million of them. Of a deletion, ``version`` is 0."""

    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0
    """0: none."""


class RangeResult(NamedTuple):
    """``total`` counts the whole range; ``more`` says that items were left out."""

    items: list[tuple[bytes, KeyValue]]
    total: int
    more: bool


class RangeQuery(NamedTuple):
    """Keys of ``start <= key < end`` (``end`` b"": to the last), at most ``limit`` (0: all that fit), as of
    ``revision`` (0: now)."""

    start: bytes
    end: bytes
    limit: int = 0
    reverse: bool = False
    keys_only: bool = False
    count_only: bool = False
    revision: int = 0


class Refused(Exception):
    """The state machine's own refusal: the same on every node, and nothing was changed."""

    def __init__(self, code: int, detail: Any = None) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class Page:
    """Items gathered until an answer is full. The first one always fits."""

    __slots__ = ("_bytes", "_keys_only", "_limit", "items")

    def __init__(self, limit: int, keys_only: bool) -> None:
        self.items: list[tuple[bytes, KeyValue]] = []
        self._limit = limit
        self._keys_only = keys_only
        self._bytes = 0

    def add(self, key: bytes, item: KeyValue) -> bool:
        """Whether there is room for more. An item that found none was not taken."""
        if self._keys_only:
            item = new(KeyValue, (b"", *item[1:]))
        self._bytes += len(key) + len(item[0]) + ITEM_BYTES
        if self.items and self._bytes > RANGE_BYTES_MAX:
            return False
        self.items.append((key, item))
        return len(self.items) != self._limit
