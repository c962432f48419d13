"""kill -9 of one node, of the leader, of all: nothing acknowledged is lost, and service returns."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.processes import (
    DEADLINE_SECONDS,
    LocalCluster,
    await_condition,
    is_alive,
    local_cluster,
    raftkv,
)

pytestmark = pytest.mark.cluster


def test_one_node_may_die_and_all_may_die_and_nothing_is_lost(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as cluster:
        cluster.ok("put", "before", "1")
        leader = cluster.leader()
        cluster.kill_nodes(leader)
        cluster.ok("put", "without-the-leader", "2", "--timeout", str(DEADLINE_SECONDS))
        assert cluster.ok("get", "before") == b"1\n"
        assert cluster.leader() != leader

        cluster.kill_nodes(*cluster.pids())
        await_condition(lambda: cluster.log().count("was ended by SIGKILL") == 3, "the launcher to notice")
        cluster.down()
        cluster.up()
        assert cluster.ok("get", "before") == b"1\n"
        assert cluster.ok("get", "without-the-leader") == b"2\n"
        cluster.await_equal()


def test_without_a_quorum_a_write_is_never_a_false_success(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as cluster:
        cluster.ok("put", "a", "1")
        cluster.kill_nodes("n1", "n2")
        done = cluster.run("put", "a", "2", "--timeout", "1.5")
        assert done.returncode in (3, 4)
        assert done.stdout == b""
        assert len(done.stderr.splitlines()) == 1
        read = cluster.run("get", "a", "--timeout", "1")
        assert (read.returncode, read.stdout) == (3, b"")
        assert (
            cluster.ok("get", "a", "--stale", "--endpoints", f"tcp://127.0.0.1:{cluster.base_port + 2}")
            == b"1\n"
        )
        cluster.ok("chaos", "heal", "--all")
        cluster.await_all_alive()
        cluster.ok("put", "a", "3", "--timeout", str(DEADLINE_SECONDS))
        assert cluster.ok("get", "a") == b"3\n"


def test_a_node_on_an_older_copy_of_its_folder_ends_and_says_why(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as cluster:
        cluster.ok("put", "a", "1")
        cluster.undisturbed(
            lambda: _is_put_back(cluster, next(n for n in cluster.pids() if n != cluster.leader()))
        )
        cluster.ok("put", "a", "3")


def _is_put_back(cluster: LocalCluster, name: str) -> None:
    """A leader that is elected meanwhile knows nothing of what it held, and sends it all again."""
    folder, copy = cluster.folder / ".raftkv" / name, cluster.folder / "copy"
    cluster.ok("chaos", "stop", name)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    cluster.ok("chaos", "restart", name)
    cluster.ok("put", "a", "2")
    cluster.await_equal()
    cluster.ok("chaos", "stop", name)
    shutil.rmtree(folder)
    copy.rename(folder)
    told = len(cluster.log())
    restarted = cluster.run("chaos", "restart", name)
    # It has been heard before it ended, or it ended first, and the command says so.
    assert restarted.returncode == 0 or b" has lost entries: " in restarted.stderr, restarted.stderr

    def ended() -> bool:
        nodes = {node["name"]: node for node in cluster.status()["nodes"]}
        assert nodes[name].get("applied_index") != nodes["n1" if name != "n1" else "n2"].get("applied_index")
        return f"node {name} exited with code 5: node {name} has lost entries: " in cluster.log()[told:]

    await_condition(ended, "it to end")


def test_a_killed_launcher_leaves_no_orphans_and_no_lock(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as cluster:
        cluster.ok("put", "a", "1")
        pids = cluster.pids()
        cluster.ok("chaos", "pause", "n2")  # a stopped process hears no pipe
        cluster.kill_launcher()
        await_condition(lambda: not any(is_alive(pid) for pid in pids.values()), "all nodes to end")
        done = raftkv("get", "a", folder=tmp_path)
        assert done.returncode == 3
        cluster.up()
        assert cluster.ok("get", "a") == b"1\n"
