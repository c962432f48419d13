"""Frames through a real socket: none, one, several, each whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq

from raftkv.actors import zmq_ports
from raftkv.actors.zmq_ports import PARTS_MAX, PARTS_SKIPPED_MAX, ZmqPort

DEADLINE_MS = 30_000


@pytest.fixture
def ports() -> Iterator[tuple[ZmqPort, zmq.Socket[bytes]]]:
    """A bound port and somebody who writes to it."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        port = zmq_ports.client_port(context, "tcp://127.0.0.1:*")
        writer = context.socket(zmq.DEALER)
        writer.setsockopt(zmq.IDENTITY, b"w")
        writer.connect(port.socket.get_string(zmq.LAST_ENDPOINT))
        yield port, writer
    finally:
        context.destroy(linger=0)


def received(port: ZmqPort, count: int, frames_max: int = 100) -> list[list[bytes]]:
    """As many frames, however they arrive."""
    frames: list[list[bytes]] = []
    while len(frames) < count:
        assert port.socket.poll(DEADLINE_MS), "nothing arrived in time"
        some = port.receive(frames_max)
        assert 0 < len(some) <= frames_max
        frames += some
    return frames


def test_none(ports: tuple[ZmqPort, zmq.Socket[bytes]]) -> None:
    assert ports[0].receive(10) == []


@pytest.mark.parametrize("parts", [[b"one"], [b""], [b"one", b"two"], [b"", b"two", b"three"]])
def test_one_frame_comes_whole_and_alone(
    ports: tuple[ZmqPort, zmq.Socket[bytes]], parts: list[bytes]
) -> None:
    port, writer = ports
    writer.send_multipart(parts)
    assert received(port, 1) == [[b"w", *parts]]
    assert port.receive(10) == []


def test_no_more_is_taken_once_there_are_so_many_bytes(ports: tuple[ZmqPort, zmq.Socket[bytes]]) -> None:
    """In whichever part of a frame."""
    port, writer = ports
    sent = [[bytes(400), b""], [b"", bytes(400)], [bytes(200), bytes(200)], [b"last"]]
    for parts in sent:
        writer.send_multipart(parts)
    frames: list[list[bytes]] = []
    while len(frames) < len(sent):
        assert port.socket.poll(DEADLINE_MS), "nothing arrived in time"
        some = port.receive(100, 500)
        assert sum(len(part) for frame in some[:-1] for part in frame) < 500
        assert len(some) <= 2
        frames += some
    assert [parts[1:] for parts in frames] == sent


@pytest.mark.parametrize("frames_max", [1, 7, 100])
def test_several_come_in_order_no_more_than_are_asked_for(
    ports: tuple[ZmqPort, zmq.Socket[bytes]], frames_max: int
) -> None:
    port, writer = ports
    sent = [[b"%d" % number] * (1 + number % 3) for number in range(50)]
    for parts in sent:
        writer.send_multipart(parts)
    assert received(port, len(sent), frames_max) == [[b"w", *parts] for parts in sent]
    assert port.receive(10) == []


def test_many_frames_with_a_few_parts_too_many_are_let_go_of_one_a_turn(
    ports: tuple[ZmqPort, zmq.Socket[bytes]],
) -> None:
    port, writer = ports
    for _ in range(5):
        writer.send_multipart([b""] * (PARTS_MAX + 100))
    turns: list[int] = []
    while sum(turns) < 5:
        assert port.socket.poll(DEADLINE_MS), "nothing arrived in time"
        turns.append(len(port.receive(100)))
    assert turns == [1] * 5


def test_what_is_let_go_of_counts_among_a_turns_bytes(ports: tuple[ZmqPort, zmq.Socket[bytes]]) -> None:
    port, writer = ports
    writer.send_multipart([bytes(1000)] * (PARTS_MAX + 10))
    took = 0
    frames: list[list[bytes]] = []
    while not frames or port._skipping:
        assert port.socket.poll(DEADLINE_MS), "nothing arrived in time"
        frames += port.receive(100, 5000)
        took += 1
    assert len(frames) == 1
    assert took == 3, "4 parts and 1, then 5 and 5"


def test_of_a_frame_with_too_many_parts_the_rest_is_let_go_of_a_turn_at_a_time(
    ports: tuple[ZmqPort, zmq.Socket[bytes]],
) -> None:
    """Millions of empty ones are a few megabytes, and would keep a node from all else for seconds."""
    port, writer = ports
    turns = 3
    writer.send_multipart([b"first"])
    writer.send_multipart([b"%d" % number for number in range(turns * PARTS_SKIPPED_MAX)])
    writer.send_multipart([b"last"])
    frames: list[list[bytes]] = []
    took = 0
    while len(frames) < 3:
        assert port.socket.poll(DEADLINE_MS), "nothing arrived in time"
        frames += port.receive(10)
        took += 1
    assert took >= turns
    assert frames == [[b"w", b"first"], [b"w", b"0", b"1", b"2"], [b"w", b"last"]]
