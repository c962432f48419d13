"""A number that many add to."""

from __future__ import annotations

from raftkv.client import AsyncClient, Client, Entry, requests, txn
from raftkv.client.requests import to_key
from raftkv.client.scripts import Script
from raftkv.client.types import Bytes, TxnResult
from raftkv.errors import InvalidRequest, shown
from raftkv.recipes.clients import of_kind

AMOUNT_MAX = 1 << 62


def _add(key: bytes, amount: int) -> Script[int]:
    if type(amount) is not int or abs(amount) >= AMOUNT_MAX:
        raise InvalidRequest(f"an amount is a whole number of at most 62 bits, not {shown(amount)}")
    entry: Entry | None = yield requests.get(key)
    while True:
        total = number_in(entry) + amount
        unchanged = txn.mod_revision(key) == (entry.mod_revision if entry else 0)
        done: TxnResult = yield requests.txn([unchanged], [txn.put(key, b"%d" % total)], [txn.get(key)])
        if done.succeeded:
            return total
        (entry,) = done.results


def number_in(entry: Entry | None) -> int:
    try:
        return int(entry.value) if entry else 0
    except ValueError:
        raise InvalidRequest(f"{entry.key!r} holds no number" if entry else "no number") from None


class Counter:
    """Starts at 0. Each ``add`` that returns has counted exactly once; one that raises ``OutcomeUnknown``
    may have. No two ``add(1)`` return the same number, so it numbers things as well."""

    def __init__(self, client: Client, name: Bytes) -> None:
        self._client, self._key = of_kind(Client, client), to_key(name)

    def add(self, amount: int = 1) -> int:
        """The new total."""
        return self._client.run(_add(self._key, amount))

    def get(self) -> int:
        return number_in(self._client.get(self._key))


class AsyncCounter:
    """See ``Counter``."""

    def __init__(self, client: AsyncClient, name: Bytes) -> None:
        self._client, self._key = of_kind(AsyncClient, client), to_key(name)

    async def add(self, amount: int = 1) -> int:
        return await self._client.run(_add(self._key, amount))

    async def get(self) -> int:
        return number_in(await self._client.get(self._key))
