"""scenario: the list, one played on a running cluster, what is refused, how it ends early."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raftkv.cli.output import Exit
from raftkv.cluster import scenarios
from raftkv.cluster.scenarios import SCENARIOS, Scenario, Stage
from tests.cli.asserting import Done, document, invoke, ok, pids, quiet, refused, status
from tests.support.processes import DEADLINE_SECONDS, LocalCluster, await_condition, environment

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cli")]


@pytest.fixture
def whole(cluster: LocalCluster) -> Iterator[LocalCluster]:
    ok(cluster, "chaos", "heal", "--all")
    await_condition(lambda: len(pids(cluster)) == 3 and status(cluster)["leader"], "a whole cluster")
    yield cluster
    ok(cluster, "chaos", "heal", "--all")


def fails(stage: Stage) -> None:
    stage.say("Look.")
    stage.assure("the moon is there", True, "a moon")
    stage.assure("it is made of cheese", False, "stone")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    tale = Scenario("moon", "The moon", "§1", "A look. A taste.", 3, fails)
    monkeypatch.setattr(scenarios, "SCENARIOS", (tale,))


def played(cluster: LocalCluster, *arguments: str) -> Done:
    return invoke(cluster, "scenario", *arguments, "--data", ".raftkv")


def test_the_list(cluster: LocalCluster) -> None:
    lines = quiet(invoke(cluster, "scenario")).decode().splitlines()
    assert [line.split()[0] for line in lines] == [each.name for each in SCENARIOS]
    assert lines[1] == "stale-leader                §8                A stale leader"
    rows = document(cluster, "scenario", "--json")["scenarios"]
    assert [list(row) for row in rows] == [["name", "title", "section", "summary", "nodes"]] * 12


def test_one_is_played_on_the_running_cluster_and_leaves_nothing(whole: LocalCluster) -> None:
    done = whole.run("scenario", "log-divergence", "--data", ".raftkv")
    assert (done.returncode, done.stderr) == (Exit.DONE, b"")
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "Logs that diverge (§5.3, Figure 7)"
    assert sum(line.startswith("  ✓ ") for line in lines) == 5
    assert "    $ raftkv chaos heal" in lines
    assert sum(line.startswith("  ? ") for line in lines) == 1
    assert sum(line.startswith("    → ") for line in lines) == 1
    assert lines[-2].startswith("log-divergence: passed, 5 checks, ")
    assert not any(node["faults"] for node in status(whole)["nodes"])
    assert ok(whole, "get", "--prefix", "scenario/") == b""


def test_quiet_prints_the_result_alone(whole: LocalCluster) -> None:
    text = quiet(played(whole, "log-divergence", "--quiet")).decode()
    assert text.startswith("log-divergence: passed, 5 checks, ")
    assert text.count("\n") == 1


@pytest.mark.usefixtures("failing")
def test_what_does_not_hold_exits_with_1(whole: LocalCluster) -> None:
    done = played(whole, "moon")
    assert (done.returncode, done.stderr.decode()) == (
        Exit.NO,
        "raftkv: scenario moon: it is made of cheese: not so; found stone\n",
    )
    assert done.stdout.decode().splitlines()[:5] == [
        "The moon (§1)",
        "  A look. A taste.",
        "  Look.",
        "  ✓ the moon is there: a moon",
        "    $ raftkv chaos heal --all",
    ]
    assert "  ✗ it is made of cheese: found stone" in done.stdout.decode()
    assert "moon: failed" in done.stdout.decode()


@pytest.mark.usefixtures("failing")
def test_events_as_json(whole: LocalCluster) -> None:
    done = played(whole, "--all", "--json")
    events: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (Exit.NO, b"")
    assert [event["event"] for event in events] == ["begin", "say", "checked", "command", "end"]
    assert {event["scenario"] for event in events} == {"moon"}
    assert events[2]["what"] == "the moon is there"
    end = events[-1]
    assert isinstance(end.pop("seconds"), float)
    assert end == {
        "scenario": "moon",
        "event": "end",
        "passed": False,
        "checks": 1,
        "what": "it is made of cheese",
        "found": "stone",
    }


def test_what_is_refused(cluster: LocalCluster) -> None:
    assert refused(played(cluster, "moon"), Exit.USAGE) == (
        "no scenario named 'moon'; 'raftkv scenario' lists them"
    )
    assert refused(played(cluster, "split-vote", "--all"), Exit.USAGE) == (
        "--all plays every scenario; leave out its name"
    )
    elsewhere = invoke(cluster, "scenario", "split-vote", "--data", "nowhere")
    assert "no cluster runs in nowhere" in refused(elsewhere, Exit.UNAVAILABLE)


def test_what_needs_a_launcher_is_refused_without_one(whole: LocalCluster) -> None:
    done = invoke(whole, "scenario", "power-loss", "--config", ".raftkv/cluster.toml")
    assert done.returncode == Exit.USAGE
    assert b"this scenario kills processes" in done.stderr
    assert len(pids(whole)) == 3


def test_an_end_on_request_mends_first(whole: LocalCluster) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "raftkv", "scenario", "disk-full", "--data", ".raftkv"],
        cwd=Path(whole.folder),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if "--full" in line:
            process.send_signal(signal.SIGTERM)
            break
    rest, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, errors) == (130, "")
    assert "raftkv chaos heal --all" in rest
    ok(whole, "put", "after", "1")
    assert ok(whole, "get", "--prefix", "scenario/") == b""
