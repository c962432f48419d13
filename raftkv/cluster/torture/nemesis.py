"""Breaks real processes: draws a fault, lets it last, undoes it, at random and all over again.

Several faults may be in force, but never two of one kind of thing: a stroke *claims* the links, the disk,
the clock or the process that it breaks, and one that would need what is claimed waits. So no fault ends
another before its time. Faults of links end by themselves, as whoever should end them may be paused by
then. A node that is down when a fault is set is no reason to stop, the next stroke comes anyway.
"""

from __future__ import annotations

import random
import resource
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from raftkv.cluster.chaos import Chaos
from raftkv.cluster.control import ControlClient, snapshots
from raftkv.cluster.torture.churn import Churn
from raftkv.errors import RaftkvError
from raftkv.observe import DiskFault, LinkFault, leader_of, shapes

Undo = Callable[[], None]

NODE_SECONDS = 0.3
"""For a node to answer: one that is down or paused must not hold up the next stroke."""
LAUNCHER_SECONDS = 15.0
FILE_BYTES = 4096
"""The limit on a file's size that makes a node's disk full."""
SLOW_MS = (5.0, 50.0, 300.0)
LASTING_SECONDS = 1.2
LASTING_SECONDS_MAX = 6.0
"""Mean and longest time that a fault lasts."""
KILL_ALL_SHARE = 0.3
"""Of the rounds that have it, after the first: a cluster that is down tests nothing."""
LOSS = (0.05, 0.3)
DELAY_MS = (10.0, 100.0)
CLOCK_RATES = (0.5, 0.9, 1.1, 2.0)


class Fault(StrEnum):
    KILL = "kill"
    """SIGKILL, and a restart some time later."""
    KILL_ALL = "kill-all"
    STOP = "stop"
    """SIGTERM: whoever leads hands over first."""
    TRANSFER = "transfer"
    """Leadership is moved, perhaps to a node that is down."""
    PAUSE = "pause"
    """SIGSTOP and SIGCONT."""
    PARTITION = "partition"
    """A majority and a minority."""
    ONE_WAY = "one-way"
    BRIDGE = "bridge"
    ISOLATE_LEADER = "isolate-leader"
    LOSS = "loss"
    """A share of the frames of some links."""
    DELAY = "delay"
    SLOW_DISK = "slow-disk"
    DISK_FULL = "disk-full"
    """The kernel refuses writes beyond a small file size."""
    CLOCK_RATE = "clock-rate"
    REPLACE = "replace"
    """Another node takes the place of one: added, caught up, swapped."""


@dataclass(frozen=True, slots=True)
class Stroke:
    fault: Fault
    whom: str
    seconds: float
    """Until it is to be undone."""
    claims: frozenset[str]
    undo: Undo
    """Raises ``RaftkvError`` when it cannot be undone now."""


