"""What one seed draws: the cluster, its options, its users, and which faults it suffers.

Swarm testing: a run that has every fault at once hides what one fault alone would show, and one
with small bounds meets limits that the defaults never reach. So each seed leaves most things out.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from raftkv.actors.beginning import THRIFTY_BATCHES, raft_options
from raftkv.config import HistoryConfig, LimitsConfig, RaftConfig, SnapshotConfig
from raftkv.errors import counted
from raftkv.kv import SessionLimits
from raftkv.sim.network import Weather
from raftkv.sim.world import WorldOptions, cluster_config


class Fault(StrEnum):
    """The first four are weather: they happen to single frames."""

    DROP = "drop"
    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    SYMMETRIC = "symmetric"
    ONE_WAY = "one-way"
    BRIDGE = "bridge"
    RING = "ring"
    ISOLATE_LEADER = "isolate-leader"
    CRASH = "crash"
    """Power loss: unsynced writes are lost or torn."""
    KILL = "kill"
    """SIGKILL: the page cache survives."""
    BLACKOUT = "blackout"
    """Power loss of all nodes at once."""
    CRASH_IN_RECOVERY = "crash-in-recovery"
    PAUSE = "pause"
    SYNC_ERROR = "sync-error"
    DISK_FULL = "disk-full"
    DISK_SLOW = "disk-slow"
    DISK_HANG = "disk-hang"
    CLOCK_RATE = "clock-rate"
    CAMPAIGN = "campaign"
    """An operator makes a node campaign."""
    TRANSFER = "transfer"
    """An operator asks the leader to hand over to a node, dead or alive."""
    STOP = "stop"
    """A node is asked to end, and hands over first if it leads."""
    MEMBERSHIP = "membership"
    """An operator adds, promotes, removes or replaces a node."""
    WIPE = "wipe"
    """A node loses its folder, and is started again under its name."""


WEATHER = frozenset({Fault.DROP, Fault.DELAY, Fault.DUPLICATE, Fault.REORDER})
SPARES = 2
"""Nodes that may join, where members change."""
PARTS_BEHIND_MAX = 4
"""So many turns' worth of committed entries a leader may still have to apply."""
LEASES_SHARE = 0.5
PREFERRED_SHARE = 0.2
"""Of worlds in which one node is to lead if it can."""
SLUGGISH_SHARE = 0.2
"""Of the worlds in which applying takes longer than a turn may."""
WAITS_SHARE = 0.7
"""Of worlds whose nodes wait for a quick disk."""
FAULT_SHARE = 0.4
"""Of all kinds, that one seed has."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Implements ``client.users.Habits``."""

    world: WorldOptions
    faults: tuple[Fault, ...]
    gap_seconds: float
    """Mean time between two strokes of the nemesis."""
    fault_seconds: float
    """Mean time that one lasts."""
    users: int
    keys: int
    rest_seconds: float
    request_timeout: float
    read_share: float
    burst_share: float
    pinned_share: float
    observers: int = 0
    """Who watch everything;"""
    holders: int = 0
    """and who take a lock by turns."""
    lease_ttl: float = 1.0
    bookkeepers: int = 0
    """Who change several keys at once."""

    def describe(self) -> str:
        raft = self.world.raft
        timeouts = f"{raft.election_timeout_min_ms}-{raft.election_timeout_max_ms}"
        return (
            f"{counted(self.world.nodes, 'node')}, "
            f"{counted(self.world.spares, 'spare') + ', ' if self.world.spares else ''}"
            f"{counted(self.users, 'user')} on {counted(self.keys, 'key')}, "
            f"heartbeat {raft.heartbeat_ms} ms, election timeout {timeouts} ms, "
            f"faults: {', '.join(self.faults) or 'none'}"
        )


def draw(seed: int, nodes: int | None = None, faults: Collection[Fault] | None = None) -> Profile:
    """``nodes`` and ``faults`` stand in for what would be drawn; the rest stays as it would be."""
    rng = random.Random(f"{seed}/profile")
    count = rng.choice((3, 3, 3, 4, 5, 5, 6, 7))
    chosen = [fault for fault in Fault if rng.random() < FAULT_SHARE]
    options = _draw_world(rng, nodes or count, frozenset(chosen if faults is None else faults))
    tenants = random.Random(f"{seed}/tenants")
    patience = random.Random(f"{seed}/patience")
    waits, sluggish = patience.random() < WAITS_SHARE, patience.random() < SLUGGISH_SHARE
    thrift = random.Random(f"{seed}/thrift")
    assert options.tuning is not None
    batches = thrift.choice((0, 2, THRIFTY_BATCHES, THRIFTY_BATCHES))
    tuning = replace(options.tuning, thrifty_batches=batches)
    options = replace(options, history=_draw_history(tenants), tuning=tuning)
    options = replace(options, waits_for_disk=waits, applies_slowly=sluggish)
    return Profile(
        observers=tenants.choice((0, 0, 0, 1, 2)),
        holders=tenants.choice((0, 0, 0, 2, 3)),
        lease_ttl=tenants.choice((0.1, 0.5, 2.0)),
        bookkeepers=tenants.choice((0, 0, 1, 2)),
        world=options,
        faults=tuple(chosen if faults is None else [fault for fault in Fault if fault in faults]),
        gap_seconds=rng.choice((0.2, 0.5, 1.0)),
        fault_seconds=rng.choice((0.1, 0.5, 1.5)),
        users=rng.randint(2, 6),
        keys=rng.randint(1, 6),
        rest_seconds=rng.choice((0.02, 0.05, 0.1)),
        request_timeout=rng.choice((0.3, 1.0, 3.0)),
        read_share=rng.choice((0.2, 0.4, 0.6)),
        burst_share=rng.choice((0.0, 0.0, 0.1)),
        pinned_share=rng.choice((0.0, 0.5, 1.0)),
    )


