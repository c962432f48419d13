"""Publishes how this node stands (ten times a second) and every event as it happens.

The socket drops what nobody takes: events are numbered, and every snapshot carries the last number, so a
listener sees the gap and knows how things stand all the same. It also says who listens (``Audience``):
a snapshot that nobody asked for is not even made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from raftkv.actors.messages import Note, Rejected, Tick, Trace
from raftkv.actors.system import Context, Port
from raftkv.observe import Event, NodeSnapshot, describe, events, from_raft
from raftkv.types import NodeId
from raftkv.wire import status as wire

SNAPSHOT_SECONDS = 0.1
REJECTED_EVENT_SECONDS = 1.0
"""A flood of bad frames must not become a flood of events."""


EVENTS_KEPT = 100
"""For listeners that come later."""
FRAMES_A_TICK_MAX = 1024
"""Of listeners that come and go; more than that are looked at in the next turn."""
_COMES, _GOES = b"\1", b"\0"


class Audience:
    """Whether anybody listens to ``topic``, from what a ZeroMQ XPUB says: a byte 1 (somebody has come) or 0
    (the last one has gone) and the prefix of the topics that they want.

    Bounded: of all that a stranger may subscribe to, only prefixes of ``topic`` are kept."""

    def __init__(self, topic: bytes) -> None:
        self._topic = topic
        self._prefixes: set[bytes] = set()

    def __bool__(self) -> bool:
        return bool(self._prefixes)

    def hear(self, frame: Sequence[bytes]) -> None:
        word, prefix = frame[0][:1], frame[0][1:]
        if len(frame) != 1 or not self._topic.startswith(prefix):
            return
        if word == _COMES:
            self._prefixes.add(prefix)
        elif word == _GOES:
            self._prefixes.discard(prefix)


class StatusActor:
    def __init__(
        self,
        context: Context,
        port: Port,
        node_id: NodeId,
        snapshot: Callable[[int, int], NodeSnapshot],
        report: Callable[[str], None],
    ) -> None:
        """``snapshot`` takes (last event's number, frames rejected); ``report`` gets a line an event."""
        self._context = context
        self._port = port
        self._node_id = node_id
        self._snapshot = snapshot
        self._report = report
        self._sequence = 0
        self._rejected_at: dict[str, float] = {}
        self._audience = Audience(wire.TOPIC_SNAPSHOT)
        self._kept: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self.frames_rejected = 0
        context.set_timer("status", 0.0, Tick())  # who listens from the start sees how it begins

    def handle(self, message: Any) -> None:
        match message:
            case Trace():
                for event in message.events:
                    self._sequence += 1
                    self._publish(from_raft(self._sequence, self._context.true_now(), self._node_id, event))
            case Note():
                self._note(message.kind, message.fields)
            case Rejected():
                self._on_rejected(message)
            case Tick():
                self._tick()
            case _:
                raise AssertionError(f"status got {message}")

    def _tick(self) -> None:
        frames = self._port.receive(FRAMES_A_TICK_MAX)
        for frame in frames:
            self._audience.hear(frame)
        if len(frames) == FRAMES_A_TICK_MAX:
            self._context.set_timer("status", 0.0, Tick())
            return
        self._context.set_timer("status", SNAPSHOT_SECONDS, Tick())
        if self._audience:
            self._port.send((wire.TOPIC_SNAPSHOT, wire.encode_snapshot(self.snapshot())))

    def snapshot(self) -> NodeSnapshot:
        return self._snapshot(self._sequence, self.frames_rejected)

    def kept(self) -> list[dict[str, Any]]:
        """The last events, in order."""
        return [asdict(event) for event in self._kept]

    def _note(self, kind: str, fields: dict[str, Any]) -> None:
        self._sequence += 1
        self._publish(Event(self._sequence, self._context.true_now(), self._node_id, kind, fields))

    def _on_rejected(self, message: Rejected) -> None:
        self.frames_rejected += 1
        now = self._context.now()
        last = self._rejected_at.get(message.socket)
        if last is None or now - last >= REJECTED_EVENT_SECONDS:
            self._rejected_at[message.socket] = now
            fields = {"socket": message.socket, "cause": message.cause, "count": self.frames_rejected}
            self._note(events.FRAME_REJECTED, fields)

    def _publish(self, event: Event) -> None:
        self._report(describe(event))
        self._kept.append(event)
        self._port.send((wire.TOPIC_EVENT, wire.encode_event(event)))
