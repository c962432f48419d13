"""Pitfalls 18, 23 to 27 and 30: members that come, go, come back, or pretend to."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import pytest

from raftkv.actors.messages import Expelled
from raftkv.config import SnapshotConfig
from raftkv.observe.shapes import isolate
from raftkv.raft import (
    AddLearner,
    Configuration,
    EntryKind,
    Part,
    Promote,
    Raft,
    Refusal,
    Remove,
    Replace,
    Role,
    SnapshotMark,
)
from raftkv.raft.membership import Change
from raftkv.raft.messages import AppendEntries, AppendEntriesResponse, HeartbeatResponse, TimeoutNow
from raftkv.types import LogIndex, NodeId, Term
from tests.paper import support as paper
from tests.support.raft_cluster import OPTIONS, RaftCluster
from tests.support.world import World

FORGETFUL = dataclasses.replace(OPTIONS, retained_entries=0, lagging_entries_max=0)
PATIENCE = 3 * OPTIONS.election_ticks_max
N1, N2, N3, N4 = (NodeId(f"n{number}") for number in range(1, 5))


def change(cluster: RaftCluster, leader: str, wanted: Change) -> Refusal | None:
    refused = cluster[leader].change_membership(wanted)
    cluster._pump(NodeId(leader))
    return refused


def done(cluster: RaftCluster, leader: str, wanted: Change) -> None:
    """From beginning to end."""
    assert change(cluster, leader, wanted) is None
    cluster.settle()
    cluster.run(OPTIONS.heartbeat_ticks)


def with_learner(founders: int = 3, **options: Any) -> RaftCluster:
    """n1 leads; the next node after the founders has caught up."""
    cluster = RaftCluster(founders + 1, founders=founders, **options)
    cluster.elect("n1")
    learner = cluster.names[-1]
    done(cluster, "n1", AddLearner(learner))
    cluster["n1"].meet(learner, "1", (), 0)
    cluster._pump(N1)
    cluster.run(OPTIONS.heartbeat_ticks)
    return cluster


# -- 18


def test_pitfall_18_a_removed_node_disturbs_nobody() -> None:
    """hashicorp/raft 524. It never hears of it, and goes on trying."""
    cluster = with_learner()
    cluster.block(["n3"], ["n1", "n2", "n4"])
    assert change(cluster, "n1", Remove(N3)) is None
    cluster.settle()
    assert cluster["n1"].configuration.names == (N1, N2, N4)
    cluster.heal()
    term = cluster["n1"].current_term
    cluster.run(PATIENCE)
    assert cluster["n3"].configuration.votes(N3), "it still takes itself for a voter"
    assert cluster["n1"].role is Role.LEADER
    assert {cluster[name].current_term for name in ("n1", "n2", "n4")} == {term}


def test_pitfall_18_a_removed_node_does_not_win_when_the_leader_dies() -> None:
    cluster = with_learner()
    cluster.block(["n3"], ["n1", "n2", "n4"])
    done(cluster, "n1", Promote(N4))
    done(cluster, "n1", Remove(N3))
    cluster.heal()
    cluster.crash("n1")
    for _ in range(PATIENCE):
        cluster.run(1)
        assert cluster["n3"].role is not Role.LEADER
    leader = cluster.leader()
    assert leader
    assert leader.node_id in (N2, N4)


def test_pitfall_18_a_removed_leader_hands_over_and_never_leads_again() -> None:
    """logcabin 205."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    assert change(cluster, "n1", Remove(N1)) is None
    cluster.settle()
    leader = cluster.leader()
    assert leader
    assert leader.node_id != N1, "without an election timeout"
    assert leader.configuration.names == (N2, N3)
    for _ in range(PATIENCE):
        cluster.run(1)
        assert cluster["n1"].role is Role.FOLLOWER


def test_pitfall_18_a_removed_leader_hands_over_to_somebody_who_can_take_it() -> None:
    """The first that holds everything may be one that will not campaign while clients wait."""
    cluster = RaftCluster(4)
    cluster.elect("n1")
    leadership = cluster["n1"].leadership
    assert leadership
    assert change(cluster, "n1", Remove(N1)) is None
    told: set[NodeId] = set()
    while not told:
        leadership.progress[N2].behind = True  # as its answers to heartbeats would say
        cluster.deliver()
        told = {message.to for message in cluster.network if isinstance(message, TimeoutNow)}
    assert cluster["n1"].role is Role.FOLLOWER
    assert N2 not in told


