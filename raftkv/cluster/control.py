"""Asking a node's or the launcher's control socket: one request, one answer, a deadline."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import zmq

from raftkv.config import is_ipv6
from raftkv.errors import RaftkvError, Unavailable, WireError
from raftkv.observe import NodeSnapshot
from raftkv.wire.control import ControlRequest, decode_response, encode_request
from raftkv.wire.packing import FRAME_BYTES_MAX
from raftkv.wire.status import snapshot_from_map


class ControlClient:
    """Used by one thread."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._last_id = 0

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._context.destroy(linger=0)

    def ask(self, endpoint: str, verb: str, timeout: float, **arguments: Any) -> Any:
        """Raises ``Unavailable`` without an answer, ``RaftkvError`` with the node's own line."""
        answer = self.ask_all([endpoint], verb, timeout, **arguments)[endpoint]
        if answer is None:
            raise Unavailable(f"no answer from {endpoint} within {timeout:g} s")
        ok, body = answer
        if not ok:
            raise RaftkvError(str(body))
        return body

    def ask_all(
        self, endpoints: Sequence[str], verb: str, timeout: float, **arguments: Any
    ) -> dict[str, tuple[bool, Any] | None]:
        """Ask all at once; (ok, body) of each, None of those that did not answer in time."""
        self._last_id += 1
        frame = encode_request(ControlRequest(self._last_id, verb, arguments))
        poller = zmq.Poller()
        waiting: dict[zmq.Socket[bytes], str] = {}
        answers: dict[str, tuple[bool, Any] | None] = dict.fromkeys(endpoints)
        for endpoint in endpoints:
            socket = self._socket(endpoint)
            socket.send(frame)
            poller.register(socket, zmq.POLLIN)
            waiting[socket] = endpoint
        deadline = time.monotonic() + timeout
        while waiting and (left := deadline - time.monotonic()) > 0:
            for source, _ in poller.poll(int(left * 1000) + 1):
                try:
                    response = decode_response(source.recv())
                except WireError:
                    continue
                if response.request_id == self._last_id:
                    answers[waiting.pop(source)] = (response.ok, response.body)
                    poller.unregister(source)
        for socket, endpoint in waiting.items():
            socket.close()  # an answer that comes later must not meet the next question
            del self._sockets[endpoint]
        return answers

    def _socket(self, endpoint: str) -> zmq.Socket[bytes]:
        if endpoint not in self._sockets:
            socket = self._context.socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
            socket.setsockopt(zmq.IPV6, is_ipv6(endpoint))
            socket.connect(endpoint)
            self._sockets[endpoint] = socket
        return self._sockets[endpoint]


def snapshots(
    client: ControlClient, endpoints: Mapping[str, str], timeout: float
) -> dict[str, NodeSnapshot | None]:
    """Every node's snapshot by name, None of those that do not answer; ``endpoints`` by name too."""
    answers = client.ask_all(list(endpoints.values()), "status", timeout)
    found: dict[str, NodeSnapshot | None] = {}
    for name, endpoint in endpoints.items():
        answer = answers[endpoint]
        try:
            found[name] = snapshot_from_map(answer[1]) if answer and answer[0] else None
        except WireError:
            found[name] = None  # another version's node: what it says cannot be shown
    return found
