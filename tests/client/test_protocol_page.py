"""A client written from ``docs/protocol.md`` alone: nothing of raftkv is imported below the fixture."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from tests.support.processes import LocalCluster, local_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("protocol")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("protocol")) as running:
        yield running


class Stranger:
    """What the page says, in as few words as possible."""

    def __init__(self, endpoint: str) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, 10_000)
        self.socket.connect(endpoint)
        self.cluster: str | None = None
        self.request_id = 0
        self.client_id = random.getrandbits(63)
        self.sequence = 0
        hello = self.ask(0)[3]
        self.cluster, self.node, _, _, self.leader, self.born, nodes = hello
        self.endpoints = {name: client for name, client, _, _ in nodes}

    def close(self) -> None:
        self.context.destroy(linger=0)

    def ask(self, kind: int, *fields: Any) -> list[Any]:
        self.request_id += 1
        request = [self.request_id, kind, *fields]
        self.socket.send(msgpack.packb([1, self.cluster, [request]]))
        while True:
            version, responses = msgpack.unpackb(self.socket.recv())
            assert version == 1
            for response in responses:
                if response[0] == self.request_id:
                    found: list[Any] = response
                    return found

    def command(self, sequence: int, op: int, *arguments: Any) -> bytes:
        packed: bytes = msgpack.packb([self.client_id, self.born, sequence, sequence, op, *arguments])
        return packed

    def write(self, op: int, *arguments: Any) -> list[Any]:
        self.sequence += 1
        while True:
            command = self.command(self.sequence, op, *arguments)
            response = self.ask(1, self.client_id, self.sequence, command)
            if response[1] < 10:
                return response


@pytest.fixture
def stranger(cluster: LocalCluster) -> Iterator[Stranger]:
    """At a node that does not lead, which is the harder case."""
    first = Stranger(f"tcp://127.0.0.1:{cluster.base_port}")
    endpoint = next(client for name, client in first.endpoints.items() if name != first.leader)
    first.close()
    client = Stranger(endpoint)
    yield client
    client.close()


def test_a_client_written_from_the_page_works(stranger: Stranger) -> None:
    assert stranger.node != stranger.leader
    code, revision, detail = stranger.write(1, b"page/a", b"1")[1:]
    assert (code, detail) == (0, None)
    assert stranger.ask(2, b"page/a", 0, False)[3] == [b"1", revision, revision, 1, 0]
    assert stranger.ask(2, b"page/none", 0, False)[1:] == [0, revision, None]
    assert stranger.write(4, b"page/a", b"2", b"3")[1] == 1
    assert stranger.write(4, b"page/a", b"2", b"3")[3] == [b"1", revision, revision, 1, 0]
    assert stranger.write(4, b"page/b", None, b"2")[1] == 0
    assert stranger.write(5, [[b"page/c", b"3"], [b"page/d", b"4"]])[3] == 2
    items, total, more = stranger.ask(3, b"page/", b"page0", 3, False, False, False, 0, False)[3]
    assert [key for key, _ in items] == [b"page/a", b"page/b", b"page/c"]
    assert (total, more) == (4, True)
    assert stranger.ask(3, b"page/", b"page0", 0, True, True, False, 0, False)[3][0][0][0] == b"page/d"
    assert stranger.ask(3, b"page/", b"", 0, False, False, True, 0, False)[3][1] >= 4
    assert stranger.write(2, b"page/a")[3] == 1
    assert stranger.write(3, b"page/", b"page0")[3] == 3


def test_a_write_sent_twice_is_applied_once_and_answered_alike(stranger: Stranger) -> None:
    first = stranger.write(1, b"page/once", b"1")
    stranger.sequence -= 1
    assert stranger.write(1, b"page/once", b"1")[1:] == first[1:]
    assert stranger.ask(2, b"page/once", 0, False)[3][3] == 1


def test_refusals_are_as_the_page_says(stranger: Stranger) -> None:
    assert stranger.write(1, b"", b"1")[1] == 2
    assert stranger.write(99, b"a")[1] == 2
    unborn = msgpack.packb([stranger.client_id + 1, 1 << 60, 1, 1, 1, b"a", b"1"])
    assert stranger.ask(1, stranger.client_id + 1, 1, unborn)[1] == 3


def test_the_page_is_named_where_the_frames_are_made() -> None:
    root = Path(__file__).parent.parent.parent
    assert "docs/protocol.md" in (root / "raftkv/wire/client.py").read_text()
    assert (root / "docs/protocol.md").exists()
