"""transfer."""

from __future__ import annotations

from tests.cli.asserting import await_leader, invoke, ok, refused, status
from tests.support.processes import LocalCluster, await_condition


def test_leadership_moves_to_the_node_that_is_named(cluster: LocalCluster) -> None:
    cluster.await_all_alive()
    leader = await_leader(cluster)
    to = next(node["name"] for node in status(cluster)["nodes"] if node["name"] != leader)
    assert ok(cluster, "transfer", to).startswith(f"{to} leads, term ".encode())
    assert status(cluster)["leader"] == to
    # Asked again, there is nothing to do.
    assert ok(cluster, "transfer", to).startswith(f"{to} leads, term ".encode())
    assert cluster.ok("transfer", leader).startswith(f"{leader} leads, term ".encode())


def test_a_node_that_is_down_does_not_take_over(cluster: LocalCluster) -> None:
    cluster.await_all_alive()
    leader = await_leader(cluster)
    dead = next(node["name"] for node in status(cluster)["nodes"] if node["name"] != leader)
    ok(cluster, "chaos", "kill", dead)
    try:
        complaint = refused(invoke(cluster, "transfer", dead), 1)
        assert complaint == f"{dead} did not take over in time; {leader} goes on leading"
        assert status(cluster)["leader"] == leader
    finally:
        ok(cluster, "chaos", "restart", dead)
    await_condition(lambda: len(cluster.pids()) == 3, "all nodes to be back")


def test_an_unknown_node_is_refused(cluster: LocalCluster) -> None:
    complaint = refused(invoke(cluster, "transfer", "n9"), 2)
    assert complaint == "no node named 'n9'; the nodes are n1, n2, n3"
