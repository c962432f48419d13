"""chaos: what is broken shows in status, ends when it should, and can be mended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from raftkv.observe import LinkFault
from tests.cli.asserting import await_leader, invoke, ok, pids, refused, status
from tests.support.processes import LocalCluster, await_condition, is_alive

FAULT_FIELDS = ["block", "drop", "delay_ms", "jitter_ms", "duplicate", "reorder"]
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
        (node["name"], fault["to"]): fault
        for node in cluster.await_all_alive()["nodes"]
        for fault in node["faults"]
    }


def followers(cluster: LocalCluster) -> tuple[str, str]:
    leader = await_leader(cluster)
    first, second = (name for name in ("n1", "n2", "n3") if name != leader)
    return first, second


@needs_mending
def test_isolate_shows_on_every_link_and_heal_removes_it(cluster: LocalCluster) -> None:
    follower, _ = followers(cluster)
    assert done(cluster, "isolate", follower) == f"isolated {follower}; 'raftkv chaos heal' mends it"
    found = faults(cluster)
    others = [name for name in ("n1", "n2", "n3") if name != follower]
    assert set(found) == {(follower, name) for name in others} | {(name, follower) for name in others}
    for fault in found.values():
        assert list(fault) == ["to", *(field.name for field in fields(LinkFault)), "seconds_left"]
        assert fault["block"] is True
        assert fault["seconds_left"] is None
    row = next(
        line for line in ok(cluster, "status").decode().splitlines() if line.startswith(follower + " ")
    )
    assert row.count("→") == 2
    ok(cluster, "put", "chaos/majority", "serves")
    assert done(cluster, "heal") == "healed"
    assert faults(cluster) == {}


def test_what_contradicts_itself_is_refused_and_breaks_nothing(cluster: LocalCluster) -> None:
    for options in (["--full", "--slow", "5"], ["--full", "--fail"], ["--slow", "5", "--fail"]):
        assert "one of slow, full and broken" in refused(invoke(cluster, "chaos", "disk", "n3", *options), 2)
    for group in (",,", "n1,", ""):
        assert "lacks a name" in refused(invoke(cluster, "chaos", "partition", group, "n3"), 2)
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
    assert done(cluster, "isolate", follower, "--for", "90") == f"isolated {follower} for 90 s"
    left = [fault["seconds_left"] for fault in faults(cluster).values()]
    assert len(left) == 4
    assert all(0 <= seconds <= 90 for seconds in left)
    assert done(cluster, "isolate", follower, "--for", "0.5") == f"isolated {follower} for 0.5 s"
    await_condition(lambda: not faults(cluster), "the faults to end")


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
    done(cluster, "link", "n1", "n2", "--duplicate", "0.2", "--reorder", "0.3")
    fault = faults(cluster)[("n2", "n1")]
    assert (fault["duplicate"], fault["reorder"], fault["drop"]) == (0.2, 0.3, 0.0)
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
    row = next(line for line in ok(cluster, "status").decode().splitlines() if line.startswith(follower))
    assert row.split()[1] == "exited"
    ping = invoke(cluster, "ping")
    assert (ping.returncode, ping.stderr) == (3, b"")
    assert f"{follower}\tno answer" in ping.stdout.decode().splitlines()
    assert "does not answer" in refused(invoke(cluster, "info", follower, "--timeout", "0.5"), 3)
    assert "restart" in refused(invoke(cluster, "chaos", "pause", follower), 2)
    for verb in ("kill", "stop"):
        assert "has exited already" in refused(invoke(cluster, "chaos", verb, follower), 2)
    assert done(cluster, "restart", follower) == f"restarted {follower}"
    await_all_alive(cluster)
    assert pids(cluster)[follower] != pid


@needs_mending
def test_what_is_taken_down_for_a_time_comes_back(cluster: LocalCluster) -> None:
    leader = await_leader(cluster)
    pid = pids(cluster)[leader]
    assert done(cluster, "kill", "--leader", "--for", "0.5") == f"killed {leader} for 0.5 s"
    assert not is_alive(pid)
    await_all_alive(cluster)
    assert pids(cluster)[leader] != pid
    follower, _ = followers(cluster)
    assert done(cluster, "pause", follower, "--for", "0.5") == f"paused {follower} for 0.5 s"
    await_all_alive(cluster)
    assert done(cluster, "stop", follower, "--for", "0.5") == f"stopped {follower} for 0.5 s"
    await_all_alive(cluster)
    leader = await_leader(cluster)
    assert done(cluster, "pause", "--leader", "--for", "0.5") == f"paused {leader} for 0.5 s"
    await_all_alive(cluster)


@needs_mending
def test_disks_and_clocks_are_broken_for_a_time(cluster: LocalCluster) -> None:
    follower, _ = followers(cluster)
    said = done(cluster, "disk", follower, "--slow", "5", "--for", "60")
    assert said == f"the disk of {follower} is slower by 5 ms for 60 s"
    said = done(cluster, "clock", follower, "--rate", "1.1", "--for", "60")
    assert said == f"the clock of {follower} runs at 1.1 times the true rate for 60 s"
    row = next(line for line in ok(cluster, "status").decode().splitlines() if line.startswith(follower))
    assert "disk slower by 5 ms, " in row
    assert row.count(" s left") == 2
    assert done(cluster, "disk", follower) == f"the disk of {follower} is healed"
    leader = await_leader(cluster)
    assert done(cluster, "disk", "--leader", "--slow", "5") == f"the disk of {leader} is slower by 5 ms"
    said = done(cluster, "clock", "--leader", "--rate", "1.1")
    assert said == f"the clock of {leader} runs at 1.1 times the true rate"


@needs_mending
def test_a_bridge_and_an_isolated_leader(cluster: LocalCluster) -> None:
    follower, other = followers(cluster)
    leader = await_leader(cluster)
    assert done(cluster, "bridge", leader, "--for", "60") == f"only {leader} hears everybody for 60 s"
    assert set(faults(cluster)) == {(follower, other), (other, follower)}
    done(cluster, "heal")
    leader = await_leader(cluster)
    assert done(cluster, "isolate", "--leader", "--for", "60") == f"isolated {leader} for 60 s"
    assert len(faults(cluster)) == 4


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
        (["partition", ","], "lacks a name"),
        (["link", "n1", "n1", "--block"], "two different ends"),
        (["link", "n1", "n2", "--drop", "1.5"], "--drop 1.5"),
        (["link", "n1", "n2", "--delay=-1"], "--delay"),
        (["link", "n1", "n2", "--delay", "nan"], "--delay"),
        (["link", "n1", "n2", "--delay", "1e9"], "60000"),
        (["link", "n1", "n2", "--jitter", "5"], "--delay too"),
        (["isolate", "n1", "--for", "0"], "--for 0"),
        (["isolate", "n1", "--for", "nan"], "--for nan"),
        (["partition", "n1", "--for=-1"], "--for -1"),
        (["ring"], "a ring of 3 cuts nothing"),
        (["bridge", "n9"], "n1, n2, n3"),
        (["bridge", "n1", "--for", "0"], "--for 0"),
        *(
            ([verb, *whom, *(["--rate", "2"] if verb == "clock" else [])], "give either NODE, or --leader")
            for verb in ("kill", "stop", "pause", "isolate", "disk", "clock")
            for whom in ([], ["n1", "--leader"])
        ),
        *((([verb, "n1", "--for", "1e9"]), "--for 1e+09") for verb in ("kill", "stop", "pause", "disk")),
        (["clock", "n1", "--rate", "2", "--for", "0"], "--for 0"),
        (["link", "n1", "n2", "--duplicate", "2"], "--duplicate 2: expected a probability"),
        (["link", "n1", "n2", "--reorder=-1"], "--reorder -1: expected a probability"),
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


@needs_mending
def test_what_does_not_answer_is_named_whatever_is_done_to_links(cluster: LocalCluster) -> None:
    """It is as it was once it goes on: an isolation has a hole there, and a disk stays slow."""
    ok(cluster, "chaos", "disk", "n2", "--slow", "5")
    ok(cluster, "chaos", "pause", "n2")
    isolated = invoke(cluster, "chaos", "isolate", "n1")
    assert isolated.returncode == 4
    assert isolated.stderr.decode().splitlines() == [
        "no answer from n2: nothing was changed there",
        "raftkv: isolated n1; 'raftkv chaos heal' mends it; but n2 did not answer, and may send as before",
    ]
    complaint = refused(invoke(cluster, "chaos", "heal"), 4)
    assert complaint == "no answer from n2: what is broken there may still be; all else is healed"
    linked = invoke(cluster, "chaos", "link", "n3", "n2", "--drop", "0.1")
    assert linked.returncode == 4, "one of the two ends did it"
    assert b"no answer from n2: nothing was changed there\n" in linked.stderr
    assert invoke(cluster, "chaos", "heal", "--all").stderr == b"healed\n"
    assert all(not node["other_faults"] for node in cluster.await_all_alive()["nodes"])


@needs_mending
def test_status_says_what_is_wrong_and_for_how_long(cluster: LocalCluster) -> None:
    ok(cluster, "chaos", "link", "n1", "n3", "--drop", "0.3", "--delay", "80", "--one-way", "--for", "900")
    ok(cluster, "chaos", "link", "n1", "n2", "--block", "--one-way")
    row = next(line for line in ok(cluster, "status").decode().splitlines() if line.startswith("n1"))
    assert re.search(r"→n2 blocked; →n3 drops 30%, delayed by 80 ms, [89]\d\d s left", row), row
    ok(cluster, "chaos", "pause", "n3", "--for", "900")
    row = next(line for line in ok(cluster, "status").decode().splitlines() if line.startswith("n3"))
    assert re.match(r"n3 +paused .* back in [89]\d\d s", row), row
    ok(cluster, "chaos", "resume", "n3")


@needs_mending
def test_a_dead_node_keeps_nothing_from_being_healed(cluster: LocalCluster) -> None:
    ok(cluster, "chaos", "kill", "n3")
    try:
        cut = ok(cluster, "chaos", "isolate", "n3")
        assert cut == b"", "whoever has ended sends nothing"
        assert "node n3 was killed, as asked\n" in cluster.log()
        assert invoke(cluster, "chaos", "heal").stderr == b"healed\n"
    finally:
        ok(cluster, "chaos", "restart", "n3")
    cluster.await_all_alive()
