"""One watch, and how those that keep up are found by key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from raftkv.kv import Event, prefix_end
from raftkv.wire.client import WatchFlag

_EVENT_BYTES = 64


class Watch:
    """A place in the history, and a credit: how many answers its client still takes."""

    __slots__ = (
        "asked_at",
        "credit",
        "done",
        "end",
        "flags",
        "identity",
        "number",
        "offset",
        "placed",
        "request_id",
        "start",
        "told_at",
    )

    def __init__(
        self, identity: bytes, request_id: int, start: bytes, end: bytes, after: int, flags: int
    ) -> None:
        self.identity = identity
        self.request_id = request_id
        self.start = start
        self.end = end
        self.flags = flags
        self.number = 0
        """Of the next event to look at, as long as it is behind."""
        self.placed = False
        """``number`` counts: what it wants does not lie ahead of this node."""
        self.done = after
        """The client has been told everything up to this revision;"""
        self.offset = 0
        """and so many events of the next one. By position, not by count of answers: whatever becomes of this
        watch meanwhile, an answer that continues at that place continues what the client has."""
        self.credit = 0
        self.asked_at = 0.0
        self.told_at = 0.0

    def wants(self, event: Event) -> bool:
        key, item, _ = event
        if not (self.start <= key and (key < self.end or not self.end)):
            return False
        return not self.flags & (WatchFlag.NO_PUTS if item[3] else WatchFlag.NO_DELETES)

    def size(self, event: Event) -> int:
        key, item, before = event
        kept = before is not None and self.flags & WatchFlag.BEFORE
        return _EVENT_BYTES + len(key) + len(item[0]) + (len(before[0]) if before and kept else 0)

    def row(self, event: Event) -> tuple[Any, ...]:
        key, item, before = event
        return (key, item, before if self.flags & WatchFlag.BEFORE else None)


class WatchIndex:
    """Finds the synced watches of a key: three lookups, however many there are."""

    def __init__(self) -> None:
        self._exact: dict[bytes, dict[Watch, None]] = {}
        self._prefixes: dict[bytes, dict[Watch, None]] = {}
        self._lengths: Counter[int] = Counter()
        self._others: dict[Watch, None] = {}

    @property
    def lengths(self) -> int:
        """How many there are of the prefixes that are watched."""
        return len(self._lengths)

    def add(self, watch: Watch) -> None:
        self._table(watch)[watch] = None
        if self._is_prefix(watch):
            self._lengths[len(watch.start)] += 1

    def remove(self, watch: Watch) -> None:
        del self._table(watch)[watch]
        if self._is_prefix(watch):
            self._lengths[len(watch.start)] -= 1
            if not self._lengths[len(watch.start)]:
                del self._lengths[len(watch.start)]
        for tables in (self._exact, self._prefixes):
            if not tables.get(watch.start, True):
                del tables[watch.start]

    def find(self, key: bytes) -> Iterator[Watch]:
        yield from self._exact.get(key, ())
        for length in self._lengths:
            yield from self._prefixes.get(key[:length], ()) if length <= len(key) else ()
        yield from self._others

    def _table(self, watch: Watch) -> dict[Watch, None]:
        if watch.end == watch.start + b"\0":
            return self._exact.setdefault(watch.start, {})
        return self._prefixes.setdefault(watch.start, {}) if self._is_prefix(watch) else self._others

    @staticmethod
    def _is_prefix(watch: Watch) -> bool:
        return bool(watch.start) and watch.end == prefix_end(watch.start)
