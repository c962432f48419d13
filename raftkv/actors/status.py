"""Publishes how this node stands (ten times a second) and every event as it happens.

PUB drops what nobody takes: events are numbered, and every snapshot carries the last number, so a
listener sees the gap and knows how things stand all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raftkv.actors.messages import Note, Rejected, Tick, Trace
from raftkv.actors.system import Context, Port
from raftkv.observe import Event, NodeSnapshot, describe, events, from_raft
from raftkv.types import NodeId
from raftkv.wire import status as wire

SNAPSHOT_SECONDS = 0.1
REJECTED_EVENT_SECONDS = 1.0
"""A flood of bad frames must not become a flood of events."""


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
        self.frames_rejected = 0
        context.set_timer("status", SNAPSHOT_SECONDS, Tick())

    def handle(self, message: Any) -> None:
        match message:
            case Trace():
                for event in message.events:
                    self._sequence += 1
                    self._publish(from_raft(self._sequence, self._context.now(), self._node_id, event))
            case Note():
                self._note(message.kind, message.fields)
            case Rejected():
                self._on_rejected(message)
            case Tick():
                self._context.set_timer("status", SNAPSHOT_SECONDS, Tick())
                self._port.send((wire.TOPIC_SNAPSHOT, wire.encode_snapshot(self.snapshot())))
            case _:
                raise AssertionError(f"status got {message}")

    def snapshot(self) -> NodeSnapshot:
        return self._snapshot(self._sequence, self.frames_rejected)

    def _note(self, kind: str, fields: dict[str, Any]) -> None:
        self._sequence += 1
        self._publish(Event(self._sequence, self._context.now(), self._node_id, kind, fields))

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
        self._port.send((wire.TOPIC_EVENT, wire.encode_event(event)))
