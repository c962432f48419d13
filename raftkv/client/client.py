"""The sync client: safe to share between threads, whose requests then travel together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from raftkv.client.calls import ANY_NODE, Call, Session
from raftkv.client.transport import Transport
from raftkv.config import is_endpoint
from raftkv.errors import ClientError, InvalidRequest, SessionExpired
from raftkv.kv import KeyValue, check_key, check_value, prefix_end
from raftkv.kv.commands import Code, Op
from raftkv.wire.client import HelloDetail, Kind, Response, decode_hello

Bytes = bytes | str
"""Text is sent as UTF-8."""

DEFAULT_TIMEOUT_SECONDS = 5.0
IDLE_PUMP_SECONDS = 1.0
PAGE_KEYS = 1000


@dataclass(frozen=True, slots=True)
class PutResult:
    revision: int


@dataclass(frozen=True, slots=True)
class DeleteResult:
    revision: int
    deleted: int


@dataclass(frozen=True, slots=True)
class CasResult:
    """``current`` is what stood in the way of a failed compare; None when the key was absent.

    A value over 1 KiB may come back empty from a retried compare."""

    succeeded: bool
    revision: int
    current: KeyValue | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and what it holds; ``revision`` is the store's when it was read."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    revision: int


class Client:
    """Talks to a cluster through any of its client ``endpoints`` (``tcp://host:port``).

    ``timeout`` bounds every operation, in seconds. What an operation raises says what became of it:
    ``OutcomeUnknown``: it may or may not have happened; every other ``ClientError``: it did not.
    """

    def __init__(self, endpoints: Sequence[str], timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        if isinstance(endpoints, str) or not endpoints:
            raise InvalidRequest("a client needs a list with at least one endpoint")
        for endpoint in endpoints:
            if not is_endpoint(endpoint):
                raise InvalidRequest(f"{endpoint!r} is no endpoint: expected tcp://host:port")
        self._timeout = timeout
        self._transport = Transport(endpoints)
        self._session = self._transport.core.new_session()
        self._submitted: deque[Call] = deque()
        self._lock = threading.Lock()
        self._closed = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="raftkv-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End at once; operations still open in other threads raise."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._transport.wake()
        self._thread.join()
        self._transport.close()

    # -- writes

    def put(self, key: Bytes, value: Bytes) -> PutResult:
        """Set ``key``. Raises ``InvalidRequest``, ``Unavailable``, ``OutcomeUnknown``."""
        pair = (_key(key), _value(value))
        return PutResult(self._write((Op.PUT, *pair)).revision)

    def put_many(self, pairs: Sequence[tuple[Bytes, Bytes]]) -> PutResult:
        """Set up to 1,024 different keys at once, in one revision, all or none."""
        encoded = tuple((_key(key), _value(value)) for key, value in pairs)
        return PutResult(self._write((Op.MULTI_PUT, encoded)).revision)

    def delete(self, key: Bytes) -> DeleteResult:
        response = self._write((Op.DELETE, _key(key)))
        return DeleteResult(response.revision, response.detail)

    def delete_range(self, start: Bytes, end: Bytes = b"") -> DeleteResult:
        """Delete ``start <= key < end``; an empty ``end`` means to the last key."""
        response = self._write((Op.DELETE_RANGE, _bytes(start), _bytes(end)))
        return DeleteResult(response.revision, response.detail)

    def delete_prefix(self, prefix: Bytes) -> DeleteResult:
        start = _bytes(prefix)
        return self.delete_range(start, prefix_end(start))

    def cas(self, key: Bytes, expected: Bytes | None, value: Bytes) -> CasResult:
        """Set ``key`` if it holds ``expected`` (None: if it is absent)."""
        wanted = None if expected is None else _bytes(expected)
        response = self._write((Op.COMPARE_AND_SET, _key(key), wanted, _value(value)))
        if response.code == Code.OK:
            return CasResult(True, response.revision, None)
        current = KeyValue(*response.detail) if response.detail else None
        return CasResult(False, response.revision, current)

    # -- reads

    def get(self, key: Bytes, stale: bool = False) -> Entry | None:
        """The key's entry, or None. ``stale`` reads a node's own state, which may lag."""
        name = _key(key)
        response = self._ask((Kind.GET, name, bool(stale)), ANY_NODE if stale else None)
        if response.detail is None:
            return None
        return _entry(name, response.detail, response.revision)

    def range(
        self,
        start: Bytes = b"",
        end: Bytes = b"",
        *,
        limit: int = 0,
        reverse: bool = False,
        keys_only: bool = False,
        stale: bool = False,
        node_endpoint: str | None = None,
    ) -> Iterator[Entry]:
        """Entries of ``start <= key < end`` in byte order, at most ``limit`` (0: all).

        Fetched in pages; each page is linearizable, all of them together are no snapshot while
        others write. ``node_endpoint`` asks one node and no other.
        """
        low, high, left = _bytes(start), _bytes(end), limit
        reverse, keys_only, stale = bool(reverse), bool(keys_only), bool(stale)
        while True:
            page = min(left, PAGE_KEYS) if limit else PAGE_KEYS
            fields = (Kind.RANGE, low, high, page, reverse, keys_only, False, stale)
            response = self._ask(fields, node_endpoint or (ANY_NODE if stale else None))
            items, _, more = response.detail
            for key, item in items:
                yield _entry(key, item, response.revision)
            left -= len(items)
            if not more or not items or (limit and left <= 0):
                return
            if reverse:
                high = items[-1][0]
            else:
                low = items[-1][0] + b"\0"

    def prefix(self, prefix: Bytes, **options: Any) -> Iterator[Entry]:
        """``range`` over all keys that begin with ``prefix``."""
        start = _bytes(prefix)
        return self.range(start, prefix_end(start), **options)

    def count(self, start: Bytes = b"", end: Bytes = b"", *, stale: bool = False) -> tuple[int, int]:
        """(number of keys in ``start <= key < end``, the store's revision)."""
        fields = (Kind.RANGE, _bytes(start), _bytes(end), 0, False, True, True, stale)
        response = self._ask(fields, ANY_NODE if stale else None)
        return response.detail[1], response.revision

    def barrier(self, node_endpoint: str) -> None:
        """Return once that node has applied everything acknowledged before this call."""
        self._ask((Kind.RANGE, b"", b"", 0, False, True, True, False), node_endpoint)

    def hello(self) -> HelloDetail:
        """What the cluster says of itself: its nodes, their endpoints, who leads."""
        return decode_hello(self._ask((Kind.HELLO,), ANY_NODE).detail)

    # -- internals

    def _write(self, fields: tuple[Any, ...]) -> Response:
        session = self._session
        try:
            return self._run_call(fields, session, None)
        except SessionExpired:
            # Certainly not applied: the same write may go out under a new identity.
            with self._lock:
                if self._session is session:
                    self._session = self._transport.core.renew()
            return self._run_call(fields, self._session, None)

    def _ask(self, fields: tuple[Any, ...], endpoint: str | None = None) -> Response:
        return self._run_call(fields, None, endpoint)

    def _run_call(self, fields: tuple[Any, ...], session: Session | None, endpoint: str | None) -> Response:
        done = threading.Event()
        call = Call(fields, time.monotonic() + self._timeout, lambda _: done.set(), session, endpoint)
        self._submit(call)
        done.wait()
        if self._failure:
            raise ClientError("the client has failed and must be closed") from self._failure
        if call.error:
            raise call.error
        assert call.response is not None
        return call.response

    def _submit(self, call: Call) -> None:
        with self._lock:
            if self._closed or self._failure:
                raise ClientError("the client is closed") from self._failure
            self._submitted.append(call)
            self._transport.wake()

    def _run(self) -> None:
        transport = self._transport
        try:
            while not self._closed:
                self._take_submitted()
                transport.pump(IDLE_PUMP_SECONDS)
            # Whatever is still open ends here, with what is known of it.
            self._take_submitted()
            transport.core.abandon()
        except Exception as failure:  # a bug; but whoever waits must not wait for ever
            with self._lock:
                self._failure = failure
                left = [*self._submitted, *transport.core.calls()]
            for call in left:
                call.done(call)

    def _take_submitted(self) -> None:
        while self._submitted:
            self._transport.core.submit(self._submitted.popleft(), time.monotonic())


def _entry(key: bytes, item: Any, revision: int) -> Entry:
    value, create_revision, mod_revision, version = item
    return Entry(key, value, create_revision, mod_revision, version, revision)


def _bytes(value: Bytes) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8")
    if not isinstance(value, bytes):
        raise InvalidRequest(f"expected bytes or text, found {type(value).__name__}")
    return value


def _key(key: Bytes) -> bytes:
    encoded = _bytes(key)
    check_key(encoded)
    return encoded


def _value(value: Bytes) -> bytes:
    encoded = _bytes(value)
    check_value(encoded)
    return encoded
