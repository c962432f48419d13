"""A place in a line: what locks and elections are made of.

Whoever comes puts a key of its own under the line's prefix, hanging on a lease of its own. The line's
order is that of the keys' create revisions, which no two share and nobody can jump. Each waits for the last
of those before it that it must not pass; so one that goes wakes one that waits, and not all of them. The
create revision is the fencing token.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, TypeVar

from raftkv.client import requests, txn
from raftkv.client.requests import RangePage, Request, to_bytes
from raftkv.client.scripts import Changed, Hold, Holding, LetGo, Now, Pause, Script, Within
from raftkv.client.types import Bytes, Entry, TxnResult
from raftkv.errors import ClientError, InvalidRequest, LeaseNotFound, LockLost, Unavailable
from raftkv.kv import prefix_end

Found = TypeVar("Found")
_PLACE = re.compile(rb"[0-9a-f]{16}[rw]?")
_ITS_OWN = "whoever else wants it takes an object of its own"
LOOK_SECONDS_MAX = 5.0
"""Between two looks at the line, though nobody is seen to go."""
OUTAGE_SECONDS = 0.1
"""Before the next look, where nobody answered."""
LAST_LOOK_SECONDS = 1.0
"""For each read at least: whoever does not want to wait for the thing wants to know how it stands."""


def prefix_of(name: Bytes) -> bytes:
    """Of the keys that a recipe of that name uses."""
    encoded = to_bytes(name)
    if not encoded:
        raise InvalidRequest("the name is empty; it has at least one byte")
    return encoded + b"/"


class Place:
    """One place, or none while ``key`` is empty; it outlives its holder by about ``ttl`` seconds."""

    def __init__(self, name: Bytes, ttl: float, kind: bytes = b"") -> None:
        self.prefix = prefix_of(name)
        self.key = b""
        self.token = 0
        self.has_turn = False
        """Nobody ahead blocks: before that it is a place, and nothing is held."""
        self.lease: Holding | None = None
        self._entering = threading.Lock()
        self._ttl = ttl
        self._kind = kind

    @property
    def is_lost(self) -> bool:
        """Whether its lease has ended, or cannot be said to live."""
        return self.lease is None or self.lease.lost

    @contextmanager
    def entering(self) -> Iterator[None]:
        """Around all that leads to a place and to its turn. Whatever ends it early ends the place. Raises
        ``InvalidRequest`` to whoever comes while another is at it, or has it."""
        if not self._entering.acquire(blocking=False):
            raise InvalidRequest(f"this object waits for it already; {_ITS_OWN}")
        try:
            if self.key and not self.is_lost:
                raise InvalidRequest(f"this object has it already; {_ITS_OWN}")
            try:
                yield
            except BaseException:
                self.abandon()
                raise
        finally:
            self._entering.release()

    def join(self, value: bytes = b"") -> Script[None]:
        """Take a place. Raises ``ClientError``; then there is none."""
        if self.key:
            raise LockLost("this object waits for it, or has it, already")
        self.lease = yield Hold(self._ttl)
        assert self.lease
        self.lease.keep()
        key = self.prefix + b"%016x" % self.lease.id + self._kind
        try:
            taken: TxnResult = yield requests.txn([txn.absent(key)], [txn.put(key, value, self.lease.id)], [])
            if not taken.succeeded:
                raise LockLost(f"{key.decode(errors='replace')} is somebody else's")
        except ClientError as error:
            yield from self.leave()
            if isinstance(error, LeaseNotFound):
                raise LockLost("the lease ended before there was a place in the line") from error
            raise
        self.key, self.token = key, taken.revision

    def await_turn(self, blocks: Callable[[Entry], bool], until: float | None) -> Script[bool]:
        """Wait until nobody ahead ``blocks``; False when it is ``until`` by the client's clock first. Raises
        ``LockLost`` when the place is, and ``Unavailable`` where an outage may have outlasted it."""
        while True:
            page = yield from patiently(partial(read_line, self.prefix), until, lambda: self.is_lost)
            if all(entry.key != self.key for entry in page.entries):
                yield from self.leave()
                raise LockLost("the lease ended while waiting in the line")
            ahead = [entry for entry in page.entries if entry.create_revision < self.token and blocks(entry)]
            if not ahead:
                self.has_turn = True
                return True
            now: float = yield Now()
            if until is not None and now >= until:
                return False
            last = max(ahead, key=lambda entry: entry.create_revision)
            patience = LOOK_SECONDS_MAX if until is None else min(LOOK_SECONDS_MAX, until - now)
            yield Changed(last.key, last.key + b"\0", page.revision, patience, puts=False)

    def leave(self) -> Script[bool]:
        """Give the place up, whatever becomes of it; also when whoever leaves is interrupted meanwhile. Says
        whether it was there until now: somebody may have revoked the lease, or deleted the key."""
        lease = self._forget()
        if lease is None:
            return False
        try:
            keys: int = yield LetGo(lease)
        except GeneratorExit:
            lease.abandon()
            raise
        return keys > 0

    def abandon(self) -> None:
        """As ``leave``, without waiting for anything: for whoever is interrupted."""
        lease = self._forget()
        if lease:
            lease.abandon()

    def _forget(self) -> Holding | None:
        lease, self.lease = self.lease, None
        self.key, self.token, self.has_turn = b"", 0, False
        return lease

    def guard(self) -> txn.Compare:
        """Holds as long as this very place does."""
        if not self.key:
            raise LockLost("there is no place in the line")
        return txn.create_revision(self.key) == self.token


def read_line(prefix: bytes) -> Script[RangePage]:
    """All of it, with values. Other names may begin with this one: what is no place is none of ours."""
    return places_of((yield from read_all(prefix)), prefix)


def places_of(page: RangePage, prefix: bytes) -> RangePage:
    """Of that line's."""
    places = [
        entry
        for entry in page.entries
        if entry.key.startswith(prefix) and _PLACE.fullmatch(entry.key, len(prefix))
    ]
    return RangePage(places, len(places), False, page.revision)


