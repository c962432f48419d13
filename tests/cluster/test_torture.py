"""A torture of real processes, and what is left when it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from raftkv.cluster.torture import Fault
from raftkv.cluster.torture import commands as commands_module
from raftkv.cluster.torture.commands import Commands
from raftkv.cluster.torture.run import DIARY
from raftkv.cluster.torture.tenants import Tenants
from tests.support.processes import (
    DEADLINE_SECONDS,
    await_condition,
    environment,
    free_base_port,
    is_alive,
    raftkv,
)

pytestmark = pytest.mark.cluster

SECONDS = (20, 60, 180)
"""A run in which something never happened proves nothing: on a slow machine the next one takes longer."""


def torture(folder: Path, seconds: int) -> dict[str, Any]:
    """The report of a run that found nothing wrong, whether it proves anything or not."""
    arguments = ["--seconds", str(seconds), "--seed", "20", "--history", "history.jsonl", "--json"]
    done = raftkv("torture", *arguments, "--base-port", str(free_base_port()), folder=folder, timeout=600)
    said = done.stderr.decode() + done.stdout.decode()
    assert done.stdout, said
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["verdict"]["verdict"] == "linearizable", said
    assert report["problems"] == [], said
    assert done.returncode == bool(report["void"]), said
    return report


@pytest.mark.timeout(1200)
def test_every_fault_leaves_a_linearizable_history(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    for seconds in SECONDS:
        history.unlink(missing_ok=True)
        report = torture(tmp_path, seconds)
        if not report["void"]:
            break
    assert report["void"] == []
    assert set(report["faults"]) == set(Fault)
    assert all(report["faults"].values())
    assert report["digests_compared"] > 0
    again = raftkv("check", str(history), folder=tmp_path)
    assert again.stdout == b"linearizable\n"
    assert len(history.read_text().splitlines()) == sum(report["operations"].values())


def test_a_run_in_which_a_chosen_fault_never_happened_is_void(tmp_path: Path) -> None:
    done = raftkv(
        "torture", "--seconds", "2", "--seed", "1", "--base-port", str(free_base_port()), folder=tmp_path
    )
    assert done.returncode == 1
    (told,) = [line for line in done.stderr.splitlines() if b"proves nothing" in line]
    assert b"proves nothing: of the faults " in told
    assert b"more --seconds" in told
    assert b"\nlinearizable\n" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_torture_leaves_no_process_and_no_folder(
    tmp_path: Path, number: signal.Signals
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "raftkv", "torture", "--base-port", str(free_base_port())],
        cwd=tmp_path,
        env={**environment(), "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def nodes() -> list[int]:
        return [int(path.read_text()) for path in temporary.glob("*/*/wal/LOCK") if path.read_text().strip()]

    try:
        pids = await_condition(lambda: found if len(found := nodes()) == 3 else None, "three nodes")
        process.send_signal(number)
        assert process.wait(DEADLINE_SECONDS) == 130
    finally:
        process.kill()
        process.wait()
    await_condition(lambda: not any(map(is_alive, pids)), "all nodes to be gone")
    assert os.listdir(temporary) == []


def test_an_interrupted_torture_keeps_what_it_has_recorded(tmp_path: Path) -> None:
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "raftkv", "torture", "--base-port", str(free_base_port())),
            *("--data", "t", "--history", "h.jsonl", "--faults", "clock-rate"),
        ],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            diary = tmp_path / "t" / DIARY
            await_condition(lambda: diary.exists() and "clock" in diary.read_text(), "the first stroke")
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=2 * DEADLINE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 130
    assert b"h.jsonl has what was recorded until now" in told
    assert b'"' in (tmp_path / "h.jsonl").read_bytes()
    assert raftkv("check", "h.jsonl", folder=tmp_path).stdout == b"linearizable\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--faults", "flood"], "no fault named 'flood'; known are kill, "),
        (["--faults", ","], "at least one is needed"),
        (["--data", "."], "not empty; a torture needs a cluster of its own"),
        (["--history", "no/such/folder"], "No such file or directory"),
    ],
)
def test_bad_options_are_told_in_one_line(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    (tmp_path / "something").touch()
    done = raftkv("torture", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert complaint in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1


SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_a_command_that_does_not_end_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(tmp_path)
    monkeypatch.setattr(commands_module, "own_command", lambda *_: SLEEPS)
    monkeypatch.setattr(commands_module, "TURN_SECONDS", 0.1)
    commands.lock()
    assert commands.problems == ["'raftkv lock' did not end within 0.1 s"]
    assert commands._running == []


def test_no_command_outlives_a_torture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(tmp_path)
    monkeypatch.setattr(commands_module, "own_command", lambda *_: SLEEPS)
    thread = threading.Thread(target=commands.lock)
    thread.start()
    (process,) = await_condition(lambda: list(commands._running), "the command to run")
    commands.end()
    thread.join(DEADLINE_SECONDS)
    assert process.poll() is not None
    assert commands.problems == [], "whoever is ended says nothing of the cluster"
    commands.lock()  # which would take ten minutes
    assert commands._running == []


def test_an_error_that_nobody_foresaw_is_a_finding(tmp_path: Path) -> None:
    tenants = Tenants(["tcp://127.0.0.1:1"], tmp_path)
    try:
        tenants._work("queue", lambda: [][0])
        assert tenants._commands.problems == ["queue: IndexError: list index out of range"]
    finally:
        tenants._client.close()
