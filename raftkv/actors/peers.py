"""Frames from and to other nodes: one ROUTER bound, one DEALER to each peer, and the faults of each
outgoing link. All messages of a turn to one peer leave in one frame.

A frame is dropped, counted and said to ``status`` when it cannot be decoded, belongs to another
cluster, is meant for another node, or stems from an earlier life of its sender (PITFALLS 40).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from raftkv.actors.messages import (
    Frames,
    Note,
    PeerDigest,
    Propose,
    Rejected,
    Send,
    SendDigest,
    SendForward,
    SetLinkFault,
    Step,
)
from raftkv.actors.system import Context, Port
from raftkv.errors import WireError
from raftkv.observe import LinkFault, LinkSnapshot, events
from raftkv.raft.log import size_of
from raftkv.raft.messages import AppendEntries, InstallSnapshot, Message
from raftkv.types import NodeId
from raftkv.wire import peer as wire
from raftkv.wire.peer import Forward, Item, StateDigest

DELAYED_FRAMES_MAX = 4096
"""Over all links; beyond, a delayed link loses frames as a full router would."""
BOOTS_REMEMBERED = 16
"""Earlier lives of a peer whose stray frames are recognised."""
STRAY_SECONDS = 0.5
"""A peer silent for so long is taken for whoever speaks in its name next. Strays are milliseconds
old; but one that comes before anything else makes the living peer look like the earlier one."""

FORWARD_BYTES_MAX = 1 << 20
FRAME_BYTES_SOFT_MAX = 4 << 20
"""A frame is closed once it holds this much; one item more still fits below the hard limit."""


class Link:
    """The way to one peer."""

    __slots__ = ("dropped", "expires", "fault", "generation", "port", "sent")

    def __init__(self, port: Port) -> None:
        self.port = port
        self.fault: LinkFault | None = None
        self.expires: float | None = None
        self.generation = 0
        self.sent = 0
        self.dropped = 0


@dataclass(frozen=True, slots=True)
class _Delayed:
    to: NodeId
    frame: bytes


@dataclass(frozen=True, slots=True)
class _Expired:
    to: NodeId
    generation: int


class PeersActor:
    def __init__(
        self,
        context: Context,
        node_id: NodeId,
        cluster: str,
        boot: int,
        ports: Mapping[NodeId, Port],
    ) -> None:
        self._context = context
        self._node_id = node_id
        self._cluster = cluster
        self._boot = boot
        self._links = {name: Link(port) for name, port in ports.items()}
        self._outbox: dict[NodeId, list[Item]] = {name: [] for name in ports}
        self._delayed = 0
        self._boots: dict[NodeId, int] = {}
        self._heard_at: dict[NodeId, float] = {}
        self._old_boots: dict[NodeId, deque[int]] = {name: deque(maxlen=BOOTS_REMEMBERED) for name in ports}

    def handle(self, message: Any) -> None:
        match message:
            case Frames():
                self._on_frames(message)
            case Send():
                for inner in message.messages:
                    if inner.to in self._outbox:
                        self._outbox[inner.to].append(inner)
            case SendForward():
                self._on_send_forward(message)
            case SendDigest():
                for items in self._outbox.values():
                    items.append(StateDigest(message.index, message.digest))
            case _Delayed():
                self._delayed -= 1
                self._transmit(message.to, message.frame)
            case SetLinkFault():
                self._set_fault(message)
            case _Expired():
                if self._links[message.to].generation == message.generation:
                    self._heal(message.to, expired=True)
            case _:
                raise AssertionError(f"peers got {message}")

    def end_of_turn(self) -> None:
        for name, items in self._outbox.items():
            # Several frames only where a turn has much to say: each stays far below the limit of
            # one frame, and a fault hits them one by one.
            while items:
                part, self._outbox[name] = _split(items)
                self._send_frame(name, wire.encode(self._cluster, self._node_id, name, self._boot, part))
                items = self._outbox[name]

    def links(self) -> tuple[LinkSnapshot, ...]:
        now = self._context.now()
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
        for frame in message.frames:
            try:
                decoded = wire.decode(frame[-1])
                self._check(decoded)
            except WireError as error:
                self._context.send("status", Rejected("peer", str(error)))
                continue
            for item in decoded.items:
                if isinstance(item, Forward):
                    commands += item.commands
                elif isinstance(item, StateDigest):
                    self._context.send("audit", PeerDigest(decoded.sender, item.index, item.digest))
                else:
                    messages.append(item)
        if messages:
            self._context.send("raft", Step(messages))
        if commands:
            self._context.send("raft", Propose((), commands))

    def _check(self, frame: wire.PeerFrame) -> None:
        if frame.cluster != self._cluster:
            raise WireError(f"a frame of cluster {frame.cluster[:64]!r}")
        if frame.to != self._node_id:
            raise WireError(f"a frame for node {frame.to[:64]!r}")
        if frame.sender not in self._links:
            raise WireError(f"a frame of unknown node {frame.sender[:64]!r}")
        known, now = self._boots.get(frame.sender), self._context.now()
        if frame.boot != known:
            silent = now - self._heard_at.get(frame.sender, now)
            if frame.boot in self._old_boots[frame.sender] and silent < STRAY_SECONDS:
                raise WireError(f"a frame of an earlier life of {frame.sender}")
            if known is not None:
                self._old_boots[frame.sender].append(known)
            self._boots[frame.sender] = frame.boot
        self._heard_at[frame.sender] = now

    # -- outgoing

    def _on_send_forward(self, message: SendForward) -> None:
        """In items small enough that a heartbeat never waits long behind one on the link."""
        part: list[bytes] = []
        size = 0
        for command in message.commands:
            if part and size + len(command) > FORWARD_BYTES_MAX:
                self._outbox[message.to].append(Forward(tuple(part)))
                part, size = [], 0
            part.append(command)
            size += len(command)
        self._outbox[message.to].append(Forward(tuple(part)))

    def _send_frame(self, to: NodeId, frame: bytes) -> None:
        link = self._links[to]
        fault = link.fault
        if fault is None:
            self._transmit(to, frame)
            return
        lost = fault.block or (fault.drop and self._context.random.random() < fault.drop)
        if lost or (fault.delay_ms and self._delayed >= DELAYED_FRAMES_MAX):
            link.dropped += 1
        elif fault.delay_ms:
            jitter = fault.jitter_ms * (2 * self._context.random.random() - 1)
            self._delayed += 1
            delay = max(0.0, fault.delay_ms + jitter) / 1000
            self._context.set_timer("peers", delay, _Delayed(to, frame))
        else:
            self._transmit(to, frame)

    def _transmit(self, to: NodeId, frame: bytes) -> None:
        link = self._links[to]
        if link.port.send((frame,)):
            link.sent += 1
        else:
            link.dropped += 1

    # -- faults

    def _set_fault(self, message: SetLinkFault) -> None:
        link = self._links[message.to]
        if message.fault is None:
            if link.fault is not None:
                self._heal(message.to, expired=False)
            return
        link.fault = message.fault
        link.generation += 1
        link.expires = None
        if message.seconds is not None:
            link.expires = self._context.now() + message.seconds
            self._context.set_timer("peers", message.seconds, _Expired(message.to, link.generation))
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
        if isinstance(item, AppendEntries):
            size += size_of(item.entries)
        elif isinstance(item, InstallSnapshot):
            size += len(item.data)
        elif isinstance(item, Forward):
            size += sum(map(len, item.commands))
        if size > FRAME_BYTES_SOFT_MAX:
            return items[:count], items[count:]
    return items, []
