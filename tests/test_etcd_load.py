"""The load on etcd, against a server that speaks as much HTTP/2 as etcd needs, and keeps to its own rules."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator
from typing import IO

import pytest

from benchmarks import etcd_load

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
WINDOW = 65_535
PING_BYTES = b"are you?"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"{host}:{port}"


class Server(threading.Thread):
    """Answers one connection until it is closed. ``refuses``: the message that gets no body; ``body``: what
    the others get; ``piece``: so many bytes of an answer leave at a time."""

    def __init__(self, body: bytes = b"\x0a\x00", refuses: bytes | None = None, piece: int = 1 << 20) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = address_of(self._listener)
        self._body, self._refuses, self._piece = body, refuses, piece
        self.messages: list[bytes] = []
        self.headers: list[bytes] = []
        self.acknowledged: list[tuple[int, bytes]] = []
        self.fault = ""

    def run(self) -> None:
        connection, _ = self._listener.accept()
        with self._listener, connection, connection.makefile("rb") as stream:
            try:
                self._serve(connection, stream)
            except AssertionError as fault:
                self.fault = str(fault)

    def _serve(self, connection: socket.socket, stream: IO[bytes]) -> None:
        assert stream.read(len(PREFACE)) == PREFACE
        connection.sendall(frame(SETTINGS, 0, 0) + frame(PING, 0, 0, PING_BYTES))
        window, last = WINDOW, -1
        while head := stream.read(9):
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            number, payload = int.from_bytes(head[5:], "big"), stream.read(length)
            if kind in (SETTINGS, PING) and flags & 1:
                self.acknowledged.append((kind, payload))
            elif kind == HEADERS:
                assert number > last, "streams are opened in their order"
                assert number % 2, "and are odd"
                last = number
                self.headers.append(payload)
            elif kind == DATA:
                window -= length
                assert window >= 0, "no more than was granted"
                assert int.from_bytes(payload[1:5], "big") == length - 5
                self.messages.append(payload[5:])
                refused = payload[5:] == self._refuses
                body = (
                    b""
                    if refused
                    else frame(HEADERS, 4, number, b"\x88") + frame(DATA, 0, number, self._framed())
                )
                answer = body + frame(HEADERS, 5, number, b"\x88")
                if window < WINDOW // 2:
                    answer += frame(WINDOW_UPDATE, 0, 0, (WINDOW - window).to_bytes(4, "big"))
                    window = WINDOW
                for start in range(0, len(answer), self._piece):
                    connection.sendall(answer[start : start + self._piece])

    def _framed(self) -> bytes:
        return b"\x00" + len(self._body).to_bytes(4, "big") + self._body


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for server in started:
        server.join(10)
        assert not server.is_alive()
        assert not server.fault


def serve(servers: list[Server], server: Server) -> Server:
    servers.append(server)
    server.start()
    return server


def keys() -> Iterator[bytes]:
    return (b"key-%d" % number for number in itertools.count())


def test_every_request_is_sent_once_and_answered(servers: list[Server]) -> None:
    server = serve(servers, Server(piece=7))
    found = etcd_load.run(
        server.endpoint, "put", keys(), clients=5, connections=1, total=23, value=bytes(300)
    )
    assert (len(found.latencies), found.errors) == (23, 0)
    assert server.messages == [
        b"\x0a" + bytes([len(key)]) + key + b"\x12\xac\x02" + bytes(300)
        for key in itertools.islice(keys(), 23)
    ]
    assert server.acknowledged == [(SETTINGS, b""), (PING, PING_BYTES)]
    assert b"/etcdserverpb.KV/Put" in server.headers[0]
    assert set(server.headers[1:]) == {b"\x83\x86\xc1\xc0\xbf\xbe"}


def test_no_more_is_sent_than_the_server_has_room_for(servers: list[Server]) -> None:
    server = serve(servers, Server())
    found = etcd_load.run(
        server.endpoint, "put", keys(), clients=100, connections=1, total=300, value=bytes(1024)
    )
    assert len(found.latencies) == 300, "more than a window at once, and many after each other"


def test_what_is_refused_is_no_answer(servers: list[Server]) -> None:
    server = serve(servers, Server(refuses=b"\x0a\x05key-3"))
    found = etcd_load.run(server.endpoint, "get", keys(), clients=2, connections=1, total=10)
    assert (len(found.latencies), found.errors) == (9, 1)


def test_a_server_that_ends_the_connection_ends_the_load(servers: list[Server]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closing = threading.Thread(target=lambda: listener.accept()[0].close())
        closing.start()
        with pytest.raises(ConnectionError):
            etcd_load.run(address_of(listener), "get", keys(), clients=1, connections=1, total=1)
        closing.join()


@pytest.mark.parametrize("leader", [7, 300])
def test_the_leader_is_who_says_so_of_itself(servers: list[Server], leader: int) -> None:
    """Its header names the member that answers, 300 here; ``leader`` is field 4."""
    header = b"\x08\x01\x10\xac\x02"
    named = b"\x07" if leader == 7 else b"\xac\x02"
    server = serve(
        servers, Server(body=b"\x0a\x05" + header + b"\x12\x053.4.2" + b"\x18\x80\x01\x20" + named)
    )
    assert etcd_load.leader_of([server.endpoint]) == (server.endpoint if leader == 300 else None)


def test_a_field_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="wire type 5"):
        etcd_load.fields_of(b"\x0d\x00\x00\x00\x00")
