"""Whole nodes in a virtual world: serving, forwarding, failing over, recovering."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgpack
import pytest

from raftkv.actors.node import Node
from raftkv.errors import OutcomeUnknown, Unavailable
from raftkv.kv.commands import Code, Op
from raftkv.observe.shapes import between
from raftkv.storage import Identity, Wal
from raftkv.types import NodeId
from tests.support.world import WAL_OPTIONS, VirtualClient, World


def settle(world: World, client: VirtualClient) -> None:
    world.reach(lambda: client.core.calls_open == 0)


def test_a_write_is_answered_and_read_back() -> None:
    world = World()
    world.await_leader()
    client = world.user()
    call = client.put("a", "1")
    settle(world, client)
    assert call.response is not None
    assert (call.response.code, call.response.revision) == (Code.OK, 1)
    assert client.await_value("a") == "1"


def test_a_follower_forwards_writes_and_answers_them_itself() -> None:
    world = World()
    leader = world.await_leader()
    follower = next(name for name in world.names if name != leader)
    client = world.user(endpoints=[follower])
    client.core.on_time(world.now)
    # The client cannot reach the leader at all.
    world.network.cut(between(["c1"], [leader]))
    calls = [client.put(f"k{number}", "v") for number in range(20)]
    settle(world, client)
    assert all(call.response for call in calls), [call.error for call in calls]
    assert len(world.node(leader).store.machine) == 20
    leadership = world.node(leader).raft.raft.leadership
    assert leadership
    asked = [name for name, book in leadership.progress.items() if book.clients_heard_at >= 0]
    assert asked == [follower], "the leader knows whose clients they were"


def test_an_acknowledgement_leaves_before_the_node_looks_at_anything_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a follower's disk; of the leader's own nobody is told."""
    world = World()
    leader = world.await_leader()
    client = world.user()
    client.put("warm", "up")
    settle(world, client)
    heard: list[tuple[bool, int]] = []
    hear_disk = Node.hear_disk

    def counted(node: Node, results: list[Any]) -> None:
        before = sum(link.frames_sent for link in node.peers.links())
        hear_disk(node, results)
        sent = sum(link.frames_sent for link in node.peers.links()) - before
        heard.append((node is world.node(leader), sent))

    monkeypatch.setattr(Node, "hear_disk", counted)
    client.put("a", "1")
    world.reach(lambda: len(heard) == len(world.names))
    assert sorted(heard) == [(False, 1), (False, 1), (True, 0)]


def test_many_requests_of_one_turn_travel_and_sync_together() -> None:
    world = World()
    leader = world.await_leader()
    client = world.user()
    client.put("warm", "up")
    settle(world, client)
    batches = world.machines[leader].disk.submitted
    for number in range(200):
        client.put(f"k{number}", "v")
    settle(world, client)
    assert world.machines[leader].disk.submitted - batches <= 4


def test_every_node_holds_the_same_state_at_the_same_index() -> None:
    world = World(5)
    world.await_leader()
    client = world.user()
    for number in range(50):
        client.put(f"k{number % 7}", str(number))
        client.write(Op.DELETE, b"k%d" % (number % 5))
    settle(world, client)
    world.run(0.2)
    digests = {machine.node.status.snapshot().state_digest for machine in world.machines.values()}
    indexes = {machine.node.status.snapshot().applied_index for machine in world.machines.values()}
    assert len(digests) == len(indexes) == 1


def test_service_returns_within_a_second_after_the_leader_dies() -> None:
    world = World()
    leader = world.await_leader()
    client = world.user()
    client.put("a", "1")
    settle(world, client)
    world.crash(leader)
    died = world.now
    call = client.put("a", "2")
    settle(world, client)
    assert call.response is not None
    assert world.now - died < 1.0


def test_power_loss_of_all_nodes_loses_nothing_acknowledged() -> None:
    world = World()
    world.await_leader()
    client = world.user()
    for number in range(100):
        client.put(f"k{number}", str(number))
    settle(world, client)
    for name in world.names:
        world.crash(name)
    for name in world.names:
        world.start(name)
    world.await_leader()
    assert [client.await_value(f"k{number}") for number in range(100)] == [str(n) for n in range(100)]


def test_a_write_without_a_quorum_is_never_a_false_success() -> None:
    world = World()
    leader = world.await_leader()
    client = world.user()
    for name in world.names:
        if name != leader:
            world.crash(name)
    call = client.put("a", "1", timeout=2.0)
    settle(world, client)
    assert isinstance(call.error, OutcomeUnknown | Unavailable)