def test_pitfall_18_a_removed_leader_leads_until_that_is_committed() -> None:
    """It may be the only one that holds the entry: those that remain could not win against its log. Found by
    a random schedule, in which a leader had appended its own end and nobody else had it."""
    cluster = RaftCluster(2)
    cluster.elect("n1")
    assert change(cluster, "n1", Remove(N1)) is None
    cluster.deliver()  # n2 has the joint configuration
    cluster.deliver()  # and says so; n1 appends the one without itself
    cluster.drop(lambda message: isinstance(message, AppendEntries))
    assert cluster["n1"].configuration.names == (N2,)
    assert cluster["n2"].configuration.joint
    cluster.restart("n1")
    cluster.run_until(lambda: cluster["n2"].role is Role.LEADER)
    assert cluster["n2"].configuration.names == (N2,)


def test_pitfall_18_a_node_believes_nobody_who_may_be_behind() -> None:
    """A learner that is still catching up knows less of members than anybody; what leaders have told it to be
    committed tells how old a word is."""
    world = World()
    leader = world.await_leader()
    world.run(2.0)
    other, third = (name for name in world.names if name != leader)
    heard = world.node(other).raft.raft.commit_heard
    assert heard > 0

    def ends(name: str, peer: str, index: int, vouched: bool = True) -> bool:
        world.node(name).handle(Expelled(NodeId(peer), "", LogIndex(index), vouched))
        return world.node(name).stopped is not None

    assert not ends(other, third, heard)
    assert not ends(other, third, heard + 1, vouched=False), "it may be of another past"
    assert ends(other, third, heard + 1)
    assert ends(third, leader, 1, vouched=False), "the leader's word counts in any case"


def test_pitfall_18_a_node_that_was_removed_is_told_and_ends() -> None:
    world = World(4)
    leader = world.await_leader()
    gone = next(name for name in world.names if name != leader)
    world.run(2.0)
    machine = world.machine(gone)
    world.cut_off(gone)
    world.control(leader, "change_members", change="remove", name=gone)
    world.reach(lambda: gone not in world.members())
    world.network.heal()
    world.reach(lambda: gone not in world.machines)
    assert machine.node.stopped
    assert f"node {gone} was removed from the cluster" in str(machine.node.stopped.error)


def test_pitfall_18_a_leader_that_was_removed_ends_by_itself() -> None:
    """Nobody talks to it any more, and what others could tell it knows already. Found by a torture: it ran on
    for good."""
    world = World(4)
    leader = world.await_leader()
    world.run(2.0)
    machine = world.machine(leader)
    world.control(leader, "change_members", change="remove", name=leader)
    world.reach(lambda: leader not in world.machines)
    assert machine.node.stopped
    assert str(machine.node.stopped.error).startswith(f"node {leader} was removed from the cluster: ")
    world.reach(lambda: world.leader() is not None)
    assert leader not in world.members()


# -- 23


def test_pitfall_23_nothing_changes_before_an_entry_of_the_term_is_committed() -> None:
    """Two leaders, each with a change of its own, could otherwise have majorities that share nobody."""
    cluster = RaftCluster(4, founders=3)
    cluster.elect("n1")
    cluster.block(["n2"], ["n1", "n3"])
    cluster["n2"].become_candidate("test")
    cluster["n2"].become_leader()
    assert cluster["n2"].change_membership(AddLearner(N4)) is Refusal.NO_ENTRY_COMMITTED
    assert cluster["n2"].configuration == Configuration.of([N1, N2, N3])


def test_pitfall_23_one_change_at_a_time() -> None:
    """redpanda 17675."""
    cluster = with_learner()
    cluster.block(["n1"], ["n2", "n3", "n4"])
    assert change(cluster, "n1", Remove(N2)) is None
    for another in (Remove(N3), Promote(N4), AddLearner(NodeId("n5")), Replace(N3, N4)):
        assert change(cluster, "n1", another) is Refusal.CHANGE_UNDER_WAY
    cluster.heal()
    cluster.settle()
    cluster.run(OPTIONS.heartbeat_ticks)
    assert cluster["n1"].configuration.names == (N1, N3, N4)
    assert change(cluster, "n1", Promote(N4)) is None


