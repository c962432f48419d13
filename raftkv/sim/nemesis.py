"""Breaks a simulated world: draws a fault, lets it last, undoes it, at random and all over again."""

from __future__ import annotations

import random
from collections.abc import Callable

from raftkv.sim import network
from raftkv.sim.network import Link
from raftkv.sim.schedule import TRUE_RATE
from raftkv.sim.swarm import WEATHER, Fault, Profile
from raftkv.sim.world import World

CLOCK_RATES = (0.5, 0.9, 1.1, 2.0)
SLOW_SECONDS = (0.01, 0.1, 0.5)
RECOVERY_STEPS_MAX = 12
"""A start does no more operations on its disk, as long as it has nothing to repair."""

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
        self._world.count(fault)
        undo = self._apply(fault)
        if undo:
            self._world.schedule.after(lasting, lambda: self._undo(fault, undo))
        self._plan()

    def _undo(self, fault: Fault, undo: Callable[[], None]) -> None:
        if self._active:
            self._world.trace.add(self._world.now, f"! end of {fault}")
            undo()

    def _apply(self, fault: Fault) -> Callable[[], None] | None:
        world, rng = self._world, self._rng
        node = rng.choice(world.names)
        match fault:
            case Fault.SYMMETRIC | Fault.ONE_WAY | Fault.BRIDGE | Fault.RING:
                return self._cut(_SHAPES[fault](world.names, rng))
            case Fault.ISOLATE_LEADER:
                return self._cut(network.isolate(world.leader() or node, world.names))
            case Fault.CRASH:
                world.power_loss(node)
                return lambda: self._start(node)
            case Fault.KILL:
                world.kill(node)
                return lambda: self._start_and_lose_power(node)
            case Fault.BLACKOUT:
                for name in world.names:
                    world.power_loss(name)
                return self._start_all
            case Fault.CRASH_IN_RECOVERY:
                world.power_loss(node)
                world.start(node, cut_power=rng.randrange(1, RECOVERY_STEPS_MAX))
                return lambda: self._start(node)
            case Fault.CAMPAIGN:
                world.control(node, "campaign")
                return None
            case Fault.TRANSFER:
                world.control(world.leader() or node, "transfer", to=node)
                return None
            case Fault.STOP:
                world.control(world.leader() or node, "stop")
                return self._start_all
            case _:
                return self._apply_to_machine(fault, node)

    def _apply_to_machine(self, fault: Fault, node: str) -> Callable[[], None] | None:
        """What is undone for this life of the node only: the next one begins sound."""
        world, rng = self._world, self._rng
        machine = world.machines.get(node)
        if machine is None:
            return None
        match fault:
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
                directory.space_bytes = directory.used()
                return lambda: world.make_room(node)
        raise AssertionError(f"no way to apply {fault}")

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
            self._world.schedule.after(self._rng.random() * SECOND_FAILURE_SECONDS, lambda: self._start(node))

    def _cut(self, links: list[Link]) -> Callable[[], None]:
        """Now and then users stand on one side as well."""
        world, rng = self._world, self._rng
        for client in world.clients:
            if links and rng.random() < 0.3:
                sender, to = rng.choice(links)
                links = [*links, (client, sender), (sender, client), (client, to)]
        world.network.cut(links)
        return lambda: world.network.lift(links)


_SHAPES: dict[Fault, Callable[..., list[Link]]] = {
    Fault.SYMMETRIC: network.symmetric,
    Fault.ONE_WAY: network.one_way,
    Fault.BRIDGE: network.bridge,
    Fault.RING: network.ring,
}
