"""A load on etcd that takes little from etcd: clients with one request outstanding each, over bare HTTP/2.

The load shares the machine with what it measures, and a gRPC library takes longer for a request, in Python,
than etcd does. So requests of one kind differ in their stream, key and value only, and of an answer is read
where its frames end, and whether it has a body: etcd's refusals have none. RFC 9113 (frames), RFC 7541
(headers) and etcd's ``rpc.proto`` say what the bytes mean.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator, Sequence

from raftkv.client.bench import BenchResult

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW_UPDATE = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x8
_ACK = _END_STREAM = 0x1
_END_HEADERS = 0x4
_FRAME = struct.Struct(">IBI")
"""A frame's head. Length and kind share the first number: ``length << 8 | kind``."""
_WINDOW_BYTES = 65_535
"""What may be sent before the server grants more."""
_WINDOW_BYTES_MAX = (1 << 31) - 1
_RECEIVED_BYTES_MAX = 1 << 18
ANSWER_SECONDS = 30.0
PATHS = {
    "put": b"/etcdserverpb.KV/Put",
    "get": b"/etcdserverpb.KV/Range",
    "status": b"/etcdserverpb.Maintenance/Status",
}
Answer = tuple[float, bytes | None]
"""When it was asked for, and the body; None of a refusal."""


class Connection:
    """Calls of one path to one endpoint, many at a time."""

    def __init__(self, endpoint: str, path: bytes) -> None:
        host, _, port = endpoint.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # From the second call on, what the first has put into the server's dynamic table: 62 is the latest.
        self._headers = b"\x83\x86\xc1\xc0\xbf\xbe"
        first = b"\x83\x86"  # POST, http
        for name, value in (
            (b"\x44", path),
            (b"\x41", endpoint.encode()),
            (b"\x5f", b"application/grpc"),
            (b"\x40\x02te", b"trailers"),
        ):
            first += name + bytes([len(value)]) + value
        self._first_headers: bytes | None = first
        self._next_stream = 1
        self._window = _WINDOW_BYTES
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._asked: dict[int, float] = {}
        self._bodies: dict[int, bytes] = {}
        self._buffer = b""
        grant = struct.pack(">I", _WINDOW_BYTES_MAX - _WINDOW_BYTES)
        self._out = [_PREFACE, _frame(_SETTINGS, 0, 0, b""), _frame(_WINDOW_UPDATE, 0, 0, grant)]

    def ask(self, message: bytes) -> None:
        """Leaves with the next ``flush``, or once the server has room for it."""
        self._waiting.append((time.perf_counter(), b"\x00" + struct.pack(">I", len(message)) + message))

    def flush(self) -> None:
        while self._waiting and len(self._waiting[0][1]) <= self._window:
            asked, data = self._waiting.popleft()
            stream, self._next_stream = self._next_stream, self._next_stream + 2
            headers, self._first_headers = self._first_headers or self._headers, None
            self._out += [
                _frame(_HEADERS, _END_HEADERS, stream, headers),
                _frame(_DATA, _END_STREAM, stream, data),
            ]
            self._window -= len(data)
            self._asked[stream] = asked
        if self._out:
            self.socket.sendall(b"".join(self._out))
            self._out.clear()

    def receive(self) -> list[Answer]:
        """Read once, which may wait, and take apart what is there."""
        received = self.socket.recv(_RECEIVED_BYTES_MAX)
        if not received:
            raise ConnectionError("etcd closed the connection")
        buffer = self._buffer + received if self._buffer else received
        answers: list[Answer] = []
        position, end = 0, len(buffer)
        while end - position >= _FRAME.size:
            length_and_kind, flags, stream = _FRAME.unpack_from(buffer, position)
            start = position + _FRAME.size
            position_after = start + (length_and_kind >> 8)
            if position_after > end:
                break
            position = position_after
            kind = length_and_kind & 0xFF
            if kind == _DATA:
                self._bodies[stream] = self._bodies.get(stream, b"") + buffer[start:position]
            elif kind != _HEADERS and kind != _RESET:
                self._on_control(kind, flags, stream, buffer[start:position])
            if kind == _RESET or (kind == _HEADERS and flags & _END_STREAM):
                answers.append((self._asked.pop(stream), self._bodies.pop(stream, None)))
        self._buffer = buffer[position:]
        return answers

    def _on_control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _WINDOW_UPDATE and not stream:
            self._window += int.from_bytes(payload, "big")
        elif kind == _GO_AWAY:
            raise ConnectionError(f"etcd ends the connection: {payload[8:].decode(errors='replace')}")
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._out.append(_frame(kind, _ACK, 0, payload if kind == _PING else b""))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _FRAME.pack(len(payload) << 8 | kind, flags, stream) + payload


