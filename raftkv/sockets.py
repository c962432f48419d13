"""What a ZeroMQ socket is told of the endpoint that it connects to, or listens at, whoever opens it.

Between machines a connection can be dead without anybody's having closed it: a cable is pulled, power fails,
a firewall forgets. TCP would notice after many minutes, and connect again only then. So there both ends ask
for a sign of life, which ZeroMQ gives by itself; on loopback the kernel knows at once.
"""

from __future__ import annotations

from typing import Any

from raftkv.config import is_ipv6, is_loopback
from raftkv.keys import Key

CONNECT_MS = 1000
"""For a connection to be made; then ZeroMQ tries again. The kernel's own tries grow apart to minutes."""
HEARTBEAT_MS, HEARTBEAT_LOST_MS = 1000, 3000
"""Between two questions of whoever connects, and how long it waits for any sign."""
LISTENER_HEARTBEAT_MS, LISTENER_LOST_MS = 5000, 15_000
"""The same of whoever is connected to, who only has to forget in the end."""


def to_connect(socket: Any, endpoint: str, key: Key | None) -> None:
    """Before ``socket`` connects to ``endpoint``, showing ``key`` if there is one; else it speaks openly."""
    socket.ipv6 = is_ipv6(endpoint)
    if key:
        socket.curve_serverkey = key.cluster
        socket.curve_publickey = key.pair.public
        socket.curve_secretkey = key.pair.secret
    if not is_loopback(endpoint):
        socket.connect_timeout = CONNECT_MS
        socket.heartbeat_ivl = HEARTBEAT_MS
        socket.heartbeat_timeout = HEARTBEAT_LOST_MS


def to_listen(socket: Any, endpoint: str) -> None:
    """Before ``socket`` is bound to ``endpoint``."""
    socket.ipv6 = is_ipv6(endpoint)
    if not is_loopback(endpoint):
        socket.heartbeat_ivl = LISTENER_HEARTBEAT_MS
        socket.heartbeat_timeout = LISTENER_LOST_MS
