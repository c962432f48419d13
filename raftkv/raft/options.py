"""The bounds and times of the core, which its owner chooses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RaftOptions:
    """Times are in ticks, sizes in bytes."""

    election_ticks_min: int = 30
    election_ticks_max: int = 60
    heartbeat_ticks: int = 5
    append_bytes_max: int = 1 << 20
    """One append, or the one entry in it that is larger. Heartbeats need not wait behind it (``Link``)."""
    inflight_messages_max: int = 64
    inflight_bytes_max: int = 8 << 20
    """Per peer: what a slow or dead follower can make the leader queue (PITFALLS 39)."""
    uncommitted_bytes_max: int = 64 << 20
    """What a leader without a quorum takes on before it answers BUSY (PITFALLS 39)."""
    thrifty_batches: int = 0
    """After so many everybody is sent what a quorum was sent at once (``thrift``). 0 or 1: always."""
    reads_waiting_max: int = 4096
    lease_us: int = 0
    """How long after a heartbeat that a quorum has answered its leader may serve reads without another one,
    in microseconds; 0: not at all. The same on all nodes."""
    committed_entries_max: int = 2048
    """Per Ready, so that a long catch-up does not starve the timers: some ten milliseconds,"""
    committed_bytes_max: int = 1 << 20
    """and no more than so much of them: a single command may set a thousand keys."""
    unapplied_entries_max: int = 8192
    """Committed ones. A leader that is further behind answers BUSY, and others that are leave it to the rest
    to lead (``election.is_behind``)."""
    inflight_chunks_max: int = 4
    """Of a snapshot, per peer: few, so that appends and heartbeats to others never wait long."""
    retained_entries: int = 10_000
    """Kept behind a snapshot, so that a follower a little behind needs no snapshot."""
    retained_bytes: int = 16 << 20
    lagging_entries_max: int = 100_000
    """What is kept at most for a follower that is behind, but alive,"""
    lagging_bytes_max: int = 64 << 20
    """and how much."""
    priority: int = 0
    """A leader hands over to a voter that has a higher one."""
    forgotten_entries_max: int = 10_000
    """Per tick: to let go of a million at once would take longer than a heartbeat."""
