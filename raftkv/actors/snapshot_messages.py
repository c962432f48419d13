"""What the actors of one node tell each other about snapshots: their own, and a leader's."""

from __future__ import annotations

from dataclasses import dataclass

from raftkv.actors.system import ActorName
from raftkv.raft import SnapshotChunk, SnapshotMark
from raftkv.raft.messages import InstallSnapshot
from raftkv.storage import StoreChunk
from raftkv.types import LogIndex, Term


@dataclass(slots=True, eq=False)
class TakeSnapshot:
    """To the store: of what is applied now, up to the entry at ``index``, which has ``term``."""

    index: LogIndex
    term: Term
    configuration: bytes
    """In effect there."""


@dataclass(slots=True, eq=False)
class SnapshotWanted:
    """To raft: an operator wants one now."""


@dataclass(slots=True, eq=False)
class SnapshotEnded:
    """To raft: the snapshot that the store was taking. ``mark`` None: it was given up."""

    mark: SnapshotMark | None
    bytes_used: int
    """By its file."""


@dataclass(slots=True, eq=False)
class Restore:
    """To the store: a chunk of a leader's snapshot."""

    chunk: SnapshotChunk


@dataclass(slots=True, eq=False)
class ChunkRefused:
    """To raft: a chunk of this snapshot is no use."""

    snapshot_id: int
    cause: str


@dataclass(slots=True, eq=False)
class StopRestoring:
    """To the store: no more of this snapshot will come."""

    snapshot_id: int


@dataclass(slots=True, eq=False)
class SwapState:
    """To the store: the snapshot that was restored is the state from now on."""

    mark: SnapshotMark


@dataclass(slots=True, eq=False)
class StateSwapped:
    """To gateway, watches and leases: the state is another one. What waits may have been applied elsewhere,
    and nobody will say so here."""


@dataclass(slots=True, eq=False)
class WriteChunk:
    """To storage. ``reply_to`` gets ``ChunkStored``."""

    job: StoreChunk
    reply_to: ActorName


@dataclass(slots=True, eq=False)
class ChunkStored:
    """To whoever asked. ``stored`` False: given up, for want of space or because of a newer one."""

    snapshot_id: int
    number: int
    stored: bool
    last: bool
    bytes_used: int
    """By the snapshot on disk."""


@dataclass(slots=True, eq=False)
class FetchChunk:
    """To storage, for a tool that copies the snapshot: back as ``ChunkFetched``."""

    identity: bytes
    request_id: int
    mark: SnapshotMark
    number: int


@dataclass(slots=True, eq=False)
class ChunkFetched:
    """To control. ``data`` None: that snapshot is not here any more."""

    fetch: FetchChunk
    data: bytes | None


@dataclass(slots=True, eq=False)
class SendChunks:
    """To storage: read these chunks, then let the messages leave."""

    messages: list[InstallSnapshot]
