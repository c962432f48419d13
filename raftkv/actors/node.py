"""One node: its actors, wired together. Knows no socket, clock, thread or disk; ``NodeWorld`` has them.

``turn`` is all there is to running it: the production loop calls it when something arrives or a
timer is due, a simulator when its virtual world says so.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from raftkv.actors.audit import AuditActor
from raftkv.actors.beginning import core_of, retention_of, state_of
from raftkv.actors.control import ControlActor
from raftkv.actors.faults import FaultsActor
from raftkv.actors.gateway import GatewayActor, GatewayLimits
from raftkv.actors.leases import LeaseActor
from raftkv.actors.messages import (
    Expelled,
    Frames,
    Leave,
    MembershipChanged,
    Note,
    SoftStateChanged,
    Stop,
    Tick,
    TransferLeadership,
)
from raftkv.actors.peers import PeersActor
from raftkv.actors.raft import RaftActor
from raftkv.actors.snapshot_schedule import SnapshotRule
from raftkv.actors.status import StatusActor
from raftkv.actors.storage import Disk, DiskResult, StorageActor
from raftkv.actors.store import StoreActor
from raftkv.actors.system import Actor, ActorName, Port, System
from raftkv.actors.watches import WatchActor
from raftkv.config import ENDPOINTS, ClusterConfig
from raftkv.errors import NotAMember, RemovedNode
from raftkv.kv import CHUNK_BYTES, SessionLimits
from raftkv.kv.machine import DEFAULT_LIMITS
from raftkv.observe import LogTail, MemberSnapshot, NodeSnapshot, PeerSnapshot, events
from raftkv.raft import Membership, RaftOptions, Role, SoftState
from raftkv.storage import Recovered
from raftkv.types import LogIndex, NodeId

CONTROL_FRAMES_A_TURN_MAX = 4
"""One may ask for a search through thousands of entries."""
FRAMES_A_TURN_MAX = 512
"""Drained from one port before the other ports get their turn."""
BYTES_A_TURN_MAX = 512 << 10
"""A request may have four bytes and takes a microsecond: many more than these, and the leader would be deaf
and dumb for longer than its followers wait. Of fewer, 512 clients with a kibibyte each would not fit into one
batch. A peer's frame is larger, and has fewer things in it."""
LINGER_SECONDS = 0.05
"""Between the last word to clients and the end: they are told meanwhile who leads now."""
TAIL_ENTRIES = 128
"""Of the log in a snapshot: what the widest dashboard can show."""


@dataclass(frozen=True, slots=True)
class NodeWorld:
    """Everything outside a node that it may touch."""

    clock: Callable[[], float]
    random: random.Random
    client_port: Port
    peer_port: Port
    connect: Callable[[NodeId, str, bool], Port]
    """Opens the way to a peer's endpoint."""
    control_port: Port
    status_port: Port
    disk: Disk
    report: Callable[[str], None]
    """Gets one line for each event."""
    boot: int
    """Drawn anew at every start."""
    pid: int
    log_bytes: int
    """On disk at start."""
    slept: Callable[[], float] = lambda: 0.0
    """Seconds that ``clock`` has not counted, while the machine slept."""
    apply_clock: Callable[[], float] | None = None
    """By which it is seen how long applying takes; None: by ``clock``."""


class _HandOverEnds:
    """A timer went off: nobody has taken over in time."""


