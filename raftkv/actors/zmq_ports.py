"""``Port`` over ZeroMQ. One thread at a time uses a context's sockets.

Options, and why (PITFALLS 40): ``IMMEDIATE`` queues nothing for a peer that is not connected, small
high-water marks bound what a slow one can make us hold, ``LINGER 0`` lets a node end at once,
``ROUTER_HANDOVER`` lets a restarted peer take over its identity instead of being ignored, and
``MAXMSGSIZE`` ends a connection that announces more than a frame may hold before it is buffered.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from raftkv import sockets
from raftkv.actors.gatekeeper import Gatekeeper
from raftkv.errors import LaunchError
from raftkv.keys import Key
from raftkv.wire.client import FRAME_SLACK_BYTES
from raftkv.wire.packing import FRAME_BYTES_MAX, REQUEST_BYTES_MAX

PEER_FRAMES_MAX = 256
"""Queued in each direction; a Raft window is far smaller."""
CLIENT_FRAMES_MAX = 256
"""Queued in each direction and connection, each of about a mebibyte at most."""
PARTS_MAX = 4
"""Of a frame; none of ours has more than two. A frame's parts, of which the library takes any number, are all
there before the first is received."""
PARTS_SKIPPED_MAX = 1000
"""In one turn."""
STATUS_FRAMES_MAX = 1000
SUBSCRIPTION_BYTES_MAX = 1024
"""A subscription costs the library a hundred times its length in memory."""
RECONNECT_MS, RECONNECT_MS_MAX = 20, 200
RELINK_SECONDS, RELINK_SECONDS_MAX = 2.0, 8.0
"""Without a connection; then a new one is begun, and has twice as long: over a long way the handshake takes
several round trips."""
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


_NOBLOCK, _NOBLOCK_SNDMORE, _RCVMORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE), int(zmq.RCVMORE)
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
"""Plain numbers: to combine two members of an enum takes 1.4 µs (Python 3.11), each time."""


class ZmqPort:
    __slots__ = ("_addressed", "_skipping", "socket")

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket
        self._addressed = socket.getsockopt(zmq.TYPE) == zmq.ROUTER
        """Every frame begins with whom it is from, and another part follows in any case."""
        self._skipping = False
        """The parts of a frame that has too many."""

    def receive(self, frames_max: int, bytes_max: int = FRAME_BYTES_MAX) -> list[list[bytes]]:
        frames: list[list[bytes]] = []
        left = bytes_max
        receive: Any = self.socket.recv
        option: Any = self.socket.getsockopt
        if self._skipping:
            self._skip(left)
            return frames
        try:
            for _ in range(frames_max):
                parts = [receive(_NOBLOCK)]
                frames.append(parts)
                if self._addressed:
                    parts.append(receive(_NOBLOCK))
                while option(_RCVMORE):
                    if len(parts) == PARTS_MAX:
                        self._skip(left)
                        return frames
                    parts.append(receive(_NOBLOCK))
                left -= sum(map(len, parts))
                if left <= 0:
                    break
                # Mostly there is one, and to ask takes half of what ``Again`` does (3.6 to 8.3 µs).
                if len(frames) == 1 and not option(_EVENTS) & _POLLIN:
                    break
        except zmq.Again:
            pass
        return frames

    def _skip(self, bytes_max: int) -> None:
        """Let go of the rest of a frame, or of as much of it as one turn may, and be it for this turn."""
        for _ in range(PARTS_SKIPPED_MAX):
            bytes_max -= len(self.socket.recv(_NOBLOCK))
            self._skipping = bool(self.socket.getsockopt(_RCVMORE))
            if bytes_max <= 0 or not self._skipping:
                return

    def send(self, frame: Sequence[bytes]) -> bool:
        try:
            *heads, last = frame
            for part in heads:
                self.socket.send(part, _NOBLOCK_SNDMORE)
            self.socket.send(last, _NOBLOCK)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        self.socket.close(linger=0)


class ZmqLink:
    """The way to a peer. ZeroMQ connects again by itself when a connection breaks, but not when the other end
    knows another key or none, or is no node at all; a node that can be talked to may be there later. Nor is
    there always a descriptor left for one more socket: clients may have taken them all, for a while."""

    __slots__ = ("_endpoint", "_failing_since", "_open", "_port", "_relink_seconds")

    def __init__(self, open_socket: Callable[[], zmq.Socket[bytes]], endpoint: str) -> None:
        self._open = open_socket
        self._endpoint = endpoint
        self._port: ZmqPort | None = None
        self._failing_since = 0.0
        """Since when no frame has left, or no new connection was begun; 0 while they leave."""
        self._relink_seconds = RELINK_SECONDS
        self._connect()

    def _connect(self) -> None:
        if self._port:
            self._port.socket.disconnect(self._endpoint)
        else:
            try:
                self._port = ZmqPort(self._open())
            except zmq.ZMQError as error:
                if error.errno not in NO_DESCRIPTORS:
                    raise
                return
        self._port.socket.connect(self._endpoint)

    def receive(self, frames_max: int, bytes_max: int = FRAME_BYTES_MAX) -> list[list[bytes]]:
        return self._port.receive(frames_max, bytes_max) if self._port else []

    def send(self, frame: Sequence[bytes]) -> bool:
        if self._port and self._port.send(frame):
            self._failing_since, self._relink_seconds = 0.0, RELINK_SECONDS
            return True
        now = time.monotonic()
        if not self._failing_since:
            self._failing_since = now
        elif now - self._failing_since >= self._relink_seconds:
            self._failing_since = now
            self._relink_seconds = min(2 * self._relink_seconds, RELINK_SECONDS_MAX)
            self._connect()
        return False

    def close(self) -> None:
        if self._port:
            self._port.close()


class Nowhere:
    """Takes nothing and gives nothing."""

    def receive(self, frames_max: int, bytes_max: int = FRAME_BYTES_MAX) -> list[list[bytes]]:
        del frames_max, bytes_max
        return []

    def send(self, frame: Sequence[bytes]) -> bool:
        del frame
        return False

    def close(self) -> None:
        """There is nothing to be closed."""


def client_port(
    context: zmq.Context[zmq.Socket[bytes]],
    endpoint: str,
    gatekeeper: Gatekeeper | None = None,
    name: str = "client",
) -> ZmqPort:
    """Also for control: a ROUTER that many DEALERs connect to."""
    socket = _socket(context, zmq.ROUTER, CLIENT_FRAMES_MAX)
    socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
    socket.setsockopt(zmq.MAXMSGSIZE, REQUEST_BYTES_MAX + FRAME_SLACK_BYTES)
    return _bind(socket, endpoint, gatekeeper, name)


def peer_port(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, gatekeeper: Gatekeeper | None = None
) -> ZmqPort:
    socket = _socket(context, zmq.ROUTER, PEER_FRAMES_MAX)
    socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
    socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
    return _bind(socket, endpoint, gatekeeper, "peer")


def peer_link(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, identity: str, key: Key | None = None
) -> ZmqLink:
    def open_socket() -> zmq.Socket[bytes]:
        socket = _socket(context, zmq.DEALER, PEER_FRAMES_MAX)
        socket.setsockopt(zmq.IDENTITY, identity.encode("utf-8"))
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MS_MAX)
        sockets.to_connect(socket, endpoint, key)
        return socket

    return ZmqLink(open_socket, endpoint)


def status_port(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, gatekeeper: Gatekeeper | None = None
) -> ZmqPort:
    """An XPUB is a PUB that tells who subscribes: ``actors.status`` makes nothing that nobody wants."""
    socket = _socket(context, zmq.XPUB, STATUS_FRAMES_MAX)
    socket.setsockopt(zmq.MAXMSGSIZE, SUBSCRIPTION_BYTES_MAX)
    return _bind(socket, endpoint, gatekeeper, "status")


def _socket(
    context: zmq.Context[zmq.Socket[bytes]], kind: zmq.SocketType, frames_max: int
) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, frames_max)
    socket.setsockopt(zmq.RCVHWM, frames_max)
    return socket


def _bind(socket: zmq.Socket[bytes], endpoint: str, gatekeeper: Gatekeeper | None, name: str) -> ZmqPort:
    if gatekeeper:
        gatekeeper.guard(socket, name)
    try:
        sockets.to_listen(socket, endpoint)
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        socket.close()
        if error.errno == zmq.EADDRINUSE:
            raise LaunchError(
                f"{endpoint} is in use by another process; stop it or choose another port"
            ) from None
        raise LaunchError(f"cannot listen on {endpoint}: {error.strerror}") from None
    return ZmqPort(socket)
