"""What a client can ask, as data: the fields that travel and how the answer is read. Sync and async clients,
recipes and the simulator's users all ask by these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from raftkv.client.calls import ANY_NODE, Call
from raftkv.client.types import (
    Bytes,
    CasResult,
    DeleteResult,
    Entry,
    LeaseInfo,
    Page,
    PutResult,
    TxnResult,
    entry_of,
)
from raftkv.config import is_endpoint, no_endpoint
from raftkv.errors import InvalidRequest, LeaseNotFound, shown
from raftkv.kv import KEY_BYTES_MAX, KeyValue, check_key, check_value, prefix_end
from raftkv.kv.commands import Code, Op
from raftkv.kv.limits import LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN
from raftkv.kv.transactions import check as check_transaction
from raftkv.wire.client import HelloDetail, Kind, Response, decode_hello

Answer = TypeVar("Answer")
TIMEOUT_SECONDS_MAX = 86_400.0
WAIT_SECONDS_MAX = 1e9
"""Thirty years. Not much more than that can a thread wait."""


@dataclass(frozen=True, slots=True)
class Request(Generic[Answer]):
    """``fields``: of a write its op and arguments, else those of a request after its id. ``target``: the
    endpoint that is to answer, or ``ANY_NODE``; None: whoever serves it best."""

    fields: tuple[Any, ...]
    decode: Callable[[Response], Answer]
    writes: bool = False
    target: str | None = None

    def answer_of(self, call: Call) -> Answer:
        """Of a call that has ended. Raises the error with which it did."""
        if call.error:
            raise call.error
        assert call.response is not None
        return self.decode(call.response)


# -- writes


def put(key: Bytes, value: Bytes, lease: int = 0) -> Request[PutResult]:
    arguments: tuple[Any, ...] = (to_key(key), to_value(value))
    if lease != 0:
        arguments += (to_lease(lease),)
    return Request((Op.PUT, *arguments), lambda response: PutResult(response.revision), True)


def put_many(pairs: Iterable[tuple[Bytes, Bytes]]) -> Request[PutResult]:
    if isinstance(pairs, Mapping):
        raise InvalidRequest("put_many takes pairs of key and value; of a mapping give its items()")
    try:
        encoded = tuple((to_key(key), to_value(value)) for key, value in pairs)
    except (TypeError, ValueError):
        raise InvalidRequest("put_many takes pairs of key and value") from None
    named: set[bytes] = set()
    for key, _ in encoded:
        if key in named:
            raise InvalidRequest(f"put_many takes each key once, and {shown(key)} is there twice")
        named.add(key)
    return Request((Op.MULTI_PUT, encoded), lambda response: PutResult(response.revision), True)


def delete(key: Bytes) -> Request[DeleteResult]:
    return Request((Op.DELETE, to_key(key)), _deleted, True)


def delete_range(start: Bytes, end: Bytes) -> Request[DeleteResult]:
    return Request((Op.DELETE_RANGE, to_bytes(start), to_bytes(end)), _deleted, True)


def delete_prefix(prefix: Bytes) -> Request[DeleteResult]:
    start = to_bytes(prefix)
    return delete_range(start, prefix_end(start))


def cas(key: Bytes, expected: Bytes | None, value: Bytes) -> Request[CasResult]:
    wanted = None if expected is None else to_bytes(expected, "a value")
    return Request((Op.COMPARE_AND_SET, to_key(key), wanted, to_value(value)), _compared, True)


def compact(revision: int) -> Request[int]:
    if not to_revision(revision):
        raise InvalidRequest("compact takes a revision from 1")
    return Request((Op.COMPACT, revision), lambda response: response.revision, True)


def grant(ttl: float) -> Request[int]:
    """``ttl`` in seconds. The answer is the lease's id."""
    if type(ttl) not in (int, float) or not LEASE_TTL_MS_MIN <= ttl * 1000 <= LEASE_TTL_MS_MAX:
        raise InvalidRequest(
            f"a time to live of {shown(ttl)} s: a lease lives for {LEASE_TTL_MS_MIN / 1000:g} s "
            f"to {LEASE_TTL_MS_MAX // 1000:,} s"
        )
    return Request((Op.LEASE_GRANT, round(ttl * 1000)), lambda response: int(response.detail[0]), True)


