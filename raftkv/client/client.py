"""The sync client: safe to share between threads, whose requests then travel together."""

from __future__ import annotations

import contextlib
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator
from os import PathLike
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from raftkv import clock
from raftkv.client import requests
from raftkv.client.calls import Call
from raftkv.client.leases import HeldLease
from raftkv.client.pump import Pump
from raftkv.client.requests import Request, Step, to_bytes
from raftkv.client.scripts import Changed, Hold, LetGo, Now, Pause, RangeReader, Script, Within
from raftkv.client.stream import WatchStream
from raftkv.client.types import (
    Bytes,
    CasResult,
    DeleteResult,
    Entry,
    LeaseInfo,
    PutResult,
    RangeOptions,
    TxnResult,
    WatchOptions,
)
from raftkv.client.unique import Unique
from raftkv.errors import ClientError, Compacted, LeaseNotFound
from raftkv.keys import Key, as_key
from raftkv.kv import prefix_end
from raftkv.wire.client import HelloDetail, WatchFlag

if TYPE_CHECKING:
    from concurrent.futures import Future

DEFAULT_TIMEOUT_SECONDS = 5.0
GRACE_SECONDS = 10.0
"""Beyond its timeout a request is waited for no longer: a callback blocks the thread that would end it."""
Answer = TypeVar("Answer")


