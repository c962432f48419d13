"""Questions and orders to a control socket, and what is said of those that nobody answered."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import zmq

from raftkv.cluster.control import ControlClient
from raftkv.errors import OutcomeUnknown, RaftkvError, Unavailable
from raftkv.wire.control import ControlResponse, decode_request, encode_response
from tests.support.processes import DEADLINE_SECONDS, free_base_port

PATIENCE = 0.2
"""Seconds until an order that nobody will answer is given up."""


class Node:
    """Answers orders that it understands, and no others; ``callers`` are the connections they came by."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        socket.bind("tcp://127.0.0.1:*")
        self.endpoint = socket.get_string(zmq.LAST_ENDPOINT)
        self.callers: set[bytes] = set()
        self.over = threading.Event()
        self._socket = socket

    def run(self) -> None:
        while not self.over.is_set():
            if self._socket.poll(20):
                caller, frame = self._socket.recv_multipart()
                self.callers.add(caller)
                request = decode_request(frame)
                if request.verb in ("done", "refused"):
                    response = ControlResponse(request.request_id, request.verb == "done", request.verb)
                    self._socket.send_multipart([caller, encode_response(response)])


@pytest.fixture
def node() -> Iterator[Node]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = Node(context.socket(zmq.ROUTER))
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        thread.join()
        context.destroy(linger=0)


def test_what_is_answered_is_known_and_the_connection_goes_on(node: Node) -> None:
    with ControlClient() as client:
        assert client.order(node.endpoint, "done", DEADLINE_SECONDS) == "done"
        with pytest.raises(RaftkvError, match="refused"):
            client.order(node.endpoint, "refused", DEADLINE_SECONDS)
        assert client.order(node.endpoint, "done", DEADLINE_SECONDS) == "done"
    assert len(node.callers) == 1


def test_an_order_that_may_have_arrived_is_not_said_to_have_failed(node: Node) -> None:
    with ControlClient() as client:
        client.order(node.endpoint, "done", DEADLINE_SECONDS)
        with pytest.raises(OutcomeUnknown, match="it may or may not have happened"):
            client.order(node.endpoint, "ignored", PATIENCE)
        assert client.order(node.endpoint, "done", DEADLINE_SECONDS) == "done", "by a new connection"
    assert len(node.callers) == 2


def test_an_order_to_nobody_has_not_happened() -> None:
    with ControlClient() as client, pytest.raises(Unavailable, match="no answer"):
        client.order(f"tcp://127.0.0.1:{free_base_port()}", "down", PATIENCE)


def test_an_order_to_what_says_nothing_has_not_happened() -> None:
    """A process that is stopped, say: the kernel takes the connection, and nobody the order."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with ControlClient() as client, pytest.raises(Unavailable, match="no answer"):
            client.order(endpoint, "down", PATIENCE)
