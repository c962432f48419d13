"""Which way leads to an endpoint: the short one where it is there, TCP where it is not, and back again."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
import zmq

from raftkv import shortcut
from raftkv.actors import zmq_ports
from raftkv.client.calls import Call
from raftkv.client.transport import Transport
from raftkv.wire.client import Kind, decode_requests
from tests.support.processes import free_base_port

DEADLINE_SECONDS = 30.0


@pytest.fixture
def endpoint() -> str:
    return f"tcp://127.0.0.1:{free_base_port()}"


def near(endpoint: str) -> str:
    found = shortcut.beside(endpoint)
    assert found
    return found


def listening(family: socket.AddressFamily, address: Any) -> socket.socket:
    found = socket.socket(family)
    if family != socket.AF_UNIX:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(address)
    found.listen(8)
    return found


def by_tcp(endpoint: str) -> socket.socket:
    return listening(socket.AF_INET, ("127.0.0.1", int(endpoint.rpartition(":")[2])))


def by_unix(endpoint: str) -> socket.socket:
    return listening(socket.AF_UNIX, "\0" + near(endpoint).removeprefix("ipc://@"))


def until(reached: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_the_short_way_is_taken_where_it_is_there(endpoint: str) -> None:
    with by_unix(endpoint):
        assert shortcut.way_to(endpoint) == near(endpoint)
        with by_tcp(endpoint):
            assert shortcut.way_to(endpoint, before=endpoint) == near(endpoint)


def test_what_listens_on_tcp_alone_is_found_there(endpoint: str) -> None:
    with by_tcp(endpoint):
        assert shortcut.way_to(endpoint) == endpoint
        assert shortcut.way_to(endpoint, before=near(endpoint)) == endpoint


def test_while_nobody_listens_the_way_stays(endpoint: str) -> None:
    assert shortcut.way_to(endpoint) == near(endpoint)
    assert shortcut.way_to(endpoint, before=endpoint) == endpoint


def test_whoever_has_too_many_waiting_is_there(endpoint: str) -> None:
    """A node that is stopped takes no connection, and is to be waited for at its own door."""
    with ExitStack() as stack:
        stack.enter_context(by_unix(endpoint))
        for _ in range(32):
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            try:
                waiting.connect("\0" + near(endpoint).removeprefix("ipc://@"))
            except BlockingIOError:
                break
        else:
            pytest.skip("this kernel lets any number wait")
        assert shortcut.way_to(endpoint) == near(endpoint)


@pytest.mark.parametrize(
    "elsewhere", ["tcp://192.0.2.1:7400", "tcp://example.org:7400", "tcp://[2001:db8::1]:7"]
)
def test_there_is_none_to_another_machine(elsewhere: str) -> None:
    assert shortcut.beside(elsewhere) is None
    assert shortcut.way_to(elsewhere) == elsewhere


def test_there_is_none_where_none_is_wanted(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with by_unix(endpoint):
        monkeypatch.setenv("RAFTKV_TCP_ONLY", "1")
        assert shortcut.beside(endpoint) is None
        assert shortcut.way_to(endpoint) == endpoint


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        yield made
    finally:
        made.destroy(linger=0)


def test_a_link_finds_its_peer_however_it_comes_back(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortcut, "LOOK_SECONDS", 0.05)
    link = zmq_ports.peer_link(context, endpoint, "tested/n1/n2")
    assert isinstance(link, zmq_ports.ZmqLink)
    try:
        for tcp_only in ("", "1", ""):
            monkeypatch.setenv("RAFTKV_TCP_ONLY", tcp_only)
            port = zmq_ports.peer_port(context, endpoint)
            monkeypatch.setenv("RAFTKV_TCP_ONLY", "")  # it is the node that has no short way
            try:
                until(lambda: link.send([b"hello"]))
                assert port.socket.poll(int(DEADLINE_SECONDS * 1000))
                assert port.receive(1) == [[b"tested/n1/n2", b"hello"]]
            finally:
                port.close()
                until(lambda: not link.send([b"anybody there"]))
                until(
                    lambda: shortcut.way_to(endpoint, "nobody") == "nobody"
                )  # ZeroMQ closes in its own time
    finally:
        link.close()


def test_a_client_finds_its_node_however_it_comes_back(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortcut, "LOOK_SECONDS", 0.05)
    transport = Transport([endpoint], 1)

    def greeted(port: zmq_ports.ZmqPort) -> bool:
        transport.pump(0.01)
        return any(decode_requests(frame[-1])[1][0][1] == Kind.HELLO for frame in port.receive(10))

    transport.core.submit(
        Call((Kind.GET, b"k", 0, False), time.monotonic() + 600, lambda _: None), time.monotonic()
    )
    try:
        for tcp_only in ("", "1", ""):
            monkeypatch.setenv("RAFTKV_TCP_ONLY", tcp_only)
            port = zmq_ports.client_port(context, endpoint)
            monkeypatch.setenv("RAFTKV_TCP_ONLY", "")
            try:
                until(partial(greeted, port))
            finally:
                port.close()
                until(lambda: shortcut.way_to(endpoint, "nobody") == "nobody")
    finally:
        transport.close()
