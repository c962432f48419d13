"""Figure 2, the box "RequestVote RPC" (§5.2, §5.4)."""

from __future__ import annotations

import pytest

from raftkv.raft import Role
from raftkv.raft.messages import RequestVote, RequestVoteResponse
from tests.paper.support import (
    N2,
    N3,
    candidate,
    heartbeat,
    node,
    request_vote,
    step,
    tick,
    vote,
    win_pre_vote,
)
from tests.support.raft_cluster import OPTIONS, entries


def granted(log: tuple[int, ...], last: tuple[int, int]) -> bool:
    """Whether a node with entries of these terms votes for a candidate with that last entry."""
    raft = node(entries(*log), term=5)
    return step(raft, request_vote(6, last)).one(RequestVoteResponse).granted


def test_a_request_carries_the_candidate_its_term_and_its_last_entry() -> None:
    """Arguments: term, candidateId, lastLogIndex, lastLogTerm."""
    requests = win_pre_vote(node(entries(1, 3), term=4)).of(RequestVote)
    assert [(m.sender, m.to, m.term, m.last_log_index, m.last_log_term) for m in requests] == [
        ("n1", "n2", 5, 2, 3),
        ("n1", "n3", 5, 2, 3),
    ]


def test_an_answer_carries_the_term_for_the_candidate_to_update_itself() -> None:
    """Results: the voter's current term. A candidate that sees a higher one there is no candidate."""
    raft = candidate(term=2)
    step(raft, vote(7, granted=False))
    assert (raft.role, raft.current_term, raft.voted_for) == (Role.FOLLOWER, 7, None)


def test_a_grant_of_a_later_term_is_no_vote_in_this_one() -> None:
    """Results: voteGranted means *this* term; to adopt the higher one is all such an answer does."""
    raft = candidate(term=2)
    step(raft, vote(7, granted=True))
    assert raft.role is Role.FOLLOWER


def test_a_request_of_an_earlier_term_is_refused() -> None:
    """Receiver, 1: no vote if the candidate's term is lower; the answer says the current one."""
    raft = node(term=5)
    answer = step(raft, request_vote(4, (9, 4))).one(RequestVoteResponse)
    assert (answer.granted, answer.term) == (False, 5)
    assert raft.voted_for is None


def test_a_vote_goes_to_the_first_who_asks() -> None:
    """Receiver, 2: granted if this node has voted for nobody."""
    raft = node(term=5)
    assert step(raft, request_vote(5)).one(RequestVoteResponse).granted
    assert raft.voted_for == N2


def test_a_vote_is_repeated_to_who_has_it() -> None:
    """Receiver, 2: granted again to the same candidate, whose first answer may have been lost."""
    raft = node(term=5, voted_for=N2)
    assert step(raft, request_vote(5)).one(RequestVoteResponse).granted


def test_a_vote_is_given_to_nobody_else_in_the_same_term() -> None:
    """Receiver, 2: refused if this node voted for another."""
    raft = node(term=5, voted_for=N2)
    assert not step(raft, request_vote(5, (9, 5), sender=N3)).one(RequestVoteResponse).granted
    assert raft.voted_for == N2


def test_a_new_term_brings_a_new_vote() -> None:
    """Receiver, 2, with the rules for all nodes: the vote of an earlier term binds nobody."""
    raft = node(term=5, voted_for=N2)
    assert step(raft, request_vote(6, sender=N3)).one(RequestVoteResponse).granted
    assert (raft.current_term, raft.voted_for) == (6, N3)


@pytest.mark.parametrize("last", [(2, 3), (3, 3), (1, 4), (9, 5)])
def test_a_candidate_at_least_as_up_to_date_gets_the_vote(last: tuple[int, int]) -> None:
    """Receiver, 2: granted if the candidate's log is at least as up to date."""
    assert granted((1, 3), last)


@pytest.mark.parametrize("last", [(0, 0), (1, 3), (2, 2), (9, 2)])
def test_a_candidate_that_is_behind_gets_no_vote(last: tuple[int, int]) -> None:
    """Receiver, 2: an earlier last term, or the same and a shorter log, is behind."""
    assert not granted((1, 3), last)


def test_a_refused_request_of_a_higher_term_still_raises_the_term_and_keeps_the_vote_free() -> None:
    """Receiver, 2: to adopt a candidate's term is not to vote for it."""
    raft = node(entries(1, 3), term=5)
    assert not step(raft, request_vote(6, (9, 2), sender=N2)).one(RequestVoteResponse).granted
    assert (raft.current_term, raft.voted_for) == (6, None)
    assert step(raft, request_vote(6, (2, 3), sender=N3)).one(RequestVoteResponse).granted


def test_while_a_leader_is_heard_a_request_is_neither_answered_nor_its_term_adopted() -> None:
    """A departure (thesis §4.2.3): the figure would have the higher term adopted, by which a node
    that was cut off could depose a leader that works."""
    raft = node(term=5)
    step(raft, heartbeat(5))
    done = step(raft, request_vote(6, (9, 5), sender=N3))
    assert done.messages == []
    assert raft.current_term == 5
    tick(raft, OPTIONS.election_ticks_min)
    assert step(raft, request_vote(6, (9, 5), sender=N3)).one(RequestVoteResponse).granted


def test_who_knows_the_leader_of_a_term_votes_for_nobody_else_in_it() -> None:
    """A departure: the figure would allow a vote that can elect nobody, since the term has its leader."""
    raft = node(term=5)
    step(raft, heartbeat(5, sender=N2))
    assert not step(raft, request_vote(5, (9, 5), sender=N3)).one(RequestVoteResponse).granted
