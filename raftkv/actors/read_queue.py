"""Reads that wait until the state holds what they may rely on, and for their turn to be answered."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

from raftkv.actors.messages import Read, ReadServed
from raftkv.kv import Code, KeyValue, Refused, StateMachine
from raftkv.kv.leases import Leases, LeaseView
from raftkv.kv.limits import RANGE_BYTES_MAX
from raftkv.wire.client import Kind, Reply, Request, places_of, revision_of

BYTES_A_TURN_MAX = 8 << 20
PAST_BYTES = 3 << 20
"""What a read of the past is taken for, besides: it may have to go through all that has changed since."""
LEASE_KEYS_SHOWN_MAX = 1000
_ANSWER_BYTES = 1024
"""What one answer is taken for, besides a range's bytes: about eight thousand gets a turn."""
_GET = Kind.GET.value
"""Of nearly all reads, where it matters."""


class ReadQueue:
    """Reads that wait until enough is applied for them, and then for their turn."""

    def __init__(self, lease_ms_left: Callable[[LeaseView], int]) -> None:
        """``lease_ms_left``: of a lease's time, as this node's clock has it."""
        self._lease_ms_left = lease_ms_left
        self._waiting: list[tuple[int, int, Read]] = []
        """By the index that they wait for."""
        self._count = 0
        self._serving: deque[tuple[bytes, Request]] = deque()
        """Single keys, which go before"""
        self._ranging: dict[bytes, deque[Request]] = {}
        """ranges and leases, of each client one in turn: one frame may ask for thousands of them."""

    def __bool__(self) -> bool:
        """Whether something could be served that has not been."""
        return bool(self._serving or self._ranging)

    def add(self, read: Read) -> None:
        self._count += 1  # orders equal indexes, and keeps reads from being compared
        heapq.heappush(self._waiting, (read.read_index, self._count, read))

    def serve(self, machine: StateMachine) -> ReadServed:
        """Answer what can be answered now, but only so much a turn: the rest waits for the next, so that no
        flood of large ranges keeps a node from its heartbeats."""
        while self._waiting and self._waiting[0][0] <= machine.applied_index:
            for identity, request in heapq.heappop(self._waiting)[2].requests:
                if request[1] == _GET:
                    self._serving.append((identity, request))
                else:
                    self._ranging.setdefault(identity, deque()).append(request)
        replies: list[tuple[bytes, Reply, int]] = []
        size = places = 0
        while self._serving and size < BYTES_A_TURN_MAX:
            identity, request = self._serving.popleft()
            answer = self._answer(machine, request)
            places += places_of(request)
            detail = answer[3]
            answer_bytes = len(detail[0]) if type(detail) is KeyValue else 0
            if revision_of(request):  # of the past: takes longer than its size says
                size += PAST_BYTES
            replies.append((identity, answer, answer_bytes))
            size += _ANSWER_BYTES + answer_bytes
        ranges = 0
        while self._ranging and (size < BYTES_A_TURN_MAX or not ranges):
            identity, request = self._next_range()
            replies.append((identity, self._answer(machine, request), RANGE_BYTES_MAX))
            places += places_of(request)
            ranges += 1
            size += _ANSWER_BYTES + RANGE_BYTES_MAX + (PAST_BYTES if revision_of(request) else 0)
            if request[1] == Kind.LEASES and not request[2]:
                size += BYTES_A_TURN_MAX  # twenty thousand may be looked at: no more than one a turn
        return ReadServed(replies, places)

    def _next_range(self) -> tuple[bytes, Request]:
        """Of the client that has waited longest since its last one."""
        identity = next(iter(self._ranging))
        mine = self._ranging.pop(identity)
        request = mine.popleft()
        if mine:
            self._ranging[identity] = mine  # behind the others
        return identity, request

    def _answer(self, machine: StateMachine, request: Request) -> Reply:
        request_id, kind = request[0], request[1]
        try:
            if kind == _GET:
                found: Any = machine.get(request[2], request[3])
            elif kind == Kind.RANGE:
                start, end, limit, reverse, keys_only, count_only, revision = request[2:-1]
                found = machine.range(start, end, max(0, limit), reverse, keys_only, count_only, revision)
            else:
                found = self._lease_views(machine.leases, request[2])
        except Refused as refused:
            return (request_id, refused.code, machine.revision, refused.detail)
        return (request_id, Code.OK, machine.revision, found)

    def _lease_views(
        self, leases: Leases, lease_id: int
    ) -> tuple[list[tuple[int, int, int, int]], list[bytes]]:
        """``([(id, time to live, what is left of it, number of keys), …], keys)``, times in ms; the keys only
        of a single one."""
        keys: list[bytes] = []
        views = leases.views() if not lease_id else [leases.view(lease_id)]
        if lease_id:
            keys = sorted(leases.find(lease_id).keys)[:LEASE_KEYS_SHOWN_MAX]
        rows = [(view.id, view.ttl_ms, self._lease_ms_left(view), view.keys) for view in views]
        return rows, keys
