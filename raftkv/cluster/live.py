"""Watching a running cluster: the dashboard's ``Feed`` over the nodes' PUB sockets and the launcher."""

from __future__ import annotations

import time
from collections.abc import Sequence

import zmq

from raftkv.cluster.discovery import Target
from raftkv.errors import WireError
from raftkv.observe import Event, NodeSnapshot, ProcessSnapshot
from raftkv.wire import status as wire
from raftkv.wire.control import ControlRequest, decode_response, encode_request

ITEMS_A_POLL_MAX = 2000
PROCESSES_SECONDS = 0.25
"""How often the launcher is asked for its processes."""


class LiveFeed:
    """Used by one thread. Reconnects by itself when a node, or all of them, come back."""

    def __init__(self, target: Target) -> None:
        assert target.statuses is not None, "a feed needs the nodes' status endpoints"
        self._names = tuple(target.statuses)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._status = self._context.socket(zmq.SUB)
        self._status.setsockopt(zmq.SUBSCRIBE, b"")
        self._status.setsockopt(zmq.RCVHWM, ITEMS_A_POLL_MAX)
        self._status.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        for endpoint in target.statuses.values():
            self._status.connect(endpoint)
        self._launcher: zmq.Socket[bytes] | None = None
        self._asked_at = 0.0
        self._request_id = 0
        if target.launcher:
            self._launcher = self._context.socket(zmq.DEALER)
            self._launcher.setsockopt(zmq.SNDHWM, 4)
            self._launcher.connect(target.launcher)

    def names(self) -> Sequence[str]:
        return self._names

    def poll(self) -> Sequence[NodeSnapshot | Event | ProcessSnapshot]:
        items: list[NodeSnapshot | Event | ProcessSnapshot] = []
        try:
            while len(items) < ITEMS_A_POLL_MAX:
                topic, data = self._status.recv_multipart(zmq.NOBLOCK)
                try:
                    items.append(wire.decode(topic, data))
                except WireError:
                    continue  # another version's node: what it says cannot be shown
        except (zmq.Again, ValueError):
            pass
        items += self._poll_launcher()
        # Each node's frames come in order, but what one heard may arrive before what the other said.
        items.sort(key=_moment)
        return items

    def close(self) -> None:
        self._context.destroy(linger=0)

    def _poll_launcher(self) -> list[ProcessSnapshot]:
        if self._launcher is None:
            return []
        found: list[ProcessSnapshot] = []
        now = time.monotonic()
        try:
            if now - self._asked_at >= PROCESSES_SECONDS:
                self._asked_at = now
                self._request_id += 1
                self._launcher.send(
                    encode_request(ControlRequest(self._request_id, "processes", {})), zmq.NOBLOCK
                )
            while True:
                response = decode_response(self._launcher.recv(zmq.NOBLOCK))
                found = [wire.process_from_map(fields) for fields in response.body]
        except zmq.Again:
            return found
        except (WireError, TypeError):
            return []


def _moment(item: NodeSnapshot | Event | ProcessSnapshot) -> float:
    return item.since if isinstance(item, ProcessSnapshot) else item.time
