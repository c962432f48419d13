"""The short way between processes of one machine.

A node that listens on loopback listens on Unix sockets as well, which are named after its endpoints, in
Linux' abstract namespace: no file is left behind, and nobody else can take a name while the node runs. A
message takes some ten microseconds less than through TCP. Endpoints stay what they are, ``tcp://host:port``;
whoever connects takes the short way where it is there. Behind a proxy, say, it is not; nor where
``RAFTKV_TCP_ONLY`` is set, for whoever wants to see or to cut what travels.
"""

from __future__ import annotations

import os
import socket

from raftkv.config import is_loopback

LOOK_SECONDS = 1.0
"""Between two looks at which way is there, for whoever has no answer."""

PROBE_SECONDS = 0.02
TCP_ONLY = "RAFTKV_TCP_ONLY"


def beside(endpoint: str) -> str | None:
    """Where a node that listens at ``endpoint`` listens as well, as ZeroMQ writes it."""
    wanted = is_loopback(endpoint) and not os.environ.get(TCP_ONLY)
    return f"ipc://@{_name(endpoint)}" if wanted else None


def way_to(endpoint: str, before: str | None = None) -> str:
    """The address to connect to: while nobody listens at either, the one ``before`` or else the short one."""
    near = beside(endpoint)
    if near is None:
        return endpoint
    if _answers(socket.AF_UNIX, "\0" + _name(endpoint)):
        return near
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    return endpoint if _answers(family, (host.strip("[]"), int(port))) else before or near


def _name(endpoint: str) -> str:
    return "raftkv/" + endpoint.removeprefix("tcp://")


def _answers(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    """Whether somebody listens there. On this machine the kernel knows at once."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(address)
        except (TimeoutError, BlockingIOError):
            return True  # somebody with a long line of others before us
        except OSError:
            return False
    return True