class Client(Unique):
    """Talks to a cluster through any of its client ``endpoints`` (``tcp://host:port``).

    ``timeout`` bounds every operation, in seconds; ``with_timeout`` gives the same client with another.
    What an operation raises says what became of it:
    ``OutcomeUnknown``: it may or may not have happened; every other ``ClientError``: it did not.
    ``key``, or the file that holds it, is for a cluster that has keys (``raftkv keys``).
    ``client["k"]`` reads, writes and deletes as a dict does, values being bytes.
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
        self._whole: Client | None = None
        """Whose thread it is, where this is that one with another timeout."""

    def __repr__(self) -> str:
        return f"<Client({self._pump.describe(self.timeout)})>"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End at once; operations still open in other threads raise."""
        self._pump.close()

    def with_timeout(self, timeout: float) -> Self:
        """This client with another ``timeout``: ``client.with_timeout(0.2).get("k")``. Thread and connections
        are the same, so closing either closes both."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, timeout=requests.to_timeout(timeout), _whole=self._whole or self)
        return other

    # -- writes

    def put(self, key: Bytes, value: Bytes, *, lease: int = 0) -> PutResult:
        """Set ``key``, which goes when ``lease`` ends. Raises ``LeaseNotFound``, ``InvalidRequest``,
        ``Unavailable``, ``OutcomeUnknown``."""
        return self._ask(requests.put(key, value, lease))

    def put_many(self, pairs: Iterable[tuple[Bytes, Bytes]]) -> PutResult:
        """Set up to 1,024 different keys at once, in one revision, all or none."""
        return self._ask(requests.put_many(pairs))

    def delete(self, key: Bytes) -> DeleteResult:
        """Delete ``key``; ``deleted`` of the result is 0 where there was none."""
        return self._ask(requests.delete(key))

    def delete_range(self, start: Bytes, end: Bytes) -> DeleteResult:
        """Delete ``start <= key < end``; an empty ``end`` means to the last key."""
        return self._ask(requests.delete_range(start, end))

    def delete_prefix(self, prefix: Bytes) -> DeleteResult:
        """Delete all keys that begin with ``prefix``."""
        return self._ask(requests.delete_prefix(prefix))

    def cas(self, key: Bytes, expected: Bytes | None, value: Bytes) -> CasResult:
        """Set ``key`` if it holds ``expected`` (None: if it is absent)."""
        return self._ask(requests.cas(key, expected, value))

    def txn(
        self,
        compares: Iterable[tuple[Any, ...]] = (),
        success: Iterable[Step] = (),
        failure: Iterable[Step] = (),
    ) -> TxnResult:
        """If all ``compares`` hold do ``success``, else ``failure``: in one revision, all or nothing. What
        they are made of is in ``raftkv.txn``."""
        return self._ask(requests.txn(compares, success, failure))

    def compact(self, revision: int) -> int:
        """Forget what only the past before ``revision`` needs; the present revision."""
        return self._ask(requests.compact(revision))

    # -- reads

    def get(self, key: Bytes, *, revision: int = 0, stale: bool = False) -> Entry | None:
        """The key's entry, or None. ``revision``: as it was then (``Compacted`` if that is forgotten).
        ``stale`` reads a node's own state, which may lag."""
        return self._ask(requests.get(key, revision, stale))

    def range(
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
    ) -> Iterator[Entry]:
        """Entries of ``start <= key < end`` in byte order, at most ``limit`` (0: all), as of one revision.

        Fetched in pages, all as of the revision of the first: raises ``Compacted`` if that is forgotten
        before the last has come. Not so with ``stale``. ``node_endpoint`` asks one node and no other.
        """
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
            yield from reader.take(self._ask(reader.next_request()))

    def prefix(self, prefix: Bytes, **options: Unpack[RangeOptions]) -> Iterator[Entry]:
        """``range`` over all keys that begin with ``prefix``."""
        start = to_bytes(prefix)
        return self.range(start, prefix_end(start), **options)

    def count(
        self, start: Bytes = b"", end: Bytes = b"", *, revision: int = 0, stale: bool = False
    ) -> tuple[int, int]:
        """(number of keys in ``start <= key < end``, the store's revision)."""
        asked = requests.range_page(
            to_bytes(start), to_bytes(end), count_only=True, revision=revision, stale=stale
        )
        page = self._ask(asked)
        return page.count, page.revision

    def revision(self) -> int:
        """The store's present revision, linearizable."""
        return self._ask(requests.current_revision())

    def catch_up(self, node_endpoint: str) -> None:
        """Return once that node has applied everything acknowledged before this call."""
        self._ask(requests.range_page(b"", b"", keys_only=True, count_only=True, target=node_endpoint))

    def hello(self) -> HelloDetail:
        """What the cluster says of itself: its nodes, their endpoints, who leads."""
        return self._ask(requests.hello())

    # -- as a dict

    def __getitem__(self, key: Bytes) -> bytes:
        entry = self.get(key)
        if entry is None:
            raise KeyError(key)
        return entry.value

    def __setitem__(self, key: Bytes, value: Bytes) -> None:
        self.put(key, value)

    def __delitem__(self, key: Bytes) -> None:
        if not self.delete(key).deleted:
            raise KeyError(key)

    def __contains__(self, key: Bytes) -> bool:
        return self.get(key) is not None

    def __iter__(self) -> Iterator[bytes]:
        return (entry.key for entry in self.range(keys_only=True))

    # -- watches

    def watch(
        self,
        key: Bytes,
        *,
        end: Bytes | None = None,
        revision: int = 0,
        previous: bool = False,
        puts: bool = True,
        deletes: bool = True,
    ) -> WatchStream:
        """Every change of ``key``, or of ``key <= … < end``, from ``revision`` on (0: from now, which is
        after whatever was acknowledged before). Iterate over it; close it, or use it in a ``with``.
        ``previous`` adds what a key held before."""
        start, stop = requests.to_watched(key, end)
        after = requests.to_revision(revision) - 1 if revision else self.revision()
        return WatchStream(self, self._pump, start, stop, after, watch_flags(previous, puts, deletes))

    def watch_prefix(self, prefix: Bytes, **options: Unpack[WatchOptions]) -> WatchStream:
        """``watch`` of all keys that begin with ``prefix``."""
        start = to_bytes(prefix)
        return self.watch(start, end=prefix_end(start), **options)

    # -- leases

    def lease(self, ttl: float) -> Lease:
        """A new lease of ``ttl`` seconds. In a ``with`` it is kept alive, and revoked at the end."""
        asked_at = clock.now()
        return Lease(self, self._ask(requests.grant(ttl)), ttl, asked_at)

    def revoke(self, lease_id: int) -> int:
        """End a lease; how many keys went with it. Raises ``LeaseNotFound``."""
        return self._ask(requests.revoke(lease_id))

    def keep_alive(self, lease_id: int) -> float:
        """Renew a lease once; its time to live in seconds. Raises ``LeaseNotFound``."""
        (ttl,) = self._ask(requests.keep_alive([lease_id]))
        if not ttl:
            raise LeaseNotFound(lease_id)
        return ttl

    def leases(self) -> list[LeaseInfo]:
        """All leases there are."""
        return self._ask(requests.leases())

    def lease_info(self, lease_id: int) -> LeaseInfo:
        """One lease and its keys. Raises ``LeaseNotFound``."""
        return self._ask(requests.lease(lease_id))

    # -- many at once, and several steps

    def submit(self, request: Request[Answer]) -> Future[Answer]:
        """Send a request (see ``raftkv.client.requests``) and do not wait: many may be in flight. It cannot
        be called back: ``cancel`` of its future is refused."""
        from concurrent.futures import Future  # here: no command needs it, and it is slow to import

        future: Future[Answer] = Future()
        future.set_running_or_notify_cancel()

        def done(call: Call, client: Client = self) -> None:
            del client  # which must not end, forgotten, before its last answer has come
            try:
                try:
                    future.set_result(request.answer_of(call))
                except Exception as error:
                    future.set_exception(error)
            except BaseException:  # of a callback, even of 'sys.exit'; the client serves others as well
                sys.excepthook(*sys.exc_info())

        self._pump.submit(request, clock.now() + self.timeout, done)
        return future

    def run(self, script: Script[Answer]) -> Answer:
        """Carry out a script, step by step; see ``scripts``."""
        with contextlib.closing(script):  # now, where this is interrupted, and not when it is collected
            return self._run(script)

    def _run(self, script: Script[Answer]) -> Answer:
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
                outcome = self._do(step)
            except ClientError as failed:
                error = failed

    def _do(self, step: Any) -> Any:
        match step:
            case Request():
                return self._ask(step)
            case Within():
                return self.with_timeout(min(self.timeout, step.seconds))._ask(step.request)
            case Changed():
                flags = watch_flags(False, step.puts, step.deletes)
                with WatchStream(self, self._pump, step.start, step.end, step.after, flags) as stream:
                    try:
                        return stream.get(step.seconds) is not None
                    except Compacted:
                        return True  # that much has changed that nobody can say what
            case Hold():
                return self.lease(step.ttl)
            case LetGo():
                lease: Any = step.lease
                with contextlib.suppress(LeaseNotFound):
                    return lease.revoke()
                return 0
            case Pause():
                threading.Event().wait(step.seconds)
            case Now():
                return clock.now()
        return None

    def _ask(self, request: Request[Answer]) -> Answer:
        waiting = threading.Lock()  # takes half of what an ``Event`` does
        waiting.acquire()
        ended: list[Call] = []

        def on_done(call: Call) -> None:
            ended.append(call)
            waiting.release()

        self._pump.check_wait()
        self._pump.submit(request, clock.now() + self.timeout, on_done)
        if not waiting.acquire(timeout=self.timeout + GRACE_SECONDS):
            raise self._pump.lost(request)
        (call,) = ended
        return request.answer_of(call)