class Nemesis:
    """``strike`` breaks something, or returns None if it could not be broken. Faults are drawn in rounds,
    each with every fault once, so that a short run has them all too."""

    def __init__(
        self,
        chaos: Chaos,
        controls: Mapping[str, str],
        launcher: str,
        faults: Sequence[Fault],
        rng: random.Random,
        churn: Churn,
    ) -> None:
        """``controls``: the nodes' control endpoints by name, as they are at the time; ``launcher``: that of
        the launcher."""
        self._chaos = chaos
        self._controls = controls
        self._launcher = launcher
        self._faults = faults
        self._rng = rng
        self._churn = churn
        self._round: list[Fault] = list(self._rng.sample(faults, len(faults)))
        self._claimed: set[str] = set()
        self.counts: Counter[str] = Counter()

    @property
    def names(self) -> list[str]:
        return list(self._controls)

    def strike(self) -> Stroke | None:
        if not self._round:
            self._round = self._draw_round()
        fault = self._round.pop()
        seconds = min(LASTING_SECONDS_MAX, self._rng.expovariate(1 / LASTING_SECONDS))
        before = set(self._claimed)
        try:
            whom, undo = self._apply(fault, seconds)
        except RaftkvError:
            self._claimed = before
            self._round.insert(0, fault)  # not possible now: later, and to somebody else
            return None
        self.counts[fault] += 1
        return Stroke(fault, whom, seconds, frozenset(self._claimed - before), undo)

    def release(self, stroke: Stroke) -> None:
        """It has been undone, or has ended."""
        self._claimed -= stroke.claims

    def _claim(self, *things: str) -> None:
        if not self._claimed.isdisjoint(things):
            raise RaftkvError("something of it is broken already")
        self._claimed.update(things)

    def _draw_round(self) -> list[Fault]:
        drawn = self._rng.sample(self._faults, len(self._faults))
        if len(drawn) > 1 and self._rng.random() >= KILL_ALL_SHARE:
            drawn = [fault for fault in drawn if fault is not Fault.KILL_ALL]
        return drawn

    def heal(self) -> None:
        """Undo whatever is left, and start what is down; raises when that does not work.

        What became of members is settled last: that needs a cluster that works."""
        with ControlClient() as client:
            for process in client.ask(self._launcher, "processes", LAUNCHER_SECONDS):
                if process["state"] != "exited" and process["pid"]:
                    _limit_file_size(process["pid"], None)
        churns = Fault.REPLACE in self._faults
        if churns:
            with suppress(RaftkvError):
                self._churn.tidy()  # or those that have left would be started again
        self._chaos.heal_all()
        if churns:
            self._churn.settle()

    def pids(self) -> dict[str, int]:
        """Of the nodes that run."""
        with ControlClient() as client:
            processes = client.ask(self._launcher, "processes", LAUNCHER_SECONDS)
        return {process["name"]: process["pid"] for process in processes if process["state"] != "exited"}

    # -- faults

    def _apply(self, fault: Fault, seconds: float) -> tuple[str, Undo]:
        chaos, rng = self._chaos, self._rng
        node = rng.choice(self.names)
        match fault:
            case Fault.KILL | Fault.STOP:
                self._claim_process(node)
                (chaos.kill if fault is Fault.KILL else chaos.stop)(node, None)
                return node, lambda: self._restart([node])
            case Fault.KILL_ALL:
                self._claim(*(f"process {name}" for name in self.names))
                for name in self.pids():
                    chaos.kill(name, None)
                return "all", lambda: self._restart(self.names)
            case Fault.REPLACE:
                self._claim_process(node)
                return f"{node} by {self._churn.replace(node)}", _nothing
            case Fault.TRANSFER:
                leader = self._leader()
                if leader in (None, node):
                    raise RaftkvError("nobody to hand over, or nobody to take over")
                chaos.transfer(node)
                return f"{leader} to {node}", _nothing
            case Fault.PAUSE:
                self._claim_process(node)
                chaos.pause(node, None)
                return node, lambda: self._mend(node, lambda: chaos.resume(node))
            case Fault.SLOW_DISK:
                self._claim(f"disk {node}")
                milliseconds = rng.choice(SLOW_MS)
                chaos.disk(node, DiskFault(slow_ms=milliseconds), None)
                sound = DiskFault()
                return f"{node} {milliseconds:g} ms", lambda: self._mend(
                    node, lambda: chaos.disk(node, sound, None)
                )
            case Fault.CLOCK_RATE:
                self._claim(f"clock {node}")
                rate = rng.choice(CLOCK_RATES)
                chaos.clock(node, rate, None)
                return f"{node} ×{rate:g}", lambda: self._mend(node, lambda: chaos.clock(node, 1.0, None))
            case Fault.DISK_FULL:
                return self._fill_disk(node)
            case _:
                return self._break_links(fault, node, seconds), _nothing

    def _fill_disk(self, node: str) -> tuple[str, Undo]:
        self._claim(f"disk {node}")
        pid = self.pids().get(node)
        if pid is None or not _limit_file_size(pid, FILE_BYTES):
            raise RaftkvError(f"{node} is not running")

        def make_room() -> None:
            _limit_file_size(pid, None)

        return node, make_room

    def _break_links(self, fault: Fault, node: str, seconds: float) -> str:
        rng, names = self._rng, self.names
        around = shapes.isolate(node, names)
        shuffled = rng.sample(names, len(names))
        minority, majority = shuffled[: (len(names) - 1) // 2], shuffled[(len(names) - 1) // 2 :]
        match fault:
            case Fault.PARTITION:
                links, what = shapes.between(minority, majority), f"{','.join(minority)} from the others"
            case Fault.ONE_WAY:
                one, other = (minority, majority) if rng.random() < 0.5 else (majority, minority)
                links, what = shapes.one_way(one, other), f"{','.join(one)} to {','.join(other)}"
            case Fault.BRIDGE:
                links, what = shapes.bridge(shuffled[0], shuffled), f"only {shuffled[0]} sees all"
            case Fault.ISOLATE_LEADER:
                leader = self._leader()
                if leader is None:
                    raise RaftkvError("nobody leads")
                links, what = shapes.isolate(leader, names), leader
            case Fault.LOSS:
                share = rng.choice(LOSS)
                self._claim(*map(str, around))
                self._chaos.set_links(around, LinkFault(drop=share), seconds)
                return f"{node} {share:g}"
            case Fault.DELAY:
                delay = rng.choice(DELAY_MS)
                self._claim(*map(str, around))
                self._chaos.set_links(around, LinkFault(delay_ms=delay, jitter_ms=delay / 2), seconds)
                return f"{node} {delay:g} ms"
            case _:
                raise AssertionError(f"no way to apply {fault}")
        self._claim(*map(str, links))
        self._chaos.set_links(links, LinkFault(block=True), seconds)
        return what

    # -- undoing

    def _claim_process(self, node: str) -> None:
        self._claim(f"process {node}")
        if node not in self.pids():
            raise RaftkvError(f"{node} is down")

    def _restart(self, nodes: Sequence[str]) -> None:
        running = self.pids()
        for node in nodes:
            if node not in running and node in self._controls:
                self._chaos.restart(node)

    def _mend(self, node: str, action: Callable[[], object]) -> None:
        """A node that is down has nothing to be mended: its next life begins sound."""
        if node in self.pids():
            action()

    def _leader(self) -> str | None:
        with ControlClient() as client:
            found = snapshots(client, self._controls, NODE_SECONDS)
        leader = leader_of(found.values())
        return leader.name if leader else None


def _nothing() -> None:
    """It ends by itself."""


def _limit_file_size(pid: int, size: int | None) -> bool:
    """None: no limit of ours. False when the process is gone."""
    try:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))
    except ProcessLookupError:
        return False
    return True
