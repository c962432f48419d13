"""So many come together, and go on together."""

from __future__ import annotations

from contextlib import suppress

from raftkv.client import AsyncClient, Client, requests, txn
from raftkv.client.requests import RangePage, Request
from raftkv.client.scripts import Changed, Now, Script
from raftkv.client.types import Bytes, Entry, TxnResult
from raftkv.errors import InvalidRequest, LockLost, OutcomeUnknown, Unavailable, shown
from raftkv.kv import prefix_end
from raftkv.recipes import line
from raftkv.recipes.clients import of_kind
from raftkv.recipes.line import LOOK_SECONDS_MAX, Place, patiently, places_of, prefix_of, read_all
from raftkv.recipes.lock import TTL_SECONDS


class _Meeting:
    """Whoever finds the number full opens a gate for all who are there, which the last of them to leave
    closes again. Those who come meanwhile wait for that: they are the next meeting."""

    def __init__(self, name: Bytes, parties: int, ttl: float) -> None:
        if type(parties) is not int or parties < 1:
            raise InvalidRequest(f"a barrier is for a whole number from 1, not {shown(parties)}")
        self._prefix = prefix_of(name)
        self._gate = self._prefix + b"gate"
        self._parties = parties
        self._place = Place(self._prefix + b"here", ttl)
        self._met = 0
        """The revision at which the gate of this one's meeting was opened."""

    @property
    def token(self) -> int:
        """Grows with everybody who enters."""
        return self._place.token

    def _enter(self, timeout: float | None) -> Script[bool]:
        deadline = yield from line.until(timeout)
        if self._place.is_lost:
            yield from self._place.leave()
        yield from self._place.join()
        while True:
            gate, page = yield from patiently(self._look, deadline, lambda: self._place.is_lost)
            if gate and gate.create_revision > self._place.token:
                self._met = gate.create_revision
                return True
            if all(entry.key != self._place.key for entry in page.entries):
                yield from self._place.leave()
                raise LockLost("the lease ended while waiting at the barrier")
            if gate:  # of an earlier meeting
                if (yield from self._close(gate, page)):
                    continue
            elif len(page.entries) >= self._parties:
                # Only if all who were counted are there still: one whose time is up may leave meanwhile.
                there = [txn.create_revision(entry.key) == entry.create_revision for entry in page.entries]
                counted = there[: self._parties]
                opened = [txn.put(self._gate, b"")]
                yield from _try(requests.txn([txn.absent(self._gate), *counted], opened, []))
                continue
            now: float = yield Now()
            if deadline is not None and now >= deadline:
                if (yield from self._give_up(gate)):
                    return False
                continue
            yield self._next_change(page, deadline, now)

    def _look(self) -> Script[tuple[Entry | None, RangePage]]:
        """The gate and those who are there, of one moment: what comes after it is waited for."""
        whole = yield from read_all(self._prefix)
        gate = next((entry for entry in whole.entries if entry.key == self._gate), None)
        return gate, places_of(whole, self._place.prefix)

    def _give_up(self, gate: Entry | None) -> Script[bool]:
        """Whether nobody has counted on this place."""
        as_it_was = txn.create_revision(self._gate) == (gate.create_revision if gate else 0)
        gone: TxnResult = yield requests.txn([as_it_was], [txn.delete(self._place.key)], [])
        if gone.succeeded:
            yield from self._place.leave()
        return gone.succeeded

    def _leave(self, timeout: float | None) -> Script[bool]:
        deadline = yield from line.until(timeout)
        with suppress(Unavailable, OutcomeUnknown):  # then its lease ends by itself
            yield from self._place.leave()
        while True:
            gate, page = yield from patiently(self._look, deadline)
            if gate is None or gate.create_revision != self._met:
                return True  # whoever is here now is of another meeting
            if (yield from self._close(gate, page)):
                continue
            now: float = yield Now()
            if deadline is not None and now >= deadline:
                return False
            yield self._next_change(page, deadline, now)

    def _next_change(self, page: RangePage, deadline: float | None, now: float) -> Changed:
        patience = LOOK_SECONDS_MAX if deadline is None else min(LOOK_SECONDS_MAX, deadline - now)
        return Changed(self._prefix, prefix_end(self._prefix), page.revision, patience)

    def _close(self, gate: Entry, page: RangePage) -> Script[bool]:
        """Whether all of the meeting that ``gate`` was opened for have left; then it tries to close it."""
        if any(entry.create_revision < gate.create_revision for entry in page.entries):
            return False
        same = txn.create_revision(self._gate) == gate.create_revision
        yield from _try(requests.txn([same], [txn.delete(self._gate)], []))
        return True


def _try(request: Request[TxnResult]) -> Script[None]:
    """The next look tells what has come of it, also where nobody has answered."""
    with suppress(Unavailable, OutcomeUnknown):
        yield request


class Barrier(_Meeting):
    """``enter`` returns once at least ``parties`` are there, ``leave`` once all of them have left (or
    their leases have ended)."""

    def __init__(self, client: Client, name: Bytes, parties: int, ttl: float = TTL_SECONDS) -> None:
        super().__init__(name, parties, ttl)
        self._client = of_kind(Client, client)

    def enter(self, timeout: float | None = None) -> bool:
        """False when ``timeout`` seconds have passed, and then not entered."""
        with self._place.entering():
            return self._client.run(self._enter(timeout))

    def leave(self, timeout: float | None = None) -> bool:
        """False when ``timeout`` seconds have passed and others are still there; this one has left."""
        return self._client.run(self._leave(timeout))


class AsyncBarrier(_Meeting):
    """See ``Barrier``."""

    def __init__(self, client: AsyncClient, name: Bytes, parties: int, ttl: float = TTL_SECONDS) -> None:
        super().__init__(name, parties, ttl)
        self._client = of_kind(AsyncClient, client)

    async def enter(self, timeout: float | None = None) -> bool:
        with self._place.entering():
            return await self._client.run(self._enter(timeout))

    async def leave(self, timeout: float | None = None) -> bool:
        return await self._client.run(self._leave(timeout))
