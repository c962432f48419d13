"""What nodes said before the dashboard listened: all of it, once, and nothing that cannot be read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import zmq

from raftkv.cluster.backlog import Backlog
from raftkv.cluster.discovery import find
from raftkv.cluster.live import LiveFeed
from raftkv.observe import Earlier, Event
from raftkv.observe.events import NODE_FAULT_SET
from raftkv.wire.control import ControlResponse, encode_response
from tests.cli.asserting import ok
from tests.support.processes import await_condition, local_cluster
from tests.tui.fakes import event, snapshot


class Node:
    """A control socket that answers what it is told to."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._socket = context.socket(zmq.ROUTER)
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"

    def answer(self, frame: bytes) -> None:
        assert self._socket.poll(60_000), "nobody asked"
        identity, _ = self._socket.recv_multipart()
        self._socket.send_multipart([identity, frame])

    def was_asked(self) -> bool:
        return bool(self._socket.poll(0))


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.fixture
def node(context: zmq.Context[zmq.Socket[bytes]]) -> Node:
    return Node(context)


@pytest.fixture
def strange(context: zmq.Context[zmq.Socket[bytes]]) -> Node:
    return Node(context)


@pytest.fixture
def backlog(context: zmq.Context[zmq.Socket[bytes]]) -> Backlog:
    return Backlog(context)


def said(*sequences: int) -> list[dict[str, Any]]:
    return [asdict(event(number, "n1", "LeaderChanged", term=1, leader_id="n2")) for number in sequences]


def answered(body: Any, ok: bool = True) -> bytes:
    return encode_response(ControlResponse(0, ok, body))


def found(backlog: Backlog) -> list[int]:
    earlier = await_condition(backlog.poll, "the answer")
    assert len(earlier) == 1
    return [each.sequence for each in earlier[0].events]


def waited_for(backlog: Backlog) -> bool:
    return any(heard.socket for heard in backlog._nodes.values())


def test_what_is_heard_anyway_is_left_out(node: Node, backlog: Backlog) -> None:
    backlog.hear(snapshot("n1", event_sequence=5), node.endpoint)
    assert backlog.poll() == []
    node.answer(answered(said(3, 4, 5, 6, 7)))
    assert found(backlog) == [3, 4, 5]
    backlog.hear(snapshot("n1", event_sequence=7), node.endpoint)
    assert not node.was_asked(), "once is enough"
    assert backlog.poll() == []


def test_events_that_came_ahead_of_the_first_snapshot_may_come_again(node: Node, backlog: Backlog) -> None:
    """Which is no harm: whoever shows them knows them by their numbers."""
    backlog.hear(event(4, "n1", "LeaderChanged"), node.endpoint)
    assert not node.was_asked()
    backlog.hear(snapshot("n1", event_sequence=5), node.endpoint)
    node.answer(answered(said(2, 3, 4, 5)))
    assert found(backlog) == [2, 3, 4, 5]


def test_a_node_that_was_started_anew_is_asked_for_its_beginning(node: Node, backlog: Backlog) -> None:
    """The subscription comes about late, and then it has said something already."""
    backlog.hear(snapshot("n1", event_sequence=50, boot=1), node.endpoint)
    node.answer(answered([]))
    await_condition(lambda: backlog.poll() == [] and not waited_for(backlog), "the answer")
    backlog.hear(event(3, "n1", "LeaderChanged"), node.endpoint)
    backlog.hear(snapshot("n1", event_sequence=3, boot=2), node.endpoint)
    node.answer(answered(said(1, 2, 3, 4)))
    assert found(backlog) == [1, 2, 3]


@pytest.mark.parametrize("by", ["event", "snapshot"])
def test_what_got_lost_on_the_way_is_asked_for(
    node: Node, backlog: Backlog, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftkv.cluster.backlog.ASK_SECONDS", 0.0)
    backlog.hear(snapshot("n1", event_sequence=5), node.endpoint)
    node.answer(answered(said(4, 5)))
    assert found(backlog) == [4, 5]
    backlog.hear(event(6, "n1", "LeaderChanged"), node.endpoint)
    assert not waited_for(backlog)
    if by == "event":
        backlog.hear(event(9, "n1", "LeaderChanged"), node.endpoint)
    else:
        backlog.hear(snapshot("n1", event_sequence=9), node.endpoint)
    node.answer(answered(said(6, 7, 8, 9, 10)))
    assert found(backlog) == [6, 7, 8, 9]


def test_however_much_gets_lost_a_node_is_not_asked_all_the_time(
    node: Node, backlog: Backlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog.hear(snapshot("n1", event_sequence=5), node.endpoint)
    node.answer(answered(said(5)))
    assert found(backlog) == [5]
    monkeypatch.setattr("raftkv.cluster.backlog.ASK_SECONDS", 3600.0)
    for number in range(7, 100, 2):
        backlog.hear(event(number, "n1", "LeaderChanged"), node.endpoint)
    assert not waited_for(backlog)
    monkeypatch.setattr("raftkv.cluster.backlog.ASK_SECONDS", 0.0)
    backlog.hear(event(100, "n1", "LeaderChanged"), node.endpoint)
    node.answer(answered(said(98, 99, 100)))
    assert found(backlog) == [98, 99, 100]


def test_a_question_that_nobody_takes_holds_nothing_up() -> None:
    mine: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    backlog = Backlog(mine)
    for boot in (1, 2):
        backlog.hear(snapshot("n1", boot=boot), "tcp://127.0.0.1:1")
    ending = threading.Thread(target=mine.destroy, daemon=True)
    ending.start()
    ending.join(60.0)
    assert mine.closed


@pytest.mark.parametrize(
    "answer",
    [
        *(b"", b"raftkv", answered("unknown verb 'events'", ok=False), answered("text"), answered([5])),
        *(answered([{"kind": "x"}]), answered([]), answered(said(9))),
    ],
)
def test_a_node_that_has_no_past_to_tell_is_left_alone(
    strange: Node, node: Node, backlog: Backlog, answer: bytes
) -> None:
    backlog.hear(snapshot("n2", event_sequence=5), strange.endpoint)
    strange.answer(answer)
    await_condition(lambda: backlog.poll() == [] and not waited_for(backlog), "the answer")
    backlog.hear(snapshot("n1", event_sequence=5), node.endpoint)
    node.answer(answered(said(5)))
    assert found(backlog) == [5]


@pytest.mark.cluster
def test_a_listener_that_comes_late_has_every_event(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as cluster:
        ok(cluster, "chaos", "link", "n1", "n2", "--delay", "1")
        ok(cluster, "chaos", "heal")
        heard: list[Event] = []
        with closing(LiveFeed(find(None, None, cluster.folder / ".raftkv"))) as feed:

            def know_all(now: int) -> bool:
                for item in feed.poll():
                    heard.extend(item.events if isinstance(item, Earlier) else ())
                    heard.extend([item] if isinstance(item, Event) else ())
                begun = {each.node for each in heard if each.sequence == 1}
                return len(begun) == 3 and sum(each.kind == NODE_FAULT_SET for each in heard) == now

            await_condition(lambda: know_all(0), "what was said before")
            ok(cluster, "chaos", "clock", "n1", "--rate", "1.1")
            await_condition(lambda: know_all(1), "what is said now")
        for name in ("n1", "n2", "n3"):
            numbers = sorted({each.sequence for each in heard if each.node == name})
            assert numbers == list(range(1, len(numbers) + 1))
