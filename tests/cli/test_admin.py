"""transfer, alarm, doctor."""

from __future__ import annotations

import json

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


def is_heard(cluster: LocalCluster, leader: str, name: str) -> bool:
    peers = json.loads(ok(cluster, "info", leader, "--json"))["peers"]
    return any(peer["active"] for peer in peers if peer["name"] == name)


def test_a_node_that_is_down_does_not_take_over(cluster: LocalCluster) -> None:
    cluster.await_all_alive()
    leader = await_leader(cluster)
    dead = next(node["name"] for node in status(cluster)["nodes"] if node["name"] != leader)
    ok(cluster, "chaos", "kill", dead)
    try:
        await_condition(lambda: not is_heard(cluster, leader, dead), f"{leader} to miss {dead}")
        complaint = refused(invoke(cluster, "transfer", dead), 2)
        assert complaint == f"{dead} cannot take over: {leader} has not heard it lately"
        assert status(cluster)["leader"] == leader
    finally:
        ok(cluster, "chaos", "restart", dead)
    await_condition(lambda: len(cluster.pids()) == 3, "all nodes to be back")


def test_an_unknown_node_is_refused(cluster: LocalCluster) -> None:
    complaint = refused(invoke(cluster, "transfer", "n9"), 2)
    assert complaint == "no node named 'n9'; the nodes are n1, n2, n3"


def test_alarms_are_listed_and_cleared(cluster: LocalCluster) -> None:
    cluster.await_all_alive()
    assert ok(cluster, "alarm", "list") == b""
    assert json.loads(ok(cluster, "alarm", "list", "--json")) == []
    done = invoke(cluster, "alarm", "clear")
    assert (done.returncode, done.stderr) == (0, b"nothing to clear\n")
    leader = await_leader(cluster)
    ok(cluster, "chaos", "disk", leader, "--full")
    try:
        invoke(cluster, "put", "alarm", "x", "--timeout", "0.5")
        await_condition(lambda: ok(cluster, "alarm", "list"), "the alarm")
        assert ok(cluster, "alarm", "list").decode() == f"{leader}\tNOSPACE\n"
        assert "NOSPACE" in refused_by_the_doctor(cluster)
    finally:
        ok(cluster, "chaos", "heal")
    await_condition(lambda: not ok(cluster, "alarm", "list"), "the end of the alarm")


def refused_by_the_doctor(cluster: LocalCluster) -> str:
    done = invoke(cluster, "doctor", "--timeout", "2")
    assert done.returncode == 1
    return done.stdout.decode()


def test_the_doctor_finds_a_healthy_cluster_healthy(cluster: LocalCluster) -> None:
    cluster.await_all_alive()
    await_leader(cluster)
    done = cluster.run("doctor")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, lines
    assert all(line.startswith(("ok ", "warning ")) for line in lines)
    assert "all 3 nodes answer" in lines[0]
    assert any("leads term" in line and "3 of 3 agree" in line for line in lines)
    assert any("fdatasync" in line for line in lines)
    assert not list((cluster.folder / ".raftkv").glob(".doctor*"))


def test_the_doctor_names_what_is_ill(cluster: LocalCluster) -> None:
    cluster.await_all_alive()
    leader = await_leader(cluster)
    dead = next(node["name"] for node in status(cluster)["nodes"] if node["name"] != leader)
    ok(cluster, "chaos", "kill", dead)
    try:
        done = invoke(cluster, "doctor", "--json", "--timeout", "2")
        assert done.returncode == 1
        found = json.loads(done.stdout)
        assert not found["healthy"]
        bad = [finding["what"] for finding in found["findings"] if finding["verdict"] == "bad"]
        assert bad == [f"{dead} does not answer on its control endpoint"]
    finally:
        ok(cluster, "chaos", "restart", dead)
    await_condition(lambda: len(cluster.pids()) == 3, "all nodes to be back")
