"""``raftkv chaos disk`` and ``clock`` on real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes import DEADLINE_SECONDS, await_condition, local_cluster

pytestmark = pytest.mark.cluster


def test_slow_full_and_failing_disks_and_wrong_clocks(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as cluster:
        leader = cluster.leader()
        follower = next(f"n{number}" for number in (1, 2, 3) if f"n{number}" != leader)

        def faults_of(name: str) -> list[str]:
            nodes = cluster.status()["nodes"]
            return [str(text) for node in nodes if node["name"] == name for text in node["other_faults"]]

        cluster.ok("chaos", "disk", follower, "--slow", "30")
        cluster.ok("chaos", "clock", follower, "--rate", "1.2")
        await_condition(lambda: faults_of(follower) == ["disk slower by 30 ms", "clock ×1.2"], "the faults")
        cluster.ok("put", "slow", "1")

        cluster.ok("chaos", "disk", leader, "--full")
        cluster.ok("put", "elsewhere", "2", "--timeout", str(DEADLINE_SECONDS))
        await_condition(
            lambda: cluster.status()["leader"] not in (None, leader), "a leader that cannot write to give way"
        )
        cluster.ok("chaos", "heal")
        await_condition(lambda: not faults_of(leader) and not faults_of(follower), "healed disks")

        cluster.ok("chaos", "disk", leader, "--fail")
        cluster.ok("put", "without", "3", "--timeout", str(DEADLINE_SECONDS))
        await_condition(lambda: leader not in cluster.pids(), "the node with the failed disk to stop")
        assert "disk failure" in cluster.log()
        cluster.ok("chaos", "restart", leader)
        cluster.await_all_alive()
        assert cluster.ok("dump", "--node", leader) == b"elsewhere\t2\nslow\t1\nwithout\t3\n"
