"""Where the dashboard listens, as members come, go and move."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial

import pytest
import zmq

from raftkv.cluster import live
from raftkv.cluster.discovery import Target
from raftkv.cluster.live import LiveFeed
from raftkv.observe import MemberSnapshot, NodeSnapshot
from raftkv.types import NodeId
from raftkv.wire import status
from tests.support.processes import DEADLINE_SECONDS
from tests.tui.fakes import snapshot

ELSEWHERE = "tcp://127.0.0.1:9"
Publisher = tuple["zmq.Socket[bytes]", str]


@pytest.fixture
def publish() -> Iterator[Callable[[], Publisher]]:
    """Makes a socket that a node could have, and where it is."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    made = []

    def make() -> Publisher:
        socket = context.socket(zmq.PUB)
        made.append(socket)
        return socket, f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"

    yield make
    for socket in made:
        socket.close(linger=0)
    context.term()


def member(name: str, endpoint: str, control: str = ELSEWHERE) -> MemberSnapshot:
    return MemberSnapshot(NodeId(name), "voter", name, (ELSEWHERE, ELSEWHERE, control, endpoint))


def say(publisher: Publisher, name: str, *members: MemberSnapshot) -> None:
    """Whoever names members leads."""
    role = "leader" if members else "follower"
    said = replace(
        snapshot(name), role=role, leader=NodeId("n1"), members=members, configuration_committed=True
    )
    publisher[0].send_multipart([status.TOPIC_SNAPSHOT, status.encode_snapshot(said)])


def heard_until(feed: LiveFeed, speak: Callable[[], None], wanted: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        speak()
        if any(isinstance(item, NodeSnapshot) and item.name == wanted for item in feed.poll()):
            return
        time.sleep(0.01)
    raise AssertionError(f"{wanted} was not heard")


def test_a_node_is_followed_to_where_it_has_moved(publish: Callable[[], Publisher]) -> None:
    n1, before, after = publish(), publish(), publish()
    met: list[Mapping[str, str]] = []
    target = Target("tests", (), {"n1": ELSEWHERE, "n2": ELSEWHERE}, {"n1": n1[1], "n2": before[1]})
    with closing(LiveFeed(target, met=lambda controls: met.append(dict(controls)))) as feed:

        def as_it_was() -> None:
            say(n1, "n1", member("n1", n1[1]), member("n2", before[1]))
            say(before, "n2")

        heard_until(feed, as_it_was, "n2")
        heard_until(feed, as_it_was, "n1")
        assert met == [], "nothing is new"
        moved = "tcp://127.0.0.1:10"

        def as_it_is() -> None:
            say(n1, "n1", member("n1", n1[1]), member("n2", after[1], moved))
            say(after, "n2")

        while feed.poll():
            pass
        heard_until(feed, as_it_is, "n2")
        assert met[-1] == {"n1": ELSEWHERE, "n2": moved}


def test_where_nobody_is_any_more_nobody_is_listened_to_for_ever(
    publish: Callable[[], Publisher], monkeypatch: pytest.MonkeyPatch
) -> None:
    n1 = publish()
    target = Target("tests", (), {}, {"n1": n1[1], "n2": "tcp://127.0.0.1:11"})
    with closing(LiveFeed(target)) as feed:
        for port in range(12, 20):
            name = f"n{port}"
            others = member("n1", n1[1]), member(name, f"tcp://127.0.0.1:{port}")
            heard_until(feed, partial(say, n1, "n1", *others), "n1")
        assert feed.names() == ("n1", "n19")
        assert len(feed._connected) == 10
        monkeypatch.setattr(live, "LEFT_SECONDS", 0.0)
        feed.poll()
        assert feed._connected == {n1[1], "tcp://127.0.0.1:19"}
        assert set(feed._heard_at) <= {"n1", "n19"}


def test_whoever_was_found_otherwise_than_it_says_stays_where_it_was_found(
    publish: Callable[[], Publisher],
) -> None:
    """Over a forwarded port, for example."""
    n1, n3 = publish(), publish()
    target = Target("tests", (), {"n1": "tcp://127.0.0.1:12"}, {"n1": n1[1]})
    with closing(LiveFeed(target)) as feed:

        def speak() -> None:
            say(n1, "n1", member("n1", "tcp://127.0.0.1:13", "tcp://127.0.0.1:14"), member("n3", n3[1]))
            say(n3, "n3")

        heard_until(feed, speak, "n3")
        heard_until(feed, speak, "n1")
        assert feed._controls == {"n1": "tcp://127.0.0.1:12", "n3": ELSEWHERE}
