"""A ``ClientCore`` on real sockets: one DEALER an endpoint, one poll. One thread owns it."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Sequence
from contextlib import suppress

import zmq

from raftkv import shortcut, sockets
from raftkv.client import refusals
from raftkv.client.core import ClientCore
from raftkv.client.waker import Waker
from raftkv.keys import Key
from raftkv.wire.client import RESPONSE_BYTES_MAX

FRAMES_QUEUED_MAX = 1000
AS_IF_LOST = (zmq.EAGAIN, errno.EMFILE, errno.ENFILE)
"""A full queue, or no descriptor left for a socket: as if the frame were lost on its way."""
_NOBLOCK, _EVENTS, _POLLIN = int(zmq.NOBLOCK), int(zmq.EVENTS), int(zmq.POLLIN)


class Transport:
    """``pump`` moves everything that can move; ``wake`` ends a pump of another thread's early."""

    def __init__(self, endpoints: Sequence[str], seed: int | None = None, key: Key | None = None) -> None:
        self.core = ClientCore(endpoints, random.Random(seed))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._endpoints: dict[object, str] = {}
        self._monitors: dict[zmq.Socket[bytes], str] = {}
        self._key = key
        self._ways: dict[str, str] = {}
        """The addresses that endpoints are connected to."""
        self._heard: dict[str, float] = {}
        self._looked_at = 0.0
        self._poller = zmq.Poller()
        self._waker = Waker()
        self._poller.register(self._waker.fd, zmq.POLLIN)

    def pump(self, wait: float) -> None:
        """Send what is due, wait up to ``wait`` seconds for something to happen, handle it."""
        core = self.core
        self.flush()
        now = time.monotonic()
        timeout = max(0.0, min(wait, core.next_timer(now) - now))
        for source, _ in self._poller.poll(int(timeout * 1000 + 0.999)):
            if source == self._waker.fd:
                self._waker.take()
            elif source in self._endpoints:  # a call that was done may have sent more, and closed this one
                self._drain(source)
            elif source in self._monitors:
                self._on_refusal(source)
        self.flush()  # what was asked in answer to what came goes out before the housekeeping
        now = time.monotonic()
        core.on_time(now)
        self.flush()
        if now - self._looked_at >= shortcut.LOOK_SECONDS:
            self._look_for_ways(now)

    def wake(self) -> None:
        self._waker.wake()

    def close(self) -> None:
        """Not of the descriptor by which it is woken: it goes with the last who may wake."""
        self._context.destroy(linger=0)

    def _drain(self, socket: zmq.Socket[bytes]) -> None:
        endpoint = self._endpoints[socket]
        self._heard[endpoint] = now = time.monotonic()
        with suppress(zmq.Again):
            while True:
                self.core.on_frame(endpoint, socket.recv(_NOBLOCK), now)
                if not int(socket.getsockopt(_EVENTS)) & _POLLIN:  # takes half of what ``Again`` does
                    break

    def flush(self) -> None:
        """Send what is due, without waiting for anything."""
        for endpoint, frame in self.core.take_frames():
            try:
                socket = self._sockets.get(endpoint) or self._connect(endpoint)
                socket.send(frame, zmq.NOBLOCK)
            except zmq.ZMQError as error:
                if error.errno not in AS_IF_LOST:
                    raise

    def _connect(self, endpoint: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, FRAMES_QUEUED_MAX)
        socket.setsockopt(zmq.RCVHWM, FRAMES_QUEUED_MAX)
        socket.setsockopt(zmq.MAXMSGSIZE, RESPONSE_BYTES_MAX)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        sockets.to_connect(socket, endpoint, self._key)
        monitor = refusals.monitor(socket)
        way = self._ways[endpoint] = shortcut.way_to(endpoint, self._ways.get(endpoint))
        socket.connect(way)
        self._monitors[monitor] = endpoint
        self._poller.register(monitor, zmq.POLLIN)
        self._sockets[endpoint] = socket
        self._endpoints[socket] = endpoint
        self._poller.register(socket, zmq.POLLIN)
        self._forget_the_gone()
        return socket

    def _on_refusal(self, monitor: zmq.Socket[bytes]) -> None:
        why = refusals.refusal(monitor, self._key)
        if why:
            endpoint = self._monitors[monitor]
            self._forget(endpoint)
            self.core.on_refused(endpoint, why, time.monotonic())

    def _look_for_ways(self, now: float) -> None:
        """ZeroMQ connects again to the address that it has, and of a node that is back it may be another."""
        self._looked_at = now
        for endpoint in list(self._sockets):
            silent = now - self._heard.get(endpoint, -1.0) >= shortcut.LOOK_SECONDS
            if silent and shortcut.way_to(endpoint, self._ways[endpoint]) != self._ways[endpoint]:
                self._forget(endpoint)

    def _forget_the_gone(self) -> None:
        for endpoint in self._sockets.keys() - self.core.endpoints:
            self._forget(endpoint)
            del self._ways[endpoint]
            self._heard.pop(endpoint, None)

    def _forget(self, endpoint: str) -> None:
        socket = self._sockets.pop(endpoint)
        del self._endpoints[socket]
        self._poller.unregister(socket)
        monitor = next(monitor for monitor, other in self._monitors.items() if other == endpoint)
        del self._monitors[monitor]
        self._poller.unregister(monitor)
        refusals.close(socket, monitor)
