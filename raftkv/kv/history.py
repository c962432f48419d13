"""What the store held before: every change, readable and replayable until it is compacted.

An *event* is ``(key, item, before)``: what a change left and what it replaced. A deletion leaves a
*tombstone*, an item of version 0. ``events`` holds them in the order of their revisions, several of one
revision where a transaction changed several keys. There is no index by key: what a key held as of a revision
is what its first change since has replaced, so a read of the past goes through what has changed since,
and a write, of which there are many more, pays for an append and no more.

Invariants: the store as of any revision from ``compacted`` on can be read; every event after ``compacted``
can be replayed; what is before is forgotten at once by every answer, and in small steps by the memory, as a
node that drops a hundred thousand versions in one go misses its heartbeat. All of it follows from the log
alone: a transaction that reads the past must fail on all nodes or on none (PITFALLS 38).
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice, repeat
from typing import Any, NamedTuple

from sortedcontainers import SortedList

from raftkv.kv.items import KeyValue, Page, RangeQuery, RangeResult
from raftkv.types import new

Event = tuple[bytes, KeyValue, KeyValue | None]
EVENT_BYTES = 400
"""What an event and the version it replaced take in memory, besides their bytes."""
MARKS_MAX = 4096
TIDY_EVENTS = 2000
"""Dropped from memory in one step: less than a millisecond."""
SPARE_EVENTS = 8192
SPARE_BYTES = 8 << 20
"""Compacted events that stay in memory for watchers who are a moment behind: so many, in so many bytes."""


def _event_revision(event: Event) -> int:
    return event[1][2]


class Retention(NamedTuple):
    """What is kept without being asked: so many revisions, as long as they are no older, in so many bytes."""

    revisions: int
    age_ms: int
    bytes_max: int


class History:
    def __init__(self) -> None:
        self.compacted = 0
        """The earliest revision that can be read."""
        self.events: list[Event] = []
        self.first_number = 0
        """Of ``events[0]``, counted since the beginning of this life: what watchers keep their place by."""
        self._dropped_of_first = 0
        """Events of the oldest revision in memory that are not there any more."""
        self.marks: deque[tuple[int, int]] = deque()
        """(log time, revision then), ascending."""
        self._sums = array("q")
        """For each of ``events``, the bytes of all events up to it since the beginning of this life."""
        self._kept = 0
        """Where in ``events`` what is kept begins."""
        self._total_bytes = 0
        self._compacted_bytes = 0
        """Of that, what is not kept."""

    def __len__(self) -> int:
        """How many events can be replayed."""
        return len(self.events) - self._kept

    @property
    def kept_bytes(self) -> int:
        """Of the events after ``compacted``."""
        return self._total_bytes - self._compacted_bytes

    @property
    def next_number(self) -> int:
        """That of the next event."""
        return self.first_number + len(self.events)

    def record(self, key: bytes, item: KeyValue, before: KeyValue | None) -> None:
        """``item`` has replaced ``before``. Once for every key of a revision, at most."""
        self.events.append((key, item, before))
        self._total_bytes += EVENT_BYTES + len(key) + (0 if before is None else len(before[0]))
        self._sums.append(self._total_bytes)

    def record_deleted(self, keys: Sequence[bytes], tombstone: KeyValue, before: Sequence[KeyValue]) -> None:
        """``record`` for each of many keys that one command deletes."""
        self.events += zip(keys, repeat(tombstone), before, strict=False)
        sizes = [EVENT_BYTES + len(key) + len(item[0]) for key, item in zip(keys, before, strict=True)]
        sums = list(accumulate(sizes, initial=self._total_bytes))
        self._sums.extend(sums[1:])
        self._total_bytes = sums[-1]

    # -- the past

    def version_at(self, key: bytes, present: KeyValue | None, revision: int) -> KeyValue | None:
        """What ``key`` held as of ``revision``, which is not compacted; ``present`` is what it holds now."""
        if present is not None and present[2] <= revision:
            return present
        events = self.events
        for place in range(self._first_after(revision), len(events)):
            changed, _, before = events[place]
            if changed == key:
                return before
        return None

    def range_at(self, items: dict[bytes, KeyValue], keys: SortedList, query: RangeQuery) -> RangeResult:
        """``keys`` and ``items`` are the present. Costs what is given back, and what has changed since."""
        start, end, limit, reverse, keys_only, count_only, revision = query
        changed: dict[bytes, KeyValue | None] = {}
        for key, _, before in islice(self.events, self._first_after(revision), None):
            if start <= key and (key < end or not end) and key not in changed:
                changed[key] = before
        first: int = keys.bisect_left(start)
        total: int = max(0, (keys.bisect_left(end) if end else len(keys)) - first)
        total += sum([(before is not None) - (key in items) for key, before in changed.items()])
        if count_only or not total:
            return RangeResult([], total, False)
        gone = sorted([key for key in changed if key not in items], reverse=reverse)
        present = keys.irange(start, end or None, inclusive=(True, False), reverse=reverse)
        page = Page(limit, keys_only)
        for key in heapq.merge(present, gone, reverse=reverse):
            item = changed[key] if key in changed else items[key]
            if item is not None and not page.add(key, item):
                break
        return RangeResult(page.items, total, len(page.items) < total)

    def changes_since(self, revision: int) -> int:
        """What reading the store as of ``revision`` may have to go through."""
        return len(self.events) - self._first_after(revision)

    def _first_after(self, revision: int) -> int:
        found: int = bisect_right(self.events, revision, lo=self._kept, key=_event_revision)
        return found

    # -- replaying

    def number_after(self, revision: int) -> int:
        """Of the first event after ``revision``, which is not before ``compacted``."""
        return self.first_number + self._first_after(revision)

    def offset_in_revision(self, number: int) -> int:
        """How many events of the same revision stand before that event: the same on every node."""
        revision = _event_revision(self.events[number - self.first_number])
        first: int = bisect_left(self.events, revision, key=_event_revision)
        return number - self.first_number - first + (0 if first else self._dropped_of_first)

    def replay(self, number: int, count: int) -> list[Event]:
        """At most ``count`` events from that number on. Empty as well when it is out of memory."""
        place = number - self.first_number
        return self.events[place : place + count] if place >= 0 else []

    # -- forgetting

    def compact(self, revision: int) -> None:
        """Whatever only the past before ``revision`` needs is not kept."""
        if revision <= self.compacted:
            return
        self.compacted = revision
        self._kept = self._first_after(revision)
        if self._kept:
            self._compacted_bytes = self._sums[self._kept - 1]

    def retain(self, retention: Retention, revision: int, now_ms: int) -> None:
        """Forget what need not be kept at ``revision``, which is the present one."""
        oldest = revision - retention.revisions
        while self.marks and self.marks[0][0] <= now_ms - retention.age_ms:
            oldest = max(oldest, self.marks.popleft()[1])
        if self.kept_bytes > retention.bytes_max:
            # The first event after which no more is kept than may be.
            excess = self.kept_bytes - retention.bytes_max
            last = bisect_left(self._sums, self._compacted_bytes + excess, lo=self._kept)
            oldest = max(oldest, _event_revision(self.events[last]))
        self.compact(min(oldest, revision))

    def mark(self, now_ms: int, revision: int) -> None:
        """That was the revision at that log time."""
        if not self.marks or self.marks[-1][1] != revision:
            self.marks.append((now_ms, revision))
        if len(self.marks) > MARKS_MAX:
            self.marks = deque(list(self.marks)[::2])

    def tidy(self, count: int = TIDY_EVENTS, spare: int = SPARE_EVENTS) -> bool:
        """Let go of some of what is not kept, but for some that is spared. Whether there is more of it."""
        heavy = bisect_right(self._sums, self._compacted_bytes - SPARE_BYTES, hi=self._kept)
        superfluous = max(self._kept - spare, heavy)
        if superfluous <= 0:
            return False
        dropped = min(superfluous, count)
        whole = dropped == len(self.events)
        self._dropped_of_first = 0 if whole else self.offset_in_revision(self.first_number + dropped)
        del self.events[:dropped]
        del self._sums[:dropped]
        self.first_number += dropped
        self._kept -= dropped
        return dropped < superfluous

    # -- snapshots

    def kept_events(self) -> list[Event]:
        return self.events[self._kept :]

    def load(self, events: Iterable[Event]) -> None:
        """The next events of a snapshot, in their order."""
        for event in events:
            self.record(*event)


def event_rows(events: Sequence[Event]) -> Iterator[tuple[Any, ...]]:
    """As a snapshot holds them: ``before`` only where no earlier event of the same snapshot left it. Those
    begin with a whole revision, so what is younger than the first was left by one of them."""
    first = _event_revision(events[0]) if events else 0
    for key, item, before in events:
        yield (key, item, None if before is None or before[2] >= first else before)


def event_of(row: Any, items: dict[bytes, KeyValue], last: dict[bytes, KeyValue]) -> Event:
    """The inverse. ``last`` holds what the events so far have left; what is still there is taken from
    ``items``, so that no value is held twice. Raises ValueError or TypeError for anything else."""
    key, fields, before_fields = row
    item = _item(fields)
    present = items.get(key)
    if present is not None and present == item:
        item = present
    before = last.get(key)
    if before is None:
        before = None if before_fields is None else _item(before_fields)
    elif not before[3]:
        before = None
    last[key] = item
    return (key, item, before)


_ITEM_TYPES = (bytes, int, int, int, int)


def _item(fields: Any) -> KeyValue:
    if type(fields) is not tuple or tuple(map(type, fields)) != _ITEM_TYPES:
        raise ValueError("an item with fields of the wrong type")
    item: KeyValue = new(KeyValue, fields)
    return item
