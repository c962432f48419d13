"""chaos: what is broken shows in status, ends when it should, and can be mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.asserting import await_leader, invoke, ok, pids, refused, status
from tests.support.processes import LocalCluster, await_condition, is_alive

needs_mending = pytest.mark.usefixtures("mended")
pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cli")]


@pytest.fixture
def mended(cluster: LocalCluster) -> Iterator[None]:
    yield
    ok(cluster, "chaos", "heal", "--all")
    await_all_alive(cluster)
    await_leader(cluster)


def await_all_alive(cluster: LocalCluster) -> None:
    await_condition(lambda: len(pids(cluster)) == 3, "all nodes to answer")


def done(cluster: LocalCluster, *arguments: str) -> str:
    """The line on stderr of a chaos command that did what it was told; stdout is for data."""
    ran = invoke(cluster, "chaos", *arguments)
    assert (ran.returncode, ran.stdout) == (0, b""), ran.stderr
    text = ran.stderr.decode()
    assert text.count("\n") == 1
    return text.rstrip("\n")


def faults(cluster: LocalCluster) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (node["name"], fault["to"]): fault for node in status(cluster)["nodes"] for fault in node["faults"]
    }


def followers(cluster: LocalCluster) -> tuple[str, str]:
    leader = await_leader(cluster)
    first, second = (name for name in ("n1", "n2", "n3") if name != leader)
    return first, second


@needs_mending
def test_isolate_shows_on_every_link_and_heal_removes_it(cluster: LocalCluster) -> None:
    follower, other = followers(cluster)
    assert done(cluster, "isolate", follower) == f"isolated {follower}; 'raftkv chaos heal' mends it"
    found = faults(cluster)
    assert set(found) == {(a, b) for a in ("n1", "n2", "n3") for b in ("n1", "n2", "n3") if a != b} - {
        (await_leader(cluster), other),
        (other, await_leader(cluster)),
    }
    for fault in found.values():
        assert list(fault) == ["to", "block", "drop", "delay_ms", "jitter_ms", "seconds_left"]
        assert fault["block"] is True
        assert fault["seconds_left"] is None
    row = next(
        line for line in ok(cluster, "status").decode().splitlines() if line.startswith(follower + " ")
    )
    assert row.count("→") == 2
    ok(cluster, "put", "chaos/majority", "serves")
    assert done(cluster, "heal") == "healed"
    assert faults(cluster) == {}


@needs_mending
def test_an_isolated_leader_loses_its_office_and_nothing_is_lost(cluster: LocalCluster) -> None:
    leader = await_leader(cluster)
    ok(cluster, "put", "chaos/before", "1")
    done(cluster, "isolate", leader)
    ok(cluster, "put", "chaos/meanwhile", "2", "--timeout", "20")
    assert await_leader(cluster) != leader
    assert ok(cluster, "get", "chaos/before") == b"1\n"


@needs_mending
def test_a_fault_ends_by_itself_after_its_lifetime(cluster: LocalCluster) -> None:
    follower, _ = followers(cluster)
    assert done(cluster, "isolate", follower, "--for", "1.5") == f"isolated {follower} for 1.5 s"
    left = [fault["seconds_left"] for fault in faults(cluster).values()]
    assert len(left) == 4
    assert all(0 <= seconds <= 1.5 for seconds in left)
    await_condition(lambda: not faults(cluster), "the faults to end", 10)


@needs_mending
def test_a_partition_blocks_between_the_sides_only(cluster: LocalCluster) -> None:
    done(cluster, "partition", "n1,n2", "n3")
    assert set(faults(cluster)) == {("n1", "n3"), ("n3", "n1"), ("n2", "n3"), ("n3", "n2")}
    ok(cluster, "chaos", "heal")
    # Who is named in no group forms one more.
    done(cluster, "partition", "n2")
    assert set(faults(cluster)) == {("n1", "n2"), ("n2", "n1"), ("n2", "n3"), ("n3", "n2")}
    ok(cluster, "chaos", "heal")
    done(cluster, "partition", "n1", "n2", "n3", "--for", "60")
    assert len(faults(cluster)) == 6
    assert "nothing happened" in refused(invoke(cluster, "get", "a", "--timeout", "0.5"), 3)


@needs_mending
def test_a_link_is_slow_or_lossy_or_blocked_one_way_or_both(cluster: LocalCluster) -> None:
    text = done(cluster, "link", "n1", "n2", "--delay", "5", "--jitter", "2", "--drop", "0.1")
    assert text.startswith("set the link n1 ↔ n2")
    found = faults(cluster)
    assert set(found) == {("n1", "n2"), ("n2", "n1")}
    fault = found[("n1", "n2")]
    assert (fault["delay_ms"], fault["jitter_ms"], fault["drop"], fault["block"]) == (5.0, 2.0, 0.1, False)
    assert done(cluster, "link", "n1", "n2") == "healed the link n1 ↔ n2"
    assert faults(cluster) == {}
    assert "n3 → n1 for 30 s" in done(cluster, "link", "n3", "n1", "--block", "--one-way", "--for", "30")
    assert set(faults(cluster)) == {("n3", "n1")}


@needs_mending
def test_kill_and_restart(cluster: LocalCluster) -> None:
    follower, _ = followers(cluster)
    pid = pids(cluster)[follower]
    assert done(cluster, "kill", follower) == f"killed {follower}"
    assert not is_alive(pid)
    node = next(node for node in status(cluster)["nodes"] if node["name"] == follower)
    assert (node["alive"], node["role"], node["pid"], node["faults"]) == (False, None, None, [])
    assert "no answer" in ok(cluster, "status").decode()
    ping = invoke(cluster, "ping")
    assert (ping.returncode, ping.stderr) == (3, b"")
    assert f"{follower}\tno answer" in ping.stdout.decode().splitlines()
    assert "does not answer" in refused(invoke(cluster, "info", follower, "--timeout", "0.5"), 3)
    assert "restart" in refused(invoke(cluster, "chaos", "pause", follower), 2)
    assert done(cluster, "restart", follower) == f"restarted {follower}"
    await_all_alive(cluster)
    assert pids(cluster)[follower] != pid


@needs_mending
def test_stop_ends_politely_and_restart_of_a_running_node_renews_it(cluster: LocalCluster) -> None:
    follower, other = followers(cluster)
    before = pids(cluster)
    done(cluster, "stop", follower)
    assert not is_alive(before[follower])
    done(cluster, "restart", other)
    assert not is_alive(before[other])


@needs_mending
def test_pause_and_resume(cluster: LocalCluster) -> None:
    follower, _ = followers(cluster)
    pid = pids(cluster)[follower]
    assert done(cluster, "pause", follower) == f"paused {follower}"
    assert is_alive(pid)
    assert follower not in pids(cluster)
    ok(cluster, "put", "chaos/paused", "1")
    assert done(cluster, "resume", follower) == f"resumed {follower}"
    await_all_alive(cluster)
    assert pids(cluster)[follower] == pid
    done(cluster, "pause", follower)
    done(cluster, "restart", follower)
    assert not is_alive(pid)


def test_what_makes_no_sense_is_refused_and_changes_nothing(cluster: LocalCluster) -> None:
    for arguments, cause in (
        (["kill", "n9"], "n1, n2, n3"),
        (["isolate", "n9"], "n1, n2, n3"),
        (["campaign", "n9"], "n1, n2, n3"),
        (["partition", "n1", "n9"], "n1, n2, n3"),
        (["link", "n1", "n9", "--block"], "n1, n2, n3"),
        (["partition", "n1,n2,n3"], "two sides"),
        (["partition", "n1,n2", "n2,n3"], "two groups"),
        (["partition", ","], "two sides"),
        (["link", "n1", "n1", "--block"], "two different ends"),
        (["link", "n1", "n2", "--drop", "1.5"], "--drop 1.5"),
        (["link", "n1", "n2", "--delay=-1"], "--delay"),
        (["link", "n1", "n2", "--delay", "nan"], "--delay"),
        (["link", "n1", "n2", "--delay", "1e9"], "60000"),
        (["link", "n1", "n2", "--jitter", "5"], "--delay too"),
        (["isolate", "n1", "--for", "0"], "--for 0"),
        (["isolate", "n1", "--for", "nan"], "--for nan"),
        (["partition", "n1", "--for=-1"], "--for -1"),
    ):
        assert cause in refused(invoke(cluster, "chaos", *arguments), 2), arguments
    assert faults(cluster) == {}


@needs_mending
def test_the_real_command_line_speaks_on_stderr_only(cluster: LocalCluster) -> None:
    ran = cluster.run("chaos", "link", "n1", "n2", "--drop", "0.01")
    assert (ran.returncode, ran.stdout) == (0, b"")
    assert ran.stderr.decode() == "set the link n1 ↔ n2; 'raftkv chaos heal' mends it\n"
    assert set(faults(cluster)) == {("n1", "n2"), ("n2", "n1")}
    assert "n1, n2, n3" in refused(cluster.run("chaos", "kill", "n9"), 2)
