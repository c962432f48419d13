"""What ``up --detach`` makes of its launcher's log."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from raftkv.cli import nodes
from raftkv.cli.output import Exit, exit_code_of
from raftkv.cluster import ourselves
from raftkv.errors import Unavailable

EVENTS = "12:00:01.250 n1 has become pre-candidate, term 5: election timeout\n" * 50
WARNING = "/somewhere/loop.py:12: ResourceWarning: unclosed socket\n  self.poll()\n"


@pytest.fixture
def running() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def log(folder: Path, text: str) -> Path:
    path = folder / "launcher.log"
    path.write_text("ready: of an earlier life\n" + text)
    return path


BEGIN = len("ready: of an earlier life\n")


def test_it_tells_what_the_launcher_says_and_not_what_nodes_do(
    tmp_path: Path, running: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    said = "node n1 exited with code 5: damaged log\nn2 leads, and has 9 entries to apply before it serves\n"
    path = log(tmp_path, EVENTS + said + WARNING + EVENTS + "ready: 3 nodes\nready: not yet told")
    assert nodes._await_ready(running, path, BEGIN) is None
    assert capsys.readouterr().err == said + "ready: 3 nodes\n"


def test_it_gives_up_when_the_launcher_sees_no_leader(
    tmp_path: Path, running: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    path = log(
        tmp_path, "without n1, n2 there is no majority\nno leader after 30 s; the nodes go on trying\n"
    )
    assert nodes._await_ready(running, path, BEGIN) == "no leader after 30 s"
    assert capsys.readouterr().err == "without n1, n2 there is no majority\n"


def test_nodes_that_go_on_without_a_leader_are_not_waited_for(
    tmp_path: Path, running: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "DETACH_SECONDS", 0.2)
    assert "not ready after 0.2 s" in (nodes._await_ready(running, log(tmp_path, EVENTS), BEGIN) or "")


def test_a_launcher_that_ends_says_why(
    tmp_path: Path, running: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    path = log(tmp_path, EVENTS + "raftkv: port 80 is in use\n")
    running.kill()
    running.wait()
    with pytest.raises(click.exceptions.Exit):
        nodes._await_ready(running, path, BEGIN)
    assert capsys.readouterr().err == "raftkv: port 80 is in use\n"


def test_a_cluster_without_a_leader_is_ended_and_counts_as_not_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "no leader after 30 s; the nodes go on trying"
    script = f"import sys, time; print({said!r}, file=sys.stderr, flush=True); time.sleep(60)"
    monkeypatch.setattr(ourselves, "own_command", lambda *_: [sys.executable, "-c", script])
    with pytest.raises(Unavailable, match=r"no leader after 30 s; see .*launcher\.log") as caught:
        nodes._up_detached(tmp_path, None, None, fresh=False, degraded=False)
    assert exit_code_of(caught.value) == Exit.UNAVAILABLE
