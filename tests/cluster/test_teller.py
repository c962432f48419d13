"""Lines for people never hold up whoever has them, whatever becomes of their reader."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raftkv.cluster.teller import Teller
from tests.support.processes import (
    DEADLINE_SECONDS,
    LocalCluster,
    await_condition,
    environment,
    free_base_port,
    raftkv,
)


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    ends = list(os.pipe())
    yield ends
    for fd in ends:
        os.close(fd)


def test_lines_come_in_their_order(pipe: list[int]) -> None:
    read, write = pipe
    teller = Teller(write)
    for number in range(100):
        teller.say(f"line {number} \udcff")
    teller.close(DEADLINE_SECONDS)
    assert os.read(read, 1 << 16).decode().splitlines() == [f"line {number} \\udcff" for number in range(100)]


def test_a_reader_that_stops_reading_holds_nobody_up_and_is_told_what_it_missed(pipe: list[int]) -> None:
    read, write = pipe
    teller = Teller(write, lines_max=5)
    for number in range(3000):  # far more than a pipe holds, and than is kept
        teller.say(f"line {number} " + "x" * 100)
    teller.close(0.0)
    teller.say("and the last")
    found = b""
    while b"and the last" not in found:
        found += os.read(read, 1 << 16)
    lines = found.decode().splitlines()
    assert lines[-1] == "and the last"
    assert any(
        line.startswith("(") and line.endswith("lines were lost: nobody read them in time)") for line in lines
    )
    assert "line 2999 " + "x" * 100 in lines


def test_a_reader_that_has_gone_is_no_failure() -> None:
    read, write = os.pipe()
    os.close(read)
    teller = Teller(write)
    teller.say("to nobody")
    await_condition(lambda: not teller._lines, "it to be taken")
    again, other = os.pipe()
    os.dup2(other, write)  # as if somebody read on
    teller.say("to somebody")
    teller.close(DEADLINE_SECONDS)
    assert os.read(again, 100).endswith(b"to somebody\n")
    for fd in (write, again, other):
        os.close(fd)


@pytest.mark.cluster
def test_a_cluster_outlives_whoever_reads_its_stderr(tmp_path: Path) -> None:
    """As in 'raftkv up --headless 2>&1 | grep -m1 ready'."""
    launcher = subprocess.Popen(
        [sys.executable, "-m", "raftkv", "up", "--headless", "--base-port", str(free_base_port())],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert launcher.stderr
        for line in launcher.stderr:
            if line.startswith(b"ready: "):
                break
        launcher.stderr.close()
        assert (
            raftkv("chaos", "kill", "--leader", folder=tmp_path).returncode == 0
        )  # the launcher tells of it
        assert raftkv("put", "a", "1", "--timeout", "30", folder=tmp_path).returncode == 0
        assert launcher.poll() is None
    finally:
        assert raftkv("down", folder=tmp_path).returncode == 0
    assert launcher.wait(DEADLINE_SECONDS) == 0


@pytest.mark.cluster
def test_a_node_outlives_whoever_reads_its_stderr(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path)
    cluster.up()
    cluster.down()
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "raftkv", "node", name, "--config", ".raftkv/cluster.toml"],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name in ("n1", "n2", "n3")
    ]
    try:
        for node in nodes:
            assert node.stderr
            node.stderr.close()
        target = ("--config", ".raftkv/cluster.toml")

        def write() -> bool:
            return raftkv("put", "a", "1", *target, folder=tmp_path).returncode == 0

        await_condition(write, "a write")
        for name in ("n1", "n2", "n3"):  # all of them tell of it

            def leads(name: str = name) -> bool:
                return raftkv("transfer", name, *target, folder=tmp_path).returncode == 0

            await_condition(leads, f"{name} to lead")
        assert write()
        assert [node.poll() for node in nodes] == [None] * 3
    finally:
        for node in nodes:
            node.terminate()
        codes = [node.wait(DEADLINE_SECONDS) for node in nodes]
    assert codes == [0, 0, 0]
