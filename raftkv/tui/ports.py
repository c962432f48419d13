"""The seams of the dashboard: what it hears, what it can do, what it can look up.

``cluster.live`` and ``cluster.chaos`` have them for a running cluster, ``sim.theatre`` for a simulated
one, a recording has only the first; tests script them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from raftkv.observe import (
    DiskFault,
    Earlier,
    Event,
    LinkFault,
    LoadReport,
    LogEntry,
    Mended,
    NodeSnapshot,
    ProcessSnapshot,
)

Row = tuple[bytes, bytes, int, int]
"""(key, value, version, revision of its last change)"""
FeedItem = NodeSnapshot | Event | Earlier | ProcessSnapshot | LoadReport


class Feed(Protocol):
    def names(self) -> Sequence[str]:
        """The nodes of the cluster, in the order of the configuration. May change between two polls."""
        ...

    def poll(self) -> Sequence[FeedItem]:
        """Whatever came since the last call, at once, in order of arrival. Never blocks."""
        ...

    def close(self) -> None: ...


class Actions(Protocol):
    """What the keys do. Each blocks (call it from a worker), returns the command line that does
    the same, and raises ``RaftkvError`` with one line fit to be shown. ``seconds`` is a fault's
    lifetime; None: until healed, resumed or restarted by hand."""

    def kill(self, node: str, seconds: float | None) -> str:
        """SIGKILL; started again after ``seconds``."""
        ...

    def stop(self, node: str, seconds: float | None) -> str:
        """SIGTERM: a polite end; started again after ``seconds``."""
        ...

    def restart(self, node: str) -> str:
        """Start a node that has exited, or end and start one that runs."""
        ...

    def pause(self, node: str, seconds: float | None) -> str:
        """SIGSTOP."""
        ...

    def resume(self, node: str) -> str: ...
    def isolate(self, node: str, seconds: float | None) -> str:
        """Block every link from and to the node."""
        ...

    def partition(self, groups: Sequence[Sequence[str]], seconds: float | None) -> str:
        """Block every link between different groups; nodes named in none form one more group."""
        ...

    def bridge(self, node: str, seconds: float | None) -> str:
        """Two halves that hear each other only through ``node``."""
        ...

    def ring(self, seconds: float | None) -> str:
        """Each node hears only the next and the one before, in the order of their names."""
        ...

    def link(self, sender: str, to: str, fault: LinkFault, seconds: float | None) -> str:
        """Set the fault of one directed link, replacing the one it had; ``LinkFault()`` heals it."""
        ...

    def disk(self, node: str, fault: DiskFault, seconds: float | None) -> str:
        """Replace the fault of the node's disk; ``DiskFault()`` heals it."""
        ...

    def clock(self, node: str, rate: float, seconds: float | None) -> str:
        """Let the node's time pass ``rate`` times as fast; 1 heals it."""
        ...

    def heal(self) -> Mended:
        """Remove every fault of links, disks and clocks."""
        ...

    def heal_all(self) -> Mended:
        """Heal, resume every paused node, restart every one that has exited."""
        ...

    def campaign(self, node: str) -> str:
        """Let the node's election timer run out now."""
        ...

    def transfer(self, node: str) -> str:
        """Ask whoever leads to hand over to ``node``."""
        ...

    def load(self, on: bool) -> str:
        """Start or stop a small built-in load whose history is checked while it runs."""
        ...

    def put(self, key: bytes, value: bytes) -> str: ...
    def compare_and_set(self, key: bytes, expected: bytes | None, value: bytes) -> str:
        """``expected`` None: only if there is no such key. Raises when something else is there."""
        ...

    def delete(self, key: bytes) -> str: ...


class Lookups(Protocol):
    """What is asked for only while somebody looks at it. Each blocks, and raises ``RaftkvError``."""

    def scan(self, prefix: str, limit: int) -> tuple[Sequence[Row], int]:
        """Rows in the order of the keys, and how many keys there are with that prefix. Linearizable."""
        ...

    def entries(self, node: str, first: int, count: int) -> Sequence[LogEntry]:
        """Those of ``count`` from index ``first`` on that the node's log still holds."""
        ...

    def search(self, node: str, text: str, first: int) -> int | None:
        """The index of the first entry from ``first`` on whose text contains ``text``."""
        ...


class Lesson(Protocol):
    """A guided scenario."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def section(self) -> str:
        """Of the paper."""
        ...

    @property
    def summary(self) -> str: ...
    @property
    def nodes(self) -> int:
        """How many voters it takes."""
        ...


class Narrator(Protocol):
    """Who tells what a scenario does; called from the thread that plays it."""

    def say(self, text: str) -> None: ...
    def command(self, text: str) -> None:
        """The command line that does what was just done."""
        ...

    def ask(self, question: str, choices: tuple[str, ...], right: int, why: str) -> None:
        """What will happen? Returns when it was answered, or nobody wants to."""
        ...

    def checked(self, what: str, found: str) -> None:
        """An assertion that held."""
        ...


class Lessons(Protocol):
    def listed(self) -> Sequence[Lesson]: ...
    def play(self, name: str, narrator: Narrator, cancelled: Callable[[], bool]) -> None:
        """Blocks until it is over and everything is healed. Raises ``RaftkvError`` with the assertion that
        did not hold, or because it was cancelled."""
        ...


class Simulation(Protocol):
    """A feed whose time is made, not passing. Safe to use from several threads."""

    playing: bool
    """Whether its time passes."""
    speed: float
    """Virtual seconds a second."""

    @property
    def now(self) -> float: ...
    @property
    def busy(self) -> bool:
        """On the way to what ``step`` or ``seek`` asked for: ``advance`` goes on with it."""
        ...

    @property
    def finished(self) -> bool: ...
    @property
    def verdict(self) -> str:
        """One line, and more after a violation."""
        ...

    @property
    def violation(self) -> str | None: ...
    @property
    def strokes(self) -> Sequence[tuple[float, str]]:
        """What befell the nodes, with its moment."""
        ...

    def advance(self, real_seconds: float) -> None:
        """Let so much time of the one who looks at it pass."""
        ...

    def step(self) -> None:
        """On to the next thing worth seeing, and hold there."""
        ...

    def seek(self, virtual_seconds: float) -> None:
        """Run anew from the beginning to that moment; what is done there is a fork of the seed."""
        ...
