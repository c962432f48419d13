"""The way to one peer: what says who leads does not wait behind large frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raftkv.actors.link import HEAVY_FRAME_BYTES, HEAVY_SECONDS_MAX, SLOW_LINE_BYTES, Link
from raftkv.actors.messages import Send
from raftkv.raft import Entry
from raftkv.raft.messages import AppendEntries, Heartbeat, RequestVoteResponse, TimeoutNow
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire import peer as wire
from tests.support.world import World

N1, N2 = NodeId("n1"), NodeId("n2")
LARGE = b"x" * (HEAVY_FRAME_BYTES + 1)


class Way:
    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.connected = self.open = True

    def receive(self, frames_max: int, bytes_max: int = 0) -> list[list[bytes]]:
        return []

    def send(self, frame: Sequence[bytes]) -> bool:
        if self.connected:
            self.frames.append(frame[0])
        return self.connected

    def close(self) -> None:
        self.open = False


class Ways:
    """What a link has opened, in that order."""

    def __init__(self) -> None:
        self.opened: list[tuple[bool, Way]] = []

    def __call__(self, urgent: bool) -> Way:
        self.opened.append((urgent, Way()))
        return self.opened[-1][1]


def heartbeat() -> Heartbeat:
    return Heartbeat(N1, N2, Term(1), LogIndex(0), 0)


def append(value: bytes) -> AppendEntries:
    entry = Entry(LogIndex(1), Term(1), 1, value)
    return AppendEntries(N1, N2, Term(1), LogIndex(0), Term(0), [entry], LogIndex(0))


def test_there_is_one_connection_until_a_large_frame_has_left() -> None:
    ways = Ways()
    link = Link("tcp://n2:1", ways)
    link.outbox = [heartbeat(), append(b"small")]
    assert link.take_urgent(100.0) == []
    assert link.send(b"small", False, 100.0)
    assert [urgent for urgent, _ in ways.opened] == [False]
    assert link.send(LARGE, False, 100.0)
    assert [urgent for urgent, _ in ways.opened] == [False, True]


def test_what_says_who_leads_takes_the_second_one_as_long_as_it_may_be_under_way() -> None:
    ways = Ways()
    link = Link("tcp://n2:1", ways)
    link.send(LARGE, False, 100.0)
    vote = RequestVoteResponse(N1, N2, Term(2), True)
    told = TimeoutNow(N1, N2, Term(1))
    link.outbox = [append(b"a"), heartbeat(), vote, append(b"b"), told]
    assert [type(item) for item in link.take_urgent(100.1)] == [Heartbeat, RequestVoteResponse, TimeoutNow]
    assert [type(item) for item in link.outbox] == [AppendEntries, AppendEntries], "in their order"
    assert link.send(b"beat", True, 100.1)
    assert ways.opened[1][1].frames == [b"beat"]
    link.outbox = [heartbeat()]
    over = 100.0 + len(LARGE) / SLOW_LINE_BYTES
    assert link.take_urgent(over + 0.001) == []
    for _ in range(10_000):
        link.send(LARGE, False, over)
    assert link.take_urgent(over + HEAVY_SECONDS_MAX + 0.001) == []


def test_a_second_one_that_is_not_there_yet_is_done_without() -> None:
    ways = Ways()
    link = Link("tcp://n2:1", ways)
    link.send(LARGE, False, 100.0)
    ways.opened[1][1].connected = False
    assert link.send(b"beat", True, 100.1)
    assert ways.opened[0][1].frames == [LARGE, b"beat"]
    ways.opened[0][1].connected = False
    assert not link.send(LARGE, False, 100.2)


def test_both_go_with_the_link() -> None:
    ways = Ways()
    link = Link("tcp://n2:1", ways)
    link.send(LARGE, False, 100.0)
    link.move("tcp://n2:2", ways)
    assert [way.open for _, way in ways.opened] == [False, False, True]
    link.close()
    assert [way.open for _, way in ways.opened] == [False, False, False]


def test_a_node_sends_them_apart() -> None:
    world = World()
    world.await_leader()
    peers: Any = world.node("n1").peers
    ways = Ways()
    link = peers._links[N2] = Link(peers._links[N2].endpoint, ways)
    link.introduced_at = peers._context.now()
    peers.handle(Send([append(LARGE)]))
    peers.end_of_turn()
    peers.handle(Send([append(b"next"), heartbeat()]))
    peers.end_of_turn()
    first, second = [[kinds(frame) for frame in way.frames] for _, way in ways.opened]
    assert first == [[AppendEntries], [AppendEntries]]
    assert second == [[Heartbeat]]
    assert peers.links()[[link.to for link in peers.links()].index(N2)].frames_sent == 3


def kinds(frame: bytes) -> list[type]:
    return [type(item) for item in wire.decode(frame).items]
