"""status, info, ping and bench: what they print, in text and JSON."""

from __future__ import annotations

import json

import pytest

from tests.cli.asserting import await_leader, document, invoke, pids, quiet, refused, run_with, status
from tests.support.processes import LocalCluster, await_condition, raftkv

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cli")]

STATUS_FIELDS = {
    *("name", "role", "term", "leader", "commit_index", "applied_index", "last_index", "first_index"),
    *("revision", "log_bytes", "pid", "alive", "client_endpoint", "peer_endpoint", "state_digest"),
}
HEAD = ["NAME", "ROLE", "TERM", "LEADER", "COMMIT", "APPLIED", "LAST", "LOG", "LAG", "FAULTS", "PID"]


def test_status_in_json(cluster: LocalCluster) -> None:
    leader = await_leader(cluster)
    found = document(cluster, "status", "--json")
    assert list(found) == ["leader", "term", "nodes"]
    assert found["leader"] == leader
    assert [node["name"] for node in found["nodes"]] == ["n1", "n2", "n3"]
    for node in found["nodes"]:
        assert set(node) >= STATUS_FIELDS
        assert node["alive"] is True
        assert node["role"] == ("leader" if node["name"] == leader else "follower")
        assert node["leader"] == leader
        assert node["term"] == found["term"]
        assert node["faults"] == []


def test_equal_applied_indexes_have_equal_digests(cluster: LocalCluster) -> None:
    cluster.ok("put", "digest", "x")

    def settled() -> bool:
        nodes = status(cluster)["nodes"]
        return len({node["applied_index"] for node in nodes}) == 1

    await_condition(settled, "all to have applied all")
    assert len({node["state_digest"] for node in status(cluster)["nodes"]}) == 1


def test_status_in_text_is_a_table_without_colour(cluster: LocalCluster) -> None:
    await_leader(cluster)
    text = quiet(cluster.run("status")).decode()
    head, *rows = text.splitlines()
    assert head.split() == HEAD
    assert [row.split()[0] for row in rows] == ["n1", "n2", "n3"]
    assert sum(" leader " in row for row in rows) == 1
    for column in ("TERM", "PID"):
        position = head.index(column)
        assert all(row[position].isdigit() and row[position - 1] == " " for row in rows), text
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_info_in_text_and_json(cluster: LocalCluster) -> None:
    found = document(cluster, "info", "n2", "--json")
    assert found["name"] == "n2"
    assert found["pid"] == pids(cluster)["n2"]
    assert {link["to"] for link in found["links"]} == {"n1", "n3"}
    assert {"frames_rejected", "tail", "voted_for", "alarms", "sync_ms_p99"} <= set(found)
    text = quiet(invoke(cluster, "info", "n2")).decode()
    assert text.splitlines()[1].split() == ["name", "n2"]
    assert "tail" not in text
    assert "True" not in text
    assert "None" not in text
    assert "n1, n2, n3" in refused(invoke(cluster, "info", "n9"), 2)


def test_ping_in_text_and_json(cluster: LocalCluster) -> None:
    lines = quiet(invoke(cluster, "ping")).decode().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["n1", "n2", "n3"]
    assert all(line.endswith(" ms") for line in lines)
    (one,) = document(cluster, "ping", "n3", "--json")["nodes"]
    assert list(one) == ["name", "milliseconds"]
    assert one["name"] == "n3"
    assert 0 < one["milliseconds"] < 5000
    assert "n1, n2, n3" in refused(invoke(cluster, "ping", "n9"), 2)


def test_nobody_answers(cluster: LocalCluster) -> None:
    """Every command that asks the cluster says so in one line and exits 3."""
    nobody = ("--endpoints", "tcp://127.0.0.1:9", "--timeout", "0.2")
    for arguments in (
        ["get", "a"],
        ["put", "a", "1"],
        ["scan"],
        ["status"],
        ["info", "n1"],
        ["ping"],
        ["dump"],
        ["bench", "put"],
    ):
        assert "nothing happened" in refused(invoke(cluster, *arguments, *nobody), 3), arguments


@pytest.mark.parametrize("operation", ["put", "get", "mixed"])
def test_bench_in_json(cluster: LocalCluster, operation: str) -> None:
    sizes = ("--clients", "4", "--total", "60", "--value-size", "16", "--key-space", "10")
    found = document(cluster, "bench", operation, *sizes, "--json")
    assert list(found) == [
        *("operation", "clients", "total", "value_size"),
        *("seconds", "ops_per_second", "latency_ms", "errors"),
    ]
    assert list(found["latency_ms"]) == ["mean", "p50", "p90", "p99", "p999", "max"]
    wanted = (operation, 4, 60, 16, 0)
    assert (
        found["operation"],
        found["clients"],
        found["total"],
        found["value_size"],
        found["errors"],
    ) == wanted
    latency = found["latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p999"] <= latency["max"]
    assert found["ops_per_second"] > 0


def test_bench_in_text_and_what_it_refuses(cluster: LocalCluster) -> None:
    lines = quiet(invoke(cluster, "bench", "put", "--clients", "2", "--total", "20")).decode().splitlines()
    assert lines[0].startswith("put: ")
    assert "p99.9 " in lines[1]
    assert lines[2] == "errors: 0"
    for size in ((1 << 20) + 1, 99_999_999_999):
        complaint = refused(invoke(cluster, "bench", "put", "--value-size", str(size)), 2)
        assert f"{size} is not in the range 0<=x<=1048576" in complaint
    many = invoke(cluster, "bench", "put", "--clients", "100000000", "--total", "20")
    assert b"errors: 0" in quiet(many), "never more at once than there are in all"
    assert "--timeout" in refused(invoke(cluster, "bench", "put", "--timeout", "0"), 2)
    assert invoke(cluster, "bench", "sideways").returncode == 2


def test_no_colour_codes_where_stdout_is_no_terminal(cluster: LocalCluster) -> None:
    """Whatever the environment suggests of terminals."""
    variables = {"TERM": "xterm-256color", "NO_COLOR": "", "COLORTERM": "truecolor"}
    for arguments in (["status"], ["--help"], ["get"], ["scan", "--limit", "1"], ["put", "x"], ["ping"]):
        done = run_with(arguments, cluster.folder, variables=variables)
        assert b"\x1b" not in done.stdout + done.stderr, arguments


def test_up_refuses_a_folder_whose_cluster_runs(cluster: LocalCluster) -> None:
    for arguments in (["up"], ["up", "--headless"], ["up", "--detach"], ["up", "--fresh"]):
        text = refused(raftkv(*arguments, folder=cluster.folder), 2)
        assert "running in .raftkv already" in text
        assert "raftkv down" in text
    assert json.loads(cluster.ok("status", "--json"))["leader"]


def test_the_dashboard_needs_a_terminal(cluster: LocalCluster) -> None:
    assert "terminal" in refused(invoke(cluster, "tui"), 2)
