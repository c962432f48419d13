"""The operator's door, apart from the clients': status, and breaking things where that is allowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from raftkv.actors import log_reader
from raftkv.actors.messages import (
    Campaign,
    ChangeMembers,
    ClearAlarms,
    Frames,
    MembersChanging,
    Rejected,
    SetClockRate,
    SetDiskFault,
    SetLinkFault,
    Stop,
    TransferLeadership,
)
from raftkv.actors.snapshot_messages import (
    ChunkFetched,
    FetchChunk,
    SnapshotWanted,
)
from raftkv.actors.status import StatusActor
from raftkv.actors.system import Context, Port
from raftkv.config import ENDPOINTS, is_endpoint, is_name, no_endpoint
from raftkv.errors import WireError, shown
from raftkv.observe import DiskFault, LinkFault
from raftkv.raft import AddLearner, Change, Part, Promote, RaftLog, Remove, Replace, Role, SnapshotMark
from raftkv.types import NodeId
from raftkv.wire.control import (
    FAULT_SECONDS_MAX,
    FORBIDDEN,
    ControlRequest,
    ControlResponse,
    decode_request,
    encode_response,
)

DELAY_MS_MAX = 60_000
CLOCK_RATE_MAX = 10.0
INDEX_MAX = (1 << 63) - 1


class _Refused(Exception):
    """One line for the operator."""

    @property
    def body(self) -> Any:
        return str(self)


class _Forbidden(_Refused):
    """Not this, whoever asks and however: the node's file does not allow it."""

    @property
    def body(self) -> Any:
        return {FORBIDDEN: str(self)}


class ControlActor:
    def __init__(
        self,
        context: Context,
        port: Port,
        peers: Callable[[], tuple[NodeId, ...]],
        chaos: bool,
        status: StatusActor,
        mark: Callable[[], SnapshotMark | None],
        log: RaftLog,
    ) -> None:
        """``mark`` is that of the snapshot on disk; ``log`` is only read."""
        self._context = context
        self._port = port
        self._peers = peers
        self._chaos = chaos
        self._status = status
        self._mark = mark
        self._log = log

    def handle(self, message: Any) -> None:
        if isinstance(message, MembersChanging):
            self._on_members_changing(message)
            return
        if isinstance(message, ChunkFetched):
            fetch = message.fetch
            self._respond(fetch.identity, ControlResponse(fetch.request_id, True, message.data))
            return
        assert isinstance(message, Frames), f"control got {message}"
        for frame in message.frames:
            try:
                if len(frame) != 2:
                    raise WireError(f"a frame of {len(frame)} parts, not 2")
                request = decode_request(frame[1])
            except WireError as error:
                self._context.send("status", Rejected("control", str(error)))
                continue
            try:
                if request.verb in ("snapshot_chunk", "change_members"):
                    self._pass_on(frame[0], request)
                    continue
                response = ControlResponse(request.request_id, True, self._do(request))
            except _Refused as error:
                response = ControlResponse(request.request_id, False, error.body)
            self._respond(frame[0], response)

    def _respond(self, identity: bytes, response: ControlResponse) -> None:
        self._port.send((identity, encode_response(response)))

    def _pass_on(self, identity: bytes, request: ControlRequest) -> None:
        """What another actor answers."""
        if request.verb == "snapshot_chunk":
            self._fetch(identity, request)
        else:
            change = _change(request.arguments)
            self._context.send("raft", ChangeMembers(identity, request.request_id, change))

    def _on_members_changing(self, message: MembersChanging) -> None:
        request, refused = message.request, message.refused
        body = {"refused": refused.value if refused else None, "index": message.index}
        self._respond(request.identity, ControlResponse(request.request_id, True, body))

    def _fetch(self, identity: bytes, request: ControlRequest) -> None:
        """Answered when it has been read; None when that snapshot is not here any more."""
        number = request.arguments.get("number")
        mark = self._mark()
        if type(number) is not int or number < 0:
            raise _Refused(f"number: expected that of a chunk, found {shown(number)}")
        if mark is None or mark.id != request.arguments.get("id"):
            self._respond(identity, ControlResponse(request.request_id, True, None))
            return
        self._context.send("storage", FetchChunk(identity, request.request_id, mark, number))

    def _do(self, request: ControlRequest) -> Any:
        match request.verb:
            case "ping":
                return None
            case "status":
                return asdict(self._status.snapshot())
            case "events":
                return self._status.kept()
            case "stop":
                self._context.send("node", Stop("asked to stop"))
                return None
            case "clear_alarms":
                self._context.send("audit", ClearAlarms())
                return None
            case "snapshot":
                self._context.send("raft", SnapshotWanted())
                return None
            case "snapshot_mark":
                mark = self._mark()
                return mark._asdict() if mark else None
            case "transfer":
                return self._transfer(request.arguments)
            case "log":
                first, count = _count(request.arguments, "first"), _count(request.arguments, "count")
                return log_reader.read(self._log, first, count)
            case "search":
                text = request.arguments.get("text")
                if not isinstance(text, str) or not text:
                    raise _Refused(f"text: expected some to look for, found {shown(text)}")
                return log_reader.search(self._log, text, _count(request.arguments, "first"))
        if not self._chaos:
            raise _Forbidden(
                "this node accepts no chaos; set chaos = true in the [cluster] table of its cluster.toml"
            )
        match request.verb:
            case "link":
                return self._set_link(request.arguments)
            case "heal":
                for peer in self._peers():
                    self._context.send("peers", SetLinkFault(peer, None, None))
                self._context.send("faults", SetDiskFault(None))
                self._context.send("faults", SetClockRate(1.0))
                return None
            case "disk":
                return self._set_disk(request.arguments)
            case "clock":
                return self._set_clock_rate(request.arguments)
            case "campaign":
                self._context.send("raft", Campaign())
                return None
        raise _Refused(f"unknown verb {shown(request.verb)}")

    def _transfer(self, arguments: dict[str, Any]) -> None:
        to = self._peer(arguments.get("to"))
        view = self._status.snapshot()
        if view.role != Role.LEADER.value:
            raise _Refused(f"{view.name} does not lead; ask {view.leader or 'again, nobody does'}")
        part = next((member.part for member in view.members if member.name == to), "no member")
        if part not in (Part.VOTER.value, Part.INCOMING.value):
            raise _Refused(f"{to} cannot lead: it is {'a learner' if part == 'learner' else part}")
        if not any(peer.active for peer in view.peers if peer.name == to):
            raise _Refused(f"{to} cannot take over: {view.name} has not heard it lately")
        self._context.send("raft", TransferLeadership(to))

    def _peer(self, name: Any) -> NodeId:
        peers = self._peers()
        if not isinstance(name, str) or name not in peers:
            raise _Refused(f"no peer named {shown(name)}; peers are {', '.join(peers)}")
        return NodeId(name)

    def _set_link(self, arguments: dict[str, Any]) -> None:
        to = self._peer(arguments.get("to"))
        fault = LinkFault(
            block=arguments.get("block") is True,
            drop=_number(arguments, "drop", 1),
            delay_ms=_number(arguments, "delay_ms", DELAY_MS_MAX),
            jitter_ms=_number(arguments, "jitter_ms", DELAY_MS_MAX),
            duplicate=_number(arguments, "duplicate", 1),
            reorder=_number(arguments, "reorder", 1),
        )
        harmless = fault == LinkFault()
        seconds = _lifetime(arguments)
        self._context.send("peers", SetLinkFault(to, None if harmless else fault, seconds))

    def _set_disk(self, arguments: dict[str, Any]) -> None:
        fault = DiskFault(
            slow_ms=_number(arguments, "slow_ms", DELAY_MS_MAX),
            full=arguments.get("full") is True,
            fail=arguments.get("fail") is True,
        )
        harmless = fault == DiskFault()
        self._context.send("faults", SetDiskFault(None if harmless else fault, _lifetime(arguments)))

    def _set_clock_rate(self, arguments: dict[str, Any]) -> None:
        rate = _number(arguments, "rate", CLOCK_RATE_MAX)
        if rate < 1 / CLOCK_RATE_MAX:
            raise _Refused(f"rate: expected {1 / CLOCK_RATE_MAX:g} to {CLOCK_RATE_MAX:g}, found {rate:g}")
        self._context.send("faults", SetClockRate(rate, _lifetime(arguments)))


