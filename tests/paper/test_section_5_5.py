"""§5.5: follower and candidate crashes."""

from __future__ import annotations

from raftkv.raft import Role
from raftkv.raft.messages import RequestVote, RequestVoteResponse
from tests.paper.support import N2, node, request_vote, step
from tests.support.raft_cluster import OPTIONS, RaftCluster, entries


def test_appends_to_a_crashed_follower_complete_when_it_is_back() -> None:
    """§5.5: retried for as long as it takes."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.crash("n2")
    for number in range(10):
        cluster.propose("n1", f"c{number}")
        cluster.run(OPTIONS.election_ticks_max)
    cluster.restart("n2")
    cluster.run(3 * OPTIONS.heartbeat_ticks)
    assert len(cluster.data("n2")) == 10


def test_a_follower_that_crashes_before_it_answers_gets_the_same_append_again() -> None:
    """§5.5: it did what was asked, the answer was lost, and the repetition does no harm."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.propose("n1", "a")
    cluster.deliver(lambda message: message.to == "n2")
    assert cluster.terms("n2") == [1, 1]
    cluster.drop(lambda message: message.sender == "n2")
    cluster.restart("n2")
    cluster.run(3 * OPTIONS.heartbeat_ticks)
    assert cluster.terms("n2") == [1, 1]
    assert cluster.data("n2") == ["a"]


def test_a_voter_that_crashes_before_it_answers_repeats_its_vote() -> None:
    """§5.5, for the other RPC: its vote was on disk."""
    raft = node(entries(1), term=4, voted_for=N2)
    assert step(raft, request_vote(4, (1, 1))).one(RequestVoteResponse).granted


def test_a_candidate_that_crashes_campaigns_in_a_later_term() -> None:
    """§5.5: its term was on disk before anyone heard of it, so no two campaigns share a term."""
    cluster = RaftCluster(3)
    cluster["n1"].campaign()
    cluster.tick("n1")
    while not any(isinstance(message, RequestVote) for message in cluster.network):
        cluster.deliver()
    first = cluster["n1"].current_term
    cluster.network.clear()
    cluster.restart("n1")
    assert cluster["n1"].role is Role.FOLLOWER
    cluster.elect("n1")
    assert cluster["n1"].current_term > first
