"""What a node begins with: its core and its state, from its configuration and what its disk held."""

from __future__ import annotations

import random
from dataclasses import replace

from raftkv.actors.raft import TICKS_CAUGHT_UP_MAX
from raftkv.config import LEASE_TICKS_LOST, ClusterConfig, NodeConfig
from raftkv.kv import Retention, SessionLimits, StateMachine, restored
from raftkv.raft import Configuration, Member, Raft, RaftOptions
from raftkv.storage import Recovered
from raftkv.types import NodeId

THRIFTY_BATCHES = 4
"""Nodes of one machine share its processor: with one client 1.1 times as many puts as without. It was not
measured between machines."""


def core_of(
    config: ClusterConfig,
    me: NodeConfig,
    recovered: Recovered,
    tuning: RaftOptions | None,
    rng: random.Random,
) -> Raft:
    return Raft(
        me.name,
        _founding(config, me.name),
        replace(tuning or raft_options(config), priority=me.priority),
        rng,
        recovered.hard_state,
        recovered.entries,
        recovered.snapshot,
        recovered.identity.incarnation,
        [node.name for node in config.nodes],
    )


def retention_of(config: ClusterConfig) -> Retention:
    history = config.history
    return Retention(history.revisions, history.seconds * 1000, history.mib << 20)


def _founding(config: ClusterConfig, name: NodeId) -> Configuration:
    """What holds as long as the log says nothing: those that the file does not call joining. A node that
    joins knows nobody before it is told."""
    if config.node(name).joining:
        return Configuration()
    founders = [node for node in config.nodes if not node.joining]
    return Configuration(tuple(Member(node.name, address=node.endpoints()) for node in founders))


def state_of(recovered: Recovered, sessions: SessionLimits) -> StateMachine:
    """The state that the node's own snapshot stands for, or an empty one."""
    if recovered.snapshot is None:
        return StateMachine(sessions)
    index = recovered.snapshot.index
    where = f"snapshot of entry {index} of node {recovered.identity.node}"
    return restored(recovered.state, index, where, sessions)


def raft_options(config: ClusterConfig) -> RaftOptions:
    """Milliseconds of the configuration in ticks of the core, rounded up."""
    times = config.raft

    def ticks(milliseconds: int) -> int:
        return -(-milliseconds // times.tick_ms)

    return RaftOptions(
        election_ticks_min=ticks(times.election_timeout_min_ms),
        election_ticks_max=ticks(times.election_timeout_max_ms),
        heartbeat_ticks=ticks(times.heartbeat_ms),
        lease_us=_lease_us(config),
        thrifty_batches=THRIFTY_BATCHES,
        uncommitted_bytes_max=config.limits.pending_mib << 20,
        retained_entries=config.snapshot.retain_entries,
        lagging_entries_max=max(config.snapshot.entries, config.snapshot.retain_entries),
    )


def _lease_us(config: ClusterConfig) -> int:
    """How long a follower that has answered a heartbeat certainly votes for nobody else. It counts the
    shortest election timeout in ticks: of those it may make up for some that passed before the heartbeat
    came, and one has begun by then; and its clock may be fast, or the leader's slow."""
    times = config.raft
    if not times.lease_reads:
        return 0
    assert LEASE_TICKS_LOST > TICKS_CAUGHT_UP_MAX
    ticks = times.election_timeout_min_ms // times.tick_ms - LEASE_TICKS_LOST
    return ticks * times.tick_ms * 1000 * (100 - times.clock_drift_percent) // 100
