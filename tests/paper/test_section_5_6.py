"""§5.6: timing and availability."""

from __future__ import annotations

from raftkv.raft import RaftOptions, Role
from tests.support.raft_cluster import OPTIONS, RaftCluster


def test_safety_does_not_depend_on_timing() -> None:
    """§5.6: nodes whose clocks run at wildly different speeds break no invariant (the harness checks
    all of them after every step), even where they hardly ever keep a leader."""
    cluster = RaftCluster(3, seed=3)
    for number in range(300):
        cluster.tick("n1", 1)
        cluster.tick("n2", 7)
        cluster.tick("n3", 1 if number % 50 else 60)
        cluster.deliver()
        leader = cluster.leader()
        if leader and number % 10 == 0:
            cluster.propose(leader.node_id, f"c{number}")
    cluster.run_until(lambda: cluster.leader() is not None)
    cluster.run(OPTIONS.election_ticks_max)
    assert cluster.data("n1") == cluster.data("n2") == cluster.data("n3") != []


def test_a_leader_is_heard_several_times_within_the_shortest_election_timeout() -> None:
    """§5.6: broadcast time far below election timeout; so one lost message elects nobody."""
    for options in (RaftOptions(), OPTIONS):
        assert options.heartbeat_ticks * 5 <= options.election_ticks_min < options.election_ticks_max


def test_while_the_broadcast_time_is_short_the_leader_is_steady_although_messages_get_lost() -> None:
    """§5.6: half of all heartbeats lost, and no election."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    for number in range(40 * OPTIONS.heartbeat_ticks):
        cluster.tick_all()
        if number // OPTIONS.heartbeat_ticks % 2:
            cluster.network.clear()
        cluster.settle()
    assert (cluster["n1"].role, cluster["n1"].current_term) == (Role.LEADER, 1)
