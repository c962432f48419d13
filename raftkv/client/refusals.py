"""Why a node takes no connection of ours: ZeroMQ says so to a monitor of the socket, and to nobody else.

After that it connects no more by itself, so a socket that was refused is of no further use.
"""

from __future__ import annotations

from typing import Any

import zmq

from raftkv.keys import Key

_EVENTS = zmq.Event.HANDSHAKE_FAILED_AUTH | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
_NEWS = zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.CONNECT_RETRIED
_MECHANISM = 0x11000002
"""One end speaks openly, the other does not (ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)."""


WELCOME, ABSENT = "", "nothing listens there"


def monitor(socket: zmq.Socket[bytes], all_news: bool = False) -> zmq.Socket[bytes]:
    """Becomes readable when ``socket`` was refused, and, for ``all_news``, when it was taken and when nobody
    was there. Before it connects."""
    events = _EVENTS | (_NEWS if all_news else 0)
    found: zmq.Socket[bytes] = socket.get_monitor_socket(events)
    return found


def refusal(monitor: zmq.Socket[bytes], key: Key | None) -> str | None:
    """What the next event says: why, ``WELCOME``, ``ABSENT``, or None for what is no news."""
    from zmq.utils.monitor import parse_monitor_message

    event: Any = parse_monitor_message(monitor.recv_multipart())
    if event["event"] == zmq.Event.HANDSHAKE_SUCCEEDED:
        return WELCOME
    if event["event"] == zmq.Event.CONNECT_RETRIED:
        return ABSENT
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
