"""§5.2: leader election."""

from __future__ import annotations

from raftkv.raft import Role
from raftkv.raft.messages import AppendEntries, RequestVote, RequestVoteResponse
from tests.paper.support import (
    LONGEST,
    N1,
    N2,
    N3,
    append,
    candidate,
    heartbeat,
    leader,
    node,
    request_vote,
    step,
    tick,
    vote,
    win_pre_vote,
)
from tests.support.raft_cluster import OPTIONS, RaftCluster


def test_nodes_begin_as_followers() -> None:
    """§5.2: whatever they were before; a leader's successor life leads nothing."""
    assert set(RaftCluster(3).roles().values()) == {Role.FOLLOWER}
    assert node(term=9, voted_for=N1).role is Role.FOLLOWER


def test_a_node_stays_follower_as_long_as_it_hears_a_leader() -> None:
    """§5.2: valid messages from a leader, forever if need be; the term does not move."""
    cluster = RaftCluster(5)
    cluster.elect("n1")
    term = cluster["n1"].current_term
    cluster.run(20 * OPTIONS.election_ticks_max)
    assert cluster["n1"].role is Role.LEADER
    assert {raft.current_term for raft in cluster.nodes.values()} == {term}


def test_a_silent_leader_is_replaced() -> None:
    """§5.2: after an election timeout the followers assume that there is none, and choose another."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.crash("n1")
    cluster.run_until(lambda: cluster.leader() is not None)
    new = cluster.leader()
    assert new is not None
    assert new.node_id in (N2, N3)


def test_a_vote_goes_to_the_first_in_a_term() -> None:
    """§5.2: first come, first served, one in a term."""
    raft = node()
    order = [step(raft, request_vote(1, sender=who)).one(RequestVoteResponse).granted for who in (N3, N2, N3)]
    assert order == [True, False, True]


def test_a_candidate_ignores_a_leader_of_an_earlier_term_and_goes_on() -> None:
    """§5.2: it rejects the message and stays a candidate."""
    raft = candidate(term=4)
    answers = step(raft, append(4), heartbeat(4)).messages
    assert raft.role is Role.CANDIDATE
    assert [answer.term for answer in answers] == [5, 5]


def test_a_candidate_that_loses_returns_to_being_a_follower() -> None:
    """§5.2: once a majority has refused, waiting longer is of no use; the paper would let it time out."""
    raft = candidate(voters=5)
    for voter in raft.peers[:3]:
        assert raft.role is Role.CANDIDATE
        step(raft, vote(1, granted=False, sender=voter))
    assert raft.role is Role.FOLLOWER


def test_a_majority_is_of_all_voters_not_of_those_who_answer() -> None:
    """§5.2: two of five elect nobody, however long they stay alone."""
    cluster = RaftCluster(5)
    for name in ("n3", "n4", "n5"):
        cluster.crash(name)
    cluster.run(10 * OPTIONS.election_ticks_max)
    assert cluster.leader() is None


def test_election_timeouts_are_drawn_at_random_from_a_fixed_interval() -> None:
    """§5.2: so that split votes are rare; the whole interval is used, and nothing beyond it."""
    raft = node()
    drawn = set()
    for _ in range(500):
        raft.reset_election_timer()
        drawn.add(raft.election_timeout)
    assert drawn == set(range(OPTIONS.election_ticks_min, OPTIONS.election_ticks_max + 1))


def test_every_candidacy_draws_its_timeout_anew() -> None:
    """§5.2: a candidate restarts its own randomised timeout, or two that collided once would collide
    for ever (PITFALLS 20)."""
    raft = node()
    timeouts = set()
    for _ in range(20):
        win_pre_vote(raft)
        timeouts.add(raft.election_timeout)
        tick(raft, LONGEST)
    assert len(timeouts) > 3


def test_a_split_vote_is_resolved() -> None:
    """§5.2: in the next election or one soon after; here four nodes, for every of many seeds."""
    for seed in range(20):
        cluster = RaftCluster(4, seed=seed)
        for name in cluster.names:
            cluster[name].election_elapsed = cluster[name].election_timeout - 1
        cluster.run_until(lambda cluster=cluster: cluster.leader() is not None, 10 * LONGEST)  # type: ignore[misc]  # bound now


def test_a_new_leaders_heartbeats_prevent_further_elections() -> None:
    """§5.2: it makes itself known to everybody, and they stay or become followers."""
    cluster = RaftCluster(5)
    for name in ("n1", "n4"):
        cluster[name].campaign()
        cluster.tick(name)
    cluster.run(1)
    roles = list(cluster.roles().values())
    assert sorted(role.value for role in roles) == ["follower"] * 4 + ["leader"]


def test_a_leader_ignores_late_votes() -> None:
    """§5.2: the election is over; answers to it, granted or not, change nothing."""
    raft = leader()
    done = step(raft, vote(1, sender=N3), vote(1, granted=False, sender=N3))
    assert raft.role is Role.LEADER
    assert done.of(RequestVote) == []
    assert done.of(AppendEntries) == []
