"""Figure 3: the five properties that hold at all times. The harness checks them after every step of
every test; here each is shown in the situation that would break it first."""

from __future__ import annotations

from raftkv.raft import Role
from raftkv.raft.messages import AppendEntriesResponse, RequestVoteResponse
from tests.paper.support import N1, N2, N3, N5, append, at, leader, log_of, node, request_vote, step
from tests.support.raft_cluster import RaftCluster, entries


def test_election_safety() -> None:
    """At most one leader in a term: two candidates of one term share out the votes."""
    cluster = RaftCluster(5)
    for name in ("n1", "n5"):
        cluster[name].campaign()
        cluster.tick(name)
    cluster.settle()
    votes = [raft.voted_for for raft in cluster.nodes.values()]
    assert sorted({votes.count(N1), votes.count(N5)}) == [1, 4]
    assert {raft.current_term for raft in cluster.nodes.values()} == {1}
    assert list(cluster.roles().values()).count(Role.LEADER) == 1


def test_leader_append_only() -> None:
    """A leader never overwrites or deletes its own entries, not even for one who claims its term."""
    raft = leader(entries(1, 1), term=1)
    before = log_of(raft)
    step(raft, append(2, (0, 0), at(1, 2)), append(2, (1, 1), at(2, 2)))
    assert (raft.role, log_of(raft)) == (Role.LEADER, before)
    raft.propose([b"a"])
    assert log_of(raft) == [*before, (4, 2)]


def test_log_matching() -> None:
    """Two logs with an entry of the same index and term are equal up to there: an append is taken only
    behind an entry that matches, so by induction everything before it does."""
    raft = node(entries(1, 1, 2), term=3)
    assert not step(raft, append(3, (3, 1), at(4, 3))).one(AppendEntriesResponse).success
    assert step(raft, append(3, (3, 2), at(4, 3))).one(AppendEntriesResponse).success
    assert log_of(raft) == [(1, 1), (2, 1), (3, 2), (4, 3)]


def test_leader_completeness() -> None:
    """A committed entry is in the log of every later leader: who lacks it gets no vote of a majority."""
    cluster = RaftCluster(5)
    cluster.elect("n1")
    cluster.block(["n1", "n2", "n3"], ["n4", "n5"])
    cluster.propose("n1", "a")
    cluster.settle()
    assert cluster["n1"].log.commit_index == 2
    cluster.crash("n1")
    cluster.heal()
    cluster.run_until(lambda: cluster.leader() is not None)
    new = cluster.leader()
    assert new is not None
    assert new.node_id in (N2, N3)
    cluster.run(5)
    assert all(cluster.data(name) == ["a"] for name in ("n2", "n3", "n4", "n5"))


def test_state_machine_safety() -> None:
    """No two nodes apply different entries at one index, whatever was in an old leader's log."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.block(["n1"], ["n2", "n3"])
    cluster.propose("n1", "lost")
    cluster.run_until(lambda: Role.LEADER in (cluster["n2"].role, cluster["n3"].role))
    new = cluster.leader()
    assert new is not None
    cluster.propose(new.node_id, "kept")
    cluster.settle()
    cluster.heal()
    cluster.run(10)
    assert [cluster.data(name) for name in cluster.names] == [["kept"]] * 3


def test_one_vote_in_a_term_is_what_election_safety_rests_on() -> None:
    """§5.2: two of three cannot both have given theirs to two candidates."""
    raft = node()
    answers = [step(raft, request_vote(1, sender=who)).one(RequestVoteResponse) for who in (N2, N3)]
    assert [answer.granted for answer in answers] == [True, False]
