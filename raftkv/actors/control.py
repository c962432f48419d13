"""The operator's door, apart from the clients': status, and breaking things where that is allowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

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


class _Asked(NamedTuple):
    """Whom to answer, and what was asked beside the verb."""

    identity: bytes
    request_id: int
    arguments: dict[str, Any]


_LATER = object()
"""Another actor has to do it first."""


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
        match message:
            case Frames():
                for frame in message.frames:
                    self._on_frame(frame)
            case MembersChanging(request=asked, refused=refused):
                body = {"refused": refused.value if refused else None, "index": message.index}
                self._respond(asked.identity, ControlResponse(asked.request_id, True, body))
            case ChunkFetched(fetch=asked):
                self._respond(asked.identity, ControlResponse(asked.request_id, True, message.data))
            case _:
                raise AssertionError(f"control got {message}")

    def _on_frame(self, frame: list[bytes]) -> None:
        try:
            if len(frame) != 2:
                raise WireError(f"a frame of {len(frame)} parts, not 2")
            request = decode_request(frame[1])
        except WireError as error:
            self._context.send("status", Rejected("control", str(error)))
            return
        asked = _Asked(frame[0], request.request_id, request.arguments)
        try:
            body = self._verb(request.verb)(self, asked)
        except _Refused as error:
            self._respond(asked.identity, ControlResponse(asked.request_id, False, error.body))
        else:
            if body is not _LATER:
                self._respond(asked.identity, ControlResponse(asked.request_id, True, body))

    def _verb(self, name: str) -> Verb:
        verb = _VERBS.get(name)
        if verb is None:
            raise _Refused(f"unknown verb {shown(name)}")
        if name in _CHAOS_VERBS and not self._chaos:
            raise _Forbidden(
                "this node accepts no chaos; set chaos = true in the [cluster] table of its cluster.toml"
            )
        return verb

    def _respond(self, identity: bytes, response: ControlResponse) -> None:
        self._port.send((identity, encode_response(response)))

    # -- looking

    def _ping(self, _: _Asked) -> None:
        """That it answers says all."""

    def _show_status(self, _: _Asked) -> dict[str, Any]:
        return asdict(self._status.snapshot())

    def _show_events(self, _: _Asked) -> list[dict[str, Any]]:
        return self._status.kept()

    def _show_log(self, asked: _Asked) -> dict[str, Any]:
        first, count = _count(asked.arguments, "first"), _count(asked.arguments, "count")
        return log_reader.read(self._log, first, count)

    def _search(self, asked: _Asked) -> dict[str, Any]:
        text = asked.arguments.get("text")
        if not isinstance(text, str) or not text:
            raise _Refused(f"text: expected some to look for, found {shown(text)}")
        return log_reader.search(self._log, text, _count(asked.arguments, "first"))

    def _show_mark(self, _: _Asked) -> dict[str, Any] | None:
        mark = self._mark()
        return mark._asdict() if mark else None

    def _fetch_chunk(self, asked: _Asked) -> Any:
        """Answered when it has been read; None when that snapshot is not here any more."""
        number = asked.arguments.get("number")
        mark = self._mark()
        if type(number) is not int or number < 0:
            raise _Refused(f"number: expected that of a chunk, found {shown(number)}")
        if mark is None or mark.id != asked.arguments.get("id"):
            return None
        self._context.send("storage", FetchChunk(asked.identity, asked.request_id, mark, number))
        return _LATER

    # -- what an operator has done

    def _stop(self, _: _Asked) -> None:
        self._context.send("node", Stop("asked to stop"))

    def _clear_alarms(self, _: _Asked) -> None:
        self._context.send("audit", ClearAlarms())

    def _take_snapshot(self, _: _Asked) -> None:
        self._context.send("raft", SnapshotWanted())

    def _change_members(self, asked: _Asked) -> Any:
        change = _change(asked.arguments)
        self._context.send("raft", ChangeMembers(asked.identity, asked.request_id, change))
        return _LATER

    def _transfer(self, asked: _Asked) -> None:
        to = self._peer(asked.arguments.get("to"))
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

    # -- what is broken on purpose

    def _campaign(self, _: _Asked) -> None:
        self._context.send("raft", Campaign())

    def _heal(self, _: _Asked) -> None:
        for peer in self._peers():
            self._context.send("peers", SetLinkFault(peer, None, None))
        self._context.send("faults", SetDiskFault(None))
        self._context.send("faults", SetClockRate(1.0))

    def _set_link(self, asked: _Asked) -> None:
        arguments = asked.arguments
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

    def _set_disk(self, asked: _Asked) -> None:
        arguments = asked.arguments
        fault = DiskFault(
            slow_ms=_number(arguments, "slow_ms", DELAY_MS_MAX),
            full=arguments.get("full") is True,
            fail=arguments.get("fail") is True,
        )
        harmless = fault == DiskFault()
        self._context.send("faults", SetDiskFault(None if harmless else fault, _lifetime(arguments)))

    def _set_clock_rate(self, asked: _Asked) -> None:
        rate = _number(asked.arguments, "rate", CLOCK_RATE_MAX)
        if rate < 1 / CLOCK_RATE_MAX:
            raise _Refused(f"rate: expected {1 / CLOCK_RATE_MAX:g} to {CLOCK_RATE_MAX:g}, found {rate:g}")
        self._context.send("faults", SetClockRate(rate, _lifetime(asked.arguments)))


Verb = Callable[[ControlActor, _Asked], Any]
"""What it returns is the answer, or ``_LATER``. Raises ``_Refused``."""

_CHAOS_VERBS: dict[str, Verb] = {
    "campaign": ControlActor._campaign,
    "clock": ControlActor._set_clock_rate,
    "disk": ControlActor._set_disk,
    "heal": ControlActor._heal,
    "link": ControlActor._set_link,
}
_VERBS: dict[str, Verb] = {
    "change_members": ControlActor._change_members,
    "clear_alarms": ControlActor._clear_alarms,
    "events": ControlActor._show_events,
    "log": ControlActor._show_log,
    "ping": ControlActor._ping,
    "search": ControlActor._search,
    "snapshot": ControlActor._take_snapshot,
    "snapshot_chunk": ControlActor._fetch_chunk,
    "snapshot_mark": ControlActor._show_mark,
    "status": ControlActor._show_status,
    "stop": ControlActor._stop,
    "transfer": ControlActor._transfer,
    **_CHAOS_VERBS,
}


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
