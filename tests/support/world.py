"""Whole nodes, the very actors that run in production, on a virtual clock, network and disk.

Time passes only in ``run``; frames take ``latency`` seconds, disk writes ``disk_seconds``. Clients
are the real ``ClientCore``.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from raftkv import config
from raftkv.actors.node import Node, NodeWorld
from raftkv.actors.storage import DiskBatch, DiskResult
from raftkv.client.calls import Call, Session
from raftkv.client.core import ClientCore
from raftkv.config import ClusterConfig
from raftkv.errors import StorageError
from raftkv.kv import KeyValue
from raftkv.kv.commands import Op
from raftkv.observe import DiskFault
from raftkv.storage import Identity, Wal, WalOptions
from raftkv.storage.memory import MemoryDirectory
from raftkv.types import NodeId
from raftkv.wire.client import Kind

LATENCY = 0.0005
DISK_SECONDS = 0.0005
WAL_OPTIONS = WalOptions(segment_bytes=1 << 16)


def cluster_config(count: int, **limits: int) -> ClusterConfig:
    lines = ["[cluster]", 'name = "virtual"', "chaos = true"]
    if limits:
        lines += ["[limits]", *(f"{name} = {value}" for name, value in limits.items())]
    for number in range(1, count + 1):
        lines += ["[[nodes]]", f'name = "n{number}"']
        for offset, kind in enumerate(("peer", "client", "control", "status")):
            lines.append(f'{kind} = "tcp://virtual:{number * 10 + offset + 1}"')
    return config.parse("\n".join(lines), Path("virtual.toml"))


class VirtualPort:
    """One end of a socket: frames that arrived wait in ``inbox``; ``transmit`` takes what is sent."""

    def __init__(self, transmit: Callable[[Sequence[bytes]], bool]) -> None:
        self.inbox: deque[list[bytes]] = deque()
        self._transmit = transmit

    def receive(self, frames_max: int) -> list[list[bytes]]:
        count = min(frames_max, len(self.inbox))
        return [self.inbox.popleft() for _ in range(count)]

    def send(self, frame: Sequence[bytes]) -> bool:
        return self._transmit(frame)


class VirtualDisk:
    def __init__(self, world: World, name: str, wal: Wal) -> None:
        self._world = world
        self._name = name
        self._wal = wal
        self.hangs = False
        self.submitted: list[DiskBatch] = []

    def submit(self, batch: DiskBatch) -> None:
        self.submitted.append(batch)
        if not self.hangs:
            self._world.at(DISK_SECONDS, lambda: self._complete(batch))

    def set_fault(self, fault: DiskFault | None) -> None:
        self.hangs = fault is not None

    def _complete(self, batch: DiskBatch) -> None:
        machine = self._world.machines.get(self._name)
        if machine is None or machine.disk is not self:
            return  # the node has died meanwhile: this write never ended
        error: Exception | None = None
        try:
            self._wal.append(batch.hard_state, batch.entries)
        except StorageError as failure:
            error = failure
        machine.results.append(DiskResult(error, DISK_SECONDS, self._wal.bytes_used))


class Machine:
    """One running node and its surroundings."""

    def __init__(self, world: World, name: NodeId, directory: MemoryDirectory) -> None:
        self.directory = directory
        self.results: list[DiskResult] = []
        self.lines: list[str] = []
        self.published: list[Sequence[bytes]] = []
        self.paused = False
        identity = Identity(world.config.name, name, "first")
        wal, recovered = Wal.open(directory, identity, WAL_OPTIONS)
        self.disk = VirtualDisk(world, name, wal)
        self.ports = {
            "gateway": VirtualPort(lambda frame: world.to_client(name, frame)),
            "peers": VirtualPort(lambda frame: True),
            "control": VirtualPort(lambda frame: True),
        }
        links = {
            NodeId(other): VirtualPort(world.link(name, other)) for other in world.names if other != name
        }
        self.node = Node(
            world.config,
            name,
            recovered,
            NodeWorld(
                clock=lambda: world.now,
                random=random.Random(world.rng.random()),
                client_port=self.ports["gateway"],
                peer_port=self.ports["peers"],
                peer_links=links,
                control_port=self.ports["control"],
                status_port=VirtualPort(self._publish),
                disk=self.disk,
                report=self.lines.append,
                boot=world.rng.getrandbits(62),
                pid=0,
                log_bytes=wal.bytes_used,
            ),
        )

    def _publish(self, frame: Sequence[bytes]) -> bool:
        self.published.append(frame)
        return True

    def step(self, now: float) -> None:
        if self.paused:
            return
        readable = [name for name, port in self.ports.items() if port.inbox]
        timer = self.node.next_timer()
        if readable or self.results or (timer is not None and timer <= now):
            results, self.results = self.results, []
            self.node.turn(readable, results)


class World:
    def __init__(self, count: int = 3, seed: int = 0, **limits: int) -> None:
        self.now = 100.0
        self.rng = random.Random(seed)
        self.config = cluster_config(count, **limits)
        self.names = [str(node.name) for node in self.config.nodes]
        self.machines: dict[str, Machine] = {}
        self.disks: dict[str, MemoryDirectory] = {name: MemoryDirectory(name) for name in self.names}
        self.blocked: set[tuple[str, str]] = set()
        """(sender, to), nodes and clients alike."""
        self.clients: dict[str, VirtualClient] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        for name in self.names:
            self.start(name)

    # -- life and death

    def start(self, name: str) -> Machine:
        self.machines[name] = Machine(self, NodeId(name), self.disks[name])
        return self.machines[name]

    def crash(self, name: str) -> None:
        """Power loss: the disk keeps what was synced."""
        self.disks[name] = self.machines.pop(name).directory.power_loss()

    def node(self, name: str) -> Node:
        return self.machines[name].node

    # -- network

    def at(self, delay: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + delay, self._count, action))

    def link(self, sender: str, to: str) -> Callable[[Sequence[bytes]], bool]:
        def transmit(frame: Sequence[bytes]) -> bool:
            copy = [sender.encode(), *frame]
            self.at(LATENCY, lambda: self._arrive(sender, to, "peers", copy))
            return True

        return transmit

    def to_client(self, sender: str, frame: Sequence[bytes]) -> bool:
        client, data = frame[0].decode(), frame[1]

        def arrive() -> None:
            if (sender, client) not in self.blocked and client in self.clients:
                self.clients[client].core.on_frame(self.endpoint(sender), data, self.now)

        self.at(LATENCY, arrive)
        return True

    def to_node(self, sender: str, to: str, port: str, data: bytes) -> None:
        self.at(LATENCY, lambda: self._arrive(sender, to, port, [sender.encode(), data]))

    def endpoint(self, name: str) -> str:
        return self.config.node(name).client

    def _arrive(self, sender: str, to: str, port: str, frame: list[bytes]) -> None:
        if (sender, to) not in self.blocked and to in self.machines:
            self.machines[to].ports[port].inbox.append(frame)

    def isolate(self, name: str) -> None:
        others = [other for other in self.names if other != name]
        self.blocked |= {(name, other) for other in others} | {(other, name) for other in others}

    # -- time

    def run(self, seconds: float) -> None:
        deadline = self.now + seconds
        while self.now < deadline:
            self.step()

    def step(self) -> None:
        """A quarter of a millisecond."""
        self.now += 0.00025
        while self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2]()
        for machine in list(self.machines.values()):
            machine.step(self.now)
        for client in self.clients.values():
            client.step()

    def run_until(self, condition: Callable[[], Any], seconds: float = 10.0) -> None:
        deadline = self.now + seconds
        while not condition():
            assert self.now < deadline, f"not reached within {seconds} virtual seconds"
            self.step()

    # -- what tests want to know

    def leader(self) -> str | None:
        leaders = [
            (machine.node.raft.raft.current_term, name)
            for name, machine in self.machines.items()
            if machine.node.raft.raft.role.value == "leader" and not machine.paused
        ]
        return max(leaders)[1] if leaders else None

    def await_leader(self) -> str:
        def serves() -> bool:
            name = self.leader()
            return name is not None and self.node(name).store.machine.applied_index > 0

        self.run_until(serves)
        leader = self.leader()
        assert leader is not None
        return leader

    def client(self, name: str = "c1", endpoints: Sequence[str] = ()) -> VirtualClient:
        self.clients[name] = VirtualClient(
            self, name, [self.endpoint(node) for node in endpoints or self.names]
        )
        return self.clients[name]


class VirtualClient:
    def __init__(self, world: World, name: str, endpoints: Sequence[str]) -> None:
        self._world = world
        self._name = name
        self._nodes = {world.endpoint(node): node for node in world.names}
        self.core = ClientCore(endpoints, random.Random(name))
        self.session: Session = self.core.new_session()

    def step(self) -> None:
        self.core.on_time(self._world.now)
        for endpoint, frame in self.core.take_frames():
            self._world.to_node(self._name, self._nodes[endpoint], "gateway", frame)

    def write(self, *fields: Any, timeout: float = 5.0) -> Call:
        return self._submit(Call(fields, self._world.now + timeout, _no_op, self.session))

    def put(self, key: str, value: str, timeout: float = 5.0) -> Call:
        return self.write(Op.PUT, key.encode(), value.encode(), timeout=timeout)

    def get(self, key: str, timeout: float = 5.0, stale: bool = False, node: str | None = None) -> Call:
        target = self._world.endpoint(node) if node else None
        fields = (Kind.GET, key.encode(), stale)
        return self._submit(Call(fields, self._world.now + timeout, _no_op, None, target))

    def await_value(self, key: str) -> str | None:
        """A linearizable read, now."""
        call = self.get(key)
        self._world.run_until(lambda: call.response or call.error)
        assert call.response, call.error
        return KeyValue(*call.response.detail).value.decode() if call.response.detail else None

    def _submit(self, call: Call) -> Call:
        self.core.submit(call, self._world.now)
        return call


def _no_op(call: Call) -> None:
    del call
