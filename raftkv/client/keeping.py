"""Keeps a client's leases alive: all that are due in one command, three times within each time to live.

What a holder may rely on is ``valid_until``, by its own clock: the time to live counted from *before* the
renewal was asked for. The cluster counts from later, so a holder that stops in time stops first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from raftkv.client import requests
from raftkv.client.calls import Call, Session
from raftkv.client.requests import Request
from raftkv.errors import ClientError, LeaseNotFound, SessionExpired
from raftkv.kv.limits import KEEP_ALIVE_MAX

RENEWALS = 3
"""Within one time to live."""


@dataclass(slots=True, eq=False)
class Kept:
    """A lease that is kept alive. Times in seconds of the client's clock."""

    id: int
    ttl: float
    valid_until: float
    on_lost: Callable[[ClientError], None]
    """Once, when the lease has ended, or cannot be said to live any more."""
    due: float = 0.0


class Surroundings(Protocol):
    """What the keeper needs of the client it belongs to."""

    def new_session(self) -> Session: ...
    def renew(self) -> Session: ...
    def submit(self, call: Call, now: float) -> None: ...


class Keeper:
    def __init__(self, client: Surroundings) -> None:
        self._client = client
        self._session: Session | None = None
        self._kept: dict[int, Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, lease: Kept, now: float) -> None:
        lease.due = now
        self._kept[lease.id] = lease

    def release(self, lease_id: int) -> None:
        self._kept.pop(lease_id, None)

    def next_timer(self, now: float) -> float:
        if not self._kept:
            return now + 1.0
        return min(min(lease.due, lease.valid_until) for lease in self._kept.values())

    def on_time(self, now: float) -> None:
        for lease in [lease for lease in self._kept.values() if lease.valid_until <= now]:
            self._lose(lease)
        due = [lease for lease in self._kept.values() if lease.due <= now]
        for first in range(0, len(due), KEEP_ALIVE_MAX):
            self._renew(due[first : first + KEEP_ALIVE_MAX], now)

    def _renew(self, leases: list[Kept], now: float) -> None:
        for lease in leases:
            lease.due = now + lease.ttl / RENEWALS
        request = requests.keep_alive([lease.id for lease in leases])
        # Not for longer than it is of any use; the next renewal is another request.
        deadline = max(lease.valid_until for lease in leases)
        if self._session is None:
            self._session = self._client.new_session()
        done = partial(self._on_done, request, leases, now)
        self._client.submit(Call(request.fields, deadline, done, self._session), now)

    def _on_done(
        self, request: Request[tuple[float, ...]], leases: list[Kept], asked_at: float, call: Call
    ) -> None:
        if call.response is None:
            if isinstance(call.error, SessionExpired) and call.session is self._session:
                self._session = self._client.renew()
            return  # the next renewal may do better; if none does, time tells
        left = request.decode(call.response)
        for lease, ttl in zip(leases, left, strict=False):
            if self._kept.get(lease.id) is not lease:
                continue
            if not ttl:
                self._lose(lease)
            else:
                lease.valid_until = max(lease.valid_until, asked_at + ttl)

    def _lose(self, lease: Kept) -> None:
        self.release(lease.id)
        lease.on_lost(LeaseNotFound(lease.id))
