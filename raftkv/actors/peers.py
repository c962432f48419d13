"""Frames from and to other nodes: one ROUTER bound, one DEALER to each peer, and the faults of each
outgoing link. All messages of a turn to one peer leave in one frame, but for what has waited for the disk.

A frame is dropped, counted and said to ``status`` when it cannot be decoded or must not count (``roster``).
Every second a node tells each peer where it is reached; so a node that moved, or one that the receiver's
configuration does not know yet, can be answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from raftkv.actors.link import Link
from raftkv.actors.messages import (
    BegunAnew,
    Expelled,
    Frames,
    MembershipChanged,
    Met,
    Note,
    PeerDigest,
    PeerLapsed,
    Propose,
    Rejected,
    Send,
    SendDigest,
    SendForward,
    SendLapsed,
    SetLinkFault,
    Step,
)
from raftkv.actors.roster import Roster
from raftkv.actors.system import Context, Port
from raftkv.config import ClusterConfig, NodeConfig
from raftkv.errors import WireError
from raftkv.observe import LinkFault, LinkSnapshot, events
from raftkv.raft.log import size_of
from raftkv.raft.messages import AppendEntries, Heartbeat, InstallSnapshot, Message
from raftkv.types import LogIndex, NodeId
from raftkv.wire import peer as wire
from raftkv.wire.peer import Disowned, Forward, Introduction, Item, Lapsed, StateDigest

DELAYED_FRAMES_MAX = 4096
"""Over all links; beyond, what is to be held back is lost, as in a full router."""
REORDER_SECONDS_MAX = 0.1
"""How long a frame is held back for later ones to overtake it: up to two heartbeats, so that it happens on a
quiet link too, and far less than an election timeout."""
LINKS_MAX = 32
INTRODUCTION_SECONDS = 1.0
DISOWN_SECONDS = 1.0
"""Between two words to somebody who is no member."""
FORWARD_BYTES_MAX = 1 << 20
ITEM_BYTES = 64
"""What the least of them takes in a frame."""
FRAME_BYTES_SOFT_MAX = 4 << 20
"""A frame is closed once it holds this much; one item more still fits below the hard limit."""


@dataclass(frozen=True, slots=True)
class _Delayed:
    to: NodeId
    frame: bytes
    urgent: bool


@dataclass(frozen=True, slots=True)
class _Expired:
    to: NodeId
    generation: int


class PeersActor:
    def __init__(
        self,
        context: Context,
        config: ClusterConfig,
        me: NodeConfig,
        incarnation: str,
        boot: int,
        connect: Callable[[NodeId, str, bool], Port],
    ) -> None:
        """``connect`` opens the way to a peer's endpoint, or a second one beside it (True)."""
        self._context = context
        self._node_id = me.name
        self._cluster = config.name
        self._introduction = Introduction(me.endpoints(), me.priority)
        self._boot = boot
        self._connect = connect
        listed = {node.name: node.peer for node in config.nodes if node.name != me.name}
        self._roster = Roster(me.name, config.name, incarnation, listed)
        self._links: dict[NodeId, Link] = {}
        self._delayed = 0
        self._open_links()

    def handle(self, message: Any) -> None:
        match message:
            case Frames():
                self._on_frames(message)
            case Send():
                links = self._links
                for inner in message.messages:
                    if inner.to in links:
                        links[inner.to].outbox.append(inner)
                if message.at_once:
                    self._empty_outboxes()
            case SendForward():
                self._on_send_forward(message)
            case SendLapsed():
                link = self._links.get(message.to)
                if link:
                    link.outbox.append(Lapsed(message.term, message.lapses))
            case SendDigest():
                for name in self._roster.members():
                    if name in self._links:
                        self._links[name].outbox.append(StateDigest(message.index, message.digest))
            case MembershipChanged():
                self._roster.update(message.membership)
                self._open_links()
            case _Delayed():
                self._delayed -= 1
                self._transmit(message.to, message.frame, message.urgent)
            case SetLinkFault():
                self._set_fault(message)
            case _Expired():
                link = self._links.get(message.to)
                if link and link.generation == message.generation:
                    self._heal(message.to, expired=True)
            case _:
                raise AssertionError(f"peers got {message}")

    def end_of_turn(self) -> None:
        for name in self._roster.visits_over(self._context.now()):
            self._open_link(name)
        self._empty_outboxes()

    def _empty_outboxes(self) -> None:
        me, incarnation, now = self._node_id, self._roster.incarnation, self._context.now()
        for name, link in self._links.items():
            if link.outbox and now - link.introduced_at >= INTRODUCTION_SECONDS:
                link.introduced_at = now
                link.outbox.insert(0, self._introduction)
            if link.outbox:
                hears = self._roster.boot_of(name)
                urgent = link.take_urgent(now)
                if urgent:
                    frame = wire.encode(self._cluster, me, incarnation, name, self._boot, urgent, hears)
                    self._send_frame(name, frame, urgent=True)
            # Several frames only where a turn has much to say: each stays far below the limit of
            # one frame, and a fault hits them one by one.
            while link.outbox:
                part, link.outbox = _split(link.outbox)
                frame = wire.encode(self._cluster, me, incarnation, name, self._boot, part, hears)
                self._send_frame(name, frame)

    def names(self) -> tuple[NodeId, ...]:
        """Of all peers that there is a way to."""
        return tuple(self._links)

    def _open_links(self) -> None:
        for name in self._roster.names():
            self._open_link(name)

    def _open_link(self, name: NodeId) -> Link | None:
        """The way to ``name``, where it is reached now; None when that is unknown."""
        link, endpoint = self._links.get(name), self._roster.endpoint(name)
        if endpoint is None or (link and link.endpoint == endpoint):
            return link
        for gone in [peer for peer, other in self._links.items() if other.endpoint == endpoint]:
            self._links.pop(gone).close()  # whoever was there before
        if link:
            link.move(endpoint, partial(self._connect, name, endpoint))
        else:
            if len(self._links) >= LINKS_MAX and not self._close_needless():
                return None
            link = self._links[name] = Link(endpoint, partial(self._connect, name, endpoint))
        return link

    def _close_needless(self) -> bool:
        """One of those to nodes that are no members."""
        needed = self._roster.names()
        for name, link in self._links.items():
            if name not in needed:
                link.close()
                del self._links[name]
                return True
        return False

    def links(self) -> tuple[LinkSnapshot, ...]:
        now = self._context.true_now()
        return tuple(
            LinkSnapshot(
                name,
                link.fault,
                None if link.expires is None else round(max(0.0, link.expires - now), 1),
                link.sent,
                link.dropped,
            )
            for name, link in self._links.items()
        )

    # -- incoming

    def _on_frames(self, message: Frames) -> None:
        messages: list[Message] = []
        commands: list[bytes] = []
        forwarded_by: list[NodeId] = []
        for frame in message.frames:
            try:
                decoded = wire.decode(frame[-1])
                self._disown(decoded)
                self._roster.check(decoded, self._context.now())
            except WireError as error:
                self._context.send("status", Rejected("peer", str(error)))
                continue
            lived = self._roster.boot_of(decoded.sender)
            items = self._roster.countable(decoded)
            if lived not in (0, self._roster.boot_of(decoded.sender)):
                self._context.send("raft", BegunAnew(decoded.sender))
            if decoded.hears != self._boot:
                _take_back(items)
            if len(items) < len(decoded.items):
                cause = f"answers of {decoded.sender[:64]!r} from another data folder"
                self._context.send("status", Rejected("peer", cause))
            for item in items:
                if isinstance(item, Forward):
                    commands += item.commands
                    forwarded_by.append(decoded.sender)
                elif isinstance(item, Message):
                    messages.append(item)
                else:
                    self._on_other(decoded, item)
        if messages:
            self._context.send("raft", Step(messages))
        if commands:
            self._context.send("raft", Propose((), commands, forwarded_by))

    def _on_other(self, frame: wire.PeerFrame, item: StateDigest | Introduction | Disowned | Lapsed) -> None:
        match item:
            case Lapsed():
                self._context.send("leases", PeerLapsed(frame.sender, item.term, item.lapses))
            case StateDigest():
                self._context.send("audit", PeerDigest(frame.sender, item.index, item.digest))
            case Introduction():
                self._roster.introduce(frame.sender, frame.incarnation, item.address[0], self._context.now())
                self._open_link(frame.sender)
                self._context.send("raft", Met(frame.sender, frame.incarnation, item.address, item.priority))
            case Disowned():
                if self._roster.is_meant(item):
                    vouched = self._roster.vouches(frame, item)
                    self._context.send("node", Expelled(frame.sender, item.known, item.index, vouched))

    def _disown(self, frame: wire.PeerFrame) -> None:
        """Whoever is no member has to be told, or it would wait, or campaign, for ever."""
        disowned = self._roster.disowned(frame) if frame.cluster == self._cluster else None
        link = self._links.get(frame.sender)
        if disowned is None or link is None:
            return
        now = self._context.now()
        if now - link.disowned_at >= DISOWN_SECONDS:
            link.disowned_at = now
            link.outbox.append(disowned)

    # -- outgoing

    def _on_send_forward(self, message: SendForward) -> None:
        """In items of bounded size: a frame is closed between two."""
        link = self._links.get(message.to)
        if link is None:
            return  # its client asks again
        part: list[bytes] = []
        size = 0
        for command in message.commands:
            if part and size + len(command) > FORWARD_BYTES_MAX:
                link.outbox.append(Forward(tuple(part)))
                part, size = [], 0
            part.append(command)
            size += len(command)
        link.outbox.append(Forward(tuple(part)))

    def _send_frame(self, to: NodeId, frame: bytes, urgent: bool = False) -> None:
        link = self._links[to]
        fault = link.fault
        if fault is None:
            self._transmit(to, frame, urgent)
            return
        chance = self._context.random.random
        if fault.block or (fault.drop and chance() < fault.drop):
            link.dropped += 1
            return
        self._send_through(fault, to, frame, urgent)
        if fault.duplicate and chance() < fault.duplicate:
            self._send_through(fault, to, frame, urgent)

    def _send_through(self, fault: LinkFault, to: NodeId, frame: bytes, urgent: bool) -> None:
        """One copy, held back as the fault says."""
        chance = self._context.random.random
        delay = 0.0
        if fault.delay_ms:
            delay = max(0.0, fault.delay_ms + fault.jitter_ms * (2 * chance() - 1)) / 1000
        held_back = fault.delay_ms > 0
        if fault.reorder and chance() < fault.reorder:
            held_back, delay = True, delay + chance() * REORDER_SECONDS_MAX
        if not held_back:
            self._transmit(to, frame, urgent)
        elif self._delayed >= DELAYED_FRAMES_MAX:
            self._links[to].dropped += 1
        else:
            self._delayed += 1
            self._context.set_timer("peers", delay, _Delayed(to, frame, urgent))

    def _transmit(self, to: NodeId, frame: bytes, urgent: bool) -> None:
        link = self._links.get(to)
        if link is None:
            return  # a frame that was held up, to somebody who is gone
        if link.send(frame, urgent, self._context.now()):
            link.sent += 1
        else:
            link.dropped += 1

    # -- faults

    def _set_fault(self, message: SetLinkFault) -> None:
        link = self._links.get(message.to)
        if link is None:
            return
        if message.fault is None:
            if link.fault is not None:
                self._heal(message.to, expired=False)
            return
        link.fault = message.fault
        link.generation += 1
        link.expires = None
        if message.seconds is not None:
            link.expires = self._context.true_now() + message.seconds
            self._context.set_true_timer("peers", message.seconds, _Expired(message.to, link.generation))
        fields = {"to": message.to, **asdict(message.fault), "seconds": message.seconds}
        self._context.send("status", Note(events.LINK_FAULT_SET, fields))

    def _heal(self, to: NodeId, expired: bool) -> None:
        link = self._links[to]
        link.fault = link.expires = None
        link.generation += 1
        self._context.send("status", Note(events.LINK_HEALED, {"to": to, "expired": expired}))


def _split(items: list[Item]) -> tuple[list[Item], list[Item]]:
    """What goes into the next frame, and the rest."""
    if len(items) == 1:
        return items, []
    size = 0
    for count, item in enumerate(items, start=1):
        size += ITEM_BYTES
        if isinstance(item, AppendEntries):
            size += size_of(item.entries)
        elif isinstance(item, InstallSnapshot):
            size += len(item.data)
        elif isinstance(item, Forward):
            size += sum(map(len, item.commands))
        if size > FRAME_BYTES_SOFT_MAX:
            return items[:count], items[count:]
    return items, []


def _take_back(items: list[Item]) -> None:
    """Whoever has not heard this life yet cannot know what it holds: its heartbeats may be of a time before,
    perhaps of another folder under this name, and were held up on their way."""
    for item in items:
        if isinstance(item, Heartbeat):
            item.leader_commit = LogIndex(0)  # it was decoded for this node alone: nobody else holds it
