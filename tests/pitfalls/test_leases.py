"""Pitfall 34: reads by a lease, and everything that must end it."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from raftkv.config import RaftConfig
from raftkv.kv import KeyValue
from raftkv.raft import Configuration, Raft
from raftkv.raft.messages import Heartbeat, PreVoteResponse, RequestVote
from raftkv.types import LogIndex, NodeId, Term
from tests.support.raft_cluster import OPTIONS
from tests.support.world import World

N1, N2, N3 = (NodeId(f"n{number}") for number in range(1, 4))


def leased(**more: Any) -> World:
    return World(raft=RaftConfig(lease_reads=True), **more)


def test_pitfall_34_a_lease_serves_reads_without_a_round() -> None:
    world = leased()
    leader = world.await_leader()
    world.run(1.0)
    raft = world.node(leader).raft.raft
    assert raft.leadership
    user = world.user()
    put = user.put("a", "1")
    world.reach(lambda: put.response)
    rounds = raft.leadership.reads.last_round
    for _ in range(10):
        assert user.await_value("a") == "1"
    assert raft.leadership.reads.last_round == rounds
    assert raft.leadership.lease_holds()


def test_pitfall_34_no_lease_while_leadership_is_handed_over_nor_ever_after() -> None:
    """openraft 1749. Whoever is told to campaign is elected by nodes that still hear the leader."""
    world = leased()
    leader = world.await_leader()
    world.run(1.0)
    leadership = world.node(leader).raft.raft.leadership
    assert leadership
    other = next(name for name in world.names if name != leader)
    assert leadership.lease_holds()
    leadership.succession.begin(NodeId(other))
    assert not leadership.lease_holds()
    leadership.succession.hand_over()
    leadership.succession.transferee = None  # it was given up; the word may still be on its way
    world.node(leader).raft.raft._messages.clear()
    world.run(1.0)
    assert world.node(leader).raft.raft.leadership is leadership, "it leads on"
    assert not leadership.lease_holds()


def test_pitfall_34_a_leader_that_was_paused_serves_nothing_by_its_lease() -> None:
    """etcd 6700. The clock is looked at after the read has arrived, and it does not stop."""
    world = leased()
    leader = world.await_leader()
    world.run(1.0)
    user, others = world.user(), [name for name in world.names if name != leader]
    put = user.put("a", "old")
    world.reach(lambda: put.response)
    machine = world.machine(leader)
    machine.pause()
    world.reach(lambda: world.leader() in others)
    put = world.user("c2", others).put("a", "new")
    world.reach(lambda: put.response)
    call = user.get("a", node=leader)
    world.run(0.01)
    machine.resume()
    world.reach(lambda: call.response or call.error)
    assert not (call.response and call.response.detail and KeyValue(*call.response.detail).value == b"old")


def test_pitfall_34_a_leader_whose_machine_slept_has_no_lease() -> None:
    """Its monotonic clock stands still meanwhile, as Linux has it, and others may have elected a leader."""
    world = leased()
    leader = world.await_leader()
    world.run(1.0)
    leadership = world.node(leader).raft.raft.leadership
    assert leadership
    links = [(other, leader) for other in world.names if other != leader]
    slept = [0.0]
    world.node(leader)._system._slept = lambda: slept[0]
    for slept[0], holds in ((0.0, True), (1.0, False)):
        world.network.cut(links)
        world.run(0.1)
        assert leadership.lease_holds() is holds
        world.network.lift(links)
        world.run(0.5)
        assert leadership.lease_holds(), "it was heard since"


def test_pitfall_34_a_leader_that_is_cut_off_loses_its_lease_before_another_can_lead() -> None:
    world = leased()
    leader = world.await_leader()
    world.run(1.0)
    raft = world.node(leader).raft.raft
    world.cut_off(leader)

    def other_leads() -> bool:
        return any(
            machine.node.raft.raft.leadership for name, machine in world.machines.items() if name != leader
        )

    held = 0
    while not other_leads():
        world.run(0.001)
        held += bool(raft.leadership and raft.leadership.lease_holds())
    assert held > 100, "milliseconds"
    assert not (raft.leadership and raft.leadership.lease_holds())


def test_pitfall_34_a_node_that_starts_again_keeps_what_it_may_have_promised() -> None:
    """It answered a heartbeat, and has forgotten it: for as long as that may count it votes for nobody."""
    world = leased()
    leader = world.await_leader()
    world.run(1.0)
    one, other = (name for name in world.names if name != leader)
    raft = world.node(leader).raft.raft
    world.cut_off(leader)
    world.network.cut([(other, one), (one, other)])  # only what starts anew hears the candidate
    world.kill(one)
    world.start(one)
    candidate = world.node(other).raft.raft
    candidate.quiet_ticks = candidate.options.election_ticks_min
    world.network.lift([(other, one), (one, other)])
    candidate.election_elapsed = candidate.election_timeout
    held = 0
    while not any(world.node(name).raft.raft.leadership for name in (one, other)):
        world.run(0.001)
        held += bool(raft.leadership and raft.leadership.lease_holds())
    assert held > 100, "milliseconds"
    assert not (raft.leadership and raft.leadership.lease_holds())


def test_pitfall_34_a_promise_outlives_the_term_it_was_given_in() -> None:
    """Something else than a request for its vote has raised the term; the request is then of an equal one,
    and stickiness never sees it. Found by reading the code (docs/bugs-found.md)."""
    options = dataclasses.replace(OPTIONS, lease_us=1)
    raft = Raft(N1, Configuration.of([N1, N2, N3]), options, random.Random(1))
    raft.quiet_ticks = options.election_ticks_min
    raft.step(Heartbeat(N2, N1, Term(1), LogIndex(0), 0, sent_us=5))
    raft.step(PreVoteResponse(N3, N1, Term(2), False))
    assert (raft.current_term, raft.leader_id) == (2, None)
    raft.step(RequestVote(N3, N1, Term(2), LogIndex(0), Term(0)))
    assert raft.voted_for is None
    for _ in range(options.election_ticks_min):
        raft.tick()
    raft.step(RequestVote(N3, N1, Term(2), LogIndex(0), Term(0)))
    assert raft.voted_for == N3


def test_pitfall_34_an_operator_cannot_make_a_node_break_its_promise() -> None:
    """The third node hears the leader no more, and would vote for whoever is told to campaign."""
    world = leased()
    leader = world.await_leader()
    world.run(1.0)
    loyal, away = (name for name in world.names if name != leader)
    world.network.cut([(leader, away), (away, leader)])
    world.run(0.5)
    raft = world.node(leader).raft.raft
    assert raft.leadership
    assert raft.leadership.lease_holds()
    world.control(loyal, "campaign")
    world.run(0.1)
    assert world.node(loyal).raft.raft.leadership is None
    assert world.leader() == leader
