"""Thesis §9.6: the pre-vote, which keeps a node that was cut off from disrupting the others."""

from __future__ import annotations

import pytest

from raftkv.raft import Role
from raftkv.raft.messages import PreVote, PreVoteResponse, RequestVote
from raftkv.types import LogIndex, NodeId, Term
from tests.paper.support import (
    LONGEST,
    N1,
    N2,
    N3,
    candidate,
    heartbeat,
    leader,
    node,
    step,
    tick,
    turn,
    vote,
)
from tests.support.raft_cluster import OPTIONS, RaftCluster, entries


def pre_vote(term: int, last: tuple[int, int] = (0, 0), sender: NodeId = N2) -> PreVote:
    return PreVote(sender, N1, Term(term), LogIndex(last[0]), Term(last[1]))


def answer(term: int, granted: bool = True, sender: NodeId = N2) -> PreVoteResponse:
    return PreVoteResponse(sender, N1, Term(term), granted)


def test_the_term_is_raised_only_once_a_majority_would_vote() -> None:
    """§9.6: first ask, then campaign."""
    raft = node(entries(1, 2), term=4)
    raft.campaign()
    asked = turn(raft).of(PreVote)
    assert [(m.term, m.last_log_index, m.last_log_term) for m in asked] == [(5, 2, 2)] * 2
    assert (raft.role, raft.current_term, raft.voted_for) == (Role.PRE_CANDIDATE, 4, None)
    done = step(raft, answer(5))
    assert (raft.role, raft.current_term) == (Role.CANDIDATE, 5)
    assert len(done.of(RequestVote)) == 2


def test_a_node_that_is_cut_off_does_not_raise_its_term() -> None:
    """§9.6: so that it has nothing to disrupt the others with when it returns."""
    raft = node(term=4)
    for _ in range(10):
        tick(raft, LONGEST)
    assert raft.current_term == 4


@pytest.mark.parametrize(
    ("last", "granted"), [((2, 2), True), ((1, 3), True), ((1, 2), False), ((9, 1), False)]
)
def test_it_is_granted_to_a_log_that_could_win(last: tuple[int, int], granted: bool) -> None:
    """§9.6: by the same comparison as the vote itself."""
    raft = node(entries(1, 2), term=4)
    assert step(raft, pre_vote(5, last)).one(PreVoteResponse).granted is granted


def test_it_is_refused_while_a_leader_is_heard() -> None:
    """§9.6: who hears a leader wants no election; once it has not for the shortest timeout, it may."""
    raft = node(term=4)
    step(raft, heartbeat(4, sender=N3))
    assert not step(raft, pre_vote(5)).one(PreVoteResponse).granted
    tick(raft, OPTIONS.election_ticks_min - 1)
    assert not step(raft, pre_vote(5)).one(PreVoteResponse).granted
    raft.election_elapsed = OPTIONS.election_ticks_min
    assert step(raft, pre_vote(5)).one(PreVoteResponse).granted


def test_a_leader_grants_none() -> None:
    """§9.6: it hears itself."""
    raft = leader(term=4)
    assert not step(raft, pre_vote(9, (9, 9))).one(PreVoteResponse).granted
    assert (raft.role, raft.current_term) == (Role.LEADER, 5)


def test_it_is_refused_for_a_term_that_is_not_new() -> None:
    """§9.6: and the answer says the current term, by which the asker catches up."""
    raft = node(term=4)
    reply = step(raft, pre_vote(4)).one(PreVoteResponse)
    assert (reply.granted, reply.term) == (False, 4)


def test_a_refusal_with_a_higher_term_brings_the_asker_up_to_date() -> None:
    """§9.6 with the rules for all nodes."""
    raft = node(term=4)
    raft.campaign()
    turn(raft)
    step(raft, answer(8, granted=False))
    assert (raft.role, raft.current_term) == (Role.FOLLOWER, 8)


def test_it_changes_nothing_at_whoever_is_asked() -> None:
    """§9.6: no term, no vote, no timer, nothing on disk (PITFALLS 17); many may be granted in a term."""
    raft = node(term=4)
    tick(raft, 5)
    for sender in (N2, N3, N2):
        done = step(raft, pre_vote(9, sender=sender))
        assert done.one(PreVoteResponse).granted
        assert done.hard_states == []
    assert (raft.current_term, raft.voted_for, raft.election_elapsed) == (4, None, 5)


def test_a_pre_vote_is_no_vote_and_a_vote_no_pre_vote() -> None:
    """§9.6: late answers to the one must not count for the other (PITFALLS 17)."""
    raft = candidate(term=4, voters=5)
    step(raft, answer(5, sender=N3), answer(6, sender=N3), answer(6, sender=raft.peers[2]))
    assert (raft.role, raft.current_term) == (Role.CANDIDATE, 5)
    asking = node(term=4)
    asking.campaign()
    turn(asking)
    step(asking, vote(4), vote(4, sender=N3))
    assert asking.role is Role.PRE_CANDIDATE


def test_an_answer_to_an_earlier_campaign_does_not_count() -> None:
    """§9.6: what was granted for one term says nothing of another."""
    raft = node(term=4)
    raft.campaign()
    turn(raft)
    step(raft, answer(4), answer(7))
    assert raft.role is Role.PRE_CANDIDATE


def test_a_node_that_returns_leaves_the_leader_in_place() -> None:
    """§9.6, the scenario: cut off for long, then back."""
    cluster = RaftCluster(5)
    cluster.elect("n1")
    cluster.block(["n5"], ["n1", "n2", "n3", "n4"])
    cluster.run(10 * LONGEST)
    cluster.heal()
    cluster.run(2 * LONGEST)
    assert (cluster["n1"].role, cluster["n1"].current_term) == (Role.LEADER, 1)
    assert cluster["n5"].leader_id == N1