def revoke(lease_id: int) -> Request[int]:
    """The answer is how many keys went with it."""
    return Request((Op.LEASE_REVOKE, to_lease(lease_id)), lambda response: int(response.detail), True)


def keep_alive(lease_ids: Sequence[int]) -> Request[tuple[float, ...]]:
    """The answer has a time to live in seconds for each; 0 for one that has ended."""
    return Request((Op.LEASE_KEEP_ALIVE, tuple(map(to_lease, lease_ids))), _kept_alive, True)


# -- reads


def get(key: Bytes, revision: int = 0, stale: bool = False) -> Request[Entry | None]:
    name = to_key(key)

    def decode(response: Response) -> Entry | None:
        return None if response.detail is None else entry_of(name, response.detail, response.revision)

    return Request((Kind.GET, name, to_revision(revision), bool(stale)), decode, target=_anywhere(stale))


@dataclass(frozen=True, slots=True)
class RangePage:
    """One page: ``revision`` is what it was read at."""

    entries: list[Entry]
    count: int
    more: bool
    revision: int


def range_page(
    start: bytes,
    end: bytes,
    *,
    limit: int = 0,
    reverse: bool = False,
    keys_only: bool = False,
    count_only: bool = False,
    revision: int = 0,
    stale: bool = False,
    target: str | None = None,
) -> Request[RangePage]:
    def decode(response: Response) -> RangePage:
        items, count, more = response.detail
        entries = [entry_of(key, item, response.revision) for key, item in items]
        return RangePage(entries, count, more, response.revision)

    if target is not None and not is_endpoint(target):
        raise InvalidRequest(no_endpoint(target))
    check_bounds(start, end)
    flags = (bool(reverse), bool(keys_only), bool(count_only), to_revision(revision), bool(stale))
    return Request(
        (Kind.RANGE, start, end, to_number(limit, "a limit"), *flags),
        decode,
        target=target or _anywhere(stale),
    )


def current_revision() -> Request[int]:
    """Of the store, linearizable."""
    fields = (Kind.RANGE, b"", b"\0", 0, False, True, True, 0, False)
    return Request(fields, lambda response: response.revision)


def leases(lease_id: int = 0, stale: bool = False) -> Request[list[LeaseInfo]]:
    """One, or all of them."""

    def decode(response: Response) -> list[LeaseInfo]:
        rows, keys = response.detail
        return [
            LeaseInfo(row[0], row[1] / 1000, row[2] / 1000, row[3], tuple(keys) if lease_id else ())
            for row in rows
        ]

    return Request((Kind.LEASES, to_lease(lease_id), bool(stale)), decode, target=_anywhere(stale))


def lease(lease_id: int) -> Request[LeaseInfo]:
    """One. Raises ``LeaseNotFound`` for 0, which stands for all where leases are asked for."""
    if not to_lease(lease_id):
        raise LeaseNotFound(lease_id)
    asked = leases(lease_id)
    return Request(asked.fields, lambda response: asked.decode(response)[0], target=asked.target)


def hello() -> Request[HelloDetail]:
    return Request((Kind.HELLO,), lambda response: decode_hello(response.detail), target=ANY_NODE)


