"""The dashboard on real clusters: in a real terminal, as a recording, attached, and in a browser."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raftkv.cli import showing
from raftkv.cli.showing import EXIT_HUNG_UP
from tests.support.browser import needs_chromium, page
from tests.support.processes import (
    DEADLINE_SECONDS,
    LocalCluster,
    await_condition,
    children_of,
    environment,
    free_base_port,
    is_alive,
    local_cluster,
    raftkv,
)
from tests.support.terminal import VanishingTerminal, needs_tmux, terminal

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("dashboard")]


def node_pids(folder: Path) -> list[int]:
    document = json.loads(raftkv("status", "--json", folder=folder).stdout)
    return [node["pid"] for node in document["nodes"]]


@needs_tmux
def test_a_leader_is_killed_by_key_and_the_recording_tells_it(tmp_path: Path) -> None:
    with terminal(tmp_path) as screen:
        screen.start(["up", "--base-port", str(free_base_port()), "--record", "seen.rec"], 80, 24)
        screen.until("LIVE 3/3")
        screen.until("LEADER ★")
        pids = node_pids(tmp_path)
        screen.press("w", "w")  # it is not to come back by itself, however long this takes
        screen.until("until healed")
        screen.press("K")
        screen.until("☠ n")
        screen.until("LEADER ★")
        screen.press("F6", "{")
        screen.until("A quorum voted for")
        screen.press("Escape")
        screen.until("LIVE")
        screen.press("q")
        screen.until("Quit stops the cluster.")
        screen.press("q")
        screen.until("EXIT 0")
    await_condition(lambda: not any(map(is_alive, pids)), "no node's process to be left")
    told = json.loads(raftkv("replay", "seen.rec", "--json", folder=tmp_path).stdout)
    assert told["elections"]
    assert told["violations"] == []
    assert told["commands"][0].startswith("raftkv chaos kill n")
    with terminal(tmp_path) as screen:
        screen.start(["replay", "seen.rec"], 80, 24)
        screen.until("REPLAY")
        screen.press("}")
        screen.until("election won")
        screen.press("q")
        screen.until("EXIT 0")


@needs_tmux
def test_a_cluster_that_goes_away_is_shown_as_gone_and_found_again(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path)
    cluster.up()
    try:
        with terminal(tmp_path) as screen:
            screen.start(["tui"], 80, 24)
            screen.until("LIVE 3/3")
            cluster.down()
            screen.until("GONE: waiting for its return")
            cluster.up()
            screen.until("LIVE 3/3")
            screen.press("q")
            screen.until("EXIT 0")
    finally:
        cluster.down()


@needs_tmux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_a_dashboard_leaves_its_terminal_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with terminal(tmp_path) as screen:
        screen.start(["up", "--base-port", str(free_base_port())], 80, 24)
        screen.until("LIVE 3/3")
        nodes = node_pids(tmp_path)
        launcher = json.loads((tmp_path / ".raftkv" / "run.json").read_text())["launcher_pid"]
        os.kill(launcher, number)
        shown = screen.until("EXIT 0")
        assert "stopped; the data is in .raftkv" in shown
        assert "LIVE" not in shown
        assert not any(map(is_alive, nodes))


@needs_tmux
def test_down_ends_the_dashboard_of_up_too(tmp_path: Path) -> None:
    with terminal(tmp_path) as screen:
        screen.start(["up", "--base-port", str(free_base_port())], 80, 24)
        screen.until("LIVE 3/3")
        screen.press("?")  # whatever is open
        assert raftkv("down", folder=tmp_path).returncode == 0
        assert "stopped; the data is in .raftkv" in screen.until("EXIT 0")


def test_a_terminal_that_vanishes_takes_the_dashboard_and_its_cluster_along(tmp_path: Path) -> None:
    with VanishingTerminal(tmp_path, "up", "--base-port", str(free_base_port())) as up:
        up.until(b"LEADER")
        nodes = node_pids(tmp_path)
        up.vanish()
    await_condition(lambda: not any(map(is_alive, nodes)), "no node's process to be left")
    assert not (tmp_path / ".raftkv" / "run.json").exists()


def test_a_terminal_that_vanishes_ends_a_dashboard_that_is_not_the_clusters(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as cluster:
        with VanishingTerminal(tmp_path, "tui", "--record", "seen.rec") as tui:
            tui.until(b"LEADER")
            await_condition(
                lambda: raftkv("replay", "seen.rec", "--summary", folder=tmp_path).returncode == 0,
                "a second of it to be recorded",
            )
            tui.vanish()
        assert len(cluster.pids()) == 3
        with VanishingTerminal(tmp_path, "replay", "seen.rec") as replay:
            replay.until(b"REPLAY")
            replay.vanish()


def test_a_dashboard_whose_terminal_takes_nothing_is_ended_without_it() -> None:
    lines = (
        "import threading",
        "from raftkv.cli import showing",
        "class Stalled:",
        "    is_running = True",
        "    def exit(self): pass",
        "    def call_later(self, call): pass",
        "    def run(self): threading.Event().wait()",
        "showing.QUIT_SECONDS = 0.0",
        "with showing.Screen(lambda: True, lambda: print('left', flush=True)) as screen:",
        "    screen.show(Stalled())",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (EXIT_HUNG_UP, b"left\n")


@needs_tmux
def test_a_seed_is_played_stopped_and_broken_by_hand(tmp_path: Path) -> None:
    with terminal(tmp_path) as screen:
        screen.start(["sim", "--seed", "3", "--faults", "none", "--nodes", "3", "--tui"], 80, 24)
        screen.until("SIMULATED")
        screen.until("election won")
        screen.press("Space", "k")
        screen.until("sim --seed 3, at ")
        screen.until("☠ exit -9")
        screen.press("q")
        screen.until("EXIT 0")


def test_a_cluster_without_a_screen_is_recorded_too(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path)
    cluster.up("--record", "seen.rec")
    cluster.ok("put", "color", "blue")
    first = cluster.leader()
    cluster.ok("chaos", "kill", first)
    await_condition(lambda: cluster.status()["leader"] not in (None, first), "another leader")
    cluster.down()
    told = json.loads(cluster.ok("replay", "seen.rec", "--json"))
    assert told["nodes"] == ["n1", "n2", "n3"]
    assert told["elections"]
    assert told["checks"] > 10
    assert told["violations"] == []
    page_file, summary = tmp_path / "seen.html", tmp_path / "seen.md"
    cluster.ok("replay", "seen.rec", "--html", str(page_file), "--markdown", str(summary))
    assert "<svg" in page_file.read_text(encoding="utf-8")
    assert "## Elections" in summary.read_text(encoding="utf-8")
    refused = cluster.run("replay", "seen.rec", "--html", str(page_file))
    assert refused.returncode == 2
    assert b"exists already; nothing was written" in refused.stderr


@needs_chromium
async def test_the_same_dashboard_in_a_browser(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with local_cluster(tmp_path) as cluster:
        server = subprocess.Popen(
            [sys.executable, "-m", "raftkv", "tui", "--web", "--port", port],
            cwd=tmp_path,
            env={**environment(), "PYTHONWARNINGS": "default"},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stderr
            assert f"http://127.0.0.1:{port}" in server.stderr.readline()
            profile = tmp_path / "profile"
            profile.mkdir()
            async with page(f"http://127.0.0.1:{port}/", profile) as browser:
                await browser.until("document.body.classList.contains('-first-byte')")
                await browser.evaluate("document.querySelector('.xterm-helper-textarea').focus()")
                deadline = time.monotonic() + DEADLINE_SECONDS
                while len(cluster.pids()) == 3:  # until it knows whom to kill
                    assert time.monotonic() < deadline, "the key killed nobody"
                    await browser.press("K")
                    await asyncio.sleep(0.5)
        finally:
            children = children_of(server.pid)
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=60)
        await_condition(lambda: not any(map(is_alive, children)), "no visitor's process to be left")


def test_a_dashboard_of_a_cluster_that_is_not_there_does_not_open(tmp_path: Path) -> None:
    """It found a file that lies here, and would show three nodes about to start, for ever."""
    (tmp_path / "cluster.toml").write_text(
        '[cluster]\nname = "away"\n[[nodes]]\nname = "n1"\n'
        + "".join(
            f'{kind} = "tcp://127.0.0.1:{port}"\n'
            for port, kind in enumerate(("peer", "client", "control", "status"), start=2)
        )
    )
    with VanishingTerminal(tmp_path, "tui", "--timeout", "0.3") as tui:
        tui.until(b"no node answered in time")


def test_what_a_terminal_is_needed_for_says_so(tmp_path: Path) -> None:
    for arguments in (["sim", "--seed", "3", "--tui"], ["tui", "--endpoints", "tcp://127.0.0.1:1"]):
        done = raftkv(*arguments, folder=tmp_path)
        assert done.returncode in (2, 3)
        assert done.stderr.count(b"\n") == 1, done.stderr
    assert os.listdir(tmp_path) == []


def test_a_terminal_gets_the_marks_whatever_the_locale_says() -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    showing.speak_utf8(terminal)
    terminal.write("● LIVE ─")
    terminal.flush()
    assert terminal.buffer.getvalue() == "● LIVE ─".encode()
    showing.speak_utf8(None)