def _lifetime(arguments: dict[str, Any]) -> float | None:
    """Of a fault, in seconds; None: until healed."""
    if arguments.get("seconds") is None:
        return None
    return _number(arguments, "seconds", FAULT_SECONDS_MAX)


def _number(arguments: dict[str, Any], name: str, maximum: float) -> float:
    value = arguments.get(name, 0)
    if type(value) not in (int, float) or not 0 <= value <= maximum:
        raise _Refused(f"{name}: expected a number from 0 to {maximum:g}, found {shown(value)}")
    return float(value)


def _count(arguments: dict[str, Any], name: str) -> int:
    value = arguments.get(name)
    if type(value) is not int or not 0 <= value <= INDEX_MAX:
        raise _Refused(f"{name}: expected a whole number from 0, found {shown(value)}")
    return value


def _change(arguments: dict[str, Any]) -> Change:
    name = _name(arguments, "name")
    match arguments.get("change"):
        case "add":
            address = arguments.get("address")
            if not isinstance(address, tuple | list) or len(address) != ENDPOINTS:
                raise _Refused(f"address: expected {ENDPOINTS} endpoints, found {shown(address)}")
            for endpoint in address:
                if not isinstance(endpoint, str) or not is_endpoint(endpoint):
                    raise _Refused(no_endpoint(endpoint))
            return AddLearner(name, tuple(address))
        case "promote":
            return Promote(name)
        case "remove":
            return Remove(name)
        case "replace":
            return Replace(name, _name(arguments, "new"))
        case other:
            raise _Refused(f"change: expected add, promote, remove or replace, found {shown(other)}")


def _name(arguments: dict[str, Any], key: str) -> NodeId:
    name = arguments.get(key)
    if not isinstance(name, str) or not is_name(name):
        raise _Refused(f"{key}: expected a node's name, found {shown(name)}")
    return NodeId(name)
