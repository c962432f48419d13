"""The client for asyncio: the same surface as ``Client``, each operation to be awaited.

One event loop at a time. The sockets live in a thread of their own, as the sync client's do, so a loop
that is busy for a while loses neither leases nor watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from os import PathLike
from typing import Any, Self, TypeVar, Unpack

from raftkv import clock
from raftkv.client import requests
from raftkv.client.calls import Call
from raftkv.client.client import DEFAULT_TIMEOUT_SECONDS, Client, Lease, watch_flags
from raftkv.client.leases import HeldLease
from raftkv.client.pump import Pump
from raftkv.client.requests import Request, Step, to_bytes, to_wait
from raftkv.client.scripts import Changed, Hold, LetGo, Now, Pause, RangeReader, Script, Within
from raftkv.client.stream import Arrivals, Arrived, Stream
from raftkv.client.types import (
    Bytes,
    CasResult,
    DeleteResult,
    Entry,
    Event,
    LeaseInfo,
    PutResult,
    RangeOptions,
    TxnResult,
    WatchOptions,
)
from raftkv.client.unique import Unique
from raftkv.errors import ClientError, Compacted, InvalidRequest, LeaseNotFound
from raftkv.keys import Key, as_key
from raftkv.kv import prefix_end
from raftkv.wire.client import HelloDetail

Answer = TypeVar("Answer")


def _described_as(original: type) -> Callable[[type[Answer]], type[Answer]]:
    """What a method does, and raises, is written once, and ``help`` shows it for both; but for those that say
    something of their own."""

    def describe(twin: type[Answer]) -> type[Answer]:
        for name, method in vars(twin).items():
            if callable(method) and not (method.__doc__ or name.startswith("_")):
                method.__doc__ = getattr(original, name).__doc__
        return twin

    return describe


@_described_as(Client)
class AsyncClient(Unique):
    """See ``Client``. To be made, used and closed in one event loop::

    async with AsyncClient(endpoints) as client:
        await client.put("k", "v")
    """

    def __init__(
        self,
        endpoints: Iterable[str],
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        *,
        key: Key | str | PathLike[str] | None = None,
    ) -> None:
        self.timeout = requests.to_timeout(timeout)
        self._pump = Pump(endpoints, as_key(key))
        # Of one that is forgotten without being closed neither thread nor sockets stay.
        weakref.finalize(self, self._pump.end).atexit = False
        self._ended = _Ended(None, None)
        self._whole: AsyncClient | None = None

    def __repr__(self) -> str:
        return f"<AsyncClient({self._pump.describe(self.timeout)})>"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End at once; operations still open in other tasks raise."""
        from concurrent.futures import ThreadPoolExecutor  # here: it is slow to import

        # Not the loop's own, in which everything else of the program may be waiting.
        executor = ThreadPoolExecutor(1, "raftkv-close")
        try:
            await asyncio.get_running_loop().run_in_executor(executor, self._pump.close)
        finally:
            executor.shutdown(wait=False)

    def with_timeout(self, timeout: float) -> Self:
        """See ``Client.with_timeout``. Not to be awaited."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, timeout=requests.to_timeout(timeout), _whole=self._whole or self)
        return other

    # -- writes

    async def put(self, key: Bytes, value: Bytes, *, lease: int = 0) -> PutResult:
        return await self._ask(requests.put(key, value, lease))

    async def put_many(self, pairs: Iterable[tuple[Bytes, Bytes]]) -> PutResult:
        return await self._ask(requests.put_many(pairs))

    async def delete(self, key: Bytes) -> DeleteResult:
        return await self._ask(requests.delete(key))

    async def delete_range(self, start: Bytes, end: Bytes) -> DeleteResult:
        return await self._ask(requests.delete_range(start, end))

    async def delete_prefix(self, prefix: Bytes) -> DeleteResult:
        return await self._ask(requests.delete_prefix(prefix))

    async def cas(self, key: Bytes, expected: Bytes | None, value: Bytes) -> CasResult:
        return await self._ask(requests.cas(key, expected, value))

    async def txn(
        self,
        compares: Iterable[tuple[Any, ...]] = (),
        success: Iterable[Step] = (),
        failure: Iterable[Step] = (),
    ) -> TxnResult:
        return await self._ask(requests.txn(compares, success, failure))

    async def compact(self, revision: int) -> int:
        return await self._ask(requests.compact(revision))

    # -- reads

    async def get(self, key: Bytes, *, revision: int = 0, stale: bool = False) -> Entry | None:
        return await self._ask(requests.get(key, revision, stale))

    async def range(
        self,
        start: Bytes = b"",
        end: Bytes = b"",
        *,
        limit: int = 0,
        reverse: bool = False,
        keys_only: bool = False,
        revision: int = 0,
        stale: bool = False,
        node_endpoint: str | None = None,
    ) -> AsyncIterator[Entry]:
        reader = RangeReader(
            to_bytes(start),
            to_bytes(end),
            limit=limit,
            reverse=reverse,
            keys_only=keys_only,
            revision=revision,
            stale=stale,
            target=node_endpoint,
        )
        while not reader.ended:
            for entry in reader.take(await self._ask(reader.next_request())):
                yield entry

    def prefix(self, prefix: Bytes, **options: Unpack[RangeOptions]) -> AsyncIterator[Entry]:
        start = to_bytes(prefix)
        return self.range(start, prefix_end(start), **options)

    async def count(
        self, start: Bytes = b"", end: Bytes = b"", *, revision: int = 0, stale: bool = False
    ) -> tuple[int, int]:
        asked = requests.range_page(
            to_bytes(start), to_bytes(end), count_only=True, revision=revision, stale=stale
        )
        page = await self._ask(asked)
        return page.count, page.revision

    async def revision(self) -> int:
        return await self._ask(requests.current_revision())

    async def catch_up(self, node_endpoint: str) -> None:
        await self._ask(requests.range_page(b"", b"", keys_only=True, count_only=True, target=node_endpoint))

    async def hello(self) -> HelloDetail:
        return await self._ask(requests.hello())

    # -- watches

    async def watch(
        self,
        key: Bytes,
        *,
        end: Bytes | None = None,
        revision: int = 0,
        previous: bool = False,
        puts: bool = True,
        deletes: bool = True,
    ) -> AsyncWatchStream:
        """See ``Client.watch``. Iterate by ``async for``; close it, or use it in an ``async with``."""
        start, stop = requests.to_watched(key, end)
        after = requests.to_revision(revision) - 1 if revision else await self.revision()
        return AsyncWatchStream(self, self._pump, start, stop, after, watch_flags(previous, puts, deletes))

    async def watch_prefix(self, prefix: Bytes, **options: Unpack[WatchOptions]) -> AsyncWatchStream:
        start = to_bytes(prefix)
        return await self.watch(start, end=prefix_end(start), **options)

    # -- leases

    async def lease(self, ttl: float) -> AsyncLease:
        """A new lease of ``ttl`` seconds. In an ``async with`` it is kept alive, and revoked at the end."""
        asked_at = clock.now()
        return AsyncLease(self, await self._ask(requests.grant(ttl)), ttl, asked_at)

    async def revoke(self, lease_id: int) -> int:
        return await self._ask(requests.revoke(lease_id))

    async def keep_alive(self, lease_id: int) -> float:
        (ttl,) = await self._ask(requests.keep_alive([lease_id]))
        if not ttl:
            raise LeaseNotFound(lease_id)
        return ttl

    async def leases(self) -> list[LeaseInfo]:
        return await self._ask(requests.leases())

    async def lease_info(self, lease_id: int) -> LeaseInfo:
        return await self._ask(requests.lease(lease_id))

    # -- many at once, and several steps

    def submit(self, request: Request[Answer]) -> asyncio.Future[Answer]:
        """Send a request and do not wait: many may be in flight."""
        loop, whole = asyncio.get_running_loop(), self._whole or self
        if whole._ended.loop is not loop:
            if whole._ended.loop and whole._ended.loop.is_running():
                raise InvalidRequest(
                    "this client is used in another event loop, which still runs: make one for each"
                )
            whole._ended = _Ended(loop, whole)
        future: asyncio.Future[Answer] = loop.create_future()
        done = partial(whole._ended.put, future, request)
        self._pump.submit(request, clock.now() + self.timeout, done)
        return future

    async def run(self, script: Script[Answer]) -> Answer:
        """Carry out a script, step by step; see ``scripts``."""
        with contextlib.closing(script):  # now, where this is interrupted, and not when it is collected
            return await self._run(script)

    async def _run(self, script: Script[Answer]) -> Answer:
        outcome: Any = None
        error: Exception | None = None
        while True:
            try:
                step = script.throw(error) if error else script.send(outcome)
            except StopIteration as end:
                result: Answer = end.value
                return result
            outcome, error = None, None
            try:
                outcome = await self._do(step)
            except ClientError as failed:
                error = failed

    async def _do(self, step: Any) -> Any:
        match step:
            case Request():
                return await self._ask(step)
            case Within():
                return await self.with_timeout(min(self.timeout, step.seconds))._ask(step.request)
            case Changed():
                flags = watch_flags(False, step.puts, step.deletes)
                async with AsyncWatchStream(
                    self, self._pump, step.start, step.end, step.after, flags
                ) as stream:
                    try:
                        return await stream.get(step.seconds) is not None
                    except Compacted:
                        return True  # that much has changed that nobody can say what
            case Hold():
                return await self.lease(step.ttl)
            case LetGo():
                lease: Any = step.lease
                with contextlib.suppress(LeaseNotFound):
                    return await lease.revoke()
                return 0
            case Pause():
                await asyncio.sleep(step.seconds)
            case Now():
                return clock.now()
        return None

    async def _ask(self, request: Request[Answer]) -> Answer:
        return await self.submit(request)


class _Ended:
    """Calls on their way from the pump's thread into the event loop, which is woken once for all that have
    gathered: to be woken takes it longer than an answer does."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None, client: AsyncClient | None) -> None:
        self.loop = loop
        self._client = client  # which must not end, forgotten, before its last answer has come
        self._calls: deque[tuple[asyncio.Future[Any], Request[Any], Call]] = deque()
        self._woken = False

    def put(self, future: asyncio.Future[Any], request: Request[Any], call: Call) -> None:
        """In the pump's thread."""
        assert self.loop
        self._calls.append((future, request, call))
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                self.loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        """In the loop."""
        self._woken = False  # before the first is taken: whoever comes after the last wakes us again
        try:
            while self._calls:
                self._settle_one(*self._calls[0])
                self._calls.popleft()
        finally:
            if self._calls:  # interrupted by a signal
                assert self.loop
                self.loop.call_soon(self._settle)

    @staticmethod
    def _settle_one(future: asyncio.Future[Any], request: Request[Any], call: Call) -> None:
        if future.done():
            return  # whoever waited was cancelled
        try:
            future.set_result(request.answer_of(call))
        except Exception as error:
            future.set_exception(error)