def test_pitfall_23_the_joint_configuration_needs_both_majorities() -> None:
    cluster = with_learner(founders=2)
    cluster.block(["n2"], ["n1", "n3"])
    assert change(cluster, "n1", Replace(N2, N3)) is None
    cluster.settle()
    assert cluster["n1"].configuration.joint
    assert cluster["n1"].log.commit_index < cluster["n1"].log.configurations.latest_index
    cluster.heal()
    cluster.run(2 * OPTIONS.heartbeat_ticks)
    assert cluster["n1"].configuration.names == (N1, N3)


# -- 24


def test_pitfall_24_whoever_leads_next_ends_the_change() -> None:
    """etcd 12136."""
    cluster = with_learner()
    assert change(cluster, "n1", Promote(N4)) is None
    cluster.deliver()  # everybody has the joint configuration; nobody knows that it is committed
    cluster.crash("n1")
    cluster.network.clear()
    assert all(cluster[name].configuration.joint for name in ("n2", "n3", "n4"))
    cluster.run_until(lambda: cluster.leader() is not None)
    leader = cluster.leader()
    assert leader
    cluster.run_until(lambda: not leader.configuration.joint)
    assert leader.configuration.voters == (N1, N2, N3, N4)
    assert leader.log.commit_index == leader.log.last_index


def test_pitfall_24_a_change_counts_as_soon_as_it_is_appended() -> None:
    """etcd 12359: where it counts only when it is applied, a node that applies late waits for ever."""
    cluster = with_learner(auto=False)
    assert change(cluster, "n1", Promote(N4)) is None
    assert cluster["n1"].configuration.voters == (N1, N2, N3, N4)
    cluster.persist("n1")
    cluster.deliver()
    for name in ("n2", "n3", "n4"):
        assert cluster[name].configuration.joint, "at once, not committed, not even durable"


# -- 25


def test_pitfall_25_a_configuration_that_is_truncated_is_taken_back() -> None:
    """canonical/raft 250; also where everything before it is compacted away."""
    cluster = with_learner(options=FORGETFUL)
    for name in ("n1", "n2", "n3", "n4"):
        cluster.snapshot(name)
    cluster.run(2)
    assert cluster["n1"].log.first_index > cluster["n1"].log.configurations.latest_index
    before = cluster["n1"].configuration
    cluster.block(["n1"], ["n2", "n3", "n4"])
    assert change(cluster, "n1", Remove(N2)) is None
    assert cluster["n1"].configuration.joint
    cluster.elect("n2")
    cluster.heal()
    cluster.run(PATIENCE)
    assert cluster["n1"].configuration == before


def test_pitfall_25_no_snapshot_holds_a_configuration_that_is_not_committed() -> None:
    cluster = with_learner()
    before = cluster["n1"].configuration
    cluster.block(["n1"], ["n2", "n3", "n4"])
    assert change(cluster, "n1", Remove(N2)) is None
    mark = cluster.snapshot("n1")
    assert Configuration.decode(mark.configuration) == before


def test_pitfall_25_a_restart_remembers_a_configuration_from_log_and_snapshot() -> None:
    """camunda 62837."""
    cluster = with_learner()
    known = cluster["n2"].configuration
    cluster.restart("n2")
    assert cluster["n2"].configuration == known
    cluster.snapshot("n2")
    cluster.tick("n2")
    cluster.restart("n2")
    assert cluster["n2"].configuration == known
    assert cluster["n2"].log.configurations.founding == Configuration.of([N1, N2, N3])


def test_pitfall_25_a_snapshot_brings_its_configuration_along() -> None:
    cluster = with_learner(options=FORGETFUL)
    cluster.block(["n3"], ["n1", "n2", "n4"])
    done(cluster, "n1", Promote(N4))
    cluster.snapshot("n1")
    cluster.run(2)
    cluster.heal()
    cluster.run(PATIENCE)
    assert cluster["n3"].snapshots.newest
    assert cluster["n3"].configuration.voters == (N1, N2, N3, N4)


# -- 26