# -- Protocol Buffers, as far as needed


def message_of(*values: bytes) -> bytes:
    """Fields 1, 2, …, all of them bytes: a ``PutRequest`` of key and value, a ``RangeRequest`` of a key."""
    return b"".join(
        bytes([number << 3 | 2]) + _varint(len(value)) + value for number, value in enumerate(values, 1)
    )


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def fields_of(message: bytes) -> dict[int, int | bytes]:
    """Numbers and bytes by the number of their field, the last of each."""
    found: dict[int, int | bytes] = {}
    position = 0

    def number() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while position < len(message):
        tag = number()
        if tag & 7 not in (0, 2):
            raise ValueError(f"a field of wire type {tag & 7}")
        value = number()
        if tag & 7 == 0:
            found[tag >> 3] = value
        else:
            found[tag >> 3] = message[position : position + value]
            position += value
    return found


# -- what is asked


def leader_of(endpoints: Sequence[str]) -> str | None:
    """The endpoint of whoever leads; None if nobody says that it does."""
    for endpoint in endpoints:
        connection = Connection(endpoint, PATHS["status"])
        with connection.socket:
            connection.ask(b"")
            connection.flush()
            answers: list[Answer] = []
            while not answers:
                answers = connection.receive()
                connection.flush()
        body = answers[0][1]
        if body is not None:
            status = fields_of(body[5:])
            header = status.get(1, b"")
            assert isinstance(header, bytes)
            if status.get(4) == fields_of(header).get(2):
                return endpoint
    return None


def run(
    endpoint: str,
    operation: str,
    keys: Iterator[bytes],
    *,
    clients: int,
    connections: int,
    total: int,
    value: bytes = b"",
) -> BenchResult:
    """``total`` puts of ``value`` or linearizable gets, each of the next of ``keys``, by ``clients`` that
    share so many connections."""
    result = BenchResult(operation, clients, total, len(value))
    left = total
    with selectors.DefaultSelector() as selector:
        opened = [Connection(endpoint, PATHS[operation]) for _ in range(min(clients, connections))]
        try:
            begin = time.perf_counter()
            for number in range(min(clients, total)):
                opened[number % len(opened)].ask(_request(operation, next(keys), value))
                left -= 1
            for connection in opened:
                connection.flush()
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            while len(result.latencies) + result.errors < total:
                ready = selector.select(ANSWER_SECONDS)
                if not ready:
                    raise TimeoutError(f"etcd has answered nothing for {ANSWER_SECONDS:g} s")
                for key, _ in ready:
                    for asked, body in key.data.receive():
                        if body is None:
                            result.errors += 1
                        else:
                            result.latencies.append(time.perf_counter() - asked)
                        if left:
                            left -= 1
                            key.data.ask(_request(operation, next(keys), value))
                    key.data.flush()
            result.seconds = time.perf_counter() - begin
        finally:
            for connection in opened:
                connection.socket.close()
    return result


def _request(operation: str, key: bytes, value: bytes) -> bytes:
    return message_of(key, value) if operation == "put" else message_of(key)
