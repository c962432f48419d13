"""Breaks real processes: draws a fault, lets it last, undoes it, at random and all over again.

Every fault is undone by what it returned, never by healing everything: two faults may overlap. Faults
of links end by themselves, as whoever should end them may be paused by then. A node that is down when
a fault is set or undone is no reason to stop, the next stroke comes anyway.
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
from raftkv.errors import RaftkvError

Link = tuple[str, str]
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


@dataclass(frozen=True, slots=True)
class Stroke:
    fault: Fault
    whom: str
    seconds: float
    """Until it is to be undone."""
    undo: Undo


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
    ) -> None:
        """``controls``: the nodes' control endpoints by name; ``launcher``: that of the launcher."""
        self._chaos = chaos
        self._controls = controls
        self._launcher = launcher
        self._faults = faults
        self._rng = rng
        self.names = list(controls)
        self._round: list[Fault] = list(self._rng.sample(faults, len(faults)))
        self.counts: Counter[str] = Counter()

    def strike(self) -> Stroke | None:
        if not self._round:
            self._round = self._draw_round()
        fault = self._round.pop()
        seconds = min(LASTING_SECONDS_MAX, self._rng.expovariate(1 / LASTING_SECONDS))
        try:
            whom, undo = self._apply(fault, seconds)
        except RaftkvError:
            self._round.insert(0, fault)  # its node is down: later, and to another one
            return None
        self.counts[fault] += 1
        return Stroke(fault, whom, seconds, undo)

    def _draw_round(self) -> list[Fault]:
        drawn = self._rng.sample(self._faults, len(self._faults))
        if len(drawn) > 1 and self._rng.random() >= KILL_ALL_SHARE:
            drawn = [fault for fault in drawn if fault is not Fault.KILL_ALL]
        return drawn

    def heal(self) -> None:
        """Undo whatever is left, and start what is down; raises when that does not work."""
        with ControlClient() as client:
            for process in client.ask(self._launcher, "processes", LAUNCHER_SECONDS):
                if process["state"] != "exited" and process["pid"]:
                    _limit_file_size(process["pid"], None)
        self._chaos.heal_all()

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
            case Fault.KILL:
                chaos.kill(node)
                return node, lambda: self._restart([node])
            case Fault.KILL_ALL:
                for name in self.names:
                    chaos.kill(name)
                return "all", lambda: self._restart(self.names)
            case Fault.STOP:
                chaos.stop(node)
                return node, lambda: self._restart([node])
            case Fault.TRANSFER:
                leader = self._leader()
                if leader in (None, node):
                    raise RaftkvError("nobody to hand over, or nobody to take over")
                chaos.transfer(leader, node)
                return f"{leader} to {node}", _nothing
            case Fault.PAUSE:
                chaos.pause(node)
                return node, lambda: self._quietly(lambda: chaos.resume(node))
            case Fault.SLOW_DISK:
                milliseconds = rng.choice(SLOW_MS)
                chaos.disk(node, slow_ms=milliseconds)
                return f"{node} {milliseconds:g} ms", lambda: self._quietly(lambda: chaos.disk(node))
            case Fault.CLOCK_RATE:
                rate = rng.choice(CLOCK_RATES)
                chaos.clock(node, rate)
                return f"{node} ×{rate:g}", lambda: self._quietly(lambda: chaos.clock(node, 1.0))
            case Fault.DISK_FULL:
                return self._fill_disk(node)
            case _:
                return self._break_links(fault, node, seconds), _nothing

    def _fill_disk(self, node: str) -> tuple[str, Undo]:
        pid = self.pids().get(node)
        if pid is None or not _limit_file_size(pid, FILE_BYTES):
            raise RaftkvError(f"{node} is not running")

        def make_room() -> None:
            _limit_file_size(pid, None)

        return node, make_room

    def _break_links(self, fault: Fault, node: str, seconds: float) -> str:
        rng, names = self._rng, self.names
        around = _between([node], [name for name in names if name != node])
        shuffled = rng.sample(names, len(names))
        minority, majority = shuffled[: (len(names) - 1) // 2], shuffled[(len(names) - 1) // 2 :]
        match fault:
            case Fault.PARTITION:
                links, what = _between(minority, majority), f"{','.join(minority)} from the others"
            case Fault.ONE_WAY:
                one, other = (minority, majority) if rng.random() < 0.5 else (majority, minority)
                links, what = [(a, b) for a in one for b in other], f"{','.join(one)} to {','.join(other)}"
            case Fault.BRIDGE:
                middle, rest = shuffled[0], shuffled[1:]
                half = len(rest) // 2
                links, what = _between(rest[:half], rest[half:]), f"only {middle} sees all"
            case Fault.ISOLATE_LEADER:
                leader = self._leader() or node
                links, what = _between([leader], [name for name in names if name != leader]), leader
            case Fault.LOSS:
                share = rng.choice(LOSS)
                self._chaos.set_links(around, seconds, drop=share)
                return f"{node} {share:g}"
            case Fault.DELAY:
                delay = rng.choice(DELAY_MS)
                self._chaos.set_links(around, seconds, delay_ms=delay, jitter_ms=delay / 2)
                return f"{node} {delay:g} ms"
            case _:
                raise AssertionError(f"no way to apply {fault}")
        self._chaos.set_links(links, seconds, block=True)
        return what

    # -- undoing

    def _restart(self, nodes: Sequence[str]) -> None:
        for node in nodes:
            if node not in self.pids():  # another fault's end may have started it
                self._quietly(lambda node=node: self._chaos.restart(node))  # type: ignore[misc]

    @staticmethod
    def _quietly(action: Callable[[], object]) -> None:
        """The node may be down by now, and with it what was to be undone."""
        with suppress(RaftkvError):
            action()

    def _leader(self) -> str | None:
        with ControlClient() as client:
            found = snapshots(client, self._controls, NODE_SECONDS)
        leaders = [(view.term, name) for name, view in found.items() if view and view.role == "leader"]
        return max(leaders)[1] if leaders else None


def _nothing() -> None:
    """It ends by itself."""


def _between(left: Sequence[str], right: Sequence[str]) -> list[Link]:
    return [(a, b) for a in left for b in right] + [(b, a) for a in left for b in right]


def _limit_file_size(pid: int, size: int | None) -> bool:
    """None: no limit of ours. False when the process is gone."""
    try:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))
    except ProcessLookupError:
        return False
    return True
