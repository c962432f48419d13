"""When a lease has ended: each node's own clock, a quorum's agreement, and the log's last word.

Every node counts, from when *it* applied the last renewal that it knows, on its own monotonic clock, the
lease's time to live and a margin for clocks that run apart. What has lapsed it tells the leader, which
counts itself too; once a quorum of voters agrees about the same renewal, the leader writes the end into the
log. There a renewal that came first wins. So no single clock ends a lease, however wrong it is, and no
deposed leader does. After a change of leader every lease has its full time again: its holder may have
been unable to renew it (PITFALLS 34, 36).

A holder that counts from *before* it asked for the renewal, on a clock that loses less than the margin,
knows its lease to have ended before the cluster does.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from raftkv.actors.messages import (
    EndLeases,
    MembershipChanged,
    PeerLapsed,
    SendLapsed,
    SoftStateChanged,
    Tick,
)
from raftkv.actors.snapshot_messages import (
    StateSwapped,
)
from raftkv.actors.system import Context
from raftkv.kv import StateMachine
from raftkv.kv.leases import LeaseView
from raftkv.raft import Membership, Role, SoftState
from raftkv.raft.quorum import is_quorum
from raftkv.types import NodeId, Term

REPORT_SECONDS = 0.1
"""Between two words about what has lapsed and is still there."""
REPORTED_MAX = 1024
"""Leases in one word; the rest follow."""

DUE_PER_LEASE, DUE_SLACK = 4, 1024
ROUNDING_SECONDS = 1e-6
"""A timer may go off so much before the time it was meant for."""

Lapse = tuple[int, int]
"""(lease id, index of the renewal that was the last)"""


@dataclass(slots=True)
class _Count:
    renewed_index: int
    until: float
    seconds: float
    """The time to live with its margin."""
    ttl_ms: int


class LeaseActor:
    def __init__(
        self,
        context: Context,
        node_id: NodeId,
        machine: Callable[[], StateMachine],
        drift_percent: int,
    ) -> None:
        self._context = context
        self._node_id = node_id
        self._machine = machine
        self._margin = 1 + drift_percent / 100
        self._counts: dict[int, _Count] = {}
        self._due: list[tuple[float, int, int]] = []
        """(when, lease id, renewed index); older renewals' are skipped when their time comes."""
        self._lapsed: dict[int, int] = {}
        """Lease id -> renewed index, by this node's clock."""
        self._agreed: dict[Lapse, set[NodeId]] = {}
        """Who says so, for whom leads."""
        self._state = SoftState(Role.FOLLOWER, None, Term(0))
        self._membership: Membership | None = None
        self._anew_since = context.now()
        """No lease began before."""
        self._timers: list[float] = []
        """When those that are set go off."""
        self._reported = 0
        self._report_at = 0.0
        self._load()

    def handle(self, message: object) -> None:
        match message:
            case Tick():
                while self._timers and self._timers[0] <= self._context.now() + ROUNDING_SECONDS:
                    heapq.heappop(self._timers)
                self._look()
            case SoftStateChanged():
                self._on_soft_state(message.state)
            case PeerLapsed():
                if message.term == self._state.current_term:
                    self._agree(message.sender, message.lapses)
            case MembershipChanged():
                self._membership = message.membership
            case StateSwapped():
                self._load()
            case _:
                raise AssertionError(f"leases got {message}")

    def end_of_turn(self) -> None:
        leases = self._machine().leases
        if leases.renewals:
            # Not when the turn began: a node that stood still since would count from before it was asked.
            now = self._context.fresh_now()
            for lease_id, renewed_index, ttl_ms in leases.renewals:
                self._count(lease_id, renewed_index, ttl_ms, now)
            leases.renewals.clear()
        if self._counts:
            self._set_timer()

    def remaining_ms(self, lease: LeaseView) -> int:
        """How long, by this node's clock and without the margin, until it counts as lapsed here. One that was
        granted or renewed in this turn, or came with a snapshot, is counted only at the turn's end."""
        count = self._counts.get(lease.id)
        if count is None or count.renewed_index != lease.renewed_index:
            return lease.ttl_ms
        left = self._until(count) - self._context.now() - (count.seconds - count.ttl_ms / 1000)
        return max(0, min(count.ttl_ms, int(left * 1000)))

    # -- counting

    def _load(self) -> None:
        """After a start or a snapshot all leases have their full time."""
        machine, now = self._machine(), self._context.now()
        machine.leases.renewals.clear()
        self._counts.clear()
        self._due.clear()
        self._lapsed.clear()
        for view in machine.leases.views():
            self._count(view.id, view.renewed_index, view.ttl_ms, now)

    def _count(self, lease_id: int, renewed_index: int, ttl_ms: int, now: float) -> None:
        self._lapsed.pop(lease_id, None)
        if not ttl_ms:
            self._counts.pop(lease_id, None)
            return
        seconds = ttl_ms / 1000 * self._margin
        self._counts[lease_id] = _Count(renewed_index, now + seconds, seconds, ttl_ms)
        heapq.heappush(self._due, (now + seconds, lease_id, renewed_index))
        if len(self._due) > DUE_PER_LEASE * len(self._counts) + DUE_SLACK:
            # A long lease that is renewed all the time leaves many of its earlier ends behind.
            self._due = [(each.until, key, each.renewed_index) for key, each in self._counts.items()]
            heapq.heapify(self._due)

    def _until(self, count: _Count) -> float:
        return max(count.until, self._anew_since + count.seconds)

    def _look(self) -> None:
        now = self._context.now()
        while self._due and self._due[0][0] <= now:
            _, lease_id, renewed_index = heapq.heappop(self._due)
            count = self._counts.get(lease_id)
            if count is None or count.renewed_index != renewed_index:
                continue
            until = self._until(count)
            if until > now:
                heapq.heappush(self._due, (until, lease_id, renewed_index))
            else:
                self._lapsed[lease_id] = renewed_index
                self._report_at = now
        if self._lapsed and now >= self._report_at:
            self._report_at = now + REPORT_SECONDS
            self._report()

    def _set_timer(self) -> None:
        """Only ahead of those that are set: a node has thousands of leases, most of them renewed in time."""
        times = [self._report_at] if self._lapsed else []
        if self._due:
            times.append(self._due[0][0])
        if times and (not self._timers or min(times) < self._timers[0]):
            heapq.heappush(self._timers, min(times))
            delay = max(0.0, min(times) - self._context.now())
            self._context.set_timer("leases", delay, Tick())

    # -- agreeing

    def _on_soft_state(self, state: SoftState) -> None:
        before, self._state = self._state, state
        if (before.leader_id, before.current_term) != (state.leader_id, state.current_term):
            self._anew_since = self._context.now()
            for lease_id, renewed_index in self._lapsed.items():
                heapq.heappush(self._due, (self._anew_since, lease_id, renewed_index))
            self._lapsed.clear()
            self._agreed.clear()

    def _report(self) -> None:
        lapses = list(self._lapsed.items())
        if len(lapses) > REPORTED_MAX:  # by turns, or nodes that begin elsewhere would never agree
            first = self._reported % len(lapses)
            lapses = (lapses[first:] + lapses[:first])[:REPORTED_MAX]
            self._reported = first + REPORTED_MAX
        leader_id = self._state.leader_id
        if leader_id == self._node_id:
            self._agree(self._node_id, lapses)
        elif leader_id is not None:
            self._context.send("peers", SendLapsed(leader_id, self._state.current_term, tuple(lapses)))

    def _agree(self, sender: NodeId, lapses: list[Lapse] | tuple[Lapse, ...]) -> None:
        if self._state.role is not Role.LEADER or self._membership is None:
            return
        leases = self._machine().leases
        self._agreed = {lapse: who for lapse, who in self._agreed.items() if leases.is_last(*lapse)}
        for lapse in lapses:
            if leases.is_last(*lapse):
                self._agreed.setdefault(lapse, set()).add(sender)
        configuration = self._membership.latest
        ended = [lapse for lapse in lapses if is_quorum(self._agreed.get(lapse, ()), configuration)]
        if ended:
            self._context.send("raft", EndLeases(tuple(ended[:REPORTED_MAX])))
