"""§5.4: safety: who may be elected (5.4.1), and what of earlier terms counts as committed (5.4.2)."""

from __future__ import annotations

import pytest

from raftkv.raft import Role
from raftkv.raft.messages import PreVoteResponse, RequestVote, RequestVoteResponse
from tests.paper.support import N3, accepted, leader, node, request_vote, step
from tests.support.raft_cluster import OPTIONS, RaftCluster, entries


def test_who_lacks_a_committed_entry_is_not_elected() -> None:
    """§5.4.1: whoever wins has met, in its majority, a node with every committed entry."""
    for seed in range(10):
        cluster = RaftCluster(5, seed=seed)
        cluster.elect("n1")
        cluster.block(["n1", "n2", "n3"], ["n4", "n5"])
        cluster.propose("n1", "a")
        cluster.settle()
        cluster.crash("n1")
        cluster.heal()
        for name in ("n4", "n5"):
            cluster[name].election_elapsed = cluster[name].election_timeout - 1
        cluster.run_until(lambda cluster=cluster: cluster.leader() is not None)  # type: ignore[misc]  # bound now
        new = cluster.leader()
        assert new is not None
        assert new.node_id in ("n2", "n3")


def test_entries_flow_from_leaders_to_followers_only() -> None:
    """§5.4.1: an election transfers no entries, so no message about it carries any."""
    assert not {"entries"} & set(RequestVote.__dataclass_fields__)
    assert not {"entries"} & set(RequestVoteResponse.__dataclass_fields__)
    assert not {"entries"} & set(PreVoteResponse.__dataclass_fields__)


@pytest.mark.parametrize(
    ("mine", "last", "granted"),
    [
        ((1, 1, 1), (1, 2), True),
        ((1, 2), (9, 1), False),
        ((1, 1), (2, 1), True),
        ((1, 1), (3, 1), True),
        ((1, 1), (1, 1), False),
        ((), (0, 0), True),
    ],
)
def test_the_later_last_term_wins_and_the_longer_log_only_within_a_term(
    mine: tuple[int, ...], last: tuple[int, int], granted: bool
) -> None:
    """§5.4.1: what "more up to date" means."""
    raft = node(entries(*mine), term=3)
    assert step(raft, request_vote(4, last)).one(RequestVoteResponse).granted is granted


def figure_8(copied: bool) -> RaftCluster:
    """Figure 8: n5 holds an entry of term 3 where n1 and n2 hold one of term 2, of which the leader of
    term 4 has, or has not yet, copied the latter to n3 and thereby to a majority."""
    cluster = RaftCluster(5)
    term = 4 if copied else 3
    for name in ("n1", "n2"):
        cluster.start(name, entries(1, 2), term)
    cluster.start("n3", entries(1, 2) if copied else entries(1), term)
    cluster.start("n4", entries(1), term)
    cluster.start("n5", entries(1, 3), term)
    return cluster


def test_an_entry_of_an_earlier_term_on_a_majority_is_not_committed() -> None:
    """§5.4.2 and Figure 8 (c): only entries of the leader's own term are committed by counting."""
    raft = leader(entries(1, 2), term=3, voters=5, commit=1)
    step(raft, accepted(4, 2), accepted(4, 2, sender=N3))
    assert raft.log.commit_index == 1


def test_such_an_entry_may_still_be_overwritten() -> None:
    """Figure 8 (d): a node with an entry of a later term may be elected and replace it everywhere."""
    cluster = figure_8(copied=True)
    assert sum(cluster.terms(name) == [1, 2] for name in cluster.names) == 3
    cluster.elect("n5")
    cluster.run(2 * OPTIONS.heartbeat_ticks)
    assert all(cluster.terms(name)[:2] == [1, 3] for name in cluster.names)


def test_an_entry_of_the_own_term_commits_it_with_all_before() -> None:
    """Figure 8 (e): then nobody without it can be elected any more."""
    cluster = figure_8(copied=False)
    cluster.block(["n1", "n2", "n3"], ["n4", "n5"])
    cluster.elect("n1")
    assert cluster["n1"].log.commit_index == 3
    assert cluster.terms("n3") == [1, 2, 4]
    cluster.crash("n1")
    cluster.heal()
    cluster["n5"].campaign()
    cluster.run_until(lambda: cluster.leader() is not None)
    cluster.run(2 * OPTIONS.heartbeat_ticks)
    assert all(cluster.terms(name)[:3] == [1, 2, 4] for name in ("n2", "n3", "n4", "n5"))


def test_entries_keep_their_term_when_a_later_leader_copies_them() -> None:
    """§5.4.2: they are not renumbered, by which they can be told over time and across logs."""
    cluster = RaftCluster(3)
    cluster.start("n1", entries(1, 2), term=2)
    cluster.elect("n1")
    assert cluster.terms("n3") == [1, 2, 3]


def test_a_leader_commits_its_predecessors_entries_without_waiting_for_a_client() -> None:
    """§5.4.2 with §8: the no-op of its own term does it."""
    cluster = RaftCluster(3)
    for name in ("n1", "n2"):
        cluster.start(name, entries(1, 1), term=1)
    cluster.elect("n1")
    assert cluster["n1"].role is Role.LEADER
    assert cluster.data("n1") == ["1@1", "2@1"]
