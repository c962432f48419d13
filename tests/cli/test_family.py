"""A command is ended with all that it started."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import pytest

from raftkv.cli import family, recipes
from raftkv.cli.endings import told_to_end
from raftkv.recipes import Lock
from tests.support.processes import await_condition, is_alive

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A shell with two children, one of which has a child of its own."""
    script = "sleep 600 & (sleep 600; true) & wait"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.DEVNULL) as process:
        await_condition(lambda: len(family.descendants(process.pid)) == 3, "the whole family")
        yield process
        for pid in family.descendants(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.kill()


def test_descendants_of_every_degree_are_found(child: subprocess.Popen[bytes]) -> None:
    found = family.descendants(child.pid)
    parents = [pid for pid in found if family.descendants(pid)]
    assert len(parents) == 1
    assert found.index(family.descendants(parents[0])[0]) > found.index(parents[0])
    assert child.pid not in found


def test_all_of_them_end(child: subprocess.Popen[bytes]) -> None:
    found = family.descendants(child.pid)
    family.end(child)
    assert child.returncode == -signal.SIGTERM
    assert_gone(found)


def test_whoever_does_not_listen_is_ended_by_force() -> None:
    command = ["sh", "-c", f"{sys.executable} -c '{STUBBORN}'; true"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"\n"
        found = family.descendants(child.pid)
        assert found
        family.end(child, seconds=0.05)
        assert_gone(found)


BEGUN_TOO_LATE = """
import os, signal, sys, time
def begin(number, frame):
    if not os.fork():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
signal.signal(signal.SIGTERM, begin)
print("ready", flush=True)
time.sleep(600)
"""


def test_whoever_is_begun_by_one_that_ends_is_ended_too() -> None:
    """It was not there when they were counted, and its parent is gone when they are counted again."""
    command = ["sh", "-c", f"{sys.executable} -c '{BEGUN_TOO_LATE}'; true"]
    with (
        family.adopting() as others,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child,
    ):
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        family.end(child, others, seconds=0.5)
        assert_gone([int(child.stdout.readline())])


def test_whoever_has_lost_its_parent_long_since_is_ended_too() -> None:
    with (
        family.adopting() as others,
        subprocess.Popen(["sh", "-c", "(sleep 600 & echo $!); sleep 600"], stdout=subprocess.PIPE) as child,
    ):
        assert child.stdout
        orphan = int(child.stdout.readline())
        await_condition(lambda: orphan not in family.descendants(child.pid), "its parent to end")
        family.end(child, others)
        assert_gone([orphan])


def test_children_that_were_there_before_are_left_alone() -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        with family.adopting() as others, subprocess.Popen(["sleep", "600"]) as child:
            family.end(child, others)
        assert other.poll() is None
        other.kill()


def test_the_command_itself_is_ended_where_no_descriptor_is_to_be_had(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(pid: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    found = family.descendants(child.pid)
    monkeypatch.setattr(os, "pidfd_open", refused)
    family.end(child)
    assert child.returncode == -signal.SIGTERM
    for pid in found:
        os.kill(pid, signal.SIGKILL)


def test_a_signal_while_the_command_starts_does_not_lose_sight_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    plain = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(plain(*arguments, **options))
        os.kill(os.getpid(), signal.SIGTERM)
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    assert status_under_a_lock("sleep", "600") == 128 + signal.SIGTERM
    assert started[0].returncode == -signal.SIGTERM


def test_a_signal_in_the_middle_of_waiting_does_not_break_off_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it breaks off may leave the lock of ``Popen.wait`` taken, so that nobody can wait any more."""
    waits: list[str] = []

    class Interrupted(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            waits.append("begun")
            if len(waits) == 1:
                os.kill(os.getpid(), signal.SIGTERM)
                waits.append("went on")
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    assert status_under_a_lock("sleep", "600") == 128 + signal.SIGTERM
    assert waits[:2] == ["begun", "went on"]


def test_a_command_that_has_ended_is_left_alone() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
        family.end(child)
        assert child.returncode == 0


def test_a_command_that_cannot_be_ended_keeps_its_lock(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one that runs as another user by then."""
    monkeypatch.setattr(family, "END_SECONDS", 0.05)
    started: list[subprocess.Popen[bytes]] = []

    class Foreign(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            os.kill(os.getpid(), signal.SIGTERM)

        def send_signal(self, number: int) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(subprocess, "Popen", Foreign)
    end = family.end

    def end_and_wait_for_it(child: subprocess.Popen[bytes], before: Any) -> bool:
        ended = end(child, before, seconds=0.05)
        os.kill(started[0].pid, signal.SIGKILL)  # its own time has come
        return ended

    monkeypatch.setattr(family, "end", end_and_wait_for_it)
    assert status_under_a_lock("sleep", "600") == 128 + signal.SIGKILL
    assert "sleep cannot be ended; lock x is kept until it ends" in capsys.readouterr().err


def test_a_command_that_cannot_be_ended_goes_on_without_the_lock_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Lost:
        held, token = False, 1

    monkeypatch.setattr(family, "end", lambda *_: False)
    with subprocess.Popen(["sleep", "600"]) as child:
        monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: child)
        assert recipes._run(["sleep", "600"], cast(Lock, Lost()), "x") == 1
        assert "its lease has ended; sleep cannot be ended, and goes on" in capsys.readouterr().err
        child.kill()


def status_under_a_lock(*command: str) -> int:
    """With the handlers of signals that ``raftkv lock`` has, which are put back."""

    class Held:
        held, token = True, 1

    with told_to_end(recipes._interrupt):
        return recipes._run(list(command), cast(Lock, Held()), "x")


def assert_gone(pids: list[int]) -> None:
    await_condition(lambda: not any(map(is_alive, pids)), "all of them to be gone")
