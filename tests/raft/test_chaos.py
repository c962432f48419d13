"""Random schedules over the pure core: drops, duplicates, reordering, crashes, partitions, slow disks.

Every step is checked against all invariants (in the harness); afterwards the cluster is healed and
must converge.
"""

from __future__ import annotations

import copy
import random

import pytest

from raftkv.raft import AddLearner, Change, Promote, Raft, Remove, Replace, Role
from raftkv.raft.messages import Heartbeat, PreVote
from tests.support.raft_cluster import OPTIONS, RaftCluster

STEPS = 600
SEEDS = 30
SLEEP_SHARE = 0.01


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_faults_break_no_invariant_and_the_cluster_converges(seed: int) -> None:
    run_schedule(seed)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_members_that_come_and_go_meanwhile_break_nothing_either(seed: int) -> None:
    run_schedule(seed, churn=True)


def run_schedule(seed: int, churn: bool = False) -> RaftCluster:
    """The seed draws the cluster's size and how often each fault strikes."""
    rng = random.Random(seed)
    size = rng.choice([3, 3, 4, 5])
    cluster = RaftCluster(size + 2 * churn, seed, auto=False, founders=size)
    change_share = rng.choice([0.02, 0.1]) if churn else 0.0
    drop_share = rng.choice([0.0, 0.05, 0.2])
    deliver_share = rng.choice([0.5, 0.9])
    persist_share = rng.choice([1.0, 0.6, 0.3])
    crash_share = rng.choice([0.0, 0.01, 0.04])
    cut_share = rng.choice([0.0, 0.01, 0.04])
    campaign_share = rng.choice([0.0, 0.02])
    for step in range(STEPS):
        for name in rng.sample(list(cluster.nodes), rng.randint(1, len(cluster.nodes))):
            cluster.tick(name)
            if rng.random() < persist_share:
                cluster.persist(name, rng.randint(1, 3))
            if rng.random() < campaign_share:
                cluster[name].campaign()
        rng.shuffle(cluster.network)
        cluster.drop(lambda message: rng.random() < drop_share)
        cluster.network += [message for message in cluster.network if rng.random() < 0.02]
        cluster.deliver(lambda message: rng.random() < deliver_share)
        _strike(cluster, rng, crash_share, cut_share)
        for raft in list(cluster.nodes.values()):
            if raft.role is Role.LEADER and rng.random() < 0.3:
                cluster.propose(raft.node_id, f"c{step}")
                cluster.read(raft.node_id, step)
            if rng.random() < SLEEP_SHARE:
                _check_sleep(raft)
            if rng.random() < change_share:
                for peer in raft.configuration.learners:
                    raft.meet(peer, "1", (), 0)
                raft.change_membership(_draw_change(raft, cluster, rng))
    _converge(cluster)
    return cluster


def _check_sleep(raft: Raft) -> None:
    """A shell that sleeps as long as ``ticks_until_due`` allows sends nothing late, and starts no election
    early."""
    sleeper = copy.deepcopy(raft)
    while sleeper.ready():
        pass
    role, term, asleep = sleeper.role, sleeper.current_term, sleeper.ticks_until_due()
    assert 1 <= asleep <= OPTIONS.heartbeat_ticks
    for _ in range(asleep - 1):
        sleeper.tick()
    sent = sleeper.ready()
    if sleeper.role is role:  # a leader may have lost its quorum or its disk
        assert sleeper.current_term == term
        assert not sent or not any(isinstance(each, Heartbeat | PreVote) for each in sent.messages)
    else:
        assert (role, sleeper.role) == (Role.LEADER, Role.FOLLOWER)


def _draw_change(raft: Raft, cluster: RaftCluster, rng: random.Random) -> Change:
    """Any change at all; most of what makes no sense is refused."""
    spare = [name for name in cluster.names if name not in raft.configuration.names]
    known = raft.configuration.learners or tuple(cluster.names)
    some, learner = rng.choice(cluster.names), rng.choice(known)
    drawn = rng.choice([AddLearner, Promote, Promote, Remove, Replace])
    if drawn is AddLearner:
        return AddLearner(rng.choice(spare or cluster.names))
    if drawn is Replace:
        return Replace(some, learner)
    return Promote(learner) if drawn is Promote else Remove(some)


def _strike(cluster: RaftCluster, rng: random.Random, crash_share: float, cut_share: float) -> None:
    name = rng.choice(cluster.names)
    if name not in cluster.nodes:
        if rng.random() < 0.1:
            cluster.restart(name)
    elif rng.random() < crash_share and len(cluster.nodes) > 1:
        cluster.crash(name)
    if rng.random() < cut_share:
        side = rng.sample(cluster.names, rng.randint(1, len(cluster.names) - 1))
        cluster.block(side, [other for other in cluster.names if other not in side])
    if rng.random() < cut_share:
        cluster.blocked.add((rng.choice(cluster.names), rng.choice(cluster.names)))
    if rng.random() < 0.03:
        cluster.heal()


def _converge(cluster: RaftCluster) -> None:
    cluster.heal()
    cluster.auto = True
    for name in cluster.names:
        if name not in cluster.nodes:
            cluster.restart(name)

    def converged() -> bool:
        leader = cluster.leader()
        return leader is not None and all(
            raft.leader_id == leader.node_id
            and not leader.configuration.joint
            and raft.log.commit_index == leader.log.last_index
            and raft.log.matches(leader.log.commit_index, leader.current_term)
            for raft in cluster.nodes.values()
            if raft.node_id in leader.configuration.names
        )

    cluster.run_until(converged, ticks_max=10 * OPTIONS.election_ticks_max)
    leader = cluster.leader()
    assert leader
    assert not leader.configuration.joint
    assert len({tuple(cluster.data(name)) for name in leader.configuration.names}) == 1
