"""Mutual exclusion, and its relative for readers and writers."""

from __future__ import annotations

from contextlib import suppress

from raftkv.client import AsyncClient, Client, Entry
from raftkv.client.scripts import Script
from raftkv.client.txn import Compare
from raftkv.client.types import Bytes
from raftkv.errors import ClientError, LockLost
from raftkv.recipes import line
from raftkv.recipes.clients import of_kind
from raftkv.recipes.line import Place

TTL_SECONDS = 10.0


class Seat:
    """The scripts and what they share. One holder at a time: threads use one object each."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __repr__(self) -> str:
        place = self._place
        held = "lost" if place.is_lost else f"held, token {place.token}"
        return f"<{type(self).__name__} {place.prefix[:-1]!r}: {held if place.has_turn else 'not held'}>"

    @property
    def token(self) -> int:
        """The fencing token: grows with every holder. Raises ``LockLost`` when nothing is held."""
        if not self._place.has_turn:
            raise LockLost("nothing is held")
        return self._place.token

    @property
    def held(self) -> bool:
        """Whether it certainly is, by this process's clock."""
        return self._place.has_turn and not self._place.is_lost

    def guard(self) -> Compare:
        """To be among a transaction's compares: it then happens only while this is held. Raises ``LockLost``
        when nothing is."""
        if not self._place.has_turn:
            raise LockLost("nothing is held")
        return self._place.guard()

    def _blocks(self, entry: Entry) -> bool:
        """Whether somebody ahead has to go first."""
        del entry
        return True

    def _acquire(self, value: bytes, timeout: float | None) -> Script[bool]:
        yield from self._place.leave()
        deadline = yield from line.until(timeout)
        yield from self._place.join(value)
        if (yield from self._place.await_turn(self._blocks, deadline)):
            return True
        yield from self._place.leave()
        return False

    def _release(self) -> Script[bool]:
        had_turn = self._place.has_turn
        return (yield from self._place.leave()) and had_turn


def _part(of: type[BaseException] | None, lost: bool) -> None:
    """At the end of a block. One that failed has said something else already."""
    if lost and of is None:
        raise LockLost("the lock was lost before the block that it was taken for had ended")


class Lock(Seat):
    """A lock of that ``name`` in the whole cluster, held for about ``ttl`` seconds longer than its holder
    lives, and as long as nobody leads on top. ``with Lock(client, "name") as lock:`` raises ``LockLost`` at
    its end where the lock was not held until then."""

    def __init__(self, client: Client, name: Bytes, ttl: float = TTL_SECONDS) -> None:
        super().__init__(Place(name, ttl))
        self._client = of_kind(Client, client)

    def acquire(self, timeout: float | None = None) -> bool:
        """Wait for it; False when ``timeout`` seconds have passed. Raises ``LockLost`` when the lease ended
        meanwhile, or another ``ClientError``: then nothing is held."""
        with self._place.entering():
            return self._client.run(self._acquire(b"", timeout))

    def release(self) -> bool:
        """Give it back; whether it was held until now."""
        return self._client.run(self._release())

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, of: type[BaseException] | None, error: object, trace: object) -> None:
        had, lost = self._place.has_turn, self._place.is_lost
        with suppress(ClientError):  # it goes when its lease ends
            lost |= not self.release()
        _part(of, had and lost)


class AsyncLock(Seat):
    """``async with AsyncLock(client, "name") as lock:``"""

    def __init__(self, client: AsyncClient, name: Bytes, ttl: float = TTL_SECONDS) -> None:
        super().__init__(Place(name, ttl))
        self._client = of_kind(AsyncClient, client)

    async def acquire(self, timeout: float | None = None) -> bool:
        with self._place.entering():
            return await self._client.run(self._acquire(b"", timeout))

    async def release(self) -> bool:
        return await self._client.run(self._release())

    async def __aenter__(self) -> AsyncLock:
        await self.acquire()
        return self

    async def __aexit__(self, of: type[BaseException] | None, error: object, trace: object) -> None:
        had, lost = self._place.has_turn, self._place.is_lost
        with suppress(ClientError):  # it goes when its lease ends
            lost |= not await self.release()
        _part(of, had and lost)


_READER, _WRITER = b"r", b"w"


class _Side(Place):
    """A reader's place, which all but readers block, or a writer's, which everybody does."""

    def __init__(self, name: Bytes, ttl: float, kind: bytes) -> None:
        super().__init__(name, ttl, kind)
        self.is_reader = kind == _READER


class _ReaderOrWriter(Seat):
    _place: _Side

    def _blocks(self, entry: Entry) -> bool:
        return not (self._place.is_reader and entry.key.endswith(_READER))


class _SideLock(_ReaderOrWriter, Lock):
    def __init__(self, client: Client, place: _Side) -> None:
        Seat.__init__(self, place)
        self._client = of_kind(Client, client)


class _AsyncSideLock(_ReaderOrWriter, AsyncLock):
    def __init__(self, client: AsyncClient, place: _Side) -> None:
        Seat.__init__(self, place)
        self._client = of_kind(AsyncClient, client)


class ReadWriteLock:
    """Many readers or one writer, in the order in which they came: a writer is not starved. ``reader()`` and
    ``writer()`` each make a ``Lock`` for one holder."""

    def __init__(self, client: Client, name: Bytes, ttl: float = TTL_SECONDS) -> None:
        self._client, self._name, self._ttl = of_kind(Client, client), name, ttl

    def reader(self) -> Lock:
        return _SideLock(self._client, _Side(self._name, self._ttl, _READER))

    def writer(self) -> Lock:
        return _SideLock(self._client, _Side(self._name, self._ttl, _WRITER))


class AsyncReadWriteLock:
    """See ``ReadWriteLock``."""

    def __init__(self, client: AsyncClient, name: Bytes, ttl: float = TTL_SECONDS) -> None:
        self._client, self._name, self._ttl = of_kind(AsyncClient, client), name, ttl

    def reader(self) -> AsyncLock:
        return _AsyncSideLock(self._client, _Side(self._name, self._ttl, _READER))

    def writer(self) -> AsyncLock:
        return _AsyncSideLock(self._client, _Side(self._name, self._ttl, _WRITER))
