"""A leader gives way to a voter that ranks higher: to one that is up to date, and not over and over."""

from __future__ import annotations

import dataclasses

from raftkv.raft import AddLearner, Role
from raftkv.raft.succession import CHECKS_BEFORE_GIVING_WAY, CHECKS_BETWEEN_GIVING_WAY
from raftkv.types import NodeId
from tests.support.raft_cluster import OPTIONS, RaftCluster

N1, N2, N3, N4 = (NodeId(f"n{number}") for number in range(1, 5))
CHECK = OPTIONS.election_ticks_min
SOON = (CHECKS_BEFORE_GIVING_WAY + 2) * CHECK


def led_by_n1(**ranks: int) -> RaftCluster:
    cluster = RaftCluster(4, founders=3)
    cluster.elect("n1")
    for name, rank in ranks.items():
        cluster["n1"].meet(NodeId(name), "", (), rank)
    return cluster


def test_leadership_goes_to_the_highest_rank() -> None:
    cluster = led_by_n1(n2=3, n3=7)
    cluster.run_until(lambda: cluster["n3"].role is Role.LEADER, SOON)
    assert cluster["n3"].current_term == 2


def test_not_at_once() -> None:
    cluster = led_by_n1(n3=7)
    cluster.run((CHECKS_BEFORE_GIVING_WAY - 1) * CHECK)
    assert cluster["n1"].role is Role.LEADER


def test_a_leader_that_ranks_as_high_stays() -> None:
    cluster = led_by_n1(n2=5, n3=4)
    cluster["n1"].options = dataclasses.replace(OPTIONS, priority=5)
    cluster.run(2 * SOON)
    assert cluster["n1"].role is Role.LEADER
    assert cluster["n1"].current_term == 1


def test_one_that_is_away_or_does_not_vote_is_not_waited_for() -> None:
    cluster = led_by_n1(n3=7)
    cluster["n1"].change_membership(AddLearner(N4))
    cluster.run(1)
    cluster["n1"].meet(N4, "", (), 9)
    cluster.crash("n3")
    cluster.run(2 * SOON)
    assert cluster["n1"].role is Role.LEADER
    assert cluster["n1"].status().transferee is None
    cluster.restart("n3")
    cluster.run_until(lambda: cluster["n3"].role is Role.LEADER, SOON)


def test_one_that_comes_and_goes_does_not_take_leadership_along_each_time() -> None:
    cluster = led_by_n1(n3=7)
    turns = 0
    for _ in range(100):
        for name in ("n1", "n2"):
            cluster[name].meet(N3, "", (), 7)
        cluster.run(CHECK)
        if cluster["n3"].role is Role.LEADER:
            turns += 1
            cluster["n3"].step_down("test")
            cluster._pump(N3)
    assert 2 <= turns <= 5


def test_one_that_does_not_take_over_is_asked_again_much_later() -> None:
    cluster = led_by_n1(n3=7)
    tries = 0
    before = None
    for _ in range(CHECKS_BETWEEN_GIVING_WAY * CHECK):
        cluster.tick_all()
        cluster.drop(lambda message: type(message).__name__ == "TimeoutNow")
        cluster.settle()
        now = cluster["n1"].status().transferee
        tries += now is not None and before is None
        before = now
    assert tries == 1
