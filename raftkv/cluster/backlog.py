"""What nodes said that nobody heard: before the dashboard was opened, while the subscription to a node that
was started anew had not come about yet, and where the socket has dropped what nobody took.

A node keeps its last events and is asked for them. From then on the subscription brings all that happens, so
the answer and what is heard leave no gap between them. They may overlap.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import zmq

from raftkv import sockets
from raftkv.errors import WireError
from raftkv.keys import Key
from raftkv.observe import Earlier, Event, NodeSnapshot
from raftkv.wire import status as wire
from raftkv.wire.control import ControlRequest, decode_response, encode_request
from raftkv.wire.packing import FRAME_BYTES_MAX

ASK_SECONDS = 1.0
"""Between two questions to a node, however much of what it says gets lost."""


@dataclass(slots=True)
class _Heard:
    """Of one node."""

    boot: int
    last: int
    """The number of the last event that was heard, or known to have happened."""
    lacks: bool = True
    """Something before that was not heard."""
    asked_at: float = -ASK_SECONDS
    asked_up_to: int = 0
    """The last event that had happened when it was asked."""
    socket: zmq.Socket[bytes] | None = None
    """While the answer is waited for."""


class Backlog:
    """Used by one thread. A node that does not answer, or does not know the question, has no past."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], key: Key | None = None) -> None:
        self._context = context
        self._key = key
        self._nodes: dict[str, _Heard] = {}

    def hear(self, item: NodeSnapshot | Event, control: str) -> None:
        """``control``: where the node can be asked."""
        name = item.node if isinstance(item, Event) else item.name
        heard = self._nodes.get(name)
        if isinstance(item, Event):
            if heard is None:
                return  # its first snapshot is about to come
            heard.lacks = heard.lacks or item.sequence > heard.last + 1
            heard.last = item.sequence
        elif heard is None or heard.boot != item.boot:
            self._forget(heard)
            heard = self._nodes[name] = _Heard(item.boot, item.event_sequence)
        else:
            heard.lacks = heard.lacks or item.event_sequence > heard.last
            heard.last = max(heard.last, item.event_sequence)
        now = time.monotonic()
        if heard.lacks and now - heard.asked_at >= ASK_SECONDS:
            self._forget(heard)
            heard.lacks, heard.asked_at, heard.asked_up_to = False, now, heard.last
            heard.socket = self._ask(control)

    def keep(self, names: Collection[str]) -> None:
        """Forget all others."""
        for name in self._nodes.keys() - set(names):
            self._forget(self._nodes.pop(name))

    def poll(self) -> list[Earlier]:
        found: list[Earlier] = []
        for heard in self._nodes.values():
            if heard.socket is not None:
                try:
                    answer = heard.socket.recv(zmq.NOBLOCK)
                except zmq.Again:
                    continue
                self._forget(heard)
                events = [event for event in _events(answer) if event.sequence <= heard.asked_up_to]
                if events:
                    found.append(Earlier(tuple(events)))
        return found

    @staticmethod
    def _forget(heard: _Heard | None) -> None:
        """What was asked of it."""
        if heard and heard.socket is not None:
            heard.socket.close()
            heard.socket = None

    def _ask(self, control: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)  # a node that is gone must not keep the dashboard from closing
        socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        sockets.to_connect(socket, control, self._key)
        socket.connect(control)
        socket.send(encode_request(ControlRequest(0, "events", {})), zmq.NOBLOCK)
        return socket


def _events(answer: bytes) -> list[Event]:
    try:
        response = decode_response(answer)
        listed = response.body if response.ok and isinstance(response.body, tuple | list) else ()
        return [wire.event_from_map(fields) for fields in listed]
    except WireError:
        return []  # another version's node: what it says cannot be shown
