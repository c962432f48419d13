"""Breaks a simulated world: draws a fault, lets it last, undoes it, at random and all over again."""

from __future__ import annotations

import random
from collections.abc import Callable

from raftkv.observe.shapes import Link, isolate
from raftkv.sim import network
from raftkv.sim.machine import Machine
from raftkv.sim.operator import Operator
from raftkv.sim.schedule import TRUE_RATE
from raftkv.sim.swarm import WEATHER, Fault, Profile
from raftkv.sim.world import World

CLOCK_RATES = (0.5, 0.9, 1.1, 2.0)
SLOW_SECONDS = (0.01, 0.1, 0.5)
RECOVERY_STEPS = (1, 1, 2, 2, 3, 5)
"""The operation on its disk at which the power fails: a start has two, and more when it has something to
repair."""
MET_LATER = frozenset(
    {
        *(Fault.DISK_FULL, Fault.SYNC_ERROR),
        *(Fault.TRANSFER, Fault.CAMPAIGN, Fault.STOP, Fault.MEMBERSHIP),
    }
)
"""Counted by the world: when a write meets them, or when a node has agreed to what it was asked for."""
Undo = Callable[[], object]

SECOND_FAILURE_SECONDS = 0.02


class Nemesis:
    def __init__(self, world: World, profile: Profile, rng: random.Random) -> None:
        self._world = world
        self._profile = profile
        self._rng = rng
        self._strokes = [fault for fault in profile.faults if fault not in WEATHER]
        self._active = True

    def begin(self) -> None:
        if self._strokes:
            self._plan()

    def stop(self) -> None:
        """What is broken stays broken until ``World`` is told otherwise."""
        self._active = False

    def _plan(self) -> None:
        self._world.schedule.after(self._rng.expovariate(1 / self._profile.gap_seconds), self._strike)

    def _strike(self) -> None:
        if not self._active:
            return
        fault = self._rng.choice(self._strokes)
        lasting = self._rng.expovariate(1 / self._profile.fault_seconds)
        undo = self._apply(fault)
        if undo:
            if fault not in MET_LATER:
                self._world.count(fault)
            self._world.schedule.after(lasting, lambda: self._undo(fault, undo))
        self._plan()

    def _undo(self, fault: Fault, undo: Undo) -> None:
        if self._active:
            self._world.trace.add(self._world.now, f"! end of {fault}")
            undo()

    def _apply(self, fault: Fault) -> Undo | None:
        """How to undo it; None when there was nothing to be broken."""
        world, rng = self._world, self._rng
        leader = world.leader()
        match fault:
            case Fault.SYMMETRIC | Fault.ONE_WAY | Fault.BRIDGE | Fault.RING:
                return self._cut(_SHAPES[fault](world.names, rng))
            case Fault.ISOLATE_LEADER:
                return self._cut(isolate(leader, world.names)) if leader else None
            case Fault.BLACKOUT:
                for name in world.names:
                    world.power_loss(name)
                return self._start_all
            case Fault.TRANSFER:
                if leader:
                    world.control(leader, "transfer", to=rng.choice(world.names))
                return _nothing if leader else None
            case Fault.MEMBERSHIP:
                return Operator(world, rng).change(leader) if leader else None
            case Fault.WIPE:
                return self._wipe()
            case _:
                if not world.machines:
                    return None
                machine = world.machines[rng.choice(list(world.machines))]
                return self._apply_to_machine(fault, machine, str(machine.name))

    def _apply_to_machine(self, fault: Fault, machine: Machine, node: str) -> Undo | None:
        """What is done to a machine is undone for this life of it only: the next one begins sound."""
        world, rng = self._world, self._rng
        match fault:
            case Fault.CRASH:
                world.power_loss(node)
                return lambda: self._start(node)
            case Fault.KILL:
                world.kill(node)
                return lambda: self._start_and_lose_power(node)
            case Fault.CRASH_IN_RECOVERY:
                world.power_loss(node)
                cut = world.start(node, cut_power=rng.choice(RECOVERY_STEPS)) is None
                return (lambda: self._start(node)) if cut else None
            case Fault.CAMPAIGN:
                world.control(node, "campaign")
                return _nothing
            case Fault.STOP:
                world.control(world.leader() or node, "stop")
                return self._start_all
            case Fault.PAUSE:
                machine.pause()
                return machine.resume
            case Fault.CLOCK_RATE:
                machine.set_clock_rate(rng.choice(CLOCK_RATES))
                return lambda: machine.set_clock_rate(TRUE_RATE)
            case Fault.DISK_HANG:
                machine.disk.hangs = True
                return machine.disk.resume
            case Fault.DISK_SLOW:
                machine.disk.slow_seconds = rng.choice(SLOW_SECONDS)
                return lambda: setattr(machine.disk, "slow_seconds", 0.0)
            case Fault.SYNC_ERROR:
                machine.disk.fails_next = rng.choice(("write", "sync", "sync"))
                return lambda: self._start(node)
            case Fault.DISK_FULL:
                directory = machine.platter.directory
                if rng.random() < 0.5:
                    directory.space_bytes = directory.used()
                else:
                    directory.full = True
                return lambda: world.make_room(node)
        raise AssertionError(f"no way to apply {fault}")

    def _wipe(self) -> Undo | None:
        """Of one that the cluster knows by its folder, and can do without; one at a time."""
        world = self._world
        bound = [str(each.name) for each in world.watcher.committed.members if each.incarnation]
        others = {name: [other for other in world.names if other != name] for name in bound}
        spared = [name for name in bound if world.is_quorum(others[name])]
        if world.wiped or not spared:
            return None
        node = self._rng.choice(spared)
        world.wipe(node)
        world.wiped.add(node)
        return lambda: self._start(node)

    def _start(self, node: str) -> None:
        self._world.start(node)

    def _start_all(self) -> None:
        for name in self._world.names:
            self._world.start(name)

    def _start_and_lose_power(self, node: str) -> None:
        """What the killed process left in the page cache may have been read, but is not safe yet."""
        self._start(node)
        if self._rng.random() < 0.3:
            self._world.schedule.after(self._rng.random() * SECOND_FAILURE_SECONDS, lambda: self._crash(node))

    def _crash(self, node: str) -> None:
        if self._active:
            self._world.count(Fault.CRASH)
            self._world.power_loss(node)
            again = self._rng.random() * SECOND_FAILURE_SECONDS
            self._world.schedule.after(again, lambda: self._undo(Fault.CRASH, lambda: self._start(node)))

    def _cut(self, links: list[Link]) -> Undo | None:
        """Now and then users stand on one side as well. A ring of three nodes cuts nothing."""
        world, rng = self._world, self._rng
        if not links:
            return None
        cut = list(links)
        for client in world.clients:
            if rng.random() < 0.3:
                sender, to = rng.choice(links)
                cut += [(client, sender), (sender, client), (client, to)]
        world.network.cut(cut)
        return lambda: world.network.lift(cut)


def _nothing() -> None:
    """There is nothing to undo."""


_SHAPES: dict[Fault, Callable[..., list[Link]]] = {
    Fault.SYMMETRIC: network.symmetric,
    Fault.ONE_WAY: network.one_way,
    Fault.BRIDGE: network.bridge,
    Fault.RING: network.ring,
}
