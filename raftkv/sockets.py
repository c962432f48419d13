"""What a ZeroMQ socket is told of the endpoint that it connects to, or listens at, whoever opens it.

Between machines a connection can be dead without anybody's having closed it: a cable is pulled, power
fails, a firewall forgets. TCP would notice after many minutes, and where nothing is sent never. So there both
kernels ask for signs of life. ZeroMQ could as well, but then a process that is stopped for a while would
lose its connections.
"""

from __future__ import annotations

import os
from typing import Any

import zmq

from raftkv.config import is_ipv6, is_loopback
from raftkv.errors import Unavailable
from raftkv.keys import Key

CONNECT_MS = 1000
"""For a connection to be made; then ZeroMQ tries again. The kernel's own tries grow apart to minutes."""
LOST_MS = 4000
"""What was sent and not acknowledged by then was sent over a dead connection."""
IDLE_SECONDS, ASK_SECONDS, ASKS = 2, 1, 3
"""A connection on which nothing comes is asked for a sign of life, again, and so often."""
CONTEXT_DESCRIPTORS = 16
"""More than a context opens for its threads; a socket that finds none is told so."""
HANDSHAKE_MS = 5000
"""For whoever connects to say who it is; until then it takes a descriptor, and memory."""


def open_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Raises ``Unavailable`` where this process may open no more files: ZeroMQ would end it."""
    spare: list[int] = []
    try:
        while len(spare) < CONTEXT_DESCRIPTORS:
            spare.append(os.eventfd(0, os.EFD_CLOEXEC))
    except OSError as error:
        text = f"no file descriptors are left for connections (ulimit -n): {error.strerror}; nothing happened"
        raise Unavailable(text) from error
    finally:
        for descriptor in spare:
            os.close(descriptor)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.socket(zmq.PAIR).close()  # its threads begin with the first
    return context


def to_connect(socket: Any, endpoint: str, key: Key | None) -> None:
    """Before ``socket`` connects to ``endpoint``, showing ``key`` if there is one; else it speaks openly."""
    socket.ipv6 = is_ipv6(endpoint)
    if key:
        socket.curve_serverkey = key.cluster
        socket.curve_publickey = key.pair.public
        socket.curve_secretkey = key.pair.secret
    if not is_loopback(endpoint):
        socket.connect_timeout = CONNECT_MS
        _ask_for_life(socket)


def to_listen(socket: Any, endpoint: str) -> None:
    """Before ``socket`` is bound to ``endpoint``."""
    socket.ipv6 = is_ipv6(endpoint)
    if not is_loopback(endpoint):
        socket.handshake_ivl = HANDSHAKE_MS
        _ask_for_life(socket)


def _ask_for_life(socket: Any) -> None:
    socket.tcp_maxrt = LOST_MS
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = IDLE_SECONDS
    socket.tcp_keepalive_intvl = ASK_SECONDS
    socket.tcp_keepalive_cnt = ASKS
