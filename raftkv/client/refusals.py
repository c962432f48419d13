"""Why a node takes no connection of ours: ZeroMQ says so to a monitor of the socket, and to nobody else.

After that it connects no more by itself, so a socket that was refused is of no further use.
"""

from __future__ import annotations

from typing import Any

import zmq

from raftkv.keys import Key

_EVENTS = zmq.Event.HANDSHAKE_FAILED_AUTH | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
_MECHANISM = 0x11000002
"""One end speaks openly, the other does not (ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)."""


WELCOME = ""


def monitor(socket: zmq.Socket[bytes], welcome: bool = False) -> zmq.Socket[bytes]:
    """Becomes readable when ``socket`` was refused, and, where that is asked for, when it was taken. Before
    it connects."""
    events = _EVENTS | (zmq.Event.HANDSHAKE_SUCCEEDED if welcome else 0)
    found: zmq.Socket[bytes] = socket.get_monitor_socket(events)
    return found


def refusal(monitor: zmq.Socket[bytes], key: Key | None) -> str | None:
    """What the next event says: why, ``WELCOME``, or None for what has nothing to do with keys."""
    from zmq.utils.monitor import parse_monitor_message

    event: Any = parse_monitor_message(monitor.recv_multipart())
    if event["event"] == zmq.Event.HANDSHAKE_SUCCEEDED:
        return WELCOME
    if event["event"] == zmq.Event.HANDSHAKE_FAILED_AUTH:
        whose = f"the key of {key.name}" if key else "whoever has no key"
        return f"{whose} is not on its list, or not for that"
    if event["value"] != _MECHANISM:
        return None
    return (
        "it has no keys: connect without one" if key else "it wants a key (RAFTKV_KEY names the file of one)"
    )


def close(socket: zmq.Socket[bytes], monitor: zmq.Socket[bytes]) -> None:
    """Both: to forget the monitor, as pyzmq does, is not to close it."""
    socket.disable_monitor()
    monitor.close(linger=0)
    socket.close(linger=0)
