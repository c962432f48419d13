"""What builds on the store, under torture: one watches everything, some take a lock by turns.

Every revision changes at least one key. So an observer of the whole store must have been told of every
revision from its first to the last, in order; each key's versions must follow one another; and what its
events add up to must be what the store holds in the end. The tokens that holders of the lock wrote under
its guard must never go down, however clocks, nodes and links were treated.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from raftkv.client import Client, Event, txn
from raftkv.client.stream import WatchStream
from raftkv.errors import ClientError
from raftkv.recipes import Lock

LOCK = b"torture/lock"
GUARDED = b"torture/guarded"
TTL_SECONDS = 2.0
REQUEST_SECONDS = 5.0
PAUSE_SECONDS = 0.1
"""Between two turns with the lock; and before a failed one is tried again."""
SHOWN = 3


class Tenants:
    """Threads of their own, from ``begin`` to ``end``."""

    def __init__(self, endpoints: Sequence[str], holders: int) -> None:
        self._client = Client(endpoints, REQUEST_SECONDS)
        self._events: list[Event] = []
        self._watch: WatchStream | None = None
        self._error: ClientError | None = None
        self._stop = threading.Event()
        self.turns = 0
        """With the lock, that wrote something."""
        self._threads = [threading.Thread(target=self._observe, name="observer", daemon=True)]
        self._threads += [
            threading.Thread(target=self._hold, name=f"holder-{number}", daemon=True)
            for number in range(holders)
        ]

    @property
    def events_seen(self) -> int:
        return len(self._events)

    def begin(self) -> None:
        """Before anything has changed."""
        self._watch = self._client.watch("", end="", revision=1)
        for thread in self._threads:
            thread.start()

    def rest(self, seconds: float) -> None:
        """No further turns with the lock; whoever has it gives it back."""
        self._stop.set()
        for thread in self._threads[1:]:
            thread.join(seconds)

    def end(self) -> None:
        self._stop.set()
        self._client.close()

    def problems(self, seconds: float) -> list[str]:
        """What must not be, once everything was healed and nobody writes any more."""
        assert self._watch
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
        return [
            *_incomplete(events, present),
            *_broken_chains(events),
            *_differs(events, held),
            *_tokens(events),
        ]

    # -- the threads

    def _observe(self) -> None:
        assert self._watch
        try:
            for event in self._watch:
                self._events.append(event)
        except ClientError as error:
            if not self._stop.is_set():
                self._error = error

    def _hold(self) -> None:
        while not self._stop.is_set():
            lock = Lock(self._client, LOCK, TTL_SECONDS)
            try:
                if lock.acquire(timeout=REQUEST_SECONDS):
                    token = b"%d" % lock.token
                    done = self._client.txn([lock.guard()], [txn.put(GUARDED, token)])
                    self.turns += done.succeeded
                    lock.release()
            except ClientError:
                pass  # its lease ends by itself, and somebody else has a turn
            self._stop.wait(PAUSE_SECONDS)


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


def _tokens(events: list[Event]) -> list[str]:
    tokens = [int(event.value) for event in events if event.key == GUARDED and event.version]
    if tokens == sorted(tokens):
        return []
    return [f"a former holder of the lock has written: tokens {tokens[-20:]}"]
