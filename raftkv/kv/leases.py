"""Leases: keys that live as long as somebody says so.

The table knows who holds what, not what time it is. How long a lease has gone without a renewal each node
measures on its own clock (``actors.leases``); that it has ended the leader writes into the log, naming
the renewal that it waited for in vain. If another renewal came first in the log, the lease lives on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from raftkv.errors import InvalidRequest
from raftkv.kv.commands import Code
from raftkv.kv.items import Refused
from raftkv.kv.limits import LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN, LEASES_MAX

Renewal = tuple[int, int, int]
"""(lease id, index of the entry that granted or renewed it, time to live in ms; 0: it has ended)"""


class LeaseView(NamedTuple):
    id: int
    ttl_ms: int
    renewed_index: int
    keys: int


class Lease:
    __slots__ = ("keys", "renewed_index", "ttl_ms")

    def __init__(self, ttl_ms: int, renewed_index: int) -> None:
        self.ttl_ms = ttl_ms
        self.renewed_index = renewed_index
        self.keys: set[bytes] = set()


class Leases:
    def __init__(self) -> None:
        self._table: dict[int, Lease] = {}
        self.renewals: list[Renewal] = []
        """What has happened since somebody last looked: whoever watches the clock takes them."""

    def __len__(self) -> int:
        return len(self._table)

    def find(self, lease_id: int) -> Lease:
        """Raises ``Refused`` when there is none."""
        lease = self._table.get(lease_id)
        if lease is None:
            raise Refused(Code.LEASE_NOT_FOUND, lease_id)
        return lease

    def get(self, lease_id: int) -> Lease | None:
        return self._table.get(lease_id)

    def is_last(self, lease_id: int, renewed_index: int) -> bool:
        """Whether that renewal is the last so far of a lease that still lives."""
        lease = self._table.get(lease_id)
        return lease is not None and lease.renewed_index == renewed_index

    def grant(self, index: int, ttl_ms: Any) -> int:
        """The new lease's id: the index of the entry that grants it, which no other has."""
        if type(ttl_ms) is not int or not LEASE_TTL_MS_MIN <= ttl_ms <= LEASE_TTL_MS_MAX:
            raise InvalidRequest(
                f"a lease lives for {LEASE_TTL_MS_MIN / 1000:g} s to {LEASE_TTL_MS_MAX // 1000:,} s"
            )
        if len(self._table) >= LEASES_MAX:
            raise InvalidRequest(f"there are {LEASES_MAX:,} leases already")
        self._table[index] = Lease(ttl_ms, index)
        self.renewals.append((index, index, ttl_ms))
        return index

    def renew(self, index: int, lease_id: int) -> int:
        """Its time to live in ms; 0 when there is none of that id."""
        lease = self._table.get(lease_id)
        if lease is None:
            return 0
        lease.renewed_index = index
        self.renewals.append((lease_id, index, lease.ttl_ms))
        return lease.ttl_ms

    def end(self, lease_id: int) -> list[bytes]:
        """Its keys, in order, which have to go with it."""
        lease = self._table.pop(lease_id)
        self.renewals.append((lease_id, lease.renewed_index, 0))
        return sorted(lease.keys)

    def move(self, key: bytes, before: int, after: int) -> None:
        """``key`` hangs on the lease ``after`` now; 0: on none."""
        if before:
            lease = self._table.get(before)
            if lease is not None:
                lease.keys.discard(key)
        if after:
            self._table[after].keys.add(key)

    def view(self, lease_id: int) -> LeaseView:
        """Raises ``Refused`` when there is none."""
        lease = self.find(lease_id)
        return LeaseView(lease_id, lease.ttl_ms, lease.renewed_index, len(lease.keys))

    def views(self) -> list[LeaseView]:
        """All of them, in the order in which they were granted."""
        return [
            LeaseView(lease_id, lease.ttl_ms, lease.renewed_index, len(lease.keys))
            for lease_id, lease in self._table.items()
        ]

    def load(self, lease_id: int, ttl_ms: int, renewed_index: int) -> None:
        """Of a snapshot; its keys come by ``move``."""
        self._table[lease_id] = Lease(ttl_ms, renewed_index)
