"""Thesis §6.2: a leader that a majority no longer answers steps down; and what §4.2.3 adds: nodes that
hear their leader are deaf to candidates."""

from __future__ import annotations

from raftkv.raft import Proposal, Role
from raftkv.raft.messages import Heartbeat, Message, RequestVoteResponse
from tests.paper.support import (
    N1,
    N2,
    N3,
    accepted,
    append,
    heard,
    heartbeat,
    leader,
    node,
    rejected,
    request_vote,
    step,
    tick,
    turn,
)
from tests.support.raft_cluster import OPTIONS, RaftCluster

TWO_CHECKS = 2 * OPTIONS.election_ticks_min


def test_a_leader_without_a_majority_steps_down_within_its_term() -> None:
    """§6.2: after an election timeout without a round of answers; clients then look elsewhere."""
    raft = leader(term=4)
    tick(raft, TWO_CHECKS)
    assert (raft.role, raft.current_term, raft.leader_id) == (Role.FOLLOWER, 5, None)
    assert raft.propose([b"a"]) is Proposal.NOT_LEADER


def test_any_answer_counts_a_rejection_as_well() -> None:
    """§6.2: what matters is that the peer is there."""
    answers: list[Message] = [heard(1), accepted(1, 1), rejected(1, 0)]
    for message in answers:
        raft = leader()
        for _ in range(4):
            tick(raft, OPTIONS.election_ticks_min // 2)
            step(raft, message)
        tick(raft, OPTIONS.election_ticks_min // 2)
        assert raft.role is Role.LEADER


def test_a_minority_is_not_enough() -> None:
    """§6.2: with itself, a majority of all voters."""
    raft = leader(voters=5)
    for _ in range(2 * OPTIONS.election_ticks_min):
        tick(raft, 1)
        step(raft, heard(1, sender=N2))
    assert raft.role is Role.FOLLOWER


def test_answers_of_the_past_keep_nobody_in_office() -> None:
    """§6.2: each timeout asks anew."""
    raft = leader()
    step(raft, heard(1), heard(1, sender=N3))
    tick(raft, OPTIONS.election_ticks_min)
    assert raft.role is Role.LEADER
    tick(raft, OPTIONS.election_ticks_min)
    assert raft.role is not Role.LEADER


def test_a_node_alone_always_has_its_majority() -> None:
    """§6.2, at the limit: one of one."""
    cluster = RaftCluster(1)
    cluster.elect("n1")
    cluster.run(10 * OPTIONS.election_ticks_max)
    assert cluster["n1"].role is Role.LEADER


def test_the_old_leader_of_a_minority_and_the_new_one_do_not_both_go_on() -> None:
    """§6.2: the scenario: a client that only reaches the old one learns that it leads no more."""
    cluster = RaftCluster(5)
    cluster.elect("n1")
    cluster.block(["n1", "n2"], ["n3", "n4", "n5"])
    cluster.run(4 * OPTIONS.election_ticks_max)
    leaders = [name for name, role in cluster.roles().items() if role is Role.LEADER]
    assert len(leaders) == 1
    assert leaders[0] in ("n3", "n4", "n5")
    assert cluster["n1"].propose([b"a"]) is Proposal.NOT_LEADER


def test_who_hears_its_leader_answers_no_candidate() -> None:
    """§4.2.3: within the shortest election timeout of the leader's last message, a request for votes
    neither raises the term nor gets a vote."""
    raft = node(term=4)
    step(raft, append(4, sender=N3))
    tick(raft, OPTIONS.election_ticks_min - 1)
    assert step(raft, request_vote(9, (9, 9))).messages == []
    assert raft.current_term == 4


def test_who_does_not_hear_it_any_more_answers() -> None:
    """§4.2.3: or no leader could ever be replaced."""
    raft = node(term=4)
    step(raft, heartbeat(4, sender=N3))
    raft.election_elapsed = OPTIONS.election_ticks_min
    assert step(raft, request_vote(9, (9, 9))).one(RequestVoteResponse).granted


def test_with_pre_vote_a_node_of_a_higher_term_is_not_shut_out_for_ever() -> None:
    """§9.6 with §4.2.3 (PITFALLS 17, 21): it refuses the leader's old term, and its answer, though to
    a mere heartbeat, makes the leader follow, so that the next election includes it."""
    cluster = RaftCluster(3)
    cluster.start("n3", [], term=7)
    cluster.block(["n3"], ["n1", "n2"])
    cluster.run_until(lambda: cluster.leader() is not None)
    assert cluster["n3"].current_term == 7
    cluster.heal()
    cluster.run(4 * OPTIONS.election_ticks_max)
    new = cluster.leader()
    assert new is not None
    assert new.current_term > 7
    assert {raft.leader_id for raft in cluster.nodes.values()} == {new.node_id}


def test_heartbeats_go_on_while_nobody_answers() -> None:
    """§6.2: until the check, the leader does its part."""
    raft = leader()
    turn(raft)
    sent = tick(raft, OPTIONS.election_ticks_min - 1).of(Heartbeat)
    assert {message.sender for message in sent} == {N1}
    assert len(sent) == 2 * ((OPTIONS.election_ticks_min - 1) // OPTIONS.heartbeat_ticks)
