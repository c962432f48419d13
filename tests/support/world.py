"""The simulator's world with the shorthand that tests want. Everything the simulator watches over is
watched over here as well. Time passes only in ``run`` and ``run_until``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from raftkv.actors.node import Node
from raftkv.client.calls import Call, Session
from raftkv.config import LimitsConfig, RaftConfig, SnapshotConfig
from raftkv.kv import CHUNK_BYTES, KeyValue, SessionLimits
from raftkv.kv.commands import Op
from raftkv.kv.machine import DEFAULT_LIMITS
from raftkv.observe.shapes import isolate
from raftkv.sim import world as sim
from raftkv.sim.clients import SimClient
from raftkv.sim.machine import Machine
from raftkv.sim.network import Weather
from raftkv.sim.world import WorldOptions
from raftkv.storage import WalOptions
from raftkv.wire.client import Kind

WAL_OPTIONS = WalOptions(segment_bytes=1 << 16)
SEEDS_ON = int(os.environ.get("RAFTKV_SEEDS_ON", "0"))
"""Every world of the tests begins so many seeds further on: none may rely on the luck of its own."""


class World(sim.World):
    """``count`` nodes, all running, and ``spares`` that may join."""

    def __init__(
        self,
        count: int = 3,
        seed: int = 0,
        snapshot: SnapshotConfig | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        sessions: SessionLimits = DEFAULT_LIMITS,
        spares: int = 0,
        raft: RaftConfig | None = None,
        **limits: int,
    ) -> None:
        super().__init__(
            WorldOptions(
                nodes=count,
                spares=spares,
                raft=raft or RaftConfig(),
                limits=LimitsConfig(**limits),
                snapshot=snapshot or SnapshotConfig(),
                chunk_bytes=chunk_bytes,
                sessions=sessions,
                segment_bytes=WAL_OPTIONS.segment_bytes,
                weather=Weather(latency=0.0005, jitter=0.0),
            ),
            seed + SEEDS_ON,
        )
        self.lines: dict[str, list[str]] = {name: [] for name in self.names}
        for name in self.names:
            self.start(name)

    def on_line(self, name: str, line: str) -> None:
        super().on_line(name, line)
        self.lines[name].append(line)

    def node(self, name: str) -> Node:
        return self.machines[name].node

    def machine(self, name: str) -> Machine:
        return self.machines[name]

    def crash(self, name: str) -> None:
        self.power_loss(name)

    def cut_off(self, name: str) -> None:
        """From the other nodes, not from clients."""
        self.network.cut(isolate(name, self.names))

    def ask_node(self, sender: str, node: str, frame: bytes) -> None:
        """A client's frame, whatever it holds."""
        self.send_to_node(sender, self.config.node(node).client, frame)

    def reach(self, condition: Callable[[], Any], seconds: float = 10.0) -> None:
        assert self.run_until(condition, seconds), f"not reached within {seconds} virtual seconds"

    def await_leader(self) -> str:
        def serves() -> bool:
            name = self.leader()
            return name is not None and self.node(name).store.machine.applied_index > 0

        self.reach(serves)
        leader = self.leader()
        assert leader is not None
        return leader

    def user(self, name: str = "c1", endpoints: Sequence[str] = ()) -> VirtualClient:
        return VirtualClient(self, self.client(name, endpoints))


class VirtualClient:
    """One session on a client of the world."""

    def __init__(self, world: World, client: SimClient) -> None:
        self._world = world
        self._client = client
        self.core = client.core
        self.session: Session = self.core.new_session()

    def write(self, *fields: Any, timeout: float = 5.0) -> Call:
        return self._submit(Call(fields, self._world.now + timeout, _no_op, self.session))

    def put(self, key: str, value: str, timeout: float = 5.0) -> Call:
        return self.write(Op.PUT, key.encode(), value.encode(), timeout=timeout)

    def get(self, key: str, timeout: float = 5.0, stale: bool = False, node: str | None = None) -> Call:
        target = self._world.config.node(node).client if node else None
        fields = (Kind.GET, key.encode(), 0, stale)
        return self._submit(Call(fields, self._world.now + timeout, _no_op, None, target))

    def leases(self, timeout: float = 5.0) -> Call:
        return self._submit(Call((Kind.LEASES, 0, False), self._world.now + timeout, _no_op))

    def await_value(self, key: str) -> str | None:
        """A linearizable read, now."""
        call = self.get(key)
        self._world.reach(lambda: call.response or call.error)
        assert call.response, call.error
        return KeyValue(*call.response.detail).value.decode() if call.response.detail else None

    def _submit(self, call: Call) -> Call:
        self._client.submit(call)
        return call


def _no_op(call: Call) -> None:
    del call
