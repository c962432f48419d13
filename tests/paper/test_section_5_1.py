"""§5.1: the basics of terms and of the RPCs."""

from __future__ import annotations

from raftkv.raft import Role
from raftkv.raft.messages import AppendEntries, AppendEntriesResponse, RequestVoteResponse
from tests.paper.support import N3, append, at, candidate, leader, log_of, node, request_vote, step
from tests.support.raft_cluster import OPTIONS, RaftCluster, entries


def test_a_term_has_at_most_one_leader_and_some_have_none() -> None:
    """§5.1: a term begins with an election; where votes are split it ends without a leader."""
    cluster = RaftCluster(4)
    for name in ("n1", "n2"):
        cluster[name].campaign()
        cluster.tick(name)
    cluster.deliver()
    cluster.deliver()
    votes = {("n1", "n3"), ("n2", "n4")}
    while cluster.network:
        cluster.drop(lambda m: (m.sender, m.to) not in votes and (m.to, m.sender) not in votes)
        cluster.deliver()
    assert [raft.current_term for raft in cluster.nodes.values()] == [1, 1, 1, 1]
    assert Role.LEADER not in cluster.roles().values()
    cluster.run_until(lambda: cluster.leader() is not None)
    new = cluster.leader()
    assert new is not None
    assert new.current_term > 1


def test_terms_are_exchanged_with_every_message_and_the_larger_one_wins() -> None:
    """§5.1: whoever has the smaller term takes the larger."""
    cluster = RaftCluster(3)
    cluster.start("n3", [], term=8)
    cluster.run_until(lambda: cluster.leader() is not None)
    cluster.run(OPTIONS.election_ticks_max)
    terms = {raft.current_term for raft in cluster.nodes.values()}
    assert len(terms) == 1
    assert min(terms) >= 8


def test_a_candidate_or_leader_of_the_past_becomes_a_follower() -> None:
    """§5.1: at once, when it learns that its term is over."""
    for raft in (candidate(term=3), leader(term=3)):
        step(raft, append(6, sender=N3))
        assert (raft.role, raft.current_term, raft.leader_id) == (Role.FOLLOWER, 6, N3)


def test_a_request_with_a_stale_term_is_rejected() -> None:
    """§5.1: requests of either kind."""
    raft = node(term=6)
    assert not step(raft, request_vote(5)).one(RequestVoteResponse).granted
    assert not step(raft, append(5)).one(AppendEntriesResponse).success


def test_an_append_that_is_not_answered_is_sent_again() -> None:
    """§5.1: RPCs that get no answer in time are retried."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.propose("n1", "a")
    for _ in range(3):
        cluster.drop(lambda message: isinstance(message, AppendEntries))
        cluster.tick("n1", OPTIONS.heartbeat_ticks)
        cluster.deliver(lambda message: not isinstance(message, AppendEntries))
    cluster.run(2 * OPTIONS.heartbeat_ticks)
    assert cluster.data("n3") == ["a"]


def test_requests_may_be_in_flight_to_all_at_once() -> None:
    """§5.1: RPCs are issued in parallel; nobody waits for the slowest."""
    cluster = RaftCluster(5)
    cluster.elect("n1")
    cluster.block(["n4", "n5"], ["n1", "n2", "n3"])
    cluster.propose("n1", "a")
    assert {m.to for m in cluster.network if isinstance(m, AppendEntries)} == {"n2", "n3", "n4", "n5"}
    cluster.settle()
    assert cluster.data("n1") == ["a"]


def test_requests_are_idempotent() -> None:
    """§5.5, §5.1: a repeated request changes nothing, so to retry is always safe."""
    raft = node(entries(1), term=1)
    message = append(1, (1, 1), at(2, 1), commit=2)
    first, again = step(raft, message), step(raft, message)
    assert first.messages == again.messages
    assert (again.written, again.committed, log_of(raft)) == ([], [], [(1, 1), (2, 1)])
