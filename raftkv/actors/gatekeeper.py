"""Who is let in, where a cluster has keys: ZeroMQ asks about each connection, before it takes a frame of it.

The questions come by ZAP, its protocol for that (rfc.zeromq.org/spec/27), on a socket inside this process.
The node's loop answers them: that takes no thread, and makes no garbage with cycles, which a node never
collects.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import zmq
from zmq.utils import z85

from raftkv import keys

_ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
QUESTIONS_MAX = 64
"""Answered in one turn."""
TELL_SECONDS = 1.0
"""Between two lines about somebody who was not let in."""


class Gatekeeper:
    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        """Raises ``ConfigError`` for a folder without the cluster's key or the list."""
        self.key = keys.of_cluster(folder)
        self._allowed = keys.Allowed(folder, self.key)
        self._report = report
        self._refused = 0
        self._told_at = 0.0

    def open(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """Before the sockets of ``context`` that it is to guard."""
        self.socket = context.socket(zmq.REP)
        self.socket.bind(_ENDPOINT)

    def guard(self, socket: zmq.Socket[bytes], name: str) -> None:
        """Have ``socket`` take connections that are encrypted, of those who may use what is called so."""
        socket.curve_server = True
        socket.curve_secretkey = self.key.pair.secret
        socket.zap_domain = name.encode("ascii")

    def answer(self) -> None:
        """Whatever is asked now."""
        try:
            for _ in range(QUESTIONS_MAX):
                self.socket.send_multipart(self._answer(self.socket.recv_multipart(zmq.NOBLOCK)))
        except zmq.Again:
            pass

    def _answer(self, question: list[bytes]) -> list[bytes]:
        _, number, domain, address, _, mechanism, *credentials = question
        name = domain.decode("ascii")
        public = z85.encode(credentials[0]) if mechanism == b"CURVE" else b""
        if self._allowed.admits(name, public):
            return [_VERSION, number, b"200", b"OK", public, b""]
        whose = public.decode("ascii") or "none"
        self._tell(f"{address.decode('ascii', 'replace')} was refused at the {name} socket: key {whose}")
        return [_VERSION, number, b"400", b"not on the list", b"", b""]

    def _tell(self, what: str) -> None:
        """Of many only the first in a while: whoever knocks on and on must not fill the log."""
        self._refused += 1
        now = time.monotonic()
        if now - self._told_at >= TELL_SECONDS:
            more = f" ({self._refused - 1} others before it)" if self._refused > 1 else ""
            why = self._allowed.problem or "is not on the list, or may not do that"
            self._report(f"{what} {why}{more}")
            self._told_at, self._refused = now, 0
