"""A ``ClientCore`` on real sockets: one DEALER an endpoint, one poll. One thread owns it."""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence
from contextlib import suppress

import zmq

from raftkv import clock, sockets
from raftkv.client import refusals
from raftkv.client.core import ClientCore
from raftkv.client.waker import Waker
from raftkv.keys import Key
from raftkv.wire.client import RESPONSE_BYTES_MAX

FRAMES_QUEUED_MAX = 1000
FRAMES_A_PASS_MAX = 16
"""Taken of one node before all else is looked at again."""
AS_IF_LOST = (zmq.EAGAIN, errno.EMFILE, errno.ENFILE)
"""A full queue, or no descriptor left for a socket: as if the frame were lost on its way."""
RENEW_SECONDS, RENEW_SECONDS_MAX = 2.0, 16.0
"""Of silence; then whoever was asked is asked over a new connection, which has twice as long: over a long way
the handshake takes several round trips. One that has brought something may be bringing what is large."""
LOOK_SECONDS = 1.0
"""Between two looks for the silent."""
_NOBLOCK, _EVENTS, _POLLIN = int(zmq.NOBLOCK), int(zmq.EVENTS), int(zmq.POLLIN)


class Transport:
    """``pump`` moves everything that can move; ``wake`` ends a pump of another thread's early."""

    def __init__(self, endpoints: Sequence[str], seed: int | None = None, key: Key | None = None) -> None:
        """Raises ``Unavailable`` where this process may open no more files."""
        self.core = ClientCore(endpoints, random.Random(seed))
        self._context = sockets.open_context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._endpoints: dict[object, str] = {}
        self._monitors: dict[zmq.Socket[bytes], str] = {}
        self._key = key
        self._asked: dict[str, float] = {}
        """Endpoints that were sent something and not heard since, and when that was."""
        self._renew_seconds: dict[str, float] = {}
        self._looked_at = 0.0
        self._poller = zmq.Poller()
        self._waker = Waker()
        self._poller.register(self._waker.fd, zmq.POLLIN)

    def pump(self, wait: float) -> None:
        """Send what is due, wait up to ``wait`` seconds for something to happen, handle it."""
        core = self.core
        self.flush()
        now = clock.now()
        timeout = max(0.0, min(wait, core.next_timer(now) - now))
        for source, _ in self._poller.poll(int(timeout * 1000 + 0.999)):
            if source == self._waker.fd:
                self._waker.take()
            elif source in self._endpoints:  # a call that was done may have sent more, and closed this one
                self._drain(source)
            elif source in self._monitors:
                self._on_refusal(source)
        self.flush()  # what was asked in answer to what came goes out before the housekeeping
        now = clock.now()
        core.on_time(now)
        self.flush()
        if now - self._looked_at >= LOOK_SECONDS:
            self._renew_the_silent(now)

    def wake(self) -> None:
        self._waker.wake()

    def close(self) -> None:
        """Not of the descriptor by which it is woken: it goes with the last who may wake."""
        self._context.destroy(linger=0)

    def _drain(self, socket: zmq.Socket[bytes]) -> None:
        endpoint = self._endpoints[socket]
        now = clock.now()
        self._asked.pop(endpoint, None)
        self._renew_seconds[endpoint] = RENEW_SECONDS_MAX
        with suppress(zmq.Again):
            for _ in range(FRAMES_A_PASS_MAX):  # more may come as fast; there are others, and timers
                self.core.on_frame(endpoint, socket.recv(_NOBLOCK), now)
                if not int(socket.getsockopt(_EVENTS)) & _POLLIN:  # takes half of what ``Again`` does
                    break

    def flush(self) -> None:
        """Send what is due, without waiting for anything."""
        for endpoint, frame in self.core.take_frames():
            try:
                socket = self._sockets.get(endpoint) or self._connected(endpoint)
                # Before it is sent: one that ZeroMQ has given up at once takes nothing, and needs another.
                self._asked.setdefault(endpoint, clock.now())
                socket.send(frame, zmq.NOBLOCK)
            except zmq.ZMQError as error:
                if error.errno not in AS_IF_LOST:
                    raise

    def _connected(self, endpoint: str) -> zmq.Socket[bytes]:
        """A new socket. Raises ``ZMQError``, which the core is told of as long as that lasts."""
        socket = None
        try:
            socket = self._context.socket(zmq.DEALER)
            self._connect(socket, endpoint)
        except zmq.ZMQError as error:
            if error.errno in AS_IF_LOST:
                self.core.note(endpoint, f"no file descriptor is left for {endpoint} (ulimit -n)")
            if socket:
                socket.close()
            raise
        self.core.note(endpoint, "")
        return socket

    def _connect(self, socket: zmq.Socket[bytes], endpoint: str) -> None:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, FRAMES_QUEUED_MAX)
        socket.setsockopt(zmq.RCVHWM, FRAMES_QUEUED_MAX)
        socket.setsockopt(zmq.MAXMSGSIZE, RESPONSE_BYTES_MAX)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        sockets.to_connect(socket, endpoint, self._key)
        monitor = refusals.monitor(socket)
        socket.connect(endpoint)
        self._monitors[monitor] = endpoint
        self._poller.register(monitor, zmq.POLLIN)
        self._sockets[endpoint] = socket
        self._endpoints[socket] = endpoint
        self._poller.register(socket, zmq.POLLIN)
        self._forget_the_gone()

    def _on_refusal(self, monitor: zmq.Socket[bytes]) -> None:
        endpoint = self._monitors[monitor]
        why = refusals.refusal(monitor, self._key)
        self._forget(endpoint)
        if why:
            self.core.on_refused(endpoint, why, clock.now())

    def _renew_the_silent(self, now: float) -> None:
        """ZeroMQ connects again by itself, but not after it has met something that is no node, or a node that
        knows another key, and that may have changed."""
        self._looked_at = now
        for endpoint, since in list(self._asked.items()):
            patience = self._renew_seconds.get(endpoint, RENEW_SECONDS)
            if now - since >= patience:
                self._forget(endpoint)
                self._renew_seconds[endpoint] = min(2 * patience, RENEW_SECONDS_MAX)

    def _forget_the_gone(self) -> None:
        for endpoint in self._sockets.keys() - self.core.endpoints:
            self._forget(endpoint)
        for endpoint in self._renew_seconds.keys() - self.core.endpoints:
            del self._renew_seconds[endpoint]

    def _forget(self, endpoint: str) -> None:
        self._asked.pop(endpoint, None)
        socket = self._sockets.pop(endpoint)
        del self._endpoints[socket]
        self._poller.unregister(socket)
        monitor = next(monitor for monitor, other in self._monitors.items() if other == endpoint)
        del self._monitors[monitor]
        self._poller.unregister(monitor)
        refusals.close(socket, monitor)
