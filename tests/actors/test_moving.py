"""A member that is added again under its name, on another machine."""

from __future__ import annotations

import dataclasses

from raftkv.config import NodeConfig
from raftkv.raft import AddLearner, Remove
from raftkv.raft.membership import Change
from raftkv.types import NodeId
from raftkv.wire import peer as wire
from raftkv.wire.peer import Introduction
from tests.support.world import World

N4 = NodeId("n4")


def change(world: World, wanted: Change) -> None:
    raft = world.node(world.await_leader()).raft.raft
    world.reach(lambda: raft.change_membership(wanted) is None)  # the leader makes changes of its own
    world.reach(lambda: raft.log.configurations.latest_index <= raft.log.commit_index)


def move(world: World, name: NodeId) -> NodeConfig:
    """From now on it listens elsewhere, of which the nodes that run have read nothing."""
    there = {
        kind: getattr(world.config.node(name), kind).replace("virtual", "elsewhere")
        for kind in ("peer", "client", "control", "status")
    }
    moved = dataclasses.replace(world.config.node(name), **there)
    nodes = tuple(moved if node.name == name else node for node in world.config.nodes)
    world.config = dataclasses.replace(world.config, nodes=nodes)
    world._nodes_at[moved.client] = str(name)
    return moved


def come_back_elsewhere(world: World) -> NodeConfig:
    """n4 is added, heard, removed, and added again under its name on another machine; where it was first."""
    former = world.config.node(N4)
    change(world, AddLearner(N4, former.endpoints()))
    leader = world.node(world.await_leader()).raft.raft
    world.reach(lambda: (member := leader.configuration.member(N4)) and member.incarnation)
    change(world, Remove(N4))
    world.run(2.0)
    world.wipe(N4)
    moved = move(world, N4)
    world.start(N4)
    change(world, AddLearner(N4, moved.endpoints()))
    return former


def assert_caught_up(world: World) -> None:
    leader = world.node(world.await_leader()).raft.raft
    world.reach(lambda: world.node(N4).raft.raft.log.last_index >= leader.log.commit_index > 0)


def test_a_member_that_comes_back_elsewhere_under_its_name_is_reached_there() -> None:
    world = World(3, seed=3, spares=1)
    come_back_elsewhere(world)
    assert_caught_up(world)


def test_a_member_is_reached_where_it_was_added_whatever_the_file_says() -> None:
    world = World(3, seed=4, spares=1)
    world.await_leader()
    world.wipe(N4)
    moved = move(world, N4)
    world.start(N4)
    change(world, AddLearner(N4, moved.endpoints()))
    assert_caught_up(world)


def test_a_word_of_the_former_bearer_of_a_name_cuts_off_the_present_one_for_a_moment_only() -> None:
    """One that was paused when it was removed. The present one is a learner, which says nothing unasked."""
    world = World(3, seed=3, spares=1)
    former = come_back_elsewhere(world)
    leader = world.node(world.await_leader()).raft.raft
    world.reach(lambda: (member := leader.configuration.member(N4)) and member.incarnation)
    for name in ("n1", "n2", "n3"):
        word = [Introduction(former.endpoints(), 0)]
        world.send_to_peer("n4", name, wire.encode(world.config.name, N4, "0ld", NodeId(name), 77, word, 0))
    world.run(1.0)
    world.user().put("k", "v")
    world.run(1.0)
    assert_caught_up(world)


def test_the_time_of_the_log_never_runs_ahead_however_often_the_leader_changes() -> None:
    """Or sessions, and the past, would be forgotten too early."""
    world = World()
    world.await_leader()
    world.run(1.0)
    user = world.user("w")
    for number in range(6):
        world.run(10.0)
        user.put("a", str(number))
        world.reach(lambda: user.core.calls_open == 0, 20.0)
        leader = world.await_leader()
        to = [name for name in world.names if name != leader][number % 2]
        world.control(leader, "transfer", to=to)
        world.run(1.5)
        user.put("b", str(number))
        world.reach(lambda: user.core.calls_open == 0, 20.0)
    log_ms = world.node(world.await_leader()).store.machine.sessions.now_ms
    assert 0 < log_ms / 1000 <= world.now
