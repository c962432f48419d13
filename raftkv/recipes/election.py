"""One of many holds an office, and everybody can see who."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial

from raftkv.client import AsyncClient, Client, Entry, requests, txn
from raftkv.client.requests import to_bytes, to_value
from raftkv.client.scripts import Changed, Script
from raftkv.client.types import Bytes, TxnResult
from raftkv.errors import LockLost
from raftkv.kv import prefix_end
from raftkv.recipes.clients import of_kind
from raftkv.recipes.line import LOOK_SECONDS_MAX, Place, patiently, read_line
from raftkv.recipes.lock import TTL_SECONDS, Seat


class _Office(Seat):
    def _proclaim(self, value: Bytes) -> Script[None]:
        place = self._place
        if place.lease is None or not place.has_turn:
            raise LockLost("the office is not held")
        step = txn.put(place.key, to_value(value), place.lease.id)
        done: TxnResult = yield requests.txn([place.guard()], [step], [])
        if not done.succeeded:
            yield from place.leave()
            raise LockLost("the office was lost: its lease has ended")


def _leader(prefix: bytes) -> Script[tuple[Entry | None, int]]:
    """(who holds the office, the revision at which that was so)."""
    page = yield from read_line(prefix)
    first = min(page.entries, key=lambda entry: entry.create_revision, default=None)
    return first, page.revision


def _next_leader(prefix: bytes, known: Entry | None, revision: int) -> Script[tuple[Entry | None, int]]:
    """Wait until it is another one, or says something else, however long nobody answers."""
    while True:
        yield Changed(prefix, prefix_end(prefix), revision, LOOK_SECONDS_MAX)
        found, revision = yield from patiently(partial(_leader, prefix), None)
        if _identity(found) != _identity(known):
            return found, revision


def _identity(entry: Entry | None) -> tuple[bytes, int] | None:
    return None if entry is None else (entry.key, entry.mod_revision)


class Election(_Office):
    """Candidates for an office of that ``name``. ``token`` grows with every holder."""

    def __init__(self, client: Client, name: Bytes, ttl: float = TTL_SECONDS) -> None:
        super().__init__(Place(name, ttl))
        self._client = of_kind(Client, client)

    def campaign(self, value: Bytes, timeout: float | None = None) -> bool:
        """Stand, saying ``value``, and wait to be elected; False when ``timeout`` seconds have passed."""
        with self._place.entering():
            return self._client.run(self._acquire(to_bytes(value), timeout))

    def proclaim(self, value: Bytes) -> None:
        """Say something else while in office. Raises ``LockLost`` when it is not held any more."""
        self._client.run(self._proclaim(value))

    def resign(self) -> bool:
        """Give it up; whether it was held until now."""
        return self._client.run(self._release())

    def leader(self) -> Entry | None:
        """Who holds the office now, and what they say; None when nobody stands."""
        return self._client.run(_leader(self._place.prefix))[0]

    def observe(self) -> Iterator[Entry | None]:
        """The present holder, and each one after it; holders in quick succession may be skipped."""
        known, revision = self._client.run(_leader(self._place.prefix))
        while True:
            yield known
            known, revision = self._client.run(_next_leader(self._place.prefix, known, revision))


class AsyncElection(_Office):
    """See ``Election``."""

    def __init__(self, client: AsyncClient, name: Bytes, ttl: float = TTL_SECONDS) -> None:
        super().__init__(Place(name, ttl))
        self._client = of_kind(AsyncClient, client)

    async def campaign(self, value: Bytes, timeout: float | None = None) -> bool:
        with self._place.entering():
            return await self._client.run(self._acquire(to_bytes(value), timeout))

    async def proclaim(self, value: Bytes) -> None:
        await self._client.run(self._proclaim(value))

    async def resign(self) -> bool:
        return await self._client.run(self._release())

    async def leader(self) -> Entry | None:
        return (await self._client.run(_leader(self._place.prefix)))[0]

    async def observe(self) -> AsyncIterator[Entry | None]:
        known, revision = await self._client.run(_leader(self._place.prefix))
        while True:
            yield known
            known, revision = await self._client.run(_next_leader(self._place.prefix, known, revision))
