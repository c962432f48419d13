"""One life of one node: the very ``Node`` that runs in production, in virtual surroundings.

The machine takes a turn when something has arrived, when its disk is done, or when a timer is due,
a little later each time, as a busy processor would; what arrives meanwhile joins that turn. While it waits
for its disk, as a real node's loop does for a quick one, it takes none.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from raftkv.actors.node import Node, NodeWorld
from raftkv.actors.patience import Patience
from raftkv.actors.storage import DiskResult
from raftkv.actors.store import APPLY_SECONDS_A_TURN
from raftkv.actors.system import ActorName
from raftkv.config import ClusterConfig
from raftkv.errors import StorageError
from raftkv.kv import CHUNK_BYTES, SessionLimits
from raftkv.kv.machine import DEFAULT_LIMITS
from raftkv.raft import RaftOptions
from raftkv.sim.disk import Platter, SimDisk
from raftkv.sim.schedule import Alarm, Schedule, VirtualClock
from raftkv.storage import DiskJob, Identity, WalOptions
from raftkv.types import NodeId
from raftkv.wire.packing import FRAME_BYTES_MAX

INBOX_FRAMES_MAX = 4096
"""Of one port; a real one drops as well."""
TURN_SECONDS = 0.00005
"""Mean time until a turn begins."""


class Surroundings(Protocol):
    """What a machine needs of its world."""

    config: ClusterConfig
    schedule: Schedule

    def send_to_peer(self, sender: str, to: str, frame: bytes) -> None: ...
    def send_to_client(self, sender: str, client: bytes, frame: bytes) -> None: ...
    def on_line(self, name: str, line: str) -> None: ...
    def on_status(self, name: str, frame: Sequence[bytes]) -> None: ...
    def on_control(self, name: str, frame: Sequence[bytes]) -> None: ...
    def on_process(self, name: str, state: str) -> None: ...
    def on_turn(self, machine: Machine) -> None: ...
    def on_clock_rate(self, name: str, rate: float) -> None: ...
    def on_disk_error(self, name: str, error: StorageError) -> None: ...


class SimPort:
    """One end of a socket: what has arrived waits in ``inbox``; ``transmit`` takes what is sent."""

    def __init__(self, transmit: Callable[[Sequence[bytes]], None]) -> None:
        self.inbox: deque[list[bytes]] = deque()
        self._transmit = transmit

    def receive(self, frames_max: int, bytes_max: int = FRAME_BYTES_MAX) -> list[list[bytes]]:
        frames: list[list[bytes]] = []
        while self.inbox and len(frames) < frames_max and bytes_max > 0:
            frames.append(self.inbox.popleft())
            bytes_max -= sum(map(len, frames[-1]))
        return frames

    def send(self, frame: Sequence[bytes]) -> bool:
        self._transmit(frame)
        return True

    def close(self) -> None:
        """There is nothing to be closed."""


class _Sluggish:
    """A clock by which each part that is applied takes more than a turn's time."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += 1.5 * APPLY_SECONDS_A_TURN
        return self._now