def test_pitfall_26_answers_to_an_earlier_book_count_for_nothing() -> None:
    """raft-rs 571: removed and added again within one term, with an acknowledgement still on its way."""
    cluster = with_learner()
    cluster.propose("n1", "a", "b", "c")
    cluster.settle()
    leader = cluster["n1"]
    late = AppendEntriesResponse(
        N4,
        N1,
        leader.current_term,
        True,
        leader.log.last_index,
        LogIndex(0),
        Term(0),
        LogIndex(0),
        book_of(leader),
    )
    done(cluster, "n1", Remove(N4))
    cluster.block(["n4"], ["n1", "n2", "n3"])
    assert change(cluster, "n1", AddLearner(N4)) is None
    cluster.settle()
    leader.step(late)
    leader.step(HeartbeatResponse(N4, N1, leader.current_term, 0, late.book))
    assert leader.leadership
    book = leader.leadership.progress[N4]
    assert (book.match_index, book.recent_active) == (0, False)
    assert change(cluster, "n1", Promote(N4)) is Refusal.NOT_CAUGHT_UP
    cluster.heal()
    cluster.run(2 * OPTIONS.heartbeat_ticks)
    assert book.match_index == leader.log.last_index


def book_of(leader: Raft) -> int:
    assert leader.leadership
    return leader.leadership.progress[N4].book


# -- 27


def test_pitfall_27_a_wiped_node_is_not_let_in_under_its_name() -> None:
    """etcd 21178, openraft 898."""
    world = World()
    leader = world.await_leader()
    world.run(2.0)
    wiped = next(name for name in world.names if name != leader)
    world.wipe(wiped)
    machine = world.start(wiped)
    world.reach(lambda: wiped not in world.machines)
    assert machine
    assert machine.node.stopped
    told = str(machine.node.stopped.error)
    assert f"node {wiped} has another data folder" in told
    assert f"raftkv members replace {wiped}" in told
    assert world.leader() == leader


def test_pitfall_27_a_wiped_node_and_one_that_never_ran_found_no_second_cluster() -> None:
    """n1 was away all the time, and n3, which holds everything, is away now: the two that know nothing must
    wait for it. Found by the simulator (docs/bugs-found.md)."""
    world = World()
    leader = world.await_leader()
    world.run(1.0)
    user = world.user()
    call = user.put("a", "1")
    world.reach(lambda: call.response)
    wiped, empty = (name for name in world.names if name != leader)
    for name in (wiped, empty):
        world.wipe(name)
    term = world.node(leader).raft.raft.current_term
    world.kill(leader)
    for name in (wiped, empty):
        world.start(name)
    world.run(10.0)
    assert world.leader() is None
    assert all(machine.node.raft.raft.current_term <= term for machine in world.machines.values())


def votes(world: World, name: str) -> bool:
    committed = world.watcher.committed
    return NodeId(name) in committed.voters and not committed.joint


def test_pitfall_27_a_founder_that_lost_its_folder_founds_nothing_beside_those_that_joined() -> None:
    """Alone in the file of its first day, it would have been a majority of one."""
    world = World(1, spares=2)
    world.await_leader()
    world.run(1.0)
    for name in ("n2", "n3"):
        ask(world, change="add", name=name, address=list(world.config.node(name).endpoints()))
        world.run(2.0)
        ask(world, change="promote", name=name)
        world.reach(partial(votes, world, name))
    world.run(1.0)
    world.kill("n1")
    world.reach(lambda: world.leader() is not None)
    world.wipe("n1")
    world.network.cut(isolate("n1", world.names))
    machine = world.start("n1")
    assert machine
    world.run(3.0)
    assert machine.node.raft.raft.log.last_index == 0
    world.network.heal()
    world.reach(lambda: "n1" not in world.machines)


