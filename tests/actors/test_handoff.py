"""Leadership moves on request, and before its holder ends."""

from __future__ import annotations

from collections.abc import Sequence

from raftkv.observe.shapes import isolate
from raftkv.wire.control import ControlResponse, decode_response
from tests.support.world import VirtualClient, World


def settle(world: World, client: VirtualClient) -> None:
    world.reach(lambda: client.core.calls_open == 0)


def another(world: World, leader: str) -> str:
    return next(name for name in world.names if name != leader)


def ask(world: World, node: str, verb: str, **arguments: object) -> ControlResponse:
    """What the node answers an operator."""
    answers: list[bytes] = []

    def keep(frame: Sequence[bytes]) -> None:
        answers.append(frame[1])

    world.machines[node].ports["control"]._transmit = keep
    world.control(node, verb, **arguments)
    world.reach(lambda: answers)
    return decode_response(answers[0])


def test_leadership_moves_to_the_node_that_was_named() -> None:
    world = World(5)
    leader = world.await_leader()
    to = another(world, leader)
    world.run(0.5)  # by then the leader has heard everybody
    assert ask(world, leader, "transfer", to=to).ok
    world.reach(lambda: world.leader() == to, 0.1)
    world.run(0.1)
    assert world.node(leader).raft.raft.leader_id == to


def test_who_cannot_hand_over_says_so_and_nothing_changes() -> None:
    world = World()
    leader = world.await_leader()
    follower = another(world, leader)
    world.run(0.5)
    refused = ask(world, follower, "transfer", to=leader)
    assert (refused.ok, refused.body) == (False, f"{follower} does not lead; ask {leader}")
    unknown = ask(world, leader, "transfer", to="n9")
    assert not unknown.ok
    assert "no peer named 'n9'" in unknown.body
    world.run(1.0)
    assert world.leader() == leader
    assert world.watcher.elections == 1


def test_a_transfer_to_a_dead_node_costs_one_election_timeout_and_no_leader() -> None:
    world = World()
    leader = world.await_leader()
    dead = another(world, leader)
    world.crash(dead)
    client = world.user()
    client.put("a", "1")
    settle(world, client)
    world.control(leader, "transfer", to=dead)
    world.run(0.01)
    begun = world.now
    call = client.put("a", "2")
    settle(world, client)
    assert call.response is not None
    assert world.now - begun < world.config.raft.election_timeout_min_ms / 1000 + 0.1
    assert world.leader() == leader


def test_a_leader_that_is_asked_to_stop_costs_its_clients_next_to_nothing() -> None:
    for seed in range(20):
        world = World(3, seed)
        leader = world.await_leader()
        client = world.user()
        client.put("a", "0")
        settle(world, client)
        world.control(leader, "stop")
        longest, stopped = 0.0, world.now
        while leader in world.machines or world.now - stopped < 0.3:
            begun = world.now
            call = client.put("a", "1")
            settle(world, client)
            assert call.response is not None
            longest = max(longest, world.now - begun)
            if leader in world.machines:
                stopped = world.now
        assert longest < 0.1, f"seed {seed}: {longest:.3f} s without a successful write"
        assert world.leader() not in (None, leader)


def test_a_leader_without_anyone_to_hand_over_to_stops_all_the_same() -> None:
    alone = World(1)
    leader = alone.await_leader()
    alone.control(leader, "stop")
    alone.reach(lambda: leader not in alone.machines, 0.1)
    world = World()
    leader = world.await_leader()
    world.network.cut(isolate(leader, world.names))
    world.control(leader, "stop")
    world.reach(lambda: leader not in world.machines, 0.5)


def test_a_second_request_to_stop_does_not_wait() -> None:
    world = World()
    leader = world.await_leader()
    world.network.cut(isolate(leader, world.names))
    world.control(leader, "stop")
    world.run(0.01)
    assert leader in world.machines
    world.control(leader, "stop")
    world.reach(lambda: leader not in world.machines, 0.01)