class Machine:
    def __init__(
        self,
        world: Surroundings,
        name: NodeId,
        platter: Platter,
        rng: random.Random,
        *,
        wal_options: WalOptions,
        tuning: RaftOptions | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        sessions: SessionLimits = DEFAULT_LIMITS,
        disk_seconds: float = 0.0005,
        waits_for_disk: bool = True,
        applies_slowly: bool = False,
    ) -> None:
        """Raises ``StorageError`` when the log cannot be opened, ``PowerCut`` where one was planned."""
        self.name = name
        self.platter = platter
        self.paused = False
        self.alive = True
        self.snapshots_counted = (0, 0)
        """Taken and installed, as far as the world has counted them."""
        self._world = world
        self._rng = rng
        self._results: list[DiskResult] = []
        self._patience = Patience() if waits_for_disk else Patience(quick=0.0)
        self._job: DiskJob | None = None
        self._deaf_until = 0.0
        """In the world's time, unless the disk is done before."""
        self._turn = Alarm(world.schedule, self._take_turn)
        self.clock = VirtualClock(world.schedule, 1000.0 * rng.random())
        identity = Identity(world.config.name, name, f"{rng.getrandbits(64):016x}")
        volume, recovered = platter.open(identity, wal_options)
        self.disk = SimDisk(world.schedule, rng, platter, volume, disk_seconds, self._on_job, self._on_disk)
        self.ports: dict[ActorName, SimPort] = {
            "gateway": SimPort(lambda frame: world.send_to_client(name, frame[0], frame[1])),
            "peers": SimPort(_ignore),
            "control": SimPort(lambda frame: world.on_control(name, frame)),
        }
        self.boot = rng.getrandbits(62)
        self.node = Node(
            world.config,
            name,
            recovered,
            NodeWorld(
                clock=self.clock,
                random=rng,
                client_port=self.ports["gateway"],
                peer_port=self.ports["peers"],
                connect=lambda to, endpoint, _: SimPort(self._link(to, endpoint)),
                control_port=self.ports["control"],
                status_port=_listened_to(SimPort(lambda frame: world.on_status(name, frame))),
                disk=self.disk,
                report=lambda line: world.on_line(name, line),
                boot=self.boot,
                pid=0,
                log_bytes=volume.log_bytes,
                apply_clock=_Sluggish() if applies_slowly else None,
            ),
            tuning,
            chunk_bytes,
            sessions,
        )
        self._turn.set(world.schedule.now)

    def _link(self, to: NodeId, endpoint: str) -> Callable[[Sequence[bytes]], None]:
        def send(frame: Sequence[bytes]) -> None:
            if self._world.config.node(to).peer == endpoint:  # elsewhere nobody listens
                self._world.send_to_peer(self.name, to, frame[0])

        return send

    # -- what the world does to it

    def arrive(self, port: ActorName, frame: list[bytes]) -> None:
        inbox = self.ports[port].inbox
        if len(inbox) < INBOX_FRAMES_MAX:
            inbox.append(frame)
            self._wake()

    def pause(self) -> None:
        self.paused = True
        self._world.on_process(self.name, "paused")

    def resume(self) -> None:
        if self.paused and self.alive:
            self._world.on_process(self.name, "running")
        self.paused = False
        self._wake()

    def set_clock_rate(self, rate: float) -> None:
        self.clock.set_rate(rate)
        self._world.on_clock_rate(self.name, rate)
        self._wake()

    def die(self) -> None:
        """It takes no further turn, and its disk completes nothing more."""
        self.alive = False
        self.disk.die(self._rng)

    # -- turns

    def _on_job(self, job: DiskJob) -> None:
        """It was submitted, so this turn is the last one before it is done, or seen to be slow."""
        self._job = job
        if self._patience.waits_for(job):
            looks_again = 1 + self._rng.random()  # whoever takes over looks every so often
            self._deaf_until = self._world.schedule.now + looks_again * self._patience.most

    def _on_disk(self, result: DiskResult) -> None:
        assert self._job
        self._patience.took(self._job, result.seconds)
        self._deaf_until = 0.0
        if isinstance(result.error, StorageError):
            self._world.on_disk_error(self.name, result.error)
        self._results.append(result)
        self._wake()

    def _wake(self) -> None:
        if not self.paused:
            self._turn.set(self._world.schedule.now + self._rng.expovariate(1 / TURN_SECONDS))

    def _take_turn(self) -> None:
        if not self.alive or self.paused:
            return
        if self._world.schedule.now < self._deaf_until:
            self._turn.set(self._deaf_until)
            return
        readable = [name for name, port in self.ports.items() if port.inbox]
        timer = self.node.next_timer()
        if readable or self._results or timer is None or timer <= self.clock() or self.node.stopped:
            if self._results:
                results, self._results = self._results, []
                self.node.hear_disk(results)
            self.node.turn(readable)
            self._world.on_turn(self)
        self._plan()

    def _plan(self) -> None:
        if not self.alive:
            return
        if any(port.inbox for port in self.ports.values()):
            self._wake()
        timer = self.node.next_timer()
        if timer is not None:
            self._turn.set(self.clock.true_time(timer))


def _ignore(frame: Sequence[bytes]) -> None:
    del frame


def _listened_to(port: SimPort) -> SimPort:
    """As by somebody who wants everything: snapshots are made, and so tested, under every fault."""
    port.inbox.append([b"\1"])
    return port
