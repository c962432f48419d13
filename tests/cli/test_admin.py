"""transfer, alarm, doctor."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raftkv.cli import admin
from raftkv.cli.output import Exit
from raftkv.cluster import control
from raftkv.cluster.control import ControlClient
from raftkv.cluster.discovery import Target, find
from raftkv.cluster.doctor import Verdict, _folders, _one_leader, _why_silent
from raftkv.cluster.members import LocalNodes
from raftkv.cluster.ourselves import own_command
from raftkv.errors import OutcomeUnknown, Unavailable
from raftkv.observe import MemberSnapshot, no_leader
from raftkv.types import NodeId
from tests.cli.asserting import Done, await_leader, invoke, ok, refused, status
from tests.cluster.test_scenarios import view
from tests.support.processes import (
    DEADLINE_SECONDS,
    LocalCluster,
    await_condition,
    environment,
    local_cluster,
    raftkv,
)
from tests.tui.fakes import leader_snapshot, snapshot


def a_follower(cluster: LocalCluster) -> str:
    leader = await_leader(cluster)
    return next(str(node["name"]) for node in status(cluster)["nodes"] if node["name"] != leader)


def test_leadership_moves_to_the_node_that_is_named(cluster: LocalCluster) -> None:
    leader = await_leader(cluster)
    to = next(node["name"] for node in cluster.await_all_alive()["nodes"] if node["name"] != leader)
    assert ok(cluster, "transfer", to).startswith(f"{to} leads, term ".encode())

    def leads() -> bool:
        """Asked again, there is nothing to do, unless somebody else was elected meanwhile."""
        assert ok(cluster, "transfer", to).startswith(f"{to} leads, term ".encode())
        return bool(status(cluster)["leader"] == to)

    await_condition(leads, f"{to} to lead")
    assert cluster.ok("transfer", leader).startswith(f"{leader} leads, term ".encode())


def test_a_node_that_is_down_does_not_take_over(cluster: LocalCluster) -> None:
    cluster.await_all_alive()
    leader = await_leader(cluster)
    dead = next(node["name"] for node in status(cluster)["nodes"] if node["name"] != leader)
    ok(cluster, "chaos", "kill", dead)

    def is_missed() -> bool:
        """Until then the leader tries, in vain; and another one may have been elected."""
        done = invoke(cluster, "transfer", dead, "--timeout", "1")
        if done.returncode != Exit.NO:
            return False
        complaint = refused(done, Exit.NO)
        missed = f"{dead} cannot take over: (n[123]) has not heard it lately; \\1 goes on leading"
        return re.fullmatch(missed, complaint) is not None

    try:
        await_condition(is_missed, f"the leader to miss {dead}")
        assert await_leader(cluster) != dead
    finally:
        ok(cluster, "chaos", "restart", dead)
    cluster.await_all_alive()


def test_an_unknown_node_is_refused(cluster: LocalCluster) -> None:
    leader = await_leader(cluster)
    found = json.loads(ok(cluster, "transfer", leader, "--json"))
    assert (list(found), found["leader"]) == (["leader", "term"], leader)
    complaint = refused(invoke(cluster, "transfer", "n9"), 2)
    assert complaint == "no node named 'n9'; the nodes are n1, n2, n3"


def test_what_is_known_of_a_node_that_is_down(cluster: LocalCluster) -> None:
    before = {node["name"]: node for node in cluster.await_all_alive()["nodes"]}
    leader = await_leader(cluster)
    dead = next(name for name in before if name != leader)
    ok(cluster, "chaos", "kill", dead)
    try:
        found = {node["name"]: node for node in status(cluster)["nodes"]}[dead]
        assert (found["alive"], found["role"], found["pid"]) == (False, None, None)
        for field in ("client_endpoint", "peer_endpoint"):
            assert found[field] == before[dead][field], "the others know where it is reached"
        silent = f"node {dead} does not answer"
        assert refused(invoke(cluster, "dump", "--node", dead, "--timeout", "1"), 3) == silent
        assert refused(invoke(cluster, "chaos", "clock", dead, "--rate", "2"), 3) == silent
    finally:
        ok(cluster, "chaos", "restart", dead)
    cluster.await_all_alive()


def test_a_lock_that_is_lost_with_the_cluster_exits_as_a_lost_lock(tmp_path: Path) -> None:
    """However giving it back ends; and that nobody leads is another thing than that nobody answers."""
    with local_cluster(tmp_path) as cluster:
        command = ["lock", "lk", "--ttl", "1", "--timeout", "2", "--", "sleep", "600"]
        holder = subprocess.Popen(
            own_command(*command), cwd=tmp_path, stderr=subprocess.PIPE, env=environment(), text=True
        )
        try:
            await_condition(lambda: cluster.run("get", "--prefix", "lk/").stdout, "the lock to be taken")
            cluster.ok("chaos", "kill", "n1")
            cluster.ok("chaos", "kill", "n2")
            _, told = holder.communicate(timeout=4 * DEADLINE_SECONDS)
        finally:
            holder.kill()
        assert holder.returncode == 1, told
        assert "lock lk was lost: its lease has ended; sleep was ended" in told
        complaint = refused(raftkv("put", "a", "1", "--timeout", "2", folder=tmp_path), 3)
        assert complaint == "the cluster has no leader in time: nothing happened"
        members = cluster.run("members", "list")
        assert (
            members.stderr == b"no node that answers leads; this is what the node of the highest term says\n"
        )
        heads = [line.split()[:3] for line in members.stdout.decode().splitlines()[1:]]
        assert heads == [[name, "voter", "?"] for name in ("n1", "n2", "n3")], "nobody knows who lags"


def test_alarms_are_listed_and_cleared(cluster: LocalCluster) -> None:
    cluster.await_all_alive()
    assert ok(cluster, "alarm", "list") == b""
    assert json.loads(ok(cluster, "alarm", "list", "--json")) == {"alarms": [], "silent": []}
    done = invoke(cluster, "alarm", "clear")
    assert (done.returncode, done.stderr) == (0, b"nothing to clear\n")
    leader = await_leader(cluster)
    ok(cluster, "chaos", "disk", leader, "--full")
    try:

        def alarm() -> bytes:
            invoke(cluster, "put", "alarm", "x", "--timeout", "0.5")
            return ok(cluster, "alarm", "list")

        assert await_condition(alarm, "the alarm").decode() == f"{leader}\tNOSPACE\n"
        await_condition(lambda: b"NOSPACE" in doctor(cluster).stdout, "the doctor to name it")
        assert doctor(cluster).returncode == 1
    finally:
        ok(cluster, "chaos", "heal")
    await_condition(lambda: not ok(cluster, "alarm", "list"), "the end of the alarm")


def test_silence_is_not_taken_for_the_absence_of_alarms(cluster: LocalCluster) -> None:
    cluster.await_all_alive()
    paused = a_follower(cluster)
    ok(cluster, "chaos", "pause", paused)
    try:
        done = invoke(cluster, "alarm", "list", "--json")
        assert (done.returncode, json.loads(done.stdout)) == (3, {"alarms": [], "silent": [paused]})
        assert f"{paused} did not answer" in done.stderr.decode()
        assert invoke(cluster, "alarm", "clear").returncode == 4, "the others have cleared theirs"
    finally:
        ok(cluster, "chaos", "resume", paused)
    cluster.await_all_alive()


@pytest.mark.parametrize(
    ("endpoints", "complaint"),
    [
        ([9001, 9001, 9002, 9003], "different ones"),
        (["tcp://8.8.8.8:9001", 9002, 9003, 9004], "not on loopback"),
        (["tcp://127.0.0.1", 9002, 9003, 9004], "no endpoint"),
        ([9001, 9002, 9003], "3 endpoints"),
    ],
)
def test_a_member_with_endpoints_that_cannot_work_is_refused(
    cluster: LocalCluster, endpoints: list[int | str], complaint: str
) -> None:
    before = members(cluster)
    addresses = [each if isinstance(each, str) else f"tcp://127.0.0.1:{each}" for each in endpoints]
    assert complaint in refused(invoke(cluster, "members", "add", "n7", *addresses), 2)
    assert members(cluster) == before


def members(cluster: LocalCluster) -> list[dict[str, Any]]:
    """Who they are, without what changes by itself: a node that is starved for a moment falls silent."""
    found = json.loads(ok(cluster, "members", "list", "--json"))["members"]
    changing = {"lag", "leads"}
    return [{name: value for name, value in member.items() if name not in changing} for member in found]


def doctor(cluster: LocalCluster) -> Done:
    return invoke(cluster, "doctor", "--timeout", "2")


def test_the_doctor_finds_folders_that_were_deleted_under_their_nodes(tmp_path: Path) -> None:
    (tmp_path / "n1" / "wal").mkdir(parents=True)
    views = [replace(snapshot(name), client_endpoint="tcp://127.0.0.1:7401") for name in ("n1", "n2")]
    (found,) = _folders(views, tmp_path)
    assert found.verdict is Verdict.BAD
    assert found.what.startswith(f"n2 runs, and its data folder {tmp_path}/n2 is gone")
    elsewhere = [replace(view, client_endpoint="tcp://10.0.0.1:7401") for view in views]
    assert list(_folders(elsewhere, tmp_path)) == []


def test_a_leader_that_only_we_cannot_reach_is_not_said_to_be_none() -> None:
    followers = [view(name, leader="n1", term=7) for name in ("n2", "n3")]
    text = "n1 does not answer here, and leads term 7 by the word of n2, n3"
    assert no_leader([None, *followers]) == text
    assert [(each.verdict, each.what) for each in _one_leader(followers)] == [(Verdict.WARNING, text)]
    assert no_leader([view("n1", role="follower", leader=None, term=7), *followers]) == "no leader"
    lost = [view(name, leader=None, term=8) for name in ("n2", "n3")]
    assert no_leader([followers[0], lost[0]]) == "no leader"
    ((verdict, what),) = [(each.verdict, each.what) for each in _one_leader(lost)]
    assert (verdict, what) == (Verdict.BAD, "nobody leads in term 8: writes and fresh reads wait")


def test_a_new_cluster_that_waits_for_its_nodes_is_said_to() -> None:
    """A majority of them is not enough, which those who know Raft expect."""
    members = tuple(MemberSnapshot(NodeId(name), "voter", "x", ()) for name in ("n1", "n2", "n3"))
    states = [view(name, role="follower", leader=None, term=0) for name in ("n1", "n2")]
    early = [replace(state, members=members) for state in states]
    text = "no leader yet: a new cluster begins once all of its nodes are there; missing n3"
    assert no_leader(early) == text
    assert [(each.verdict, each.what) for each in _one_leader(early)] == [(Verdict.BAD, text)]


def test_a_node_out_of_reach_is_not_said_to_be_down(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert "nothing listens on" in _why_silent(f"tcp://127.0.0.1:{port}")

    def silent(*_: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", silent)
    assert (
        _why_silent("tcp://10.0.0.1:1")
        == "tcp://10.0.0.1:1 cannot be reached from here (timed out); it may run"
    )


def test_the_doctor_finds_a_healthy_cluster_healthy(cluster: LocalCluster) -> None:
    cluster.undisturbed(lambda: is_found_healthy(cluster))


def is_found_healthy(cluster: LocalCluster) -> None:
    await_leader(cluster)
    done = cluster.run("doctor")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, lines
    assert all(line.startswith(("ok ", "warning ")) for line in lines)
    assert "all 3 nodes answer" in lines[0]
    assert any("leads term" in line and "3 of 3 voters agree" in line for line in lines)
    assert any("fdatasync" in line for line in lines)
    assert "ok       every node that answers listens on all of its ports" in lines
    assert any("and the cluster name the same 3 nodes" in line for line in lines)
    assert not list((cluster.folder / ".raftkv").glob(".doctor*"))


def test_the_doctor_names_what_is_ill(cluster: LocalCluster) -> None:
    cluster.await_all_alive()
    dead = a_follower(cluster)
    ok(cluster, "chaos", "kill", dead)
    try:

        def bad() -> list[str]:
            done = invoke(cluster, "doctor", "--json", "--timeout", "2")
            assert done.returncode == 1
            found = json.loads(done.stdout)
            assert not found["healthy"]
            return [finding["what"] for finding in found["findings"] if finding["verdict"] == "bad"]

        def is_silent_only() -> bool:
            found = bad()
            return len(found) == 1 and found[0].startswith(f"{dead} does not answer: nothing listens on tcp:")

        await_condition(is_silent_only, "nothing else to be ill")
    finally:
        ok(cluster, "chaos", "restart", dead)
    cluster.await_all_alive()


def test_the_doctor_tells_a_paused_node_from_one_that_does_not_run(cluster: LocalCluster) -> None:
    cluster.await_all_alive()
    paused = a_follower(cluster)
    ok(cluster, "chaos", "pause", paused)
    try:
        told = f"bad      {paused} does not answer: something listens on tcp://"
        await_condition(lambda: told in doctor(cluster).stdout.decode(), "the doctor to say so")
    finally:
        ok(cluster, "chaos", "resume", paused)
    cluster.await_all_alive()


def test_the_doctor_compares_the_configuration_with_the_cluster(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    """What is asked is what ``--config`` names, and the cluster may have changed since it was written."""
    cluster.await_all_alive()
    written = (cluster.folder / ".raftkv" / "cluster.toml").read_text(encoding="utf-8")
    outdated = tmp_path / "cluster.toml"
    outdated.write_text(written[: written.rindex("[[nodes]]")], encoding="utf-8")
    done = raftkv("doctor", "--config", str(outdated), folder=tmp_path)
    told = f"warning  {outdated} does not name n3, of the cluster by its own account"
    assert told in done.stdout.decode().splitlines()


def test_a_snapshot_that_may_yet_be_taken_is_not_said_to_have_failed(cluster: LocalCluster) -> None:
    cluster.await_all_alive()
    slow = a_follower(cluster)
    ok(cluster, "put", "snapshot", "me")
    ok(cluster, "chaos", "disk", slow, "--slow", "30000")
    try:
        complaint = refused(invoke(cluster, "snapshot", slow, "--timeout", "3"), Exit.UNKNOWN)
        assert complaint == "the node has not finished its snapshot in time; it may yet"
    finally:
        ok(cluster, "chaos", "heal")
        ok(cluster, "chaos", "restart", slow)  # what its disk has begun would last
    cluster.await_all_alive()


def test_a_member_that_was_added_and_never_started_is_started_when_it_is_asked_for_again(
    tmp_path: Path,
) -> None:
    """As after an attempt that did not hear in time that the change was made."""
    with local_cluster(tmp_path) as cluster:
        await_leader(cluster)
        target = find(None, None, tmp_path / ".raftkv")
        assert target.launcher
        with ControlClient() as client:
            name, address = LocalNodes(client, target.launcher).reserve(None)
        cluster.ok("members", "add", name, *address)
        assert cluster.ok("members", "add").decode().startswith(f"{name} joins as a learner")
        cluster.ok("members", "promote", name, "--timeout", str(DEADLINE_SECONDS))
        with ControlClient() as client:
            second, address = LocalNodes(client, target.launcher).reserve(None)
        cluster.ok("members", "add", second, *address)
        cluster.ok("members", "promote", second, "--timeout", str(DEADLINE_SECONDS))


def test_a_transfer_that_was_asked_for_may_yet_happen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The leader has taken the request, and is still at it when the time is over; or its answer is lost."""
    asked: list[str] = []

    class Nodes:
        def __enter__(self) -> Nodes:
            return self

        def __exit__(self, *exception: object) -> None:
            pass

        def ask(self, endpoint: str, verb: str, timeout: float, **arguments: object) -> None:
            asked.append(verb)
            raise Unavailable("no answer")

    view = leader_snapshot("n1", ["n1", "n2"])
    controls = {"n1": "tcp://127.0.0.1:1", "n2": "tcp://127.0.0.1:2"}
    monkeypatch.setattr(control, "ControlClient", lambda _: Nodes())
    monkeypatch.setattr(control, "snapshots", lambda *_: {"n1": view, "n2": None})
    monkeypatch.setattr(admin, "find_whole_cluster", lambda *_: Target("here", (), controls))
    with pytest.raises(OutcomeUnknown, match=r"n2 does not lead after 0\.1 s; it was told to, and may yet"):
        admin.transfer("n2", timeout=0.1)
    assert set(asked) == {"transfer"}
    assert capsys.readouterr().out == ""
