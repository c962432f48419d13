"""PITFALLS 31-33 and 35: stale reads, and writes applied twice."""

from __future__ import annotations

from raftkv.kv import Code, Op
from raftkv.raft import Role
from raftkv.raft.messages import AppendEntries, AppendEntriesResponse, HeartbeatResponse
from raftkv.types import NodeId
from tests.support.raft_cluster import RaftCluster
from tests.support.world import World

N1, N2 = NodeId("n1"), NodeId("n2")


def test_pitfall_31_no_read_index_before_the_terms_no_op_commits() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.propose("n1", "a")
    cluster.settle()
    # n2 holds "a" but has not heard that it is committed; it becomes the leader.
    for name in cluster.names:
        cluster[name].election_elapsed = 10
    cluster["n1"].step_down("check-quorum")
    cluster["n2"].campaign()
    cluster._pump(N2)
    while cluster["n2"].role is not Role.LEADER:
        assert cluster.deliver(lambda m: not isinstance(m, AppendEntries))
    cluster.read("n2", 1)
    for _ in range(10):
        cluster.tick("n2")
        cluster.deliver(lambda m: not isinstance(m, AppendEntries))
    assert cluster.reads[N2] == []
    cluster.settle()
    (state,) = cluster.reads[N2]
    assert state.read_index == cluster["n2"].log.last_index


def test_pitfall_32_answers_to_an_earlier_round_do_not_confirm_a_later_read() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.read("n1", 1)
    cluster.deliver()
    early = [m for m in cluster.network if isinstance(m, HeartbeatResponse)]
    cluster.settle()
    cluster.read("n1", 2)
    cluster.network.clear()
    for message in early:
        cluster["n1"].step(message)
    cluster._pump(N1)
    assert [state.context for state in cluster.reads[N1]] == [1]


def test_pitfall_32_a_paused_leader_serves_nothing_stale_when_it_wakes() -> None:
    world = World()
    leader = world.await_leader()
    client = world.user()
    client.put("a", "old")
    world.reach(lambda: client.core.calls_open == 0)
    world.machines[leader].pause()
    old_reader = world.user("c2", [leader])
    read = old_reader.get("a", timeout=30.0, node=leader)
    world.reach(lambda: world.leader() not in (None, leader))
    write = client.put("a", "new")
    world.reach(lambda: client.core.calls_open == 0)
    assert write.response is not None
    world.machines[leader].resume()
    world.reach(lambda: old_reader.core.calls_open == 0, seconds=40.0)
    assert read.response is not None
    assert read.response.detail[0] == b"new", "it began after the new value was acknowledged nowhere else"


def test_pitfall_33_a_read_waits_for_the_quorum() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.block(["n1"], ["n2", "n3"])
    cluster.read("n1", 1)
    cluster.settle()
    assert cluster.reads[N1] == []
    cluster.heal()
    cluster.tick("n1", 2)
    cluster.settle()
    assert [state.context for state in cluster.reads[N1]] == [1]


def test_pitfall_33_an_append_ack_is_no_confirmation() -> None:
    """Only an answer that names the round counts; appends may have been sent long before."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.propose("n1", "a")
    cluster.deliver()
    acks = [m for m in cluster.network if isinstance(m, AppendEntriesResponse)]
    cluster.network.clear()
    cluster.read("n1", 1)
    for message in acks:
        cluster["n1"].step(message)
    cluster._pump(N1)
    assert acks
    assert cluster.reads[N1] == []


def test_pitfall_35_a_retry_is_applied_once_whatever_happens_to_its_answers() -> None:
    """The leader applies the write, its answer is lost, it dies; the client asks the next leader."""
    world = World()
    leader = world.await_leader()
    client = world.user()
    client.put("n", "0")
    world.reach(lambda: client.core.calls_open == 0)
    world.network.cut([(leader, "c1")])
    call = client.write(Op.COMPARE_AND_SET, b"n", b"0", b"1", timeout=10.0)
    world.reach(lambda: world.node(leader).store.machine.revision == 2)
    world.crash(leader)
    world.reach(lambda: client.core.calls_open == 0)
    assert call.uncertain, "it was asked twice"
    assert call.response is not None
    assert call.response.code == Code.OK, (
        "the second try must get the first one's answer, not a failed compare"
    )
    world.run(0.5)
    for machine in world.machines.values():
        assert machine.node.store.machine.revision == 2


def test_pitfall_35_duplicated_requests_are_applied_once() -> None:
    world = World()
    world.await_leader()
    client = world.user()
    client.put("warm", "up")
    world.reach(lambda: client.core.calls_open == 0)
    calls = [client.put(f"k{number}", "v") for number in range(20)]
    frames = client.core.take_frames()
    for endpoint, frame in frames:
        for node in world.names:
            world.ask_node("c1", node, frame)
            world.ask_node("c1", node, frame)
        assert endpoint
    world.reach(lambda: client.core.calls_open == 0)
    world.run(0.5)
    assert all(call.response for call in calls)
    for machine in world.machines.values():
        assert machine.node.store.machine.revision == 21
