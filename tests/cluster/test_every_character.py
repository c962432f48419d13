"""The main job, end to end: more than 30,000 keys through the command line into a real cluster that
loses its leader half-way, read back from every node, before and after a restart of all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from tests.support.processes import LocalCluster, await_condition, environment, local_cluster

pytestmark = pytest.mark.cluster


def every_named_character() -> bytes:
    """``character<TAB>its name``, a line each, in the byte order in which a dump comes."""
    named = [
        (chr(code), unicodedata.name(chr(code)))
        for code in range(sys.maxunicode + 1)
        if unicodedata.name(chr(code), None)
    ]
    lines = sorted(f"{character}\t{name}\n".encode() for character, name in named)
    assert len(lines) > 30_000
    return b"".join(lines)


def assert_every_node_holds(cluster: LocalCluster, expected: bytes) -> None:
    for number in range(1, cluster.nodes + 1):
        assert cluster.ok("dump", "--node", f"n{number}") == expected, f"dump of n{number}"


def test_every_named_character_survives_the_leaders_death_and_a_restart(tmp_path: Path) -> None:
    expected = every_named_character()
    (tmp_path / "characters.tsv").write_bytes(expected)
    with local_cluster(tmp_path) as cluster:
        leader = cluster.leader()
        pid = cluster.pids()[leader]
        load = subprocess.Popen(
            [sys.executable, "-m", "raftkv", "load", "characters.tsv"],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        total = expected.count(b"\n")

        def half_way() -> bool:
            assert load.poll() is None, "the load must still run when the leader is killed"
            return any(
                node["revision"] and node["revision"] > total // 10 for node in cluster.status()["nodes"]
            )

        await_condition(half_way, "a tenth of the load")
        os.kill(pid, signal.SIGKILL)
        assert load.poll() is None, "the load ended before the leader was killed"
        stdout, stderr = load.communicate(timeout=120)
        assert (load.returncode, stderr) == (0, b"")
        assert stdout.decode().strip() == str(total)

        cluster.ok("chaos", "restart", leader)
        cluster.await_all_alive()
        cluster.leader()
        assert_every_node_holds(cluster, expected)
        cluster.down()
        cluster.up()
        assert_every_node_holds(cluster, expected)
