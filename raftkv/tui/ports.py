"""The two seams of the dashboard: what it hears and what it can do.

``cluster.live`` has them for a running cluster; tests script them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from raftkv.observe import Event, NodeSnapshot, ProcessSnapshot

FeedItem = NodeSnapshot | Event | ProcessSnapshot


class Feed(Protocol):
    def names(self) -> Sequence[str]:
        """The nodes of the cluster, in the order of the configuration."""
        ...

    def poll(self) -> Sequence[FeedItem]:
        """Whatever came since the last call, at once, in order of arrival. Never blocks."""
        ...

    def close(self) -> None: ...


class Actions(Protocol):
    """What the keys do. Each blocks (call it from a worker), returns the command line that does
    the same, and raises ``RaftkvError`` with one line fit to be shown. ``seconds`` is a fault's
    lifetime; None: until healed."""

    def kill(self, node: str) -> str:
        """SIGKILL."""
        ...

    def stop(self, node: str) -> str:
        """SIGTERM: a polite end."""
        ...

    def restart(self, node: str) -> str:
        """Start a node that has exited, or end and start one that runs."""
        ...

    def pause(self, node: str) -> str:
        """SIGSTOP."""
        ...

    def resume(self, node: str) -> str: ...
    def isolate(self, node: str, seconds: float | None) -> str:
        """Block every link from and to the node."""
        ...

    def partition(self, groups: Sequence[Sequence[str]], seconds: float | None) -> str:
        """Block every link between different groups; nodes named in none form one more group."""
        ...

    def link(
        self,
        sender: str,
        to: str,
        seconds: float | None,
        *,
        block: bool = False,
        drop: float = 0.0,
        delay_ms: float = 0.0,
        jitter_ms: float = 0.0,
    ) -> str:
        """Set the fault of one directed link, replacing the one it had."""
        ...

    def heal(self) -> str:
        """Remove every fault of links, disks and clocks."""
        ...

    def heal_all(self) -> str:
        """Heal, resume every paused node, restart every one that has exited."""
        ...

    def campaign(self, node: str) -> str:
        """Let the node's election timer run out now."""
        ...

    def put(self, key: str, value: str) -> str: ...
    def load(self, on: bool) -> str:
        """Start or stop a small built-in load of writes."""
        ...
