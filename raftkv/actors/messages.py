"""What the actors of one node tell each other. Batches, not single requests: a mailbox costs about
a microsecond a message, and a node handles tens of thousands of requests a second. For the same
reason they are not frozen, but for a rare one that is compared (0.17 µs to make one instead of 0.75, ten a
turn); nobody changes them."""

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
    SnapshotMark,
    SoftState,
)
from raftkv.raft.trace import RaftEvent
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire.client import Reply, Request

RequestKey = int
"""Names a write in the gateway that holds it."""


@dataclass(slots=True, eq=False)
class Frames:
    """Multipart frames that a port received in this turn."""

    frames: list[list[bytes]]


@dataclass(slots=True, eq=False)
class Tick:
    """A timer went off."""


@dataclass(slots=True, eq=False)
class Propose:
    """To raft. ``keys`` is empty for commands that other nodes forwarded, which ``forwarded_by`` names."""

    keys: Sequence[RequestKey]
    commands: Sequence[bytes]
    forwarded_by: Sequence[NodeId] = ()


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

    @property
    def high(self) -> bool:
        """Nothing that can wait is to be added to the log."""
        return self.full or self.backlogged


@dataclass(slots=True, eq=False)
class Send:
    """To peers."""

    messages: Sequence[Message]
    at_once: bool = False
    """With whatever else is ready to leave, instead of when the turn ends."""


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
    """To faults. ``fault`` None heals; ``seconds`` None lasts until healed."""

    fault: DiskFault | None
    seconds: float | None = None


@dataclass(slots=True, eq=False)
class SetClockRate:
    """To faults: how fast this node's time passes, 1 being true; ``seconds`` None until set anew."""

    rate: float
    seconds: float | None = None


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
class Applying:
    """To raft: whether the store still has entries of an earlier turn to apply."""

    goes_on: bool


@dataclass(slots=True, eq=False)
class Doubted:
    """To audit: ``peer`` leads, and has another entry at ``index`` than the one that is committed here."""

    peer: NodeId
    index: LogIndex


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

    replies: list[tuple[bytes, Reply, int]]
    """(client's identity, answer, how many bytes it has at most)"""
    places: int
    """That those took which are answered now."""


@dataclass(slots=True, eq=False)
class WatchRequest:
    """To watches: begin, go on with, or end one."""

    identity: bytes
    request: Request


@dataclass(slots=True, eq=False)
class SendLapsed:
    """To peers: leases that nobody has renewed in time by this node's clock, for the leader of ``term``.
    Each by its id and the index of its last renewal."""

    to: NodeId
    term: Term
    lapses: tuple[tuple[int, int], ...]


@dataclass(slots=True, eq=False)
class PeerLapsed:
    """To leases: a peer says so, of the term in which it takes this node for the leader."""

    sender: NodeId
    term: Term
    lapses: tuple[tuple[int, int], ...]


@dataclass(slots=True, eq=False)
class EndLeases:
    """To raft, if it leads: a quorum agrees that these have ended."""

    lapses: tuple[tuple[int, int], ...]


@dataclass(slots=True, eq=False)
class SoftStateChanged:
    """To gateway, leases and node: who leads now."""

    state: SoftState


@dataclass(slots=True, eq=False)
class Leave:
    """To the gateway: this node ends in a moment. Whoever asks is to ask elsewhere."""


@dataclass(slots=True, eq=False)
class MembershipChanged:
    """To peers, leases and node: who belongs to the cluster now."""

    membership: Membership


@dataclass(slots=True, eq=False)
class Met:
    """To raft: a node has said which data folder it is and where it is reached."""

    name: NodeId
    incarnation: str
    address: tuple[str, ...]
    priority: int


@dataclass(slots=True, eq=False)
class BegunAnew:
    """To raft: a member speaks in another life than before."""

    peer: NodeId


@dataclass(slots=True, eq=False)
class Expelled:
    """To the node: by word of ``peer`` it is no member. ``known`` is the incarnation that is, under its name;
    empty when none is: it was removed."""

    peer: NodeId
    known: str
    index: LogIndex
    """Of the configuration entry that says so."""
    vouched: bool
    """Whether ``peer`` may know; a leader does in any case."""


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
