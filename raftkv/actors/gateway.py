"""Where clients arrive: one ROUTER, many requests a frame, and every answer of a turn in one frame
a client.

A write waits under its (client id, sequence) until the state machine of *this* node has applied it;
whether this node led or forwarded it to the leader makes no difference to how it is answered.
When the leader changes, everything that waits is handed back to its client, which asks again under
the same name: only then is it sure to be in somebody's log. Reads of one turn share one read index.

Invariant: at most ``pending_writes_max`` writes of ``pending_bytes_max`` bytes wait here, and reads in
``READ_PLACES_MAX`` places; what comes beyond is refused at once and has not happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from raftkv.actors.messages import (
    AppliedBatch,
    DiskPressure,
    Frames,
    Leave,
    ProposalRefused,
    Propose,
    Read,
    ReadIndexReady,
    ReadIndexRequest,
    ReadServed,
    Rejected,
    RequestKey,
    SendForward,
    SoftStateChanged,
    Tick,
    WatchRequest,
    refusal,
)
from raftkv.actors.meter import Meter
from raftkv.actors.snapshot_messages import (
    StateSwapped,
)
from raftkv.actors.system import Context, Port
from raftkv.errors import VersionMismatch, WireError
from raftkv.kv import KEY_BYTES_MAX, Applied, Code
from raftkv.kv.commands import decode_flat
from raftkv.kv.sessions import weight
from raftkv.raft import Role, SoftState
from raftkv.types import LogIndex, Term
from raftkv.wire.client import (
    PLACE_BYTES,
    Kind,
    Reply,
    Request,
    decode_requests,
    encode_responses,
    is_stale,
    places_of,
)
from raftkv.wire.packing import REQUEST_BYTES_MAX

PENDING_SECONDS = 10.0
LOGGED_SECONDS = 60.0
"""What a leader waits for is in its log: asked for again it would be there twice, over a slow disk."""
READ_PLACES_MAX = 65_536
"""For the reads of all clients, of which one takes a place for each KiB (``wire.client.places_of``)."""
READ_PLACES_EACH_MAX = 1 + 2 * (KEY_BYTES_MAX + 1) // PLACE_BYTES
GREETINGS_A_TURN_MAX = 512
"""As many as frames: a client sends one in each."""
RESPONSE_BYTES_SOFT_MAX = 1 << 20
"""A frame of answers is sent once it holds this much."""


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    pending_writes_max: int
    pending_bytes_max: int


class GatewayActor:
    def __init__(
        self,
        context: Context,
        port: Port,
        cluster: str,
        limits: GatewayLimits,
        hello: Callable[[SoftState], tuple[Any, ...]],
    ) -> None:
        """``hello`` makes a ``wire.client.HelloDetail`` of who leads."""
        self._context = context
        self._port = port
        self._cluster = cluster
        self._limits = limits
        self._hello = hello
        self._state = SoftState(Role.FOLLOWER, None, Term(0))
        self._full = False
        self._leaving = False
        self._salt = context.random.getrandbits(128) | 1 << 128
        """Beyond any sequence. A request's key is its client id times this, plus its sequence: a number whose
        hash nobody outside can foresee. Tuples of one hash anybody can make by thousands, and stop a node."""
        self._pending: dict[RequestKey, tuple[bytes, int, float, int]] = {}
        """-> (identity, request id, time of arrival, bytes)"""
        self._pending_bytes = 0
        self._keys: list[RequestKey] = []
        """Of the frames that are being looked at, as are the next three:"""
        self._commands: list[bytes] = []
        self._reads: list[tuple[bytes, Request]] = []
        self._local_reads: list[tuple[bytes, Request]] = []
        self._reads_asked: dict[int, list[tuple[bytes, Request]]] = {}
        self._read_places = 0
        """Taken."""
        # Random, so that an answer meant for an earlier life of this node fits none of ours.
        self._last_context = context.random.getrandbits(48)
        self._outbox: dict[bytes, list[Reply]] = {}
        self._owed: dict[bytes, int] = {}
        """By identity: bytes in the large answers of its outbox."""
        self._greeted = 0
        """In this turn."""
        self._scarce = limits.pending_writes_max // 4
        """From so many on, places are."""
        self.writes = Meter()
        context.set_timer("gateway", PENDING_SECONDS, Tick())

    @property
    def pending_writes(self) -> int:
        return len(self._pending)

    def handle(self, message: Any) -> None:
        match message:
            case Frames():
                self._on_frames(message)
            case AppliedBatch():
                self._on_applied(message.results)
            case ReadIndexReady():
                self._on_read_index(message)
            case ReadServed():
                self._on_served(message)
            case ProposalRefused():
                self._release(message.keys, message.code)
            case SoftStateChanged():
                self._on_soft_state(message.state)
            case DiskPressure():
                self._full = message.full
            case StateSwapped():
                self._release(list(self._pending), Code.LEADER_CHANGED)
            case Leave():
                self._leaving = True
                self._release(list(self._pending), Code.LEADER_CHANGED)
            case Tick():
                self._release_old()
            case _:
                raise AssertionError(f"gateway got {message}")

    def end_of_turn(self) -> None:
        self._greeted = 0
        for identity in list(self._outbox):
            self._flush(identity)

    def _flush(self, identity: bytes) -> None:
        self._owed.pop(identity, None)
        self._port.send((identity, encode_responses(self._outbox.pop(identity))))

    def _owe(self, identity: bytes, size: int) -> None:
        """Values may be large: what a client is owed leaves in frames of bounded size."""
        owed = self._owed[identity] = self._owed.get(identity, 0) + size
        if owed >= RESPONSE_BYTES_SOFT_MAX:
            self._flush(identity)

    # -- requests

    def _on_frames(self, message: Frames) -> None:
        for frame in message.frames:
            try:
                if len(frame) != 2:
                    raise WireError(f"a frame of {len(frame)} parts, not 2")
                cluster, requests = decode_requests(frame[1])
                if cluster is not None and cluster != self._cluster:
                    raise WireError(f"a client of cluster {cluster[:64]!r}")
            except WireError as error:
                self._context.send("status", Rejected("client", str(error)))
                if isinstance(error, VersionMismatch):
                    self._outbox.setdefault(frame[0], [])  # an empty answer says which version we speak
                continue
            for request in requests:
                self._on_request(frame[0], request)
        if self._commands:
            self._propose(self._keys, self._commands)
            self._keys, self._commands = [], []
        if self._reads:
            # All reads of these frames share one read index.
            self._last_context += 1
            self._reads_asked[self._last_context] = self._reads
            self._reads = []
            self._context.send("raft", ReadIndexRequest(self._last_context))
        if self._local_reads:
            self._context.send("store", Read(LogIndex(0), self._local_reads))
            self._local_reads = []

    def _on_request(self, identity: bytes, request: Request) -> None:
        kind = request[1]
        if kind == Kind.WRITE:
            request_id, _, client_id, sequence, command = request
            refused = self._admit(identity, request_id, client_id, sequence, command)
            if refused is not None:
                self._answer(identity, refusal(request_id, refused))
        elif kind == Kind.HELLO:
            self._greet(identity, request[0])
        elif kind == Kind.WATCH or kind == Kind.UNWATCH:
            if self._leaving:
                self._answer(identity, refusal(request[0], Code.NO_LEADER))
            else:
                self._context.send("watches", WatchRequest(identity, request))
        else:
            self._on_read(identity, request)

    def _greet(self, identity: bytes, request_id: int) -> None:
        """A request of ten bytes, answered with what is known of every node: only so many a turn."""
        self._greeted += 1
        if self._greeted > GREETINGS_A_TURN_MAX:
            self._answer(identity, refusal(request_id, Code.BUSY))
        else:
            self._answer(identity, (request_id, Code.OK, 0, self._hello(self._state)))

    def _on_read(self, identity: bytes, request: Request) -> None:
        local = is_stale(request)
        places = places_of(request)
        if places > READ_PLACES_EACH_MAX:
            self._answer(identity, refusal(request[0], Code.INVALID, "a key that is too long"))
        elif self._read_places + places > READ_PLACES_MAX:
            self._answer(identity, refusal(request[0], Code.BUSY))
        elif local:
            self._read_places += places
            self._local_reads.append((identity, request))
        elif self._leaving:
            self._answer(identity, refusal(request[0], Code.NO_LEADER))
        else:
            self._read_places += places
            self._reads.append((identity, request))

    def _admit(
        self, identity: bytes, request_id: int, client_id: int, sequence: int, command: bytes
    ) -> Code | None:
        """Hold a write, or say why not."""
        if self._leaving:
            return Code.NO_LEADER
        if self._state.leader_id is None:
            return Code.NO_SPACE if self._full else Code.NO_LEADER
        if self._full and self._state.role is Role.LEADER:
            return Code.NO_SPACE
        if len(command) > REQUEST_BYTES_MAX:
            return Code.INVALID
        key = client_id * self._salt + sequence
        known = self._pending.get(key)
        if known is None:
            if (
                len(self._pending) >= self._limits.pending_writes_max
                or self._pending_bytes + len(command) > self._limits.pending_bytes_max
            ):
                return Code.BUSY
            if len(self._pending) >= self._scarce and not _names(command, client_id, sequence):
                return Code.INVALID  # nobody would ever be answered, and the place be taken until it is old
            self._pending_bytes += len(command)
            self._pending[key] = (identity, request_id, self._context.now(), len(command))
        else:
            # The client asks again for what we already wait for.
            self._pending[key] = (identity, request_id, *known[2:])
            if self._state.role is Role.LEADER:
                return None  # it is in our log: to append it again, because we are slow, would make us slower
            # Forwarding it twice is harmless, and the first copy may have been lost on its way.
        self._keys.append(key)
        self._commands.append(command)
        return None

    def _propose(self, keys: list[RequestKey], commands: list[bytes]) -> None:
        if self._state.role is Role.LEADER:
            self._context.send("raft", Propose(keys, commands))
            return
        leader_id = self._state.leader_id
        assert leader_id is not None, "writes are admitted only while a leader is known"
        self._context.send("peers", SendForward(leader_id, commands))

    # -- answers

    def _on_applied(self, results: list[Applied]) -> None:
        pending, outbox, salt = self._pending, self._outbox, self._salt
        if not pending:
            return
        answered = 0
        arrival = now = self._context.now()
        for client_id, sequence, answer in results:
            held = pending.pop(client_id * salt + sequence, None)
            if held is None:
                continue
            identity, request_id, arrival, size = held
            self._pending_bytes -= size
            answered += 1
            replies = outbox.get(identity)
            if replies is None:
                outbox[identity] = replies = []
            replies.append((request_id, *answer))
            if answer[2]:
                self._owe(identity, weight(answer[2]))
        if answered:
            # One sample a batch: its members waited for the same sync and the same round.
            self.writes.record(now, now - arrival, answered)

    def _on_read_index(self, message: ReadIndexReady) -> None:
        requests = self._reads_asked.pop(message.context, None)
        if requests is None:
            return
        if message.read_index is None:
            for identity, request in requests:
                self._read_places -= places_of(request)
                self._answer(identity, refusal(request[0], Code.NO_LEADER))
        else:
            self._context.send("store", Read(message.read_index, requests))

    def _on_served(self, message: ReadServed) -> None:
        self._read_places -= message.places
        outbox, owed = self._outbox, self._owed
        for identity, served, size in message.replies:  # by tens of thousands a second
            replies = outbox.get(identity)
            if replies is None:
                outbox[identity] = replies = []
            replies.append(served)
            if size:
                owed[identity] = size = size + owed.get(identity, 0)
                if size >= RESPONSE_BYTES_SOFT_MAX:
                    self._flush(identity)

    def _on_soft_state(self, state: SoftState) -> None:
        before, self._state = self._state, state
        if (before.leader_id, before.current_term) != (state.leader_id, state.current_term):
            self._release(list(self._pending), Code.LEADER_CHANGED)

    def _release_old(self) -> None:
        """What has waited this long is not coming: its copy to the leader was lost, or its bytes name
        another request than the frame around them said."""
        self._context.set_timer("gateway", PENDING_SECONDS / 2, Tick())
        leads = self._state.role is Role.LEADER
        oldest = self._context.now() - (LOGGED_SECONDS if leads else PENDING_SECONDS)
        old = [key for key, held in takewhile(lambda item: item[1][2] <= oldest, self._pending.items())]
        self._release(old, Code.LEADER_CHANGED)

    def _release(self, keys: Iterable[RequestKey], code: Code) -> None:
        for key in keys:
            held = self._pending.pop(key, None)
            if held is not None:
                self._pending_bytes -= held[3]
                self._answer(held[0], refusal(held[1], code))

    def _answer(self, identity: bytes, answer: Reply) -> None:
        self._outbox.setdefault(identity, []).append(answer)


def _names(command: bytes, client_id: int, sequence: int) -> bool:
    """Whether the command is of that client and sequence, as the frame around it says. To look takes as long
    as to admit it, so it is done only where places are scarce."""
    try:
        fields = decode_flat(command)
    except ValueError:
        return False
    return bool(fields[0] == client_id and fields[2] == sequence)
