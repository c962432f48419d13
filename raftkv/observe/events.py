"""One stream of events a node: numbered without gaps, so that a listener notices what it missed.

The core's own events (``raft.trace``) keep their class name as ``kind``; a node adds those below.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from raftkv.raft import trace
from raftkv.types import NodeId

NODE_STARTED = "NodeStarted"
"""boot, entries (recovered), snapshot (its index, or 0), cut (a line about a torn tail, or None)"""
NODE_STOPPING = "NodeStopping"
"""reason"""
LINK_FAULT_SET = "LinkFaultSet"
"""to, block, drop, delay_ms, jitter_ms, duplicate, reorder, seconds (or None)"""
LINK_HEALED = "LinkHealed"
"""to, expired (its lifetime ended)"""
NODE_FAULT_SET = "NodeFaultSet"
"""part: disk, with slow_ms, full, fail, or clock, with rate; seconds (or None)"""
NODE_FAULT_HEALED = "NodeFaultHealed"
"""part, expired (its lifetime ended)"""
SPACE_LOW = "SpaceLow"
"""cause: the disk is full, writes are refused"""
SPACE_BACK = "SpaceBack"
"""no fields: the disk took the waiting write"""
SNAPSHOT_TAKEN = "SnapshotTaken"
"""index, bytes: this node's own snapshot is durable"""
SNAPSHOT_GIVEN_UP = "SnapshotGivenUp"
"""cause: the disk has no room for it; once, until one has been written"""
SNAPSHOT_REFUSED = "SnapshotRefused"
"""cause: a chunk of the leader's snapshot cannot be used"""
STATE_DIFFERS = "StateDiffers"
"""peer, index: at that applied index the peer's state is another than ours"""
FRAME_REJECTED = "FrameRejected"
"""socket, cause, count (of all so far); at most one a second and socket"""


@dataclass(frozen=True, slots=True)
class Event:
    sequence: int
    """From 1 at every start of the node."""
    time: float
    """Seconds of the machine's monotonic clock: the same for all nodes of one machine."""
    node: NodeId
    kind: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Earlier:
    """What one node said before its listener came, as far as it still knows."""

    events: tuple[Event, ...]


def from_raft(sequence: int, time: float, node: NodeId, event: trace.RaftEvent) -> Event:
    return Event(sequence, time, node, type(event).__name__, asdict(event))
