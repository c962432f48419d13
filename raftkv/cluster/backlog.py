"""What nodes said before anybody listened: the dashboard's event log does not begin with its opening.

A node is asked once its first snapshot was heard: from then on the subscription brings all that happens, so
the answer and what is heard leave no gap between them.
"""

from __future__ import annotations

import zmq

from raftkv.config import is_ipv6
from raftkv.errors import WireError
from raftkv.observe import Earlier, Event, NodeSnapshot
from raftkv.wire import status as wire
from raftkv.wire.control import ControlRequest, decode_response, encode_request
from raftkv.wire.packing import FRAME_BYTES_MAX


class Backlog:
    """Used by one thread. A node that does not answer, or does not know the question, has no past."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._context = context
        self._first: dict[str, int] = {}
        """By node: the first event that was heard, or would have been."""
        self._asked: dict[str, zmq.Socket[bytes] | None] = {}
        """By node; None: it has answered, or need not any more."""
        self._boots: dict[str, int] = {}
        """By node: the life of it that was asked."""

    def hear(self, item: NodeSnapshot | Event, control: str) -> None:
        """``control``: where the node can be asked."""
        if isinstance(item, Event):
            self._first.setdefault(item.node, item.sequence)
        elif item.name in self._asked:
            if item.boot != self._boots[item.name]:
                self._done(item.name)  # its numbers begin anew, and all of this life is heard
        else:
            self._boots[item.name] = item.boot
            self._first.setdefault(item.name, item.event_sequence + 1)
            self._asked[item.name] = self._ask(control)

    def poll(self) -> list[Earlier]:
        found: list[Earlier] = []
        for name, socket in self._asked.items():
            if socket is not None:
                try:
                    answer = socket.recv(zmq.NOBLOCK)
                except zmq.Again:
                    continue
                self._done(name)
                events = [event for event in _events(answer) if event.sequence < self._first[name]]
                if events:
                    found.append(Earlier(tuple(events)))
        return found

    def _done(self, name: str) -> None:
        socket, self._asked[name] = self._asked[name], None
        if socket is not None:
            socket.close()

    def _ask(self, control: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)  # a node that is gone must not keep the dashboard from closing
        socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        socket.setsockopt(zmq.IPV6, is_ipv6(control))
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
