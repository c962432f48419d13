"""What somebody looks up in a simulated run while looking at it: its keys, and the entries of a node's log.

Looking changes nothing and takes no virtual time. Keys are those of the committed state, by the word of the
second state machine (``twin``), which is what a linearizable read of this moment would find.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from raftkv.actors import log_reader
from raftkv.errors import RaftkvError, no_node
from raftkv.observe import LogEntry
from raftkv.raft import RaftLog
from raftkv.sim.world import World

Found = TypeVar("Found")


class Lookups:
    """Implements ``tui.ports.Lookups``."""

    def _look(self, look: Callable[[World], Found]) -> Found:
        """What ``look`` finds in the world as it is now."""
        raise NotImplementedError

    def scan(self, prefix: str, limit: int) -> tuple[Sequence[tuple[bytes, bytes, int, int]], int]:
        start = prefix.encode("utf-8", "replace")

        def look(world: World) -> tuple[Sequence[tuple[bytes, bytes, int, int]], int]:
            items = world.watcher.twin.items
            keys = sorted(key for key in items if key.startswith(start))
            rows = [(key, items[key]) for key in keys[: max(0, limit)]]
            return [(key, it.value, it.version, it.mod_revision) for key, it in rows], len(keys)

        return self._look(look)

    def entries(self, node: str, first: int, count: int) -> Sequence[LogEntry]:
        def look(world: World) -> Sequence[LogEntry]:
            found: list[LogEntry] = []
            following: int | None = first
            while following is not None and following < first + count:
                part = log_reader.read(_log(world, node), following, first + count - following)
                found += [LogEntry(**fields) for fields in part["entries"]]
                following = part["next"]
            return found

        return self._look(look)

    def search(self, node: str, text: str, first: int) -> int | None:
        def look(world: World) -> int | None:
            following: int | None = first
            while following is not None:
                part = log_reader.search(_log(world, node), text, following)
                if part["index"] is not None:
                    return int(part["index"])
                following = part["next"]
            return None

        return self._look(look)


def _log(world: World, node: str) -> RaftLog:
    if node not in world.names:
        raise RaftkvError(no_node(node, world.names))
    machine = world.machines.get(node)
    if machine is None:
        raise RaftkvError(f"{node} is not running; its log can be read once it is restarted")
    return machine.node.raft.raft.log
