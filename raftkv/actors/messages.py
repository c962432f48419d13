"""What the actors of one node tell each other. Batches, not single requests: a mailbox costs about
a microsecond a message, and a node handles tens of thousands of requests a second. For the same
reason they are not frozen (0.17 µs to make one instead of 0.75, ten a turn); nobody changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raftkv.kv import Applied, Code
from raftkv.observe import DiskFault, LinkFault
from raftkv.raft import (
    Change,
    Entry,
    HardState,
    Membership,
    Message,
    PersistMark,
    Refusal,
    SnapshotChunk,
    SnapshotMark,
    SoftState,
)
from raftkv.raft.messages import InstallSnapshot
from raftkv.raft.trace import RaftEvent
from raftkv.storage import StoreChunk
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire.client import Reply, Request

RequestKey = tuple[int, int]
"""(client id, sequence): names a write wherever it turns up."""


@dataclass(slots=True, eq=False)
class Frames:
    """Multipart frames that a port received in this turn."""

    frames: list[list[bytes]]


@dataclass(slots=True, eq=False)
class Tick:
    """A timer went off."""


@dataclass(slots=True, eq=False)
class Propose:
    """To raft. ``keys`` is empty for commands that another node forwarded."""

    keys: Sequence[RequestKey]
    commands: Sequence[bytes]


@dataclass(slots=True, eq=False)
class ProposalRefused:
    """To the gateway: none of these is in the log."""

    keys: Sequence[RequestKey]
    code: Code


@dataclass(slots=True, eq=False)
class Step:
    """To raft: messages of peers, in order of arrival."""

    messages: list[Message]


@dataclass(slots=True, eq=False)
class Campaign:
    """To raft: let the election timer run out now."""


@dataclass(slots=True, eq=False)
class TransferLeadership:
    """To raft, if it leads: hand over to ``to``, or to whoever is best prepared."""

    to: NodeId | None


@dataclass(slots=True, eq=False)
class ReadIndexRequest:
    """To raft: from which index on may the reads of this context be served?"""

    context: int


@dataclass(slots=True, eq=False)
class ReadIndexReady:
    """To the gateway; None: there is no leader to ask."""

    context: int
    read_index: LogIndex | None


@dataclass(slots=True, eq=False)
class Write:
    """To storage. Messages leave once this write, and all before it, are durable."""

    mark: PersistMark | None
    hard_state: HardState | None
    entries: list[Entry]
    messages: list[Message]
    anew: SnapshotMark | None = None
    """The log before ``entries`` is void: they follow this snapshot."""


@dataclass(slots=True, eq=False)
class Persisted:
    """To raft, in the order of the writes."""

    marks: list[PersistMark]


@dataclass(frozen=True, slots=True)
class DiskPressure:
    """To raft and gateway, when either changes."""

    full: bool
    """Writes are refused until space returns."""
    backlogged: bool
    """More waits for the disk than may be held in memory."""


@dataclass(slots=True, eq=False)
class Send:
    """To peers."""

    messages: Sequence[Message]


@dataclass(slots=True, eq=False)
class SendForward:
    """To peers: commands of this node's clients for the leader."""

    to: NodeId
    commands: list[bytes]


@dataclass(slots=True, eq=False)
class SetLinkFault:
    """To peers. ``fault`` None heals; ``seconds`` None lasts until healed."""

    to: NodeId
    fault: LinkFault | None
    seconds: float | None


@dataclass(slots=True, eq=False)
class SetDiskFault:
    """To storage. None heals."""

    fault: DiskFault | None


@dataclass(slots=True, eq=False)
class SetClockRate:
    """To the node: how fast its time passes, 1 being true."""

    rate: float


@dataclass(slots=True, eq=False)
class Apply:
    """To the store: committed entries, in order, without gaps."""

    entries: list[Entry]


@dataclass(slots=True, eq=False)
class DigestTaken:
    """To audit: of our state when ``index`` was applied."""

    index: LogIndex
    digest: int


@dataclass(slots=True, eq=False)
class SendDigest:
    """To peers: all of them are to compare."""

    index: LogIndex
    digest: int


@dataclass(slots=True, eq=False)
class PeerDigest:
    """To audit: of a peer's state at ``index``."""

    sender: NodeId
    index: LogIndex
    digest: int


@dataclass(slots=True, eq=False)
class ClearAlarms:
    """To audit: an operator has seen them."""


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
class SwapState:
    """To the store: the snapshot that was restored is the state from now on."""

    mark: SnapshotMark


@dataclass(slots=True, eq=False)
class StateSwapped:
    """To the gateway: what waits may have been applied elsewhere, and nobody will say so here."""


@dataclass(slots=True, eq=False)
class WriteChunk:
    """To storage. ``reply_to`` gets ``ChunkStored``."""

    job: StoreChunk
    reply_to: str


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


@dataclass(slots=True, eq=False)
class AppliedBatch:
    """To the gateway: whoever waits for one of these can be answered."""

    results: list[Applied]


@dataclass(slots=True, eq=False)
class Read:
    """To the store: requests to serve once ``read_index`` is applied."""

    read_index: LogIndex
    requests: list[tuple[bytes, Request]]
    """(client's identity, request)"""


@dataclass(slots=True, eq=False)
class ReadServed:
    """To the gateway."""

    replies: list[tuple[bytes, Reply]]
    linearizable: int
    """How many of them had waited for a read index."""


@dataclass(slots=True, eq=False)
class SoftStateChanged:
    """To the gateway and to the node: who leads now."""

    state: SoftState


@dataclass(slots=True, eq=False)
class Leave:
    """To the gateway: this node ends in a moment. Whoever asks is to ask elsewhere."""


@dataclass(slots=True, eq=False)
class MembershipChanged:
    """To peers and node: who belongs to the cluster now."""

    membership: Membership


@dataclass(slots=True, eq=False)
class Met:
    """To raft: a node has said which data folder it is and where it is reached."""

    name: NodeId
    incarnation: str
    address: tuple[str, ...]
    priority: int


@dataclass(slots=True, eq=False)
class Expelled:
    """To the node: by word of ``peer`` it is no member. ``known`` is the incarnation that is, under its name;
    empty when none is: it was removed."""

    peer: NodeId
    known: str
    index: LogIndex
    """Of the configuration entry that says so."""


@dataclass(slots=True, eq=False)
class ChangeMembers:
    """To raft: back as ``MembersChanging``."""

    identity: bytes
    request_id: int
    change: Change


@dataclass(slots=True, eq=False)
class MembersChanging:
    """To control. ``refused`` None: the change is in the log as the entry at ``index``."""

    request: ChangeMembers
    refused: Refusal | None
    index: LogIndex


@dataclass(slots=True, eq=False)
class Trace:
    """To status: events of the core."""

    events: Sequence[RaftEvent]


@dataclass(slots=True, eq=False)
class Note:
    """To status: an event of the node around the core."""

    kind: str
    fields: dict[str, Any]


@dataclass(slots=True, eq=False)
class Rejected:
    """To status: a frame that could not be used was dropped."""

    socket: str
    cause: str


@dataclass(slots=True, eq=False)
class Stop:
    """To the node: end after this turn. ``error`` None for an orderly end."""

    reason: str
    error: Exception | None = None


def refusal(request_id: int, code: Code, detail: Any = None) -> Reply:
    return (request_id, code, 0, detail)