def test_without_a_leader_nothing_happened_and_that_is_said() -> None:
    world = World()
    leader = world.await_leader()
    for name in world.names:
        if name != leader:
            world.crash(name)
    world.run(2.0)
    client = world.user()
    write, read = client.put("a", "1", timeout=1.0), client.get("a", timeout=1.0)
    settle(world, client)
    assert isinstance(write.error, Unavailable)
    assert isinstance(read.error, Unavailable)


def test_a_stale_read_is_served_without_a_quorum() -> None:
    world = World()
    leader = world.await_leader()
    client = world.user()
    client.put("a", "1")
    settle(world, client)
    survivor = next(name for name in world.names if name != leader)
    world.run(0.2)
    for name in world.names:
        if name != survivor:
            world.crash(name)
    world.run(1.0)
    call = client.get("a", stale=True, node=survivor)
    settle(world, client)
    assert call.response is not None
    assert call.response.detail[0] == b"1"


def test_an_isolated_leader_serves_no_reads() -> None:
    world = World()
    leader = world.await_leader()
    client = world.user()
    client.put("a", "old")
    settle(world, client)
    world.cut_off(leader)
    other = world.user("c2", [name for name in world.names if name != leader])
    world.network.cut(between(["c2"], [leader]))
    call = other.put("a", "new")
    settle(world, other)
    assert call.response is not None
    stale = client.get("a", timeout=3.0, node=leader)
    settle(world, client)
    assert stale.response is None


def test_a_hung_disk_of_the_leader_fails_over() -> None:
    world = World()
    leader = world.await_leader()
    client = world.user()
    world.machines[leader].disk.hangs = True
    client.put("a", "1")
    world.reach(lambda: world.leader() not in (None, leader), seconds=5.0)
    call = client.put("b", "2")
    settle(world, client)
    assert call.response is not None


def test_the_log_on_disk_is_the_log_of_the_core() -> None:
    world = World()
    leader = world.await_leader()
    client = world.user()
    for number in range(30):
        client.put(f"k{number}", "v" * 100)
    settle(world, client)
    world.run(0.5)
    entries = list(world.node(leader).raft.raft.log.entries)
    world.crash(leader)
    identity = Identity("virtual", NodeId(leader), "again")
    _, recovered = Wal.open(world.platters[leader].directory, identity, WAL_OPTIONS)
    assert recovered.entries == entries


def test_a_write_that_was_open_when_leadership_was_lost_is_unknown_not_failed() -> None:
    world = World()
    leader = world.await_leader()
    client = world.user(endpoints=[leader])
    client.put("warm", "up")
    settle(world, client)
    world.cut_off(leader)
    # The client reaches nobody else: what this leader has taken on may yet be committed by others.
    world.network.cut(between(["c1"], [name for name in world.names if name != leader]))
    call = client.put("a", "1", timeout=3.0)
    settle(world, client)
    assert isinstance(call.error, OutcomeUnknown)


def test_a_read_waits_until_the_state_has_reached_its_index() -> None:
    """At a follower that is a step behind: the index it was given is newer than what it has applied."""
    world = World()
    leader = world.await_leader()
    follower = next(name for name in world.names if name != leader)
    client = world.user()
    for number in range(200):
        client.put("a", str(number))
        settle(world, client)
        read = client.get("a", node=follower)
        settle(world, client)
        assert read.response is not None
        assert read.response.detail[0] == str(number).encode()


def test_a_client_of_another_version_is_told_which_one_this_node_speaks() -> None:
    world = World()
    leader = world.await_leader()
    client = world.client("odd")
    frames: list[bytes] = []
    client.arrive = lambda endpoint, frame: frames.append(frame)  # type: ignore[method-assign]
    world.ask_node("odd", leader, msgpack.packb([9, "virtual", [], "whatever comes later"]))
    world.run(0.1)
    assert [msgpack.unpackb(frame) for frame in frames] == [[1, []]]


def test_an_idle_node_sleeps_through_ticks_and_a_commit_is_spread_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    leader = world.await_leader()
    client = world.user()
    client.put("a", "1")
    settle(world, client)
    world.run(1.0)
    turns = Counter[Node]()
    take = Node.turn

    def counted(self: Node, *arrived: Any) -> None:
        turns[self] += 1
        take(self, *arrived)

    monkeypatch.setattr(Node, "turn", counted)
    world.run(10.0)
    for name in world.names:
        # There were 1,000 ticks, but only 200 heartbeats, each answered by two, and 100 snapshots.
        assert turns[world.node(name)] < (800 if name == leader else 600)
    client.put("b", "2")
    settle(world, client)
    done = world.now
    world.reach(lambda: all(len(world.node(name).store.machine) == 2 for name in world.names))
    assert world.now - done <= 0.025, "not only with the next heartbeat"
