"""Members of a real cluster come, go, and are replaced while clients work."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from raftkv.client import Client
from raftkv.cluster.control import ControlClient
from raftkv.cluster.members import Members
from tests.cli.asserting import await_leader, invoke, ok
from tests.support.processes import LocalCluster, await_condition, local_cluster

pytestmark = pytest.mark.cluster
PATIENCE = 60.0


def members(cluster: LocalCluster) -> dict[str, dict[str, Any]]:
    """Asked for in this process, as it is asked for often."""
    found = json.loads(ok(cluster, "members", "list", "--json"))["members"]
    return {member["name"]: member for member in found}


def voters(cluster: LocalCluster) -> list[str]:
    return sorted(name for name, member in members(cluster).items() if member["part"] == "voter")


def refused(cluster: LocalCluster, *arguments: str, code: int = 2) -> str:
    """The one line of a change that was not made; the members are as before."""
    before = voters(cluster)
    done = invoke(cluster, "members", *arguments)
    text = done.stderr.decode()
    assert done.returncode == code, (done.returncode, text)
    assert done.stdout == b""
    assert len(text.splitlines()) == 1
    assert voters(cluster) == before
    return text.removeprefix("raftkv: ").rstrip("\n")


class Writer(threading.Thread):
    """Writes one key after the other, and remembers what was acknowledged. Any error ends it."""

    def __init__(self, endpoints: list[str]) -> None:
        super().__init__()
        self._endpoints = endpoints
        self._done = threading.Event()
        self.written: dict[str, str] = {}
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with Client(self._endpoints, timeout=PATIENCE) as client:
                number = 0
                while not self._done.is_set():
                    number += 1
                    client.put(f"k{number % 50}", str(number))
                    self.written[f"k{number % 50}"] = str(number)
        except Exception as error:
            self.error = error

    def finish(self) -> dict[str, str]:
        self._done.set()
        self.join(2 * PATIENCE)
        assert not self.is_alive()
        assert self.error is None, self.error
        return self.written


def test_all_three_nodes_are_replaced_under_load_and_nothing_is_lost(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as cluster:
        endpoints = [node["client_endpoint"] for node in cluster.status()["nodes"]]
        writer = Writer(endpoints)
        writer.start()
        try:
            for old in ("n1", "n2", "n3"):
                before = len(writer.written)
                await_condition(lambda before=before: len(writer.written) > before or before == 50, "writes")  # type: ignore[misc]
                cluster.ok("members", "replace", old)
        finally:
            written = writer.finish()
        assert voters(cluster) == ["n4", "n5", "n6"]
        with Client(
            [member["client_endpoint"] for member in members(cluster).values()], timeout=PATIENCE
        ) as client:
            found = {key: client.get(key) for key in written}
        assert {key: item.value.decode() for key, item in found.items() if item} == written
        cluster.await_equal()
        # And they are the cluster from now on, also after a restart.
        cluster.down()
        cluster.up()
        assert voters(cluster) == ["n4", "n5", "n6"]
        assert cluster.ok("get", "k1") == f"{written['k1']}\n".encode()


def test_a_cluster_grows_shrinks_and_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as cluster:
        cluster.ok("put", "a", "1")
        assert b"the cluster in .raftkv has 5 voters" in cluster.run("up", "--nodes", "5").stderr
        assert voters(cluster) == ["n1", "n2", "n3", "n4", "n5"]
        assert json.loads(cluster.ok("members", "add", "--json")) == {"added": "n6"}
        assert members(cluster)["n6"]["part"] == "learner"
        status = {node["name"]: node["role"] for node in cluster.status()["nodes"]}
        assert status["n6"] == "learner"
        learner = f"tcp://127.0.0.1:{cluster.base_port + 5}"
        assert cluster.ok("get", "a", "--endpoints", learner) == b"1\n"

        assert "there is a node named n2 already" in refused(cluster, "add", "n2")
        assert "has something else of that name" in refused(cluster, "add", "cluster.toml")
        assert "has something else of that name" in refused(cluster, "add", "run.json")
        taken = [
            members(cluster)["n1"][f"{kind}_endpoint"] for kind in ("peer", "client", "control", "status")
        ]
        assert "another member has one of these endpoints" in refused(cluster, "add", "n9", *taken)
        assert "no such member" in refused(cluster, "promote", "n9")
        assert "no such member" in refused(cluster, "remove", "n9")
        assert "n6 cannot lead: it is a learner" in cluster.run("transfer", "n6").stderr.decode()
        cluster.ok("chaos", "pause", "n6")
        cluster.ok("put", "a", "2")
        text = refused(cluster, "promote", "n6", "--timeout", "1.5", code=3)
        assert text.startswith("n6 cannot be promoted within 1.5 s")
        cluster.ok("chaos", "resume", "n6")
        cluster.ok("members", "promote", "n6", "--timeout", str(PATIENCE))
        assert "n6" in voters(cluster)
        assert cluster.ok("members", "promote", "n6") == b"n6 votes\n", "it does already"

        assert cluster.run("up", "--nodes", "1").returncode == 0
        (last,) = voters(cluster)
        assert "it is the last voter" in refused(cluster, "remove", last)
        assert cluster.ok("get", "a") == b"2\n"
        assert cluster.run("up", "--nodes", "3").returncode == 0
        assert cluster.ok("get", "a") == b"2\n"


def test_a_node_that_lost_its_folder_is_told_what_to_do(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as cluster:
        cluster.ok("put", "a", "1")
        wiped = next(name for name in ("n1", "n2", "n3") if name != cluster.leader())
        cluster.ok("chaos", "kill", wiped)
        shutil.rmtree(tmp_path / ".raftkv" / wiped)
        restarted = cluster.run("chaos", "restart", wiped)
        # It has listened before it was turned away, or it ended first, and the command says so.
        assert restarted.returncode == 0 or b" has another data folder" in restarted.stderr, restarted.stderr
        await_condition(
            lambda: f"node {wiped} exited with code 3" in cluster.log(), f"{wiped} to be turned away"
        )
        assert f"node {wiped} has another data folder" in cluster.log()
        done = json.loads(cluster.ok("members", "replace", wiped, "--json"))
        assert (list(done), done["removed"]) == (["removed", "promoted"], wiped)
        assert "n4" in voters(cluster)
        assert wiped not in members(cluster)
        assert cluster.ok("get", "a") == b"1\n"


def test_a_node_that_is_turned_away_at_the_start_does_not_end_the_others(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as cluster:
        cluster.ok("put", "a", "1")
        cluster.down()
        shutil.rmtree(tmp_path / ".raftkv" / "n2")
        cluster.up()
        assert cluster.ok("get", "a") == b"1\n"
        await_condition(lambda: "node n2 exited with code 3" in cluster.log(), "n2 to be turned away")
        cluster.ok("members", "replace", "n2")
        assert voters(cluster) == ["n1", "n3", "n4"]


def test_a_node_that_hears_of_its_removal_leaves_by_itself(tmp_path: Path) -> None:
    """The command that removed it ended before it could tell the launcher."""
    with local_cluster(tmp_path) as cluster:
        controls = {name: member["control_endpoint"] for name, member in members(cluster).items()}
        with ControlClient() as client:
            Members(client, controls, PATIENCE).remove("n3")
        await_condition(lambda: "node n3 has left" in cluster.log(), "the launcher to let it go")
        assert "n3" not in {node["name"] for node in cluster.status()["nodes"]}
        assert 'name = "n3"' not in (tmp_path / ".raftkv" / "cluster.toml").read_text()


def test_nobody_is_removed_whose_place_a_dead_node_would_have_to_take(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as cluster:
        leader = await_leader(cluster)
        dead, living = (node["name"] for node in cluster.status()["nodes"] if node["name"] != leader)
        cluster.ok("chaos", "kill", dead)
        await_condition(lambda: members(cluster)[dead]["lag"] is None, f"{leader} to miss {dead}")
        for leaving in (living, leader):
            text = refused(cluster, "remove", leaving)
            assert text == (
                f"{leaving} cannot be removed: of the 2 voters that would be left {dead} cannot be heard,"
                f" which leaves no quorum; start it again, or remove {dead} first; nothing was changed"
            )
        cluster.ok("members", "remove", dead)
        cluster.ok("members", "remove", living)
        assert voters(cluster) == [leader]


def test_nodes_that_are_started_one_by_one_wait_for_each_other(tmp_path: Path) -> None:
    """No second cluster begins over the head of one that exists, however little a node remembers."""
    with local_cluster(tmp_path) as cluster:
        cluster.ok("put", "a", "1")
        leader = cluster.leader()
        others = [name for name in ("n1", "n2", "n3") if name != leader]
        # All at once: one that still remembers would turn the first of the others away.
        cluster.kill_nodes(leader, *others)
        for name in others:
            shutil.rmtree(tmp_path / ".raftkv" / name)
            cluster.ok("chaos", "restart", name)
        await_condition(lambda: len(cluster.pids()) == 2, "two nodes to answer")
        assert cluster.run("put", "a", "2", "--timeout", "2").returncode == 3
        cluster.ok("chaos", "restart", leader)
        await_condition(
            lambda: all(f"node {name} exited with code 3" in cluster.log() for name in others),
            "both to be turned away",
        )


def test_what_a_node_has_left_of_before_a_restore_ends_nobody(tmp_path: Path) -> None:
    """Its snapshot is of a later entry than the backup, and so is who it takes for members."""
    file, config = tmp_path / "kv.backup", tmp_path / ".raftkv" / "cluster.toml"
    with local_cluster(tmp_path) as cluster:
        cluster.ok("put", "a", "1")
        cluster.ok("backup", str(file))
        for number in range(30):
            cluster.ok("put", "a", f"old {number}")
        cluster.ok("snapshot", "n3")
        cluster.down()
        for name in ("n1", "n2"):
            shutil.rmtree(tmp_path / ".raftkv" / name)
            cluster.ok("restore", str(file), "--config", str(config), "--node", name)
        cluster.up()
        assert cluster.ok("get", "a") == b"1\n"
        cluster.ok("put", "a", "2")
        assert {"n1", "n2"} <= cluster.pids().keys()


def test_what_a_node_has_left_of_before_a_restore_counts_for_nothing(
    tmp_path: Path,
) -> None:
    """Each machine restores its own node, and the third is away: it comes back with its old folder, whose
    terms and indexes are those of the new cluster, and whose entries are not."""
    file, config = tmp_path / "kv.backup", tmp_path / ".raftkv" / "cluster.toml"
    with local_cluster(tmp_path) as cluster:
        cluster.ok("put", "a", "1")
        cluster.ok("backup", str(file))
        for number in range(50):
            cluster.ok("put", "a", f"old {number}")
        cluster.down()
        for name in ("n1", "n2"):
            shutil.rmtree(tmp_path / ".raftkv" / name)
            cluster.ok("restore", str(file), "--config", str(config), "--node", name)
        cluster.up()
        old = tmp_path / ".raftkv" / "n3" / "node.log"
        await_condition(lambda: "n3 does not follow n" in old.read_text(), "n3 to hear the others")
        assert cluster.ok("get", "a") == b"1\n"
        cluster.ok("put", "b", "2")
        assert cluster.ok("dump", "--node", "n1") == cluster.ok("dump", "--node", "n2") == b"a\t1\nb\t2\n"
        known = {name: member["incarnation"] for name, member in members(cluster).items()}
        assert known["n3"].endswith("*")
        assert not known["n1"].endswith("*")
        assert not known["n2"].endswith("*")

        cluster.ok("chaos", "kill", "n3")
        shutil.rmtree(tmp_path / ".raftkv" / "n3")
        cluster.ok("restore", str(file), "--config", str(config), "--node", "n3", "--bump-revision", "5")
        cluster.run("chaos", "restart", "n3")
        await_condition(
            lambda: cluster.log().count("node n3 exited with code 3") == 1, "n3 to be turned away"
        )
        shutil.rmtree(tmp_path / ".raftkv" / "n3")
        cluster.ok("restore", str(file), "--config", str(config), "--node", "n3")
        cluster.ok("chaos", "restart", "n3")
        await_condition(lambda: not members(cluster)["n3"]["incarnation"].endswith("*"), "n3 to be known")
        assert cluster.ok("dump", "--node", "n3") == b"a\t1\nb\t2\n"

        cluster.ok("chaos", "kill", "n3")
        shutil.rmtree(tmp_path / ".raftkv" / "n3")
        cluster.ok("restore", str(file), "--config", str(config), "--node", "n3")
        cluster.run("chaos", "restart", "n3")  # it has forgotten what it acknowledged since
        await_condition(
            lambda: cluster.log().count("node n3 exited with code 3") == 2, "n3 to be turned away again"
        )
