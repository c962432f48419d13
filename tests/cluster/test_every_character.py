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

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]


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
    with local_cluster(tmp_path) as cluster:
        leader = cluster.leader()
        pid = cluster.pids()[leader]
        load = subprocess.Popen(
            [sys.executable, "-m", "raftkv", "load", "-"],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        total, half = expected.count(b"\n"), len(expected) // 2
        # The second half comes when the leader is dead: however slow this test is, the load is not over.
        assert load.stdin
        load.stdin.write(expected[:half])
        load.stdin.flush()

        def under_way() -> bool:
            assert load.poll() is None, "the load waits for its second half"
            return any(
                node["revision"] and node["revision"] > total // 10 for node in cluster.status()["nodes"]
            )

        await_condition(under_way, "a tenth of the load")
        os.kill(pid, signal.SIGKILL)
        stdout, stderr = load.communicate(expected[half:], timeout=170)
        assert (load.returncode, stderr) == (0, b"")
        assert stdout.decode().strip() == str(total)

        cluster.ok("chaos", "restart", leader)
        cluster.await_equal()
        assert_every_node_holds(cluster, expected)
        cluster.down()
        cluster.up()
        cluster.await_equal()
        assert_every_node_holds(cluster, expected)
