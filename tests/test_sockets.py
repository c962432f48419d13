"""What sockets are told of where they lead: between machines other things than on one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import zmq

from raftkv import sockets
from raftkv.keys import Key, Pair

HERE, THERE = "tcp://127.0.0.1:7400", "tcp://192.0.2.1:7400"
KEY = Key("alice", Pair(b"p" * 40, b"s" * 40), b"c" * 40)


def connecting(endpoint: str, key: Key | None) -> dict[str, object]:
    told = SimpleNamespace()
    sockets.to_connect(told, endpoint, key)
    return vars(told)


def test_between_machines_a_dead_connection_is_given_up() -> None:
    assert connecting(HERE, None) == {"ipv6": False}
    there = connecting(THERE, None)
    assert there["connect_timeout"] == sockets.CONNECT_MS
    told = SimpleNamespace()
    sockets.to_listen(told, THERE)
    assert told.handshake_ivl == sockets.HANDSHAKE_MS
    for asking in (there, vars(told)):
        assert asking["tcp_maxrt"] == sockets.LOST_MS
        assert asking["tcp_keepalive"] == 1


def test_a_key_is_shown_wherever_it_leads() -> None:
    for endpoint in (HERE, THERE, "tcp://[::1]:7400"):
        told = connecting(endpoint, KEY)
        assert (told["curve_serverkey"], told["curve_publickey"], told["curve_secretkey"]) == (
            b"c" * 40,
            b"p" * 40,
            b"s" * 40,
        )


@pytest.mark.parametrize("endpoint", [HERE, THERE, "tcp://[::1]:7400"])
def test_zeromq_knows_all_that_it_is_told(endpoint: str) -> None:
    public, secret = zmq.curve_keypair()
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        sockets.to_connect(socket, endpoint, Key("alice", Pair(public, secret), public))
        sockets.to_listen(socket, endpoint)
        assert socket.getsockopt(zmq.MECHANISM) == zmq.SecurityMechanism.CURVE
        assert socket.getsockopt(zmq.IPV6) == ("[" in endpoint)