def _draw_world(rng: random.Random, nodes: int, faults: frozenset[Fault]) -> WorldOptions:
    heartbeat = rng.choice((20, 50, 100))
    shortest = heartbeat * rng.randint(3, 7)
    options = WorldOptions(
        nodes=nodes,
        spares=SPARES if Fault.MEMBERSHIP in faults else 0,
        raft=RaftConfig(
            tick_ms=10,
            heartbeat_ms=heartbeat,
            election_timeout_min_ms=shortest,
            election_timeout_max_ms=shortest + heartbeat * rng.randint(2, 8),
        ),
        limits=LimitsConfig(pending_writes=rng.choice((16_384, 16_384, 3))),
        snapshot=_draw_snapshot(rng),
        chunk_bytes=rng.choice((64, 300, 1 << 16)),
        sessions=_draw_sessions(rng, faults),
        segment_bytes=rng.choice((1 << 12, 1 << 13, 1 << 16)),
        disk_seconds=rng.choice((0.0002, 0.001, 0.005)),
        weather=_draw_weather(rng, faults),
    )
    # Leases rely on clocks that are nearly true: a world has the one or the other.
    if rng.random() < LEASES_SHARE and Fault.CLOCK_RATE not in faults:
        options = replace(options, raft=replace(options.raft, lease_reads=True))
    if rng.random() < PREFERRED_SHARE:
        options = replace(options, preferred=rng.randint(1, nodes))
    tuning = replace(
        raft_options(cluster_config(options)),
        append_bytes_max=rng.choice((1 << 20, 2000, 200)),
        inflight_messages_max=rng.choice((64, 8, 1)),
        inflight_bytes_max=rng.choice((8 << 20, 1000)),
        uncommitted_bytes_max=rng.choice((64 << 20, 64 << 20, 2000)),
        reads_waiting_max=rng.choice((4096, 4096, 2)),
        committed_entries_max=rng.choice((4096, 3, 1)),
        inflight_chunks_max=rng.choice((4, 1)),
        lagging_entries_max=rng.choice((100_000, 50, 5)),
        forgotten_entries_max=rng.choice((10_000, 7)),
    )
    tuning = replace(tuning, unapplied_entries_max=PARTS_BEHIND_MAX * tuning.committed_entries_max)
    return replace(options, tuning=tuning)


def _draw_sessions(rng: random.Random, faults: frozenset[Fault]) -> SessionLimits:
    """So few clients remembered, and for so short a time, that users are forgotten while they work. To be
    forgotten is a misfortune like others: a world without any has none of this either."""
    drawn = SessionLimits(rng.choice((10_000, 10_000, 4)), rng.choice((3_600_000, 3_600_000, 1_500)))
    return drawn if faults else SessionLimits()


def _draw_history(rng: random.Random) -> HistoryConfig:
    """Mostly enough for everybody; else so little that observers are told to begin anew."""
    return HistoryConfig(
        revisions=rng.choice((100_000, 100_000, 30, 3)),
        seconds=rng.choice((3600, 3600, 2)),
        mib=rng.choice((64, 64, 0)),
    )


def _draw_snapshot(rng: random.Random) -> SnapshotConfig:
    """Mostly such that logs are cut short all the time."""
    return SnapshotConfig(
        entries=rng.choice((100_000, 100, 30, 10)),
        retain_entries=rng.choice((10_000, 20, 3, 0)),
    )


def _draw_weather(rng: random.Random, faults: frozenset[Fault]) -> Weather:
    def strength(fault: Fault, *choices: float) -> float:
        drawn = rng.choice(choices)
        return drawn if fault in faults else 0.0

    return Weather(
        latency=0.0002,
        jitter=rng.choice((0.0001, 0.001, 0.005)),
        drop=strength(Fault.DROP, 0.01, 0.05, 0.2),
        duplicate=strength(Fault.DUPLICATE, 0.02, 0.1),
        reorder=strength(Fault.REORDER, 0.05, 0.3),
        delay=strength(Fault.DELAY, 0.01, 0.1),
        delay_seconds=rng.choice((0.05, 0.3, 1.0)),
    )