class Lease(HeldLease):
    """A lease of this client's. In a ``with`` it is kept alive, and revoked at the end."""

    def __init__(self, client: Client, lease_id: int, ttl: float, asked_at: float) -> None:
        super().__init__(client._pump, lease_id, ttl, asked_at)
        self._client = client

    def __enter__(self) -> Lease:
        return self.keep()

    def __exit__(self, of: type[BaseException] | None, error: object, trace: object) -> None:
        # What ended the block early is told, and not that the lease ends only when its time is up.
        with contextlib.suppress(ClientError if of else LeaseNotFound):
            self.revoke()

    def keep(self) -> Lease:
        """Keep it alive from now on, until it is revoked or the client is closed."""
        self._start()
        return self

    def keep_alive(self) -> float:
        """Renew it once; its time to live. Raises ``LeaseNotFound``."""
        asked_at = clock.now()
        try:
            ttl = self._client.keep_alive(self.id)
        except LeaseNotFound:
            self._has_ended()
            raise
        self._renewed(asked_at, ttl)
        return ttl

    def revoke(self) -> int:
        """End it now; how many keys went with it. Raises ``LeaseNotFound``."""
        self._end()
        return self._client.revoke(self.id)

    def info(self) -> LeaseInfo:
        """What the cluster knows of it, and its keys. Raises ``LeaseNotFound``."""
        return self._client.lease_info(self.id)


def watch_flags(previous: bool, puts: bool, deletes: bool) -> int:
    flags = WatchFlag(0)
    if previous:
        flags |= WatchFlag.BEFORE
    if not puts:
        flags |= WatchFlag.NO_PUTS
    if not deletes:
        flags |= WatchFlag.NO_DELETES
    return int(flags)
