"""Those who build on the store in a simulated world, and what they must be able to rely on.

An *observer* watches everything and remembers it: at the end that must be every change there ever was, once,
in order, whole transactions together, but for what was compacted before it was told so. A *bookkeeper*
changes several keys by one command, so that there are such. A *holder* takes a lock, writes its fencing token
under the lock's guard, and lets go; now and then it freezes for longer than its lease lives, and goes on as
if nothing had happened. No two may believe to hold the lock at the same time, no lease may end while its
holder can believe in it, and the tokens written must never go down.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection

from raftkv.client import requests, txn
from raftkv.client.scripts import Pause, Script
from raftkv.client.types import Event
from raftkv.client.watching import Watch
from raftkv.errors import ClientError, Compacted
from raftkv.kv import prefix_end
from raftkv.recipes.line import Place
from raftkv.sim.clients import SimClient
from raftkv.sim.scripts import Runner, SimLease
from raftkv.sim.twin import Twin, Violation

LOCK = b"lock"
GUARDED = b"guarded"
BOOK = (b"book/1", b"book/2", b"book/3")
"""Its pages, in the order of their keys."""
REST_SECONDS = 0.2
HOLD_SECONDS = 0.1
WAIT_SECONDS = 3.0
FREEZE_SHARE = 0.2
FREEZE_SECONDS = 3.0

TURNS, TOKENS = "turns at the lock", "writes under its guard"
LEASES_ENDED = "leases that ended in time"
CHANGES_TOLD, TOGETHER = "changes told to who watches", "of which with others of one revision"
TENANCY = (TURNS, TOKENS, LEASES_ENDED, CHANGES_TOLD, TOGETHER)
"""What must have happened for a run to say anything of those who build on the store."""


class Observer:
    """``events`` holds what it has been told: (revision, key, value or None)."""

    def __init__(self, client: SimClient) -> None:
        self._client = client
        self.events: list[tuple[int, bytes, bytes | None]] = []
        self.gaps: list[tuple[int, int]] = []
        """(the last revision known, the one it went on from), where it was told that more is forgotten."""
        self._watch = self._begin(0)

    @property
    def revision(self) -> int:
        return self._watch.revision

    def is_stranded(self, reachable: Collection[str]) -> bool:
        """It was given endpoints of nodes that are gone for good before any of them had told it of others: no
        client could do better."""
        return not self._client.core.hellos and self._client.given.isdisjoint(reachable)

    def _begin(self, after: int) -> Watch:
        watch = Watch(b"", b"", after, 0, self._on_events, self._on_error)
        self._client.act(lambda core, now: core.watches.begin(watch, now))
        return watch

    def _on_events(self, events: list[Event], answers: int) -> None:
        if events and self.events and events[0].mod_revision <= self.events[-1][0]:
            raise Violation(f"{self._client.name} was told of revision {events[0].mod_revision} in two parts")
        for event in events:
            value = event.value if event.version else None
            self.events.append((event.mod_revision, event.key, value))
        watch = self._watch
        self._client.later(
            0.0, lambda: self._client.act(lambda core, now: core.watches.consumed(watch, answers, now))
        )

    def _on_error(self, error: ClientError) -> None:
        if not isinstance(error, Compacted) or error.revision <= self._watch.revision:
            raise Violation(f"{self._client.name}: a watch at {self._watch.revision} ended with {error!r}")
        self.gaps.append((self._watch.revision, error.revision))
        self._watch = self._begin(error.revision)

    @property
    def together(self) -> int:
        """Changes of a revision that has several."""
        sizes = Counter(revision for revision, _, _ in self.events)
        return sum(size for size in sizes.values() if size > 1)

    def check(self, twin: Twin) -> None:
        """Against all there was, up to where it has come."""
        expected = [
            event
            for event in twin.events
            if event[0] <= self.revision and not any(low < event[0] <= high for low, high in self.gaps)
        ]
        # Within a revision the order is the store's own.
        told = sorted(self.events, key=lambda event: (event[0], event[1]))
        if [event[0] for event in self.events] != [event[0] for event in told]:
            raise Violation(f"{self._client.name} was told of changes out of order")
        if told != expected:
            missing = [event for event in expected if event not in told][:3]
            wrong = [event for event in told if event not in expected][:3]
            raise Violation(
                f"{self._client.name} was told of {len(told)} changes where there were {len(expected)}: "
                f"missing {missing}, wrong {wrong}, gaps {self.gaps}"
            )


class Worker:
    """Does its work again and again, whatever becomes of it, until it is told to rest."""

    def __init__(self, client: SimClient, rng: random.Random, runner: Runner) -> None:
        self._client = client
        self._rng = rng
        self._runner = runner
        self.resting = False
        self.busy = False

    def begin(self) -> None:
        self._client.later(self._rng.expovariate(1 / REST_SECONDS), self._go)

    def _go(self) -> None:
        if self.resting:
            return
        self.busy = True
        self._runner.run(self._work(), lambda _: self._end(), lambda _: self._end())

    def _end(self) -> None:
        self.busy = False
        self.begin()

    def _work(self) -> Script[None]:
        raise NotImplementedError


class Bookkeeper(Worker):
    """Writes an entry on all pages of its book at once, or tears all of them out."""

    def __init__(self, client: SimClient, rng: random.Random, timeout: float) -> None:
        super().__init__(client, rng, Runner(client, timeout, lambda _: None))
        self._entries = 0

    def _work(self) -> Script[None]:
        self._entries += 1
        entry = b"%d" % self._entries
        match self._rng.choice(("put", "put", "txn", "txn", "delete")):
            case "put":
                yield requests.put_many([(page, entry) for page in BOOK])
            case "txn":
                yield requests.txn([], [txn.put(page, entry) for page in BOOK], [])
            case _:
                yield requests.delete_range(BOOK[0], prefix_end(BOOK[-1]))


class Holder(Worker):
    """Takes the lock, and lets go of it."""

    def __init__(
        self, client: SimClient, rng: random.Random, ttl: float, timeout: float, holders: Holders
    ) -> None:
        super().__init__(client, rng, Runner(client, timeout, holders.on_lease))
        self._holders = holders
        self._place = Place(LOCK, ttl)
        self.turns = 0

    def _end(self) -> None:
        self._holders.out(self)
        self._place.abandon()  # where a request has failed the lease is left to end by itself
        super()._end()

    def _work(self) -> Script[None]:
        place, rng = self._place, self._rng
        yield from place.join()
        deadline = self._client.now() + WAIT_SECONDS
        if not (yield from place.await_turn(lambda _: True, deadline)):
            yield from place.leave()
            return
        assert isinstance(place.lease, SimLease)
        self._holders.into(self, place.lease)
        self.turns += 1
        yield Pause(rng.expovariate(1 / HOLD_SECONDS))
        if rng.random() < FREEZE_SHARE:
            self._client.freeze(FREEZE_SECONDS * rng.random())
            yield Pause(0.0)
        guard, token = place.guard(), place.token
        self._holders.out(self)  # whatever it believes, from here on the guard decides
        yield requests.txn([guard], [txn.put(GUARDED, b"%d" % token)], [])
        yield from place.leave()


class Holders:
    """What holds of all of them together."""

    def __init__(self, now: Callable[[], float], clocks_were_true: Callable[[float], bool]) -> None:
        """``clocks_were_true``: whether, ever since that time, so few nodes' clocks ran too fast that every
        quorum had one that did not."""
        self._now = now
        self._clocks_were_true = clocks_were_true
        self._leases: dict[int, tuple[SimLease, float]] = {}
        """By id, with the time of the grant."""
        self._inside: dict[int, tuple[Holder, SimLease]] = {}
        self.checked = 0

    def on_lease(self, lease: SimLease) -> None:
        self._leases[lease.id] = (lease, self._now())

    def on_lease_ended(self, lease_id: int) -> None:
        """The log says so, not the holder."""
        lease, granted_at = self._leases.get(lease_id, (None, 0.0))
        if lease is None or not self._clocks_were_true(granted_at):
            return
        self.checked += 1
        left = lease.kept.valid_until - self._now()
        if left > 0:
            raise Violation(f"lease {lease_id} has ended {left:.3f} s before its holder could know")

    def into(self, holder: Holder, lease: SimLease) -> None:
        for other, its in self._inside.values():
            true_clocks = self._clocks_were_true(self._leases[its.id][1])
            if other is not holder and not its.lost and not lease.lost and true_clocks:
                raise Violation(f"leases {its.id} and {lease.id} hold one lock")
        self._inside[id(holder)] = (holder, lease)

    def out(self, holder: Holder) -> None:
        self._inside.pop(id(holder), None)


def check_tokens(twin: Twin) -> int:
    """How many were written under the guard. Raises ``Violation`` where they ever went down."""
    tokens = [int(value) for _, key, value in twin.events if key == GUARDED and value is not None]
    if tokens != sorted(tokens):
        raise Violation(f"a former holder of the lock has written: {tokens[-20:]}")
    return len(tokens)