class Node:
    """``config`` says who it is, ``recovered`` what it remembers, ``world`` where it lives."""

    def __init__(
        self,
        config: ClusterConfig,
        name: NodeId,
        recovered: Recovered,
        world: NodeWorld,
        tuning: RaftOptions | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        sessions: SessionLimits = DEFAULT_LIMITS,
    ) -> None:
        """``tuning`` stands in for what follows from ``config``: bounds that no user sets. Raises
        ``CorruptLog`` and ``ForeignData`` for a snapshot that it cannot read."""
        self._config = config
        self._me = config.node(name)
        self._world = world
        self.stopped: Stop | None = None
        self._leaving: Stop | None = None
        """Asked to stop, and still handing over leadership."""
        self._system = System(world.clock, world.random, world.slept)
        self._started = self._system.true_now()
        self._system.begin_turn()
        system = self._system
        incarnation = self.incarnation = recovered.identity.incarnation
        raft = core_of(config, self._me, recovered, tuning, world.random)
        self._membership = Membership(raft.configuration, LogIndex(0), raft.configuration, LogIndex(0))
        introduction = (incarnation, self._me.endpoints())
        rule = SnapshotRule(config.snapshot.entries, config.snapshot.mib << 20)
        tick_seconds = config.raft.tick_ms / 1000
        self.raft = RaftActor(system, raft, tick_seconds, rule, introduction, retention_of(config))
        self.storage = StorageActor(system, world.disk, world.log_bytes)
        machine = state_of(recovered, sessions)
        clock = world.apply_clock or world.clock
        self.store = StoreActor(
            system, machine, lambda lease: self.leases.remaining_ms(lease), chunk_bytes, clock
        )
        self.watches = WatchActor(system, lambda: self.store.machine)
        self.leases = LeaseActor(system, name, lambda: self.store.machine, config.raft.clock_drift_percent)
        self.peers = PeersActor(system, config, self._me, incarnation, world.boot, world.connect)
        limits = GatewayLimits(config.limits.pending_writes, config.limits.pending_mib << 20)
        self.gateway = GatewayActor(system, world.client_port, config.name, limits, self._hello)
        self.audit = AuditActor(system)
        self.faults = FaultsActor(system, world.disk.set_fault, system.set_clock_rate)
        self.status = StatusActor(system, world.status_port, name, self._snapshot, world.report)
        self.control = ControlActor(
            system,
            world.control_port,
            self.peers.names,
            config.chaos,
            self.status,
            lambda: raft.snapshots.newest,
            raft.log,
        )
        self._line_up()
        self._ports: dict[ActorName, Port] = {
            "gateway": world.client_port,
            "peers": world.peer_port,
            "control": world.control_port,
        }
        system.send("status", Note(events.NODE_STARTED, _found(recovered, world.boot)))

    def _line_up(self) -> None:
        """In the order in which they end their turns. Raft first: the others carry out what it decides. Then
        what other nodes wait for leaves: with it their disks begin, and then our own (thesis §10.2.1).
        Whoever reports what was applied comes after the store."""
        line: tuple[tuple[ActorName, Actor], ...] = (
            ("raft", self.raft),
            ("peers", self.peers),
            ("storage", self.storage),
            ("store", self.store),
            ("watches", self.watches),
            ("leases", self.leases),
            ("gateway", self.gateway),
            ("control", self.control),
            ("audit", self.audit),
            ("faults", self.faults),
            ("status", self.status),
            ("node", self),
        )
        for name, actor in line:
            self._system.add(name, actor)

    def handle(self, message: Any) -> None:
        match message:
            case Stop():
                self._on_stop(message)
            case MembershipChanged():
                self._membership = message.membership
            case Expelled():
                if self._believes(message):
                    self._end(Stop("no member of the cluster", _expulsion(self._me.name, message)))
            case SoftStateChanged():
                if self.raft.raft.retired and not self._leaving:
                    self._leaving = Stop("no member of the cluster", _removed(self._me.name))
                    self._leave()
                elif self._leaving and message.state.leader_id not in (None, self._me.name):
                    self._leave()
            case _HandOverEnds():
                self._leave()
            case Tick():
                assert self._leaving is not None
                self._end(self._leaving)
            case _:
                raise AssertionError(f"node got {message}")

    def _on_stop(self, stop: Stop) -> None:
        """A leader hands over first, as an election would cost clients its whole timeout. A disk that
        failed, or a second request, does not wait."""
        if stop.error or self._leaving:
            self._end(stop)
            return
        self._leaving = stop
        if self.raft.raft.role is Role.LEADER and self.raft.raft.voting_peers:
            self._system.send("raft", TransferLeadership(None))
            deadline = self._config.raft.election_timeout_min_ms / 1000
            self._system.set_timer("node", deadline, _HandOverEnds())
        else:
            self._leave()

    def _leave(self) -> None:
        """Send clients elsewhere, and stay for as long as that takes to reach them."""
        self._system.send("gateway", Leave())
        self._system.set_timer("node", LINGER_SECONDS, Tick())

    def _end(self, stop: Stop) -> None:
        if self.stopped is None:
            self.stopped = stop
            self._system.send("status", Note(events.NODE_STOPPING, {"reason": stop.reason}))

    def hear_disk(self, results: Iterable[DiskResult]) -> None:
        """Ahead of a turn: what has waited for the disk leaves before anybody looks at what has arrived."""
        self._system.begin_turn()
        for result in results:
            self._system.send("storage", result)
        self._system.run_mailboxes()

    def turn(self, readable: Iterable[ActorName]) -> None:
        """Handle everything that has arrived. ``readable`` names the actors whose ports have frames."""
        system = self._system
        system.begin_turn()
        for name in readable:
            most = CONTROL_FRAMES_A_TURN_MAX if name == "control" else FRAMES_A_TURN_MAX
            frames = self._ports[name].receive(most, BYTES_A_TURN_MAX)
            if frames:
                system.send(name, Frames(frames))
        system.finish_turn()

    @property
    def leaving(self) -> bool:
        """Asked to stop, and about to."""
        return self._leaving is not None

    def next_timer(self) -> float | None:
        """In seconds of the world's clock."""
        return self._system.next_timer()

    def stop(self, reason: str) -> None:
        """End after the next turn."""
        self._system.send("node", Stop(reason))

    # -- views

    def _hello(self, state: SoftState) -> tuple[Any, ...]:
        nodes = [
            (member.name, *member.address[1:])
            for member in self._membership.latest.members
            if len(member.address) == ENDPOINTS
        ]
        return (
            self._config.name,
            self._me.name,
            state.role.value,
            state.current_term,
            state.leader_id,
            self.raft.raft.log.commit_index,
            nodes,
            self._world.boot,
        )

    def _snapshot(self, event_sequence: int, frames_rejected: int) -> NodeSnapshot:
        raft = self.raft.raft.status()
        log, machine, now = self.raft.raft.log, self.store.machine, self._system.now()
        tail_first = LogIndex(max(log.first_index, log.last_index - TAIL_ENTRIES + 1))
        write_p50, write_p99 = self.gateway.writes.quantiles_ms(now)
        sync_p50, sync_p99 = self.storage.syncs.quantiles_ms(now)
        return NodeSnapshot(
            cluster=self._config.name,
            name=self._me.name,
            boot=self._world.boot,
            event_sequence=event_sequence,
            time=self._world.clock(),
            pid=self._world.pid,
            uptime=self._system.true_now() - self._started,
            role="learner" if self._learns() else raft.role.value,
            term=raft.current_term,
            voted_for=raft.voted_for,
            votes=raft.votes,
            leader=raft.leader_id,
            first_index=raft.first_index,
            last_index=raft.last_index,
            snapshot_index=raft.snapshot_index,
            persisted_index=raft.persisted_index,
            commit_index=raft.commit_index,
            applied_index=LogIndex(machine.applied_index),
            election_elapsed=raft.election_elapsed,
            election_timeout=raft.election_timeout,
            revision=machine.revision,
            keys=len(machine),
            sessions=len(machine.sessions),
            state_digest=f"{machine.digest:08x}",
            log_bytes=self.storage.bytes_used,
            client_endpoint=self._me.client,
            peer_endpoint=self._me.peer,
            writes_total=self.gateway.writes.total,
            reads_total=self.store.reads_total,
            write_ms_p50=write_p50,
            write_ms_p99=write_p99,
            sync_ms_p50=sync_p50,
            sync_ms_p99=sync_p99,
            syncs_total=self.storage.syncs.total,
            pending_writes=self.gateway.pending_writes,
            frames_rejected=frames_rejected,
            disk_stalled=raft.disk_stalled,
            transferee=raft.transferee,
            alarms=(*(("NOSPACE",) if self.storage.full else ()), *self.audit.alarms),
            tail=LogTail(tail_first, tuple([entry.term for entry in log.slice(tail_first, log.last_index)])),
            peers=tuple(
                PeerSnapshot(
                    peer.name, peer.state, peer.match_index, peer.next_index, peer.inflights, peer.active
                )
                for peer in raft.peers
            ),
            members=tuple(
                MemberSnapshot(member.name, member.part.value, member.incarnation, member.address)
                for member in raft.configuration.members
            ),
            configuration_index=raft.configuration_index,
            configuration_committed=raft.configuration_index <= raft.commit_index,
            incarnation=self.incarnation,
            links=self.peers.links(),
            faults=self.faults.shown(),
            mailboxes=self._system.deepest_mailboxes(),
        )

    def _believes(self, word: Expelled) -> bool:
        """The leader's word, and that of somebody who may know and has a configuration which is later than
        anything that a leader has ever said here to be committed. Anybody else may be behind."""
        raft = self.raft.raft
        return word.peer == raft.leader_id or (word.vouched and word.index > raft.commit_heard)

    def _learns(self) -> bool:
        raft = self.raft.raft
        return raft.role is Role.FOLLOWER and not raft.configuration.votes(raft.node_id)


def _removed(name: NodeId, by: str = "") -> RemovedNode:
    return RemovedNode(f"node {name} was removed from the cluster{by}: its data is of no more use")


def _expulsion(name: NodeId, expelled: Expelled) -> NotAMember:
    if not expelled.known:
        return _removed(name, f", says {expelled.peer}")
    return NotAMember(
        f"node {name} has another data folder than the one that {expelled.peer} knows it by. A node that "
        "forgot what it promised must not come back under its old name: put that folder back, or let another "
        f"node take its place: 'raftkv members replace {name}'. Where the cluster was made of a backup, make "
        f"{name} of the same file, with the same --bump-revision"
    )


def _found(recovered: Recovered, boot: int) -> dict[str, Any]:
    """What a start began with."""
    return {
        "boot": boot,
        "entries": len(recovered.entries),
        "snapshot": recovered.snapshot.index if recovered.snapshot else 0,
        "cut": recovered.cut,
    }
