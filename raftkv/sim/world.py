"""Whole nodes on a virtual network, clock and disk: everything that ``raftkv up`` starts, without
a process, a socket or a second of real time.

The world only carries out; what happens to it is decided by ``nemesis`` and ``run``, or by a test.
Every step is watched (``watch``) and written to the trace.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

from raftkv import config
from raftkv.actors.system import ActorName
from raftkv.config import ClusterConfig
from raftkv.errors import DiskFull, StorageError
from raftkv.kv import CHUNK_BYTES, SessionLimits
from raftkv.kv.machine import DEFAULT_LIMITS
from raftkv.raft import Configuration, RaftOptions, Role
from raftkv.raft.quorum import is_quorum
from raftkv.sim.clients import SimClient
from raftkv.sim.disk import Platter, PowerCut, cut_power_at, let_pass
from raftkv.sim.machine import Machine
from raftkv.sim.network import Network, Weather
from raftkv.sim.passing import Passing, Until, never
from raftkv.sim.schedule import TRUE_RATE, Schedule
from raftkv.sim.trace import Trace
from raftkv.sim.twin import Violation
from raftkv.sim.watch import Watcher
from raftkv.storage import WalOptions
from raftkv.storage.memory import MemoryDirectory
from raftkv.types import NodeId
from raftkv.wire.control import ControlRequest, decode_response, encode_request

OPERATOR = b"operator"
HAPPENED = {
    "transfer": "transfer",
    "campaign": "campaign",
    "stop": "stop",
    "change_members": "membership",
}
"""Which fault it is that a node does what this verb asks."""
SNAPSHOTS_TAKEN = "snapshots taken"
SNAPSHOTS_INSTALLED = "snapshots installed"
KILLED = -9
"""The exit code of whoever was killed, or lost its power."""


@dataclass(frozen=True, slots=True)
class WorldOptions:
    nodes: int = 3
    spares: int = 0
    """Nodes that are no members at first."""
    preferred: int = 0
    """The number of the node that is to lead, if it can; 0: none in particular."""
    raft: config.RaftConfig = field(default_factory=config.RaftConfig)
    limits: config.LimitsConfig = field(default_factory=config.LimitsConfig)
    history: config.HistoryConfig = field(default_factory=config.HistoryConfig)
    tuning: RaftOptions | None = None
    """Bounds of the core that no user sets, drawn small so that they are met."""
    snapshot: config.SnapshotConfig = field(default_factory=config.SnapshotConfig)
    chunk_bytes: int = CHUNK_BYTES
    """Of a snapshot's chunks: in a small world they must be small to be several."""
    sessions: SessionLimits = DEFAULT_LIMITS
    segment_bytes: int = 1 << 16
    disk_seconds: float = 0.0005
    waits_for_disk: bool = True
    """As a real node's loop does while its disk is quick; else turns go on during every job."""
    applies_slowly: bool = False
    """A few entries a turn, the rest in the next ones; no time passes by it."""
    weather: Weather = field(default_factory=Weather)


def cluster_config(options: WorldOptions) -> ClusterConfig:
    def node(number: int) -> config.NodeConfig:
        peer, client, control, status = (f"tcp://virtual:{number * 10 + kind}" for kind in range(1, 5))
        joining = number > options.nodes
        priority = int(number == options.preferred)
        return config.NodeConfig(NodeId(f"n{number}"), peer, client, control, status, joining, priority)

    nodes = tuple(map(node, range(1, options.nodes + options.spares + 1)))
    return ClusterConfig(
        "virtual",
        nodes,
        Path("virtual.toml"),
        chaos=True,
        raft=options.raft,
        snapshot=options.snapshot,
        history=options.history,
        limits=options.limits,
    )


