"""First in, first out, for any number of producers and consumers.

Items are numbered by a key that every put moves on in the same transaction, so their keys stand in order.
Whoever deletes an item has it: the transaction that does so says which one it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from raftkv.client import AsyncClient, Client, Entry, requests, txn
from raftkv.client.requests import RangePage, to_value
from raftkv.client.scripts import Changed, Now, Script
from raftkv.client.types import Bytes, TxnResult
from raftkv.recipes import line
from raftkv.recipes.clients import of_kind
from raftkv.recipes.counter import number_in

_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Item:
    """``token`` grows from item to item."""

    value: bytes
    token: int


class _Scripts:
    def __init__(self, name: Bytes) -> None:
        prefix = line.prefix_of(name)
        self._last = prefix + b"last"
        self._items = prefix + b"items/"
        # Numbers only: another queue's name may begin with this prefix.
        self._first, self._end = self._items + b"0", self._items + b":"

    def _put(self, value: bytes) -> Script[int]:
        last: Entry | None = yield requests.get(self._last)
        while True:
            number = number_in(last) + 1
            item = self._items + str(number).zfill(_DIGITS).encode()
            unchanged = txn.mod_revision(self._last) == (last.mod_revision if last else 0)
            steps = [txn.put(self._last, str(number)), txn.put(item, value)]
            done: TxnResult = yield requests.txn([unchanged], steps, [txn.get(self._last)])
            if done.succeeded:
                return number
            (last,) = done.results

    def _get(self, timeout: float | None) -> Script[Item | None]:
        deadline = yield from line.until(timeout)
        # Without a limit only whoever waits already is patient: there may be no cluster at all.
        found = yield from (self._take() if deadline is None else line.patiently(self._take, deadline))
        while not isinstance(found, Item):
            left: float | None = None
            if deadline is not None:
                now: float = yield Now()
                left = deadline - now
                if left <= 0:
                    return None
            yield Changed(self._first, self._end, found, left, deletes=False)
            found = yield from line.patiently(self._take, deadline)
        return found

    def _take(self) -> Script[Item | int]:
        """The oldest, or the revision at which there was none."""
        while True:
            page: RangePage = yield requests.range_page(self._first, self._end, limit=1)
            if not page.entries:
                return page.revision
            first = page.entries[0]
            mine = txn.create_revision(first.key) == first.create_revision
            done: TxnResult = yield requests.txn([mine], [txn.delete(first.key)], [])
            if done.succeeded:
                return Item(first.value, first.create_revision)

    def _length(self) -> Script[int]:
        asked = requests.range_page(self._first, self._end, count_only=True)
        page: RangePage = yield asked
        return page.count


class Queue(_Scripts):
    """An item that ``get`` has returned is gone from the queue: at most once, if its consumer dies. A ``get``
    that raises ``OutcomeUnknown`` may have taken one."""

    def __init__(self, client: Client, name: Bytes) -> None:
        super().__init__(name)
        self._client = of_kind(Client, client)

    def put(self, value: Bytes) -> int:
        """The item's number, from 1."""
        return self._client.run(self._put(to_value(value)))

    def get(self, timeout: float | None = None) -> Item | None:
        """The oldest item, waiting for one; None when ``timeout`` seconds have passed."""
        return self._client.run(self._get(timeout))

    def __len__(self) -> int:
        return self._client.run(self._length())


class AsyncQueue(_Scripts):
    """See ``Queue``."""

    def __init__(self, client: AsyncClient, name: Bytes) -> None:
        super().__init__(name)
        self._client = of_kind(AsyncClient, client)

    async def put(self, value: Bytes) -> int:
        return await self._client.run(self._put(to_value(value)))

    async def get(self, timeout: float | None = None) -> Item | None:
        return await self._client.run(self._get(timeout))

    async def length(self) -> int:
        return await self._client.run(self._length())
