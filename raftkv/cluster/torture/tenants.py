"""What builds on the store, under torture: one watches everything, others use the recipes by turns.

Every revision changes at least one key. So an observer of the whole store must have been told of every
revision from its first to the last, in order; each key's versions must follow one another; and what its
events add up to must be what the store holds in the end. The tokens that holders of a lock or an office wrote
under its guard must never go down, no two additions to a counter give the same number, no item leaves a queue
twice: however clocks, nodes and links were treated.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter as Counts
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from raftkv.client import AsyncClient, Client, Event, txn
from raftkv.client.stream import WatchStream
from raftkv.cluster.torture.commands import Commands
from raftkv.errors import ClientError
from raftkv.recipes import AsyncCounter, AsyncLock, Barrier, Counter, Election, Lock, Queue, ReadWriteLock

PREFIX = b"torture/"
TTL_SECONDS = 2.0
REQUEST_SECONDS = 5.0
PAUSE_SECONDS = 0.1
"""Between two turns; and before a failed one is tried again."""
COMMAND_SECONDS = 1.0
"""Between two processes: each takes a quarter of a second of a core."""
SHOWN = 3
GUARDED = (PREFIX + b"by-lock", PREFIX + b"by-writer", PREFIX + b"by-office")
"""Keys that hold the token of whoever wrote last."""
PARTIES = 2


class Tenants:
    """Threads of their own, from ``begin`` to ``end``."""

    def __init__(self, endpoints: Sequence[str], data: Path) -> None:
        """``data``: the cluster's folder, where commands find it."""
        self._endpoints = endpoints
        self._commands = Commands(data)
        self._client = Client(endpoints, REQUEST_SECONDS)
        self._events: list[Event] = []
        self._watch: WatchStream | None = None
        self._error: ClientError | None = None
        self._stop = threading.Event()
        self.turns: Counts[str] = Counts()
        """That came to a good end, by recipe."""
        self._numbers: list[int] = []
        self._items: list[tuple[int, bytes]] = []
        works: dict[str, Callable[[], None]] = {
            **{f"lock {number}": self._lock for number in range(3)},
            "writer": self._write,
            **{f"reader {number}": self._read for number in range(2)},
            **{f"office {number}": partial(self._office, number) for number in range(2)},
            **{f"counter {number}": self._count for number in range(2)},
            "queue put": self._put_item,
            **{f"queue get {number}": self._get_item for number in range(2)},
            **{f"barrier {number}": self._meet for number in range(PARTIES)},
            "async": lambda: asyncio.run(self._await()),
            "command": self._command,
        }
        self._observer = threading.Thread(target=self._observe, name="observer", daemon=True)
        self._workers = [
            threading.Thread(target=partial(self._work, name.split()[0], work), name=name, daemon=True)
            for name, work in works.items()
        ]

    @property
    def events_seen(self) -> int:
        return len(self._events)

    def begin(self) -> None:
        """Before anything has changed."""
        self._watch = self._client.watch("", end="", revision=1)
        self._commands.begin()
        for thread in (self._observer, *self._workers):
            thread.start()

    def rest(self, seconds: float) -> None:
        """No further turns; whoever holds something gives it back."""
        self._stop.set()
        deadline = time.monotonic() + seconds
        for thread in self._workers:
            thread.join(max(0.0, deadline - time.monotonic()))

    def end(self) -> None:
        self._stop.set()
        self._commands.end()
        self._client.close()

    def problems(self, seconds: float) -> list[str]:
        """What must not be, once everything was healed and nobody writes any more."""
        assert self._watch
        if stuck := [thread.name for thread in self._workers if thread.is_alive()]:
            return [f"no end of {', '.join(stuck)}"]
        try:
            present = self._client.revision()
            held = {entry.key: entry.mod_revision for entry in self._client.range(keys_only=True)}
        except ClientError as error:
            return [f"the store cannot be read in the end: {error}"]
        waited = 0.0
        while waited < seconds and not self._error and self._watch.revision < present:
            threading.Event().wait(PAUSE_SECONDS)
            waited += PAUSE_SECONDS
        if self._error:
            return [f"the watch ended: {self._error}"]
        events = [event for event in list(self._events) if event.mod_revision <= present]
        found = [*_incomplete(events, present), *_broken_chains(events), *_differs(events, held)]
        for key in GUARDED:
            found += _tokens(events, key)
        found += [*self._commands.problems, *self._commands.differs(events, seconds)]
        return [*found, *_repeated("counter", self._numbers), *_repeated("queue", self._items)]

    # -- the threads

    def _observe(self) -> None:
        assert self._watch
        try:
            for event in self._watch:
                self._events.append(event)
        except ClientError as error:
            if not self._stop.is_set():
                self._error = error

    def _work(self, recipe: str, work: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                work()
                self.turns[recipe] += 1
            except ClientError:
                pass  # what it held ends by itself, and somebody else has a turn
            except Exception as error:
                self._commands.problems.append(f"{recipe}: {type(error).__name__}: {error}")
                return
            self._stop.wait(PAUSE_SECONDS)

    def _under(self, held: Lock | Election, key: bytes) -> None:
        token = b"%d" % held.token
        self._client.txn([held.guard()], [txn.put(key, token)])

    def _lock(self) -> None:
        lock = Lock(self._client, PREFIX + b"lock", TTL_SECONDS)
        if lock.acquire(timeout=REQUEST_SECONDS):
            self._under(lock, GUARDED[0])
            lock.release()

    def _write(self) -> None:
        lock = ReadWriteLock(self._client, PREFIX + b"shared", TTL_SECONDS).writer()
        if lock.acquire(timeout=REQUEST_SECONDS):
            self._under(lock, GUARDED[1])
            lock.release()

    def _read(self) -> None:
        lock = ReadWriteLock(self._client, PREFIX + b"shared", TTL_SECONDS).reader()
        if lock.acquire(timeout=REQUEST_SECONDS):
            self._client.get(GUARDED[1])
            lock.release()

    def _office(self, number: int) -> None:
        election = Election(self._client, PREFIX + b"office", TTL_SECONDS)
        if election.campaign(b"%d" % number, timeout=REQUEST_SECONDS):
            self._under(election, GUARDED[2])
            election.resign()

    def _count(self) -> None:
        self._numbers.append(Counter(self._client, PREFIX + b"counter").add())

    def _put_item(self) -> None:
        Queue(self._client, PREFIX + b"queue").put(b"item")

    def _get_item(self) -> None:
        item = Queue(self._client, PREFIX + b"queue").get(timeout=1.0)
        if item:
            self._items.append((item.token, item.value))

    async def _await(self) -> None:
        """The same lock and the same counter, by the other client."""
        async with AsyncClient(self._endpoints, REQUEST_SECONDS) as client:
            self._numbers.append(await AsyncCounter(client, PREFIX + b"counter").add())
            lock = AsyncLock(client, PREFIX + b"lock", TTL_SECONDS)
            if await lock.acquire(timeout=REQUEST_SECONDS):
                guarded = [txn.put(GUARDED[0], b"%d" % lock.token)]
                await client.txn([lock.guard()], guarded)
                await lock.release()

    def _command(self) -> None:
        self._commands.lock()
        self._stop.wait(COMMAND_SECONDS)

    def _meet(self) -> None:
        barrier = Barrier(self._client, PREFIX + b"barrier", PARTIES, TTL_SECONDS)
        if barrier.enter(timeout=REQUEST_SECONDS):
            barrier.leave()


def _incomplete(events: list[Event], present: int) -> list[str]:
    revisions = list(dict.fromkeys(event.mod_revision for event in events))
    if revisions == list(range(1, present + 1)):
        return []
    missing = sorted(set(range(1, present + 1)) - set(revisions))[:SHOWN]
    return [
        f"the watch told of {len(revisions):,} revisions of {present:,}, in no order or without {missing}"
    ]


def _broken_chains(events: list[Event]) -> list[str]:
    """Versions of one key follow one another, and begin anew after a deletion."""
    versions: dict[bytes, int] = {}
    for event in events:
        before = versions.get(event.key, 0)
        if event.version not in (0, before + 1) or (event.version == 0 and not before):
            return [f"the watch told of version {event.version} of {event.key!r} after version {before}"]
        versions[event.key] = event.version
    return []


def _differs(events: list[Event], held: dict[bytes, int]) -> list[str]:
    told: dict[bytes, int] = {}
    for event in events:
        if event.version:
            told[event.key] = event.mod_revision
        else:
            told.pop(event.key, None)
    if told == held:
        return []
    keys = sorted(key for key in {*told, *held} if told.get(key) != held.get(key))[:SHOWN]
    return [f"what the watch told adds up to {len(told):,} keys, not to the store's {len(held):,}: {keys}"]


def _tokens(events: list[Event], key: bytes) -> list[str]:
    tokens = [int(event.value) for event in events if event.key == key and event.version]
    if tokens == sorted(tokens):
        return []
    return [f"a former holder has written {key!r}: tokens {tokens[-20:]}"]


def _repeated(what: str, given: Sequence[object]) -> list[str]:
    twice = [each for each, count in Counts(given).items() if count > 1][:SHOWN]
    return [f"the {what} has given {twice} twice"] if twice else []