@_described_as(Lease)
class AsyncLease(HeldLease):
    """A lease of this client's. In an ``async with`` it is kept alive, and revoked at the end."""

    def __init__(self, client: AsyncClient, lease_id: int, ttl: float, asked_at: float) -> None:
        super().__init__(client._pump, lease_id, ttl, asked_at)
        self._client = client

    async def __aenter__(self) -> AsyncLease:
        return self.keep()

    async def __aexit__(self, of: type[BaseException] | None, error: object, trace: object) -> None:
        # What ended the block early is told, and not that the lease ends only when its time is up.
        with contextlib.suppress(ClientError if of else LeaseNotFound):
            await self.revoke()

    def keep(self) -> AsyncLease:
        """Keep it alive from now on, until it is revoked or the client is closed."""
        self._start()
        return self

    async def keep_alive(self) -> float:
        asked_at = clock.now()
        try:
            ttl = await self._client.keep_alive(self.id)
        except LeaseNotFound:
            self._has_ended()
            raise
        self._renewed(asked_at, ttl)
        return ttl

    async def revoke(self) -> int:
        self._end()
        return await self._client.revoke(self.id)

    async def info(self) -> LeaseInfo:
        return await self._client.lease_info(self.id)


class _LoopArrivals(Arrivals):
    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def put(self, arrived: Arrived) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._take_in, arrived)

    def _take_in(self, arrived: Arrived) -> None:
        self.waiting.append(arrived)
        self._news.set()

    async def wait(self, seconds: float | None) -> None:
        """Until something comes, or the time is up. Not by ``wait_for``, which in Python 3.11 loses that its
        task is cancelled where something comes at that very moment."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()


class AsyncWatchStream(Stream):
    """See ``WatchStream``: ``async for event in stream``."""

    def __init__(self, client: object, pump: Pump, start: bytes, end: bytes, after: int, flags: int) -> None:
        self._arrivals = _LoopArrivals()
        super().__init__(client, pump, self._arrivals, start, end, after, flags)

    async def __aenter__(self) -> AsyncWatchStream:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()

    def __aiter__(self) -> AsyncWatchStream:
        return self

    async def __anext__(self) -> Event:
        event = await self.get()
        if event is None:
            raise StopAsyncIteration
        return event

    async def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None when none comes within ``timeout`` seconds, or the watch is closed."""
        timeout = to_wait(timeout)
        until = None if timeout is None else clock.now() + timeout
        while not (event := self._take()) and not self._over:
            seconds = None if until is None else until - clock.now()
            if seconds is not None and seconds <= 0:
                await asyncio.sleep(0)  # what has come, comes in by the loop
                return self._take()
            await self._arrivals.wait(seconds)
        return event
