"""A torture of real processes, and what is left when it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from raftkv.cluster.torture import Fault
from tests.support.processes import await_condition, environment, free_base_port, is_alive, raftkv

pytestmark = pytest.mark.cluster

SECONDS = 40


@pytest.mark.timeout(400)
def test_a_minute_of_every_fault_leaves_a_linearizable_history(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    arguments = ["--seconds", str(SECONDS), "--seed", "20", "--history", str(history), "--json"]
    done = raftkv("torture", *arguments, "--base-port", str(free_base_port()), folder=tmp_path, timeout=360)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    report = json.loads(done.stdout)
    assert report["verdict"]["verdict"] == "linearizable"
    assert report["problems"] == report["void"] == []
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
    assert b"this run proves nothing: fault " in done.stderr
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
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
    await_condition(lambda: not any(map(is_alive, pids)), "all nodes to be gone")
    assert os.listdir(temporary) == []


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