def read_all(prefix: bytes) -> Script[RangePage]:
    """Whatever is there, as of one revision."""
    page: RangePage = yield requests.range_page(prefix, prefix_end(prefix))
    entries, revision = list(page.entries), page.revision
    while page.more:  # others may write meanwhile: a page's own revision is that of when it was read
        start = entries[-1].key + b"\0"
        page = yield requests.range_page(start, prefix_end(prefix), revision=revision)
        entries += page.entries
    return RangePage(entries, len(entries), False, revision)


def patiently(
    look: Callable[[], Script[Found]], until: float | None, hopeless: Callable[[], bool] = lambda: False
) -> Script[Found]:
    """What ``look`` finds, once somebody answers: for whoever waits already, and would only come back. Raises
    ``Unavailable`` when it is ``until`` by the client's clock, or where it is ``hopeless``."""
    while True:
        try:
            return (yield from _by(until, look()))
        except Unavailable:
            now: float = yield Now()
            if hopeless() or (until is not None and now >= until):
                raise
        yield Pause(OUTAGE_SECONDS)


def _by(until: float | None, script: Script[Found]) -> Script[Found]:
    """``script``, none of whose reads is waited for beyond ``until``, but for ``LAST_LOOK_SECONDS``. A write
    has all the time that the client gives it: nobody would know what came of one that was cut short."""
    outcome: Any = None
    error: ClientError | None = None
    with closing(script):
        while True:
            try:
                step = script.throw(error) if error else script.send(outcome)
            except StopIteration as end:
                found: Found = end.value
                return found
            if until is not None and isinstance(step, Request) and not step.writes:
                now: float = yield Now()
                step = Within(step, max(until - now, LAST_LOOK_SECONDS))
            outcome, error = None, None
            try:
                outcome = yield step
            except ClientError as failed:
                error = failed


def until(timeout: float | None) -> Script[float | None]:
    """When ``timeout`` seconds from now have passed."""
    seconds = requests.to_wait(timeout)
    if seconds is None:
        return None
    now: float = yield Now()
    return now + seconds