def test_pitfall_27_its_vote_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third node is away, so the one that remembers would need just this vote."""
    world = World()
    leader = world.await_leader()
    world.run(2.0)
    wiped, away = (name for name in world.names if name != leader)
    world.kill(away)
    world.kill(leader)
    world.wipe(wiped)
    machine = world.start(wiped)
    assert machine
    monkeypatch.setattr(machine.node, "_end", lambda stop: None)  # it does not listen to what it is told
    world.start(leader)
    world.run(5.0)
    assert world.leader() is None
    world.start(away)
    world.reach(lambda: world.leader() in (leader, away))


def test_pitfall_27_its_acknowledgement_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    leader = world.await_leader()
    world.run(2.0)
    wiped, away = (name for name in world.names if name != leader)
    world.wipe(wiped)
    machine = world.start(wiped)
    assert machine
    monkeypatch.setattr(machine.node, "_end", lambda stop: None)
    world.kill(leader)
    world.start(leader)
    world.reach(lambda: world.leader() in (leader, away))  # whose book about the wiped node is new
    world.run(1.0)
    first = world.leader()
    world.kill(away if first == leader else leader)
    call = world.user().put("a", "1", timeout=1.0)
    world.run(2.0)
    assert call.response is None


def test_pitfall_27_what_another_folder_acknowledged_before_one_was_bound_does_not_count() -> None:
    """The first is wiped while the entry that adds its name is not committed yet, and the second is bound."""
    raft = paper.leader([paper.at(1, 1)], term=1, commit=1)

    def acknowledge(name: NodeId, book: int = 0) -> AppendEntriesResponse:
        zero, last = LogIndex(0), raft.log.last_index
        return AppendEntriesResponse(name, N1, raft.current_term, True, last, zero, Term(0), zero, book)

    paper.step(raft, acknowledge(N2))
    assert raft.change_membership(AddLearner(N4, ("tcp://a:1",))) is None
    paper.turn(raft)
    first = paper.progress(raft, N4).book
    raft.meet(N4, "the first", ("tcp://a:1",), 0)
    paper.step(raft, acknowledge(N4, first))
    raft.meet(N4, "the second", ("tcp://a:1",), 0)
    paper.step(raft, acknowledge(N2))
    paper.step(raft, acknowledge(N2), acknowledge(N4, first))
    bound = raft.configuration.member(N4)
    assert bound is not None
    assert bound.incarnation == "the second"
    assert paper.progress(raft, N4).match_index == 0
    assert raft.change_membership(Promote(N4)) is Refusal.NOT_CAUGHT_UP


def test_pitfall_27_under_another_name_it_comes_back() -> None:
    world = World(spares=1)
    leader = world.await_leader()
    world.run(2.0)
    wiped = next(name for name in world.names[:3] if name != leader)
    world.wipe(wiped)
    ask(world, change="add", name="n4", address=list(world.config.node("n4").endpoints()))
    world.reach(lambda: "n4" in world.members())
    world.run(2.0)
    ask(world, change="replace", name=wiped, new="n4")
    world.reach(lambda: wiped not in world.members() and not world.watcher.committed.joint)
    assert NodeId("n4") in world.watcher.committed.voters


def ask(world: World, **arguments: Any) -> None:
    leader = world.leader()
    assert leader
    world.control(leader, "change_members", **arguments)


# -- 30


def test_pitfall_30_what_is_heard_of_a_learner_does_not_promote_it() -> None:
    """etcd 21737."""
    cluster = with_learner()
    for address in (("tcp://127.0.0.1:1",), ("tcp://127.0.0.1:2",)):
        cluster["n1"].meet(N4, "1", address, 0)
        cluster._pump(N1)
        cluster.settle()
        member = cluster["n1"].configuration.member(N4)
        assert member
        assert (member.part, member.address) == (Part.LEARNER, address)
        assert not cluster["n1"].configuration.joint


def test_pitfall_30_a_node_that_moves_stays_what_it_is() -> None:
    """Ports change, the learner starts again: its new endpoints are in the configuration, nothing else."""
    cluster = with_learner()
    written = [entry for entry in cluster["n1"].log.entries if entry.kind == EntryKind.CONFIGURATION]
    cluster["n1"].meet(N4, "1", (), 0)  # nothing new: no entry for it
    cluster["n1"].meet(N4, "2", ("tcp://127.0.0.1:9",), 0)  # another folder: not believed
    cluster._pump(N1)
    cluster.settle()
    now = [entry for entry in cluster["n1"].log.entries if entry.kind == EntryKind.CONFIGURATION]
    assert now == written


@pytest.mark.parametrize("seed", range(3))
def test_pitfall_25_configurations_survive_snapshots_all_the_time(seed: int) -> None:
    world = World(seed=seed, spares=1, snapshot=SnapshotConfig(entries=10, retain_entries=0), chunk_bytes=64)
    world.await_leader()
    world.run(2.0)
    ask(world, change="add", name="n4", address=list(world.config.node("n4").endpoints()))
    user = world.user()
    calls = [user.put(f"k{number % 7}", str(number)) for number in range(60)]
    world.reach(lambda: all(call.response for call in calls))
    world.run(2.0)
    ask(world, change="promote", name="n4")
    world.reach(lambda: NodeId("n4") in world.watcher.committed.voters and not world.watcher.committed.joint)
    for name in world.names:
        world.crash(name)
        world.start(name)
    world.reach(lambda: world.leader() is not None)
    for name in world.names:
        raft = world.node(name).raft.raft
        assert raft.configuration.voters == world.watcher.committed.voters
        assert isinstance(raft.snapshots.newest, SnapshotMark)
