"""When a node takes a snapshot of its own."""

from __future__ import annotations

from dataclasses import dataclass

from raftkv.raft import Raft

RETRY_SECONDS = 2.0
"""After one that could not be taken, for want of space as a rule; then twice as long each time, up to"""
RETRY_SECONDS_MAX = 64.0
"""as each try writes as much as there is room for."""
STREAM_PATIENCE = 4
"""So many times the entries at which a snapshot is due may gather while one is on its way to a peer."""


@dataclass(frozen=True, slots=True)
class SnapshotRule:
    """A snapshot is due at each so many-th entry (which, differs from voter to voter), or once so many bytes
    were applied since the last one; but never before half of what it takes itself: what is written twice
    stays in proportion to what is written."""

    entries: int
    bytes_min: int


class SnapshotSchedule:
    """What was applied since the last one, of our own or of a leader's, and whether the next is due."""

    def __init__(self, rule: SnapshotRule) -> None:
        self._rule = rule
        self._under_way = False
        self._not_before = 0.0
        self._retry_seconds = RETRY_SECONDS
        self._bytes_applied = 0
        self._size = 0
        """Of the last one, in bytes."""
        self.taken = 0
        self.installed = 0

    def applied(self, size: int) -> None:
        """Entries of so many bytes."""
        self._bytes_applied += size

    def is_due(self, raft: Raft, now: float) -> bool:
        rule, applied, covered = self._rule, raft.log.last_applied, raft.snapshots.covered_index
        phase = _phase(raft, rule.entries)
        passed = (applied - phase) // rule.entries - (covered - phase) // rule.entries
        if not passed and self._bytes_applied < rule.bytes_min:
            return False
        if self._bytes_applied < self._size // 2 or now < self._not_before:
            return False
        return not raft.streams or applied - covered >= STREAM_PATIENCE * rule.entries

    def may_begin(self, raft: Raft) -> bool:
        """Due or not: one at a time, and never what there is already."""
        snapshots = raft.snapshots
        return (
            not self._under_way
            and not snapshots.incoming
            and raft.log.last_applied != snapshots.covered_index
        )

    def begun(self) -> None:
        self._under_way = True

    def stored(self, size: int) -> None:
        """One of our own is on the disk."""
        self._under_way = False
        self.taken += 1
        self.received(size)

    def received(self, size: int) -> None:
        """One is, of whomever: it takes ``size`` bytes."""
        self._bytes_applied, self._size = 0, size
        self._retry_seconds = RETRY_SECONDS

    def given_up(self, now: float) -> None:
        self._under_way = False
        self._not_before = now + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, RETRY_SECONDS_MAX)


def _phase(raft: Raft, entries: int) -> int:
    """Voters take their snapshots at different entries: when all did at once, nobody was left to answer
    quickly (put p99 at 64 clients: 34 ms, and 24 like this)."""
    voters = sorted(raft.configuration.voters)
    return entries * voters.index(raft.node_id) // len(voters) if raft.node_id in voters else 0