# -- transactions


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a transaction, as ``txn`` makes them."""

    fields: tuple[Any, ...]
    decode: Callable[[Any, int], Any]


def txn(
    compares: Iterable[tuple[Any, ...]], success: Iterable[Step], failure: Iterable[Step]
) -> Request[TxnResult]:
    parts, first, second = transaction(compares, success, failure)
    check_transaction(*parts)
    fields = (Op.TXN, *parts)

    def decode(response: Response) -> TxnResult:
        return decode_txn(response.detail, response.revision, first, second)

    return Request(fields, decode, True)


def transaction(
    compares: Iterable[tuple[Any, ...]], success: Iterable[Step], failure: Iterable[Step]
) -> tuple[tuple[Any, ...], tuple[Step, ...], tuple[Step, ...]]:
    """(what travels of it, the operations of either branch), also of what can be gone through only once."""
    try:
        first, second = tuple(success), tuple(failure)
        branches = [tuple(step.fields for step in branch) for branch in (first, second)]
        parts = tuple(compares)
        if parts and not isinstance(parts[0], tuple):  # one compare, which is a tuple itself
            raise TypeError
        return (parts, *branches), first, second
    except (TypeError, AttributeError):
        raise InvalidRequest(
            "a transaction takes a list of compares and two of operations, as raftkv.txn makes them"
        ) from None


def decode_txn(detail: Any, revision: int, success: Sequence[Step], failure: Sequence[Step]) -> TxnResult:
    succeeded, results = detail
    steps = success if succeeded else failure
    decoded = [step.decode(result, revision) for step, result in zip(steps, results, strict=True)]
    return TxnResult(succeeded, revision, tuple(decoded))


def decode_page(detail: Any, revision: int) -> Page:
    items, count, more = detail
    return Page(tuple(entry_of(key, item, revision) for key, item in items), count, more)


# -- the pieces


def _deleted(response: Response) -> DeleteResult:
    return DeleteResult(response.revision, response.detail)


def _compared(response: Response) -> CasResult:
    if response.code == Code.OK:
        return CasResult(True, response.revision, None)
    current = KeyValue(*response.detail) if response.detail else None
    return CasResult(False, response.revision, current)


def _kept_alive(response: Response) -> tuple[float, ...]:
    return tuple(ttl_ms / 1000 for ttl_ms in response.detail)


def _anywhere(stale: bool) -> str | None:
    return ANY_NODE if stale else None


def to_revision(revision: int) -> int:
    """0: the present one."""
    return to_number(revision, "a revision")


def to_lease(lease_id: int) -> int:
    return to_number(lease_id, "a lease's id")


def to_number(value: Any, what: str) -> int:
    """What every serialiser can carry."""
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise InvalidRequest(f"{what} is a whole number from 0, not {shown(value)}")
    return value


def to_wait(value: Any) -> float | None:
    """Seconds; None: for ever. What is left of a time that has passed is 0, and what no clock can hold is
    for ever."""
    if value is None:
        return None
    if type(value) not in (int, float) or value != value:
        raise InvalidRequest(f"a timeout is a number of seconds or None, not {shown(value)}")
    return None if value > WAIT_SECONDS_MAX else max(0.0, float(value))


def to_bytes(value: Bytes, what: str = "a key") -> bytes:
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"no text: {value[error.start]!r} has no place in UTF-8") from None
    if not isinstance(value, bytes | bytearray | memoryview):
        raise InvalidRequest(f"{what} is bytes or text, not {_kind(value)}")
    return bytes(value)  # no serialiser knows what else it may be


def _kind(value: Any) -> str:
    """In Python's words."""
    if isinstance(value, bool | int | float):
        return shown(value)
    return "None" if value is None else f"a {type(value).__name__}"


def to_watched(key: Bytes, end: Bytes | None) -> tuple[bytes, bytes]:
    """From where to where. ``end`` None: that one key."""
    if end is None:
        start = to_key(key)
        return start, start + b"\0"
    bounds = to_bytes(key), to_bytes(end)
    check_bounds(*bounds)
    return bounds


def check_bounds(start: bytes, end: bytes) -> None:
    """Of a range that is read or watched."""
    if max(len(start), len(end)) > KEY_BYTES_MAX + 1:
        raise InvalidRequest(f"no key is longer than {KEY_BYTES_MAX:,} bytes: no range begins or ends there")


def to_timeout(seconds: float) -> float:
    if type(seconds) not in (int, float) or not 0 < seconds <= TIMEOUT_SECONDS_MAX:
        raise InvalidRequest(
            f"timeout: expected seconds above 0, at most {TIMEOUT_SECONDS_MAX:g}, found {shown(seconds)}"
        )
    return seconds


def to_key(key: Bytes) -> bytes:
    encoded = to_bytes(key)
    check_key(encoded)
    return encoded


def to_value(value: Bytes) -> bytes:
    encoded = to_bytes(value, "a value")
    check_value(encoded)
    return encoded
