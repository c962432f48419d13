"""Compares this node's state with its peers' at equal applied index, and raises an alarm on a difference.

The state machine is deterministic, so equal logs give equal digests. A difference means broken memory, a
bug, or a disk that lied: nothing that this node could mend, so it tells people. Digests are taken at every
``EVERY`` entries; each node tells its latest once a second, and remembers enough of its own for a peer that
is somewhat behind.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from raftkv.actors.messages import (
    ClearAlarms,
    DigestTaken,
    Doubted,
    Note,
    PeerDigest,
    SendDigest,
    Tick,
)
from raftkv.actors.system import Context
from raftkv.observe import events
from raftkv.types import LogIndex, NodeId

EVERY = 64
REMEMBERED = 1024
TELL_SECONDS = 1.0
CORRUPT = "CORRUPT"


class AuditActor:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._mine: OrderedDict[LogIndex, int] = OrderedDict()
        self._told = LogIndex(0)
        self._differs: dict[NodeId, LogIndex] = {}
        """Peers whose state was another than ours, or their log where ours is committed, and where that was
        first seen."""
        context.set_timer("audit", TELL_SECONDS, Tick())

    @property
    def alarms(self) -> tuple[str, ...]:
        return (CORRUPT,) if self._differs else ()

    def handle(self, message: Any) -> None:
        match message:
            case DigestTaken():
                self._mine[message.index] = message.digest
                if len(self._mine) > REMEMBERED:
                    self._mine.popitem(last=False)
            case PeerDigest():
                self._compare(message)
            case Doubted():
                self._differs.setdefault(message.peer, message.index)
            case Tick():
                self._tell()
            case ClearAlarms():
                self._differs.clear()
            case _:
                raise AssertionError(f"audit got {message}")

    def _tell(self) -> None:
        self._context.set_timer("audit", TELL_SECONDS, Tick())
        if self._mine:
            index = next(reversed(self._mine))
            if index != self._told:
                self._told = index
                self._context.send("peers", SendDigest(index, self._mine[index]))

    def _compare(self, message: PeerDigest) -> None:
        mine = self._mine.get(message.index)
        if mine is None or mine == message.digest or message.sender in self._differs:
            return
        self._differs[message.sender] = message.index
        fields = {"peer": message.sender, "index": message.index}
        self._context.send("status", Note(events.STATE_DIFFERS, fields))
