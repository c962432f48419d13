"""Clusters for the tests of other projects: whatever the environment says, whatever their process does."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from raftkv.cluster import discovery
from raftkv.cluster.scenarios.own import own_cluster
from raftkv.errors import ClientError, InvalidRequest, RaftkvError
from raftkv.testing import LocalCluster
from tests.support import processes
from tests.support.processes import DEADLINE_SECONDS, await_condition, raftkv

pytestmark = [pytest.mark.cluster]

NOBODY = "tcp://127.0.0.1:9"


def test_a_cluster_is_never_another_than_the_one_that_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever exports the endpoints of the real one must not have their tests run on that."""
    monkeypatch.setenv(discovery.ENVIRONMENT, NOBODY)
    with LocalCluster(1, folder=tmp_path / "one") as cluster:
        assert NOBODY not in cluster.endpoints
        with cluster.client() as client:
            client.put("a", "1")
        assert discovery.find(None, None, None).clients == (NOBODY,)
    with own_cluster(1) as target:
        assert NOBODY not in target.clients
        assert target.controls


def test_what_the_command_line_starts_is_found_whatever_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = processes.environment()
    monkeypatch.setattr(processes, "environment", lambda: {**plain, discovery.ENVIRONMENT: NOBODY})
    cluster = processes.LocalCluster(tmp_path)
    cluster.up("--record", "seen.rec")
    cluster.down()
    assert (tmp_path / "seen.rec").exists()
    nowhere = raftkv("up", "--headless", "--record", "absent/seen.rec", folder=tmp_path)
    assert nowhere.returncode == 2
    told = "raftkv: --record: cannot record into absent/seen.rec: there is no folder absent\n"
    assert nowhere.stderr.decode() == told


def test_a_child_that_was_forked_holds_no_cluster_up(tmp_path: Path) -> None:
    cluster = LocalCluster(1, folder=tmp_path / "one").start()
    host = cluster._host
    assert host
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if not child:
        os.close(write_fd)
        os.read(read_fd, 1)  # until its parent is done
        os._exit(0)
    try:
        cluster.stop()
        assert host.returncode == 0, "it ended by itself, and was not killed"
    finally:
        os.close(write_fd)
        os.close(read_fd)
        os.waitpid(child, 0)


def test_whatever_breaks_can_be_broken_and_ends_in_time(raftkv_cluster: LocalCluster) -> None:
    cluster = raftkv_cluster
    leader = cluster.leader()
    one, other = [name for name in cluster.names if name != leader]
    with pytest.raises(InvalidRequest, match="a group is a list of names"):
        cluster.partition("n1", "n2")
    cluster.disk(one, slow_ms=1.0, seconds=60.0)
    cluster.clock(one, 1.01, seconds=60.0)
    cluster.link(one, other, delay_ms=1.0, jitter_ms=1.0, duplicate=0.1, reorder=0.1, seconds=60.0)
    view = cluster.status()[one]
    assert view
    assert [fault.partition(",")[0] for fault in view.faults] == ["disk slower by 1 ms", "clock ×1.01"]
    assert [link.to for link in view.links if link.fault and link.fault.reorder] == [other]
    cluster.heal()
    cluster.wait_until_healthy()

    def moved() -> bool:
        if cluster.leader() == one:
            return True
        with suppress(RaftkvError):  # on a busy machine one may not take over in time
            cluster.transfer(one)
        return False

    await_condition(moved, "leadership to be handed over")
    cluster.bridge(one, seconds=0.1)
    with pytest.raises(RaftkvError, match="takes a cluster of four nodes"):
        cluster.ring(seconds=0.1)
    cluster.kill(other, seconds=0.1)
    cluster.pause(leader, seconds=0.1)
    cluster.stop_node(one, seconds=0.1)
    cluster.heal()
    cluster.wait_until_healthy()
    assert not any(view and view.faults for view in cluster.status().values())


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("raftkv_scope = banana", "raftkv_scope: expected one of session, package, module, found 'banana'"),
        ("raftkv_nodes = x", "raftkv_nodes: expected a number from 1 to 9, found 'x'"),
        ("raftkv_nodes = 10", "raftkv_nodes: expected a number from 1 to 9, found '10'"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_told(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{line}\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (pytest.ExitCode.USAGE_ERROR, f"ERROR: {complaint}")


def test_a_client_ends_with_the_test_that_made_it(raftkv_shared_cluster: LocalCluster) -> None:
    client = raftkv_shared_cluster.client(timeout=DEADLINE_SECONDS)
    client.put("a", "1")
    kept = raftkv_shared_cluster.clients
    other = raftkv_shared_cluster.client(timeout=DEADLINE_SECONDS)
    raftkv_shared_cluster.close_clients(but=kept)
    with pytest.raises(ClientError, match="closed"):
        other.get("a")
    assert client["a"] == b"1", "of a fixture that lives longer"
    raftkv_shared_cluster.close_clients()
    with pytest.raises(ClientError, match="closed"):
        client.get("a")
    raftkv_shared_cluster.close_clients()
