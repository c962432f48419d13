"""What the actors of one node tell each other. Batches, not single requests: a mailbox costs about
a microsecond a message, and a node handles tens of thousands of requests a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raftkv.kv import Applied, Code
from raftkv.observe import LinkFault
from raftkv.raft import Entry, HardState, Message, PersistMark, SoftState
from raftkv.raft.trace import RaftEvent
from raftkv.types import LogIndex, NodeId
from raftkv.wire.client import Reply, Request

RequestKey = tuple[int, int]
"""(client id, sequence): names a write wherever it turns up."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Multipart frames that a port received in this turn."""

    frames: list[list[bytes]]


@dataclass(frozen=True, slots=True)
class Tick:
    """A timer went off."""


@dataclass(frozen=True, slots=True)
class Propose:
    """To raft. ``keys`` is empty for commands that another node forwarded."""

    keys: Sequence[RequestKey]
    commands: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class ProposalRefused:
    """To the gateway: none of these is in the log."""

    keys: Sequence[RequestKey]
    code: Code


@dataclass(frozen=True, slots=True)
class Step:
    """To raft: messages of peers, in order of arrival."""

    messages: list[Message]


@dataclass(frozen=True, slots=True)
class Campaign:
    """To raft: let the election timer run out now."""


@dataclass(frozen=True, slots=True)
class ReadIndexRequest:
    """To raft: from which index on may the reads of this context be served?"""

    context: int


@dataclass(frozen=True, slots=True)
class ReadIndexReady:
    """To the gateway; None: there is no leader to ask."""

    context: int
    read_index: LogIndex | None


@dataclass(frozen=True, slots=True)
class Write:
    """To storage. Messages leave once this write, and all before it, are durable."""

    mark: PersistMark | None
    hard_state: HardState | None
    entries: list[Entry]
    messages: list[Message]


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Send:
    """To peers."""

    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class SendForward:
    """To peers: commands of this node's clients for the leader."""

    to: NodeId
    commands: list[bytes]


@dataclass(frozen=True, slots=True)
class SetLinkFault:
    """To peers. ``fault`` None heals; ``seconds`` None lasts until healed."""

    to: NodeId
    fault: LinkFault | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Apply:
    """To the store: committed entries, in order, without gaps."""

    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class AppliedBatch:
    """To the gateway: whoever waits for one of these can be answered."""

    results: list[Applied]


@dataclass(frozen=True, slots=True)
class Read:
    """To the store: requests to serve once ``read_index`` is applied."""

    read_index: LogIndex
    requests: list[tuple[bytes, Request]]
    """(client's identity, request)"""


@dataclass(frozen=True, slots=True)
class ReadServed:
    """To the gateway."""

    replies: list[tuple[bytes, Reply]]
    linearizable: int
    """How many of them had waited for a read index."""


@dataclass(frozen=True, slots=True)
class SoftStateChanged:
    """To the gateway: who leads now."""

    state: SoftState


@dataclass(frozen=True, slots=True)
class Trace:
    """To status: events of the core."""

    events: Sequence[RaftEvent]


@dataclass(frozen=True, slots=True)
class Note:
    """To status: an event of the node around the core."""

    kind: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rejected:
    """To status: a frame that could not be used was dropped."""

    socket: str
    cause: str


@dataclass(frozen=True, slots=True)
class Stop:
    """To the node: end after this turn. ``error`` None for an orderly end."""

    reason: str
    error: Exception | None = None


def refusal(request_id: int, code: Code, detail: Any = None) -> Reply:
    return (request_id, code, 0, detail)
