"""Clusters for the tests of other projects: whatever the environment says, whatever their process does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raftkv.cluster import discovery
from raftkv.cluster.scenarios.own import own_cluster
from raftkv.testing import LocalCluster
from tests.support import processes
from tests.support.processes import raftkv

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
