"""Breaking and mending a simulated run by hand: the verbs of the dashboard's keys.

Every verb is a text and an *act* on the run. Rules of an act:

1. It looks first and raises ``RaftkvError`` before it has changed anything, so that one which was refused
   leaves no trace; all it knows is the run, so that it does the same when the run is played again.
2. It starts nodes through the schedule only: what a start finds is then found by the run.
3. What it does to a machine lasts for this life of it, as faults of a real process do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from raftkv.errors import RaftkvError, no_node, shown
from raftkv.history import Op
from raftkv.kv.limits import check_key, check_value
from raftkv.observe import DiskFault, LinkFault, Mended, shapes
from raftkv.observe.shapes import Link
from raftkv.sim.machine import Machine
from raftkv.sim.network import Weather
from raftkv.sim.run import Run
from raftkv.sim.schedule import TRUE_RATE
from raftkv.sim.tenants import GUARDED, LOCK
from raftkv.types import NodeId

Act = Callable[[Run], None]

DELAY_MS_MAX = 60_000.0
CLOCK_RATE_MAX = 10.0
"""And its inverse; as a real node has it."""
SECONDS_MAX = 24 * 3600.0
RING_MIN = 4
"""Nodes; in a smaller ring everybody is next to everybody."""


class Stagehand:
    """Implements ``tui.ports.Actions``. A request of a client (``put`` …) is sent, and what comes of it is
    seen later, as time passes only when the theatre is told so."""

    def _perform(self, text: str, act: Act) -> str:
        """Do it now; returns the text with the moment. Raises what ``act`` raises."""
        raise NotImplementedError

    # -- processes

    def kill(self, node: str, seconds: float | None) -> str:
        def act(run: Run) -> None:
            _running(run, node)
            run.world.kill(node)
            _start_later(run, node, seconds)

        return self._perform(f"kill {node}{_lifetime(seconds)}", act)

    def stop(self, node: str, seconds: float | None) -> str:
        def act(run: Run) -> None:
            _running(run, node)
            run.world.control(node, "stop")
            _start_later(run, node, seconds)

        return self._perform(f"stop {node}{_lifetime(seconds)}", act)

    def restart(self, node: str) -> str:
        def act(run: Run) -> None:
            _known(run, node)
            run.world.kill(node)
            run.world.schedule.after(0.0, lambda: _start(run, node))

        return self._perform(f"restart {node}", act)

    def pause(self, node: str, seconds: float | None) -> str:
        def act(run: Run) -> None:
            machine = _running(run, node)
            if machine.paused:
                raise RaftkvError(f"{node} is paused already")
            machine.pause()
            _later(run, seconds, machine.resume)

        return self._perform(f"pause {node}{_lifetime(seconds)}", act)

    def resume(self, node: str) -> str:
        def act(run: Run) -> None:
            machine = _running(run, node)
            if not machine.paused:
                raise RaftkvError(f"{node} is not paused")
            machine.resume()

        return self._perform(f"resume {node}", act)

    # -- links

    def isolate(self, node: str, seconds: float | None) -> str:
        def act(run: Run) -> None:
            _known(run, node)
            _block(run, shapes.isolate(node, run.world.names), seconds)

        return self._perform(f"isolate {node}{_lifetime(seconds)}", act)

    def partition(self, groups: Sequence[Sequence[str]], seconds: float | None) -> str:
        sides = [list(group) for group in groups if group]

        def act(run: Run) -> None:
            named = [name for side in sides for name in side]
            for name in named:
                _known(run, name)
                if named.count(name) > 1:
                    raise RaftkvError(f"node {name} stands in two groups")
            if not sides or (len(sides) == 1 and len(named) == len(run.world.names)):
                raise RaftkvError("a partition needs nodes on two sides")
            rest = [name for name in run.world.names if name not in named]
            _block(run, shapes.partition([*sides, rest]), seconds)

        text = " ".join(",".join(side) for side in sides)
        return self._perform(f"partition {text}{_lifetime(seconds)}", act)

    def bridge(self, node: str, seconds: float | None) -> str:
        def act(run: Run) -> None:
            _known(run, node)
            _block(run, shapes.bridge(node, run.world.names), seconds)

        return self._perform(f"bridge {node}{_lifetime(seconds)}", act)

    def ring(self, seconds: float | None) -> str:
        def act(run: Run) -> None:
            names = run.world.names
            if len(names) < RING_MIN:
                raise RaftkvError(f"a ring of {len(names)} cuts nothing: it takes {RING_MIN} nodes or more")
            _block(run, shapes.ring(names), seconds)

        return self._perform(f"ring{_lifetime(seconds)}", act)

    def link(self, sender: str, to: str, fault: LinkFault, seconds: float | None) -> str:
        for name in ("drop", "duplicate", "reorder"):
            _within(name, getattr(fault, name), 0.0, 1.0)
        for name in ("delay_ms", "jitter_ms"):
            _within(name, getattr(fault, name), 0.0, DELAY_MS_MAX)

        def act(run: Run) -> None:
            _known(run, sender)
            _known(run, to)
            if sender == to:
                raise RaftkvError("a link has two different ends")
            run.world.network.faults.set((sender, to), fault, seconds)

        parts = [" --block"] if fault.block else []
        for flag, value in (
            ("drop", fault.drop),
            ("delay", fault.delay_ms),
            ("jitter", fault.jitter_ms),
            ("duplicate", fault.duplicate),
            ("reorder", fault.reorder),
        ):
            parts += [f" --{flag} {value:g}"] if value else []
        return self._perform(f"link {sender} {to}{''.join(parts)}{_lifetime(seconds)}", act)

    # -- disks and clocks

    def disk(self, node: str, fault: DiskFault, seconds: float | None) -> str:
        _within("slow_ms", fault.slow_ms, 0.0, DELAY_MS_MAX)

        def act(run: Run) -> None:
            disk = _running(run, node).disk
            disk.set_fault(fault)
            _later(run, seconds, lambda: disk.set_fault(None))

        text = f" --slow {fault.slow_ms:g}" if fault.slow_ms else ""
        text += (" --full" if fault.full else "") + (" --fail" if fault.fail else "")
        return self._perform(f"disk {node}{text}{_lifetime(seconds)}", act)

    def clock(self, node: str, rate: float, seconds: float | None) -> str:
        _within("rate", rate, 1 / CLOCK_RATE_MAX, CLOCK_RATE_MAX)

        def act(run: Run) -> None:
            machine = _running(run, node)
            if run.profile.world.raft.lease_reads:
                raise RaftkvError("this seed's nodes read by lease, which relies on true clocks")
            machine.set_clock_rate(rate)
            _later(run, seconds, lambda: machine.set_clock_rate(TRUE_RATE) if machine.alive else None)

        return self._perform(f"clock {node} --rate {rate:g}{_lifetime(seconds)}", act)

    # -- mending; the seed's own nemesis goes on breaking things

    def heal(self) -> Mended:
        def act(run: Run) -> None:
            world = run.world
            world.network.weather = Weather()
            world.network.heal()
            for name in world.names:
                world.platters[name].directory.lift_limits()
                machine = world.machines.get(name)
                if machine:
                    machine.disk.mend()
                    machine.set_clock_rate(TRUE_RATE)

        return Mended(self._perform("heal", act))

    def heal_all(self) -> Mended:
        def act(run: Run) -> None:
            run.world.schedule.after(0.0, lambda: run.world.heal(run.world.names))

        return Mended(self._perform("heal --all", act))

    # -- leadership

    def campaign(self, node: str) -> str:
        def act(run: Run) -> None:
            _running(run, node)
            run.world.control(node, "campaign")

        return self._perform(f"campaign {node}", act)

    def transfer(self, node: str) -> str:
        def act(run: Run) -> None:
            _known(run, node)
            leader = run.world.leader()
            if leader is None or leader == node:
                raise RaftkvError(f"{node} leads already" if leader else "no leader: nobody leads now")
            if NodeId(node) not in run.world.machines[leader].node.raft.raft.configuration.voters:
                raise RaftkvError(f"{node} cannot lead: it has no vote")
            run.world.control(leader, "transfer", to=node)

        return self._perform(f"transfer {node}", act)

    # -- clients

    def load(self, on: bool) -> str:
        del on
        raise RaftkvError("a simulated run has users of its own, who work from its beginning on")

    def put(self, key: bytes, value: bytes) -> str:
        return self._ask(f"put {shown(key)} {shown(value)}", Op.PUT, key, value)

    def compare_and_set(self, key: bytes, expected: bytes | None, value: bytes) -> str:
        text = f"cas {shown(key)} {shown(expected)} {shown(value)}"
        return self._ask(text, Op.CAS, key, value, expected)

    def delete(self, key: bytes) -> str:
        return self._ask(f"delete {shown(key)}", Op.DELETE, key)

    def _ask(
        self, text: str, op: Op, key: bytes, value: bytes | None = None, expected: bytes | None = None
    ) -> str:
        check_key(key)
        check_value(value or b"")
        try:
            name, written, believed = key.decode(), _decoded(value), _decoded(expected)
        except UnicodeDecodeError as error:
            raise RaftkvError("keys and values that are not valid UTF-8 cannot be asked for here") from error

        def act(run: Run) -> None:
            if run.profile.holders and (key.startswith(LOCK) or key == GUARDED):
                raise RaftkvError(f"{shown(key)} belongs to those who take the lock in this seed")
            visitor = run.visitor()
            visitor.believe(name, believed)
            visitor.ask(op, name, written)

        return self._perform(text, act)


# -- what several acts need


def _decoded(data: bytes | None) -> str | None:
    return None if data is None else data.decode()


def _known(run: Run, node: str) -> None:
    if node not in run.world.names:
        raise RaftkvError(no_node(node, run.world.names))


def _running(run: Run, node: str) -> Machine:
    _known(run, node)
    machine = run.world.machines.get(node)
    if machine is None:
        raise RaftkvError(f"{node} is not running; restart it first")
    return machine


def _later(run: Run, seconds: float | None, action: Callable[[], object]) -> None:
    if seconds is not None:
        run.world.schedule.after(seconds, lambda: _ignore(action()))


def _ignore(outcome: object) -> None:
    del outcome


def _start_later(run: Run, node: str, seconds: float | None) -> None:
    """Unless somebody was faster: then it has had another life by then."""
    platter = run.world.platters[node]
    starts = platter.starts

    def start() -> None:
        if run.world.platters[node].starts == starts:
            _start(run, node)

    _later(run, seconds, start)


def _start(run: Run, node: str) -> None:
    run.world.start(node)


def _block(run: Run, links: Sequence[Link], seconds: float | None) -> None:
    if not links:
        raise RaftkvError("there are too few nodes: nothing would be cut")
    for link in links:
        run.world.network.faults.set(link, LinkFault(block=True), seconds)


def _within(name: str, value: float, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise RaftkvError(f"{name}: expected {least:g} to {most:g}, found {value:g}")


def _lifetime(seconds: float | None) -> str:
    if seconds is None:
        return ""
    _within("seconds", seconds, 0.001, SECONDS_MAX)
    return f" --for {seconds:g}"
