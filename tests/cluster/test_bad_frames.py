"""Whatever arrives at a node's sockets: it is counted and dropped, and the node serves on."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
import zmq

from raftkv.cluster.control import ControlClient, snapshots
from raftkv.kv.commands import Command, Op
from raftkv.raft.messages import HeartbeatResponse, RequestVote
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire import client as client_wire
from raftkv.wire import control as control_wire
from raftkv.wire import peer as peer_wire
from raftkv.wire.client import Kind
from raftkv.wire.control import ControlRequest
from tests.support.processes import DEADLINE_SECONDS, LocalCluster, await_condition, local_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("bad-frames")]

CLIENT, PEER, CONTROL, STATUS = 0, 10, 20, 30
KINDS = {CLIENT: "client", PEER: "peer", CONTROL: "control"}
OVERSIZED = bytes(20 << 20)
FORGED_TERM = Term(1000)
"""Of every forged vote; no cluster comes to it by itself within one run of tests."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.fixture(autouse=True)
def unmoved(cluster: LocalCluster) -> Iterator[None]:
    """No test here may end a node, move one to a forged term, or keep the cluster from serving. Elections
    of the nodes' own may happen: a machine that is busy enough starts some."""
    before = cluster.await_all_alive()
    yield
    cluster.ok("put", "still", "here")
    assert cluster.ok("get", "still") == b"here\n"
    after = cluster.await_all_alive()
    assert [node["pid"] for node in after["nodes"]] == [node["pid"] for node in before["nodes"]]
    assert all(0 < node["term"] < FORGED_TERM for node in after["nodes"])


def port_of(cluster: LocalCluster, offset: int, position: int) -> int:
    return cluster.base_port + offset + position


def rejected(cluster: LocalCluster, position: int) -> int:
    with ControlClient() as client:
        name, endpoint = f"n{position + 1}", f"tcp://127.0.0.1:{port_of(cluster, CONTROL, position)}"
        found = await_condition(lambda: snapshots(client, {name: endpoint}, 5.0)[name], f"{name} to answer")
    return found.frames_rejected


def cluster_name(cluster: LocalCluster) -> str:
    name: str = json.loads(cluster.ok("info", "n1", "--json"))["cluster"]
    return name


def vote(name: str, sender: str, to: str) -> bytes:
    """What would depose a leader, were it believed."""
    ask = RequestVote(NodeId(sender), NodeId(to), FORGED_TERM, LogIndex(1000), FORGED_TERM)
    return peer_wire.encode(name, NodeId(sender), "i", NodeId(to), 5, [ask])


def answer(name: str, sender: str, to: str) -> bytes:
    """Of a node under that name whose data folder is another."""
    late = HeartbeatResponse(NodeId(sender), NodeId(to), Term(1), 0)
    return peer_wire.encode(name, NodeId(sender), "i", NodeId(to), 5, [late])