class Listener(Protocol):
    """Hears what a dashboard would of a real cluster. Nothing that happens may depend on it."""

    def on_status(self, name: str, frame: Sequence[bytes]) -> None:
        """A frame of the node's status port."""
        ...

    def on_process(self, name: str, state: str, exit_code: int | None) -> None:
        """``state``: as in ``ProcessSnapshot``."""
        ...


class World:
    def __init__(self, options: WorldOptions, seed: int | str = 0, trace: Trace | None = None) -> None:
        self.options = options
        self.config = cluster_config(options)
        self.names = [str(node.name) for node in self.config.nodes]
        self.trace = trace or Trace()
        self.schedule = Schedule()
        self._rng = random.Random(f"{seed}/world")
        self.network = Network(
            self.schedule,
            random.Random(f"{seed}/network"),
            options.weather,
            random.Random(f"{seed}/links"),
        )
        self.platters = {name: Platter(MemoryDirectory(name)) for name in self.names}
        self.machines: dict[str, Machine] = {}
        self.clients: dict[str, SimClient] = {}
        founders = [node.name for node in self.config.nodes if not node.joining]
        self.watcher = Watcher(self.platters, Configuration.of(founders), options.sessions)
        self.wiped: set[str] = set()
        """Members whose folder was lost: they will not be let in again."""
        self._folders: dict[str, str] = {}
        """By name: the incarnation of the folder that the node was last started on."""
        self._fast_until: dict[str, float] = {}
        self._agreed: list[tuple[str, str]] = []
        """(node, fault), of the turn under way."""
        self._orders: list[str] = []
        """The verb of every request to a control socket, whose number is its place here."""
        self.counts: Counter[str] = Counter()
        """Of what befell the nodes, by kind."""
        self._nodes_at = {node.client: str(node.name) for node in self.config.nodes}
        self.listener: Listener | None = None
        self._wal_options = WalOptions(segment_bytes=options.segment_bytes)

    # -- time

    @property
    def now(self) -> float:
        return self.schedule.now

    def run(self, seconds: float) -> None:
        self.run_until(never, seconds)

    def run_until(self, condition: Callable[[], Any], seconds: float) -> bool:
        """Let time pass until ``condition`` holds, ``seconds`` at most; whether it came to hold."""
        passing = Passing(self.schedule, Until(condition, seconds))
        passing.advance()
        return passing.came

    # -- life and death

    def start(self, name: str, cut_power: int | None = None) -> Machine | None:
        """None when the log cannot be opened now: no space, or the power fails at the operation
        numbered ``cut_power`` of the recovery."""
        if name in self.machines:
            return self.machines[name]
        platter = self.platters[name]
        if cut_power is not None:
            platter.directory.before = cut_power_at(cut_power)
        rng = random.Random(self._rng.getrandbits(64))
        try:
            machine = Machine(
                self,
                NodeId(name),
                platter,
                rng,
                wal_options=self._wal_options,
                tuning=self.options.tuning,
                chunk_bytes=self.options.chunk_bytes,
                sessions=self.options.sessions,
                disk_seconds=self.options.disk_seconds,
                waits_for_disk=self.options.waits_for_disk,
                applies_slowly=self.options.applies_slowly,
            )
        except PowerCut:
            platter.lose_power(self._rng)
            return None
        except AssertionError as error:
            raise Violation(str(error)) from error
        except StorageError as error:
            self.trace.add(self.now, f"{name} cannot start: {error}")
            platter.lose_process()
            if not platter.directory.limited:
                raise Violation(f"{name} cannot start: {error}") from error
            return None
        platter.directory.before = let_pass
        self.machines[name] = machine
        self._folders[name] = machine.node.incarnation
        self.on_process(name, "running")
        return machine

    def power_loss(self, name: str, exit_code: int = KILLED) -> None:
        """What was not synced is lost, or torn."""
        if self._remove(name, exit_code):
            self.platters[name].lose_power(self._rng)

    def kill(self, name: str, exit_code: int = KILLED) -> None:
        """SIGKILL: the process is gone, the page cache is not."""
        if self._remove(name, exit_code):
            self.platters[name].lose_process()

    def wipe(self, name: str) -> None:
        """The folder is gone; whoever starts on it next is another node."""
        self._remove(name)
        self.watcher.forget_disk(name)
        self.platters[name] = Platter(MemoryDirectory(name))

    def members(self) -> list[str]:
        """Of the cluster, as is committed, that can be counted on."""
        gone = self.wiped.union(filter(self._is_known_by_another_folder, self.watcher.committed.learners))
        return [str(name) for name in self.watcher.committed.names if name not in gone]

    def _is_known_by_another_folder(self, learner: str) -> bool:
        """Somebody who came on a new folder while frames from the old one were still on their way may have
        been taken for that one. It is turned away, and an operator has to remove it and add it again."""
        member = self.watcher.committed.member(NodeId(learner))
        folder = self._folders.get(learner)
        return member is not None and bool(member.incarnation) and folder not in (None, member.incarnation)

    def is_quorum(self, names: Iterable[str]) -> bool:
        """Whether these can go on, by whatever configuration anybody may still follow."""
        running = self.machines.values()
        sound = {NodeId(name) for name in names if name not in self.wiped}
        return all(is_quorum(sound, each) for each in self.watcher.in_force(running))

    def _remove(self, name: str, exit_code: int = KILLED) -> bool:
        machine = self.machines.pop(name, None)
        if machine is None:
            return False
        machine.die()
        self.watcher.forget(machine)
        self.on_process(name, "exited", exit_code)
        return True

    def make_room(self, name: str) -> None:
        """A disk that was full has space again; its node starts if that had kept it from it."""
        self.platters[name].directory.lift_limits()
        self.start(name)

    def heal(self, names: Sequence[str]) -> None:
        """Clear weather, no cuts; these nodes run, with sound disks and true clocks."""
        self.trace.add(self.now, f"! heal {','.join(names)}")
        self.network.weather = Weather()
        self.network.heal()
        for name in names:
            self.platters[name].directory.lift_limits()
            machine = self.start(name)
            if machine:
                machine.disk.mend()
                machine.set_clock_rate(TRUE_RATE)
                machine.resume()

    def count(self, kind: str, what: str = "") -> None:
        self.counts[kind] += 1
        self.trace.add(self.now, f"! {kind} {what}")

    def control(self, name: str, verb: str, /, **arguments: Any) -> None:
        """What an operator's tool would send to the node."""
        machine = self.machines.get(name)
        if machine:
            self._orders.append(verb)
            request = ControlRequest(len(self._orders) - 1, verb, arguments)
            machine.arrive("control", [OPERATOR, encode_request(request)])

    def on_control(self, name: str, frame: Sequence[bytes]) -> None:
        """A node may well refuse what it was asked for, and by others than us."""
        if frame[0] != OPERATOR:
            return
        answer = decode_response(frame[-1])
        fault = HAPPENED.get(self._orders[answer.request_id])
        refused = not answer.ok or (isinstance(answer.body, dict) and answer.body.get("refused"))
        if fault and not refused:
            self._agreed.append((name, fault))

    def _count_agreed(self, machine: Machine) -> None:
        """What it has agreed to in this turn has happened if that is to be seen by now."""
        raft = machine.node.raft.raft
        for name, fault in self._agreed:
            campaigns = raft.role in (Role.PRE_CANDIDATE, Role.CANDIDATE)
            hands_over = raft.leadership is not None and raft.leadership.succession.transferee is not None
            if {"campaign": campaigns, "transfer": hands_over}.get(fault, True):
                self.count(fault, name)
        self._agreed.clear()

    # -- frames; names of nodes and clients share one network

    def send_to_peer(self, sender: str, to: str, frame: bytes) -> None:
        try:
            self.watcher.check_frame(sender, frame, self.machines.get(to))
        except Violation as violation:
            self._fail(violation)
        parts = [sender.encode(), frame]
        self.network.send(sender, to, lambda: self._arrive(sender, to, "peers", parts))

    def send_to_node(self, sender: str, endpoint: str, frame: bytes) -> None:
        to = self._nodes_at[endpoint]
        parts = [sender.encode(), frame]
        self.network.send(sender, to, lambda: self._arrive(sender, to, "gateway", parts), stream=True)

    def send_to_client(self, sender: str, client: bytes, frame: bytes) -> None:
        name = client.decode()
        endpoint = self.config.node(sender).client

        def arrive() -> None:
            if name in self.clients:
                self.trace.add(self.now, f"{sender}>{name} {crc32(frame):08x}")
                self.clients[name].arrive(endpoint, frame)

        self.network.send(sender, name, arrive, stream=True)

    def _arrive(self, sender: str, to: str, port: ActorName, parts: list[bytes]) -> None:
        if to in self.machines:
            self.trace.add(self.now, f"{sender}>{to} {crc32(parts[-1]):08x}")
            self.machines[to].arrive(port, parts)

    # -- what machines tell

    def on_line(self, name: str, line: str) -> None:
        self.trace.add(self.now, f"{name}: {line}")

    def on_status(self, name: str, frame: Sequence[bytes]) -> None:
        if self.listener:
            self.listener.on_status(name, frame)

    def on_process(self, name: str, state: str, exit_code: int | None = None) -> None:
        if self.listener:
            self.listener.on_process(name, state, exit_code)

    def on_clock_rate(self, name: str, rate: float) -> None:
        drift = 1 + self.config.raft.clock_drift_percent / 100
        self._fast_until[name] = math.inf if rate > drift else self.now

    def clocks_were_true(self, since: float) -> bool:
        """Whether every quorum has had a node whose clock ran no faster than it is allowed to, ever since.
        One that died with a fast clock counts until that is undone."""
        fast = {name for name, until in self._fast_until.items() if until >= since}
        return not self.is_quorum(fast)

    def on_disk_error(self, name: str, error: StorageError) -> None:
        self.count("disk-full" if isinstance(error, DiskFull) else "sync-error", name)

    def on_turn(self, machine: Machine) -> None:
        try:
            self.watcher.after_turn(machine, self.machines.values())
        except Violation as violation:
            self._fail(violation)
        self._count_agreed(machine)
        taken, installed = machine.node.raft.schedule.taken, machine.node.raft.schedule.installed
        if (taken, installed) != machine.snapshots_counted:
            self.counts[SNAPSHOTS_TAKEN] += taken - machine.snapshots_counted[0]
            self.counts[SNAPSHOTS_INSTALLED] += installed - machine.snapshots_counted[1]
            machine.snapshots_counted = (taken, installed)
        stopped = machine.node.stopped
        if stopped and machine.name in self.machines:
            self.counts["node stopped itself"] += 1
            if isinstance(stopped.error, StorageError):
                # A disk that failed once has lost what it likes.
                self.power_loss(machine.name, exit_code=1)
            else:
                self.kill(machine.name, exit_code=1 if stopped.error else 0)

    def _fail(self, violation: Violation) -> None:
        self.trace.add(self.now, f"VIOLATION {violation}")
        raise violation

    # -- what others want to know

    def leader(self) -> str | None:
        """Of the highest term among those that are running."""
        leaders = [
            (machine.node.raft.raft.current_term, name)
            for name, machine in self.machines.items()
            if not machine.paused and machine.node.raft.raft.role is Role.LEADER
        ]
        return max(leaders)[1] if leaders else None

    def client(self, name: str, endpoints: Sequence[str] = ()) -> SimClient:
        seeds = [self.config.node(node).client for node in endpoints or self.names]
        rng = random.Random(self._rng.getrandbits(64))
        self.clients[name] = SimClient(self, name, seeds, rng)
        return self.clients[name]