def bad_frames(offset: int, name: str, me: str, other: str) -> list[list[bytes]]:
    """Messages, each of which must be rejected once."""
    rng = random.Random(offset)
    foreign, good = {
        CLIENT: (
            client_wire.encode_requests("another-cluster", [(1, Kind.GET, b"a", 0, False)]),
            client_wire.encode_requests(name, [(1, Kind.GET, b"a", 0, False)]),
        ),
        PEER: (vote("another-cluster", other, me), vote(name, other, me)),
        CONTROL: (
            msgpack.packb([2, 1, "stop", {}]),
            control_wire.encode_request(ControlRequest(1, "stop", {})),
        ),
    }[offset]
    frames = [[rng.randbytes(size)] for size in (1, 2, 7, 64, 1000, 100_000)]
    frames += [[b""], [b"\xc1"], [b"\x93" * 10_000], [b"\xdd\xff\xff\xff\xff"], [b"\xdf\xff\xff\xff\xff"]]
    frames += [[good[:size]] for size in range(1, len(good) - 1, max(1, len(good) // 6))]
    frames += [[good + b"\0"], [foreign], [b"part"] * 40, [b"", b""]]
    if offset == PEER:
        frames += [[vote(name, other, "n9")], [answer(name, other, me)], [vote(name, me, me)]]
    return frames


@pytest.mark.parametrize("offset", KINDS, ids=KINDS.values())
def test_bad_frames_are_counted_and_dropped(
    cluster: LocalCluster, context: zmq.Context[zmq.Socket[bytes]], offset: int
) -> None:
    name = cluster_name(cluster)
    for position in range(cluster.nodes):
        before = rejected(cluster, position)
        frames = bad_frames(offset, name, f"n{position + 1}", f"n{(position + 1) % 3 + 1}")
        with context.socket(zmq.DEALER) as dealer:
            dealer.setsockopt(zmq.LINGER, 0)
            dealer.connect(f"tcp://127.0.0.1:{port_of(cluster, offset, position)}")
            for frame in frames:
                dealer.send_multipart(frame)
            await_condition(
                lambda position=position, before=before, frames=frames: (  # type: ignore[misc]
                    rejected(cluster, position) >= before + len(frames)
                ),
                f"n{position + 1} to count {len(frames)} bad {KINDS[offset]} frames",
            )
        assert rejected(cluster, position) == before + len(frames)


@pytest.mark.parametrize("offset", KINDS, ids=KINDS.values())
def test_an_oversized_frame_ends_its_connection_only(
    cluster: LocalCluster, context: zmq.Context[zmq.Socket[bytes]], offset: int
) -> None:
    for position in range(cluster.nodes):
        with context.socket(zmq.DEALER) as dealer, dealer.get_monitor_socket() as monitor:
            dealer.setsockopt(zmq.LINGER, 0)
            dealer.connect(f"tcp://127.0.0.1:{port_of(cluster, offset, position)}")
            dealer.send(OVERSIZED)

            def disconnected(monitor: zmq.Socket[bytes] = monitor) -> bool:
                while monitor.poll(0):
                    event = monitor.recv_multipart()[0]
                    if int.from_bytes(event[:2], "little") == zmq.EVENT_DISCONNECTED:
                        return True
                return False

            await_condition(disconnected, "the node to hang up")
            dealer.disable_monitor()


def test_strange_but_well_formed_requests_are_answered(
    cluster: LocalCluster, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    """Of the right shape and cluster, but no client of ours would send them."""
    name = cluster_name(cluster)
    command = Command(1, 0, 1, 1, Op.PUT, (b"k", b"v")).encode()
    wrong_op = Command(2, 0, 1, 1, 77, (b"k",)).encode()
    no_key = Command(3, 0, 1, 1, Op.PUT, (b"", b"v")).encode()
    requests: list[tuple[Any, ...]] = [
        (2, Kind.GET, b"", 0, False),
        (3, Kind.GET, bytes(5000), 0, True),
        (4, Kind.RANGE, b"z", b"a", -5, True, False, False, 0, False),
        (5, Kind.RANGE, b"", b"", 1 << 62, False, False, False, 0, True),
        (6, Kind.WRITE, 2, 1, wrong_op),
        (7, Kind.WRITE, 3, 1, no_key),
        (2**63, Kind.GET, b"a", 0, False),
        (-1, Kind.HELLO),
    ]
    silent: list[tuple[Any, ...]] = [
        (10, Kind.WRITE, 4, 1, b""),
        (11, Kind.WRITE, 5, 1, os.urandom(200)),
        (12, Kind.WRITE, -6, -1, command[:-3]),
        (13, Kind.WRITE, 7, 9, command),  # named otherwise without than within
    ]
    for position in range(cluster.nodes):
        with context.socket(zmq.DEALER) as dealer:
            dealer.setsockopt(zmq.LINGER, 0)
            dealer.connect(f"tcp://127.0.0.1:{port_of(cluster, CLIENT, position)}")
            dealer.send(client_wire.encode_requests(name, silent + requests))
            wanted = {request[0] for request in requests}

            def answered(dealer: zmq.Socket[bytes] = dealer, wanted: set[int] = wanted) -> bool:
                while dealer.poll(0):
                    wanted.difference_update(
                        response.request_id for response in client_wire.decode_responses(dealer.recv())
                    )
                return not wanted

            await_condition(answered, f"n{position + 1} to answer {wanted}")


def test_strangers_on_tcp_do_not_disturb(cluster: LocalCluster) -> None:
    """Who speaks no ZeroMQ, or only the beginning of it, and then leaves or stays."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
    rng = random.Random(5)
    speeches = [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        rng.randbytes(10),
        rng.randbytes(70_000),
        greeting[:10],
        greeting,
        greeting + rng.randbytes(500),
        greeting + b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ" + b"\x02" + b"\xff" * 8,
    ]
    open_ones = []
    try:
        for offset in (CLIENT, PEER, CONTROL, STATUS):
            for position in range(cluster.nodes):
                for number, speech in enumerate(speeches):
                    stranger = socket.create_connection(("127.0.0.1", port_of(cluster, offset, position)), 5)
                    open_ones.append(stranger)
                    with contextlib.suppress(ConnectionError, TimeoutError):  # it may hang up on us
                        stranger.sendall(speech)
                    if number % 2:
                        stranger.close()
        cluster.ok("put", "among", "strangers")
    finally:
        for stranger in open_ones:
            stranger.close()


def test_garbage_subscriptions_cost_nobody_their_news(
    cluster: LocalCluster, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    rng = random.Random(6)
    for position in range(cluster.nodes):
        endpoint = f"tcp://127.0.0.1:{port_of(cluster, STATUS, position)}"
        with context.socket(zmq.XSUB) as noisy, context.socket(zmq.SUB) as listener:
            noisy.setsockopt(zmq.LINGER, 0)
            noisy.connect(endpoint)
            for size in (0, 1, 100, 5_000):  # a larger one overflows the stack of libzmq's own XSUB
                noisy.send(b"\x01" + rng.randbytes(size))
                noisy.send(b"\x00" + rng.randbytes(size))
                noisy.send(b"\x02" + rng.randbytes(size))
            listener.setsockopt(zmq.SUBSCRIBE, b"snapshot")
            listener.connect(endpoint)
            assert listener.poll(int(DEADLINE_SECONDS) * 1000), f"n{position + 1} publishes"
            assert listener.recv_multipart()[0] == b"snapshot"


def test_a_huge_subscription_is_hung_up_on(cluster: LocalCluster) -> None:
    """A node's libzmq keeps about a hundred bytes for every byte of a subscription."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
    topic = b"\x01" + bytes(1 << 20)
    with socket.create_connection(("127.0.0.1", port_of(cluster, STATUS, 0)), 5) as stranger:
        stranger.sendall(greeting + b"\x04" + bytes([len(ready)]) + ready)
        with contextlib.suppress(ConnectionError):
            stranger.sendall(b"\x02" + len(topic).to_bytes(8, "big") + topic)
        stranger.settimeout(1.0)
        with contextlib.suppress(ConnectionError):
            while stranger.recv(4096):
                pass
