"""The launcher brings back what was taken down for a time, unless somebody was there before it. The processes
are not real here; those are in ``test_chaos``."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from raftkv import config
from raftkv.cluster import local, run_state
from raftkv.cluster.hosting import Hosted
from raftkv.cluster.launcher import Launcher
from raftkv.cluster.run_state import RunNode, RunState
from raftkv.errors import RaftkvError
from raftkv.wire.control import ControlRequest, ControlResponse, decode_response, encode_request
from tests.support.processes import DEADLINE_SECONDS, free_base_port

LONG = 3600


class Process:
    """Stands in for ``NodeProcess``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = 1
        self.exit_code: int | None = None
        self.state = "running"
        self.since = 1.0
        self.signals: list[signal.Signals] = []

    def signal(self, number: signal.Signals) -> None:
        self.signals.append(number)
        if number is signal.SIGKILL:
            self.exit_code, self.state = -9, "exited"

    def wait(self, timeout: float) -> None:
        del timeout

    def end(self, timeout: float) -> None:
        del timeout
        self.exit_code, self.state = 0, "exited"


class Stage:
    """A launcher of one such process, and what it started."""

    def __init__(self, folder: Path) -> None:
        self.launcher = Launcher(folder, nodes=1, base_port=free_base_port())
        self.process = Process("n1")
        self.launcher._processes = {"n1": self.process}  # type: ignore[dict-item]
        self.started: list[str] = []
        self.launcher._start = self._start  # type: ignore[method-assign]

    def _start(self, name: str) -> None:
        self.started.append(name)
        self.process.exit_code, self.process.state = None, "running"

    def do(self, verb: str, **arguments: Any) -> None:
        self.launcher._do(ControlRequest(1, verb, {"node": "n1", **arguments}))

    def pass_time(self) -> None:
        """What a turn of the launcher's loop does when it has nothing else to do."""
        self.launcher._bring_back()

    @property
    def until(self) -> float | None:
        return self.launcher.processes()[0].until


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.launcher._lock.release()


@pytest.mark.parametrize("verb", ["kill", "stop"])
def test_a_node_that_was_ended_for_a_time_is_started_once(stage: Stage, verb: str) -> None:
    stage.do(verb, seconds=LONG)
    stage.pass_time()
    assert stage.started == []
    assert stage.until is not None
    stage.do(verb, seconds=0)  # the newer word counts
    stage.pass_time()
    stage.pass_time()
    assert stage.started == ["n1"]
    assert stage.until is None


def test_a_paused_node_is_resumed_and_not_started(stage: Stage) -> None:
    stage.do("pause", seconds=0)
    stage.pass_time()
    assert stage.process.signals == [signal.SIGSTOP, signal.SIGCONT]
    stage.do("pause", seconds=0)
    stage.process.exit_code = -9  # by somebody else's hand
    stage.pass_time()
    assert stage.started == []


def test_without_a_time_a_node_stays_as_it_is(stage: Stage) -> None:
    stage.do("kill")
    assert stage.until is None
    stage.pass_time()
    assert stage.started == []


@pytest.mark.parametrize(
    ("verb", "then"),
    [("kill", "kill"), ("kill", "restart"), ("stop", "kill"), ("pause", "resume"), ("pause", "kill")],
)
def test_whatever_is_done_meanwhile_ends_the_waiting(stage: Stage, verb: str, then: str) -> None:
    stage.do(verb, seconds=0)
    stage.do(then)
    before = list(stage.started), list(stage.process.signals)
    assert stage.until is None
    stage.pass_time()
    assert (stage.started, stage.process.signals) == before


def test_what_is_refused_changes_nothing(stage: Stage) -> None:
    stage.do("kill", seconds=LONG)
    until = stage.until
    for seconds in (-1, 1e9, "5", float("nan"), True):
        with pytest.raises(RaftkvError, match="seconds: expected a number from 0 to 86400"):
            stage.do("kill", seconds=seconds)
    with pytest.raises(RaftkvError, match="has exited"):
        stage.do("pause", seconds=5)
    assert stage.until == until
    assert not stage.process.signals[1:]


def test_a_node_that_cannot_be_started_is_reported(stage: Stage) -> None:
    lines: list[str] = []
    stage.launcher._report = lines.append

    def fail(name: str) -> None:
        raise OSError(name)

    stage.launcher._start = fail  # type: ignore[method-assign]
    stage.do("kill", seconds=0)
    stage.pass_time()
    assert lines == ["node n1 was to come back, and cannot be started: n1"]


def test_whatever_signal_ends_a_node_is_told(stage: Stage) -> None:
    lines: list[str] = []
    stage.launcher._report = lines.append
    stage.process.poll, stage.process.failure = lambda: None, None  # type: ignore[attr-defined]
    for number, name in ((9, "SIGKILL"), (40, "signal 40")):
        stage.process.exit_code, stage.process.state = -number, "exited"
        stage.launcher._mourned.clear()
        stage.launcher._report_ends()
        assert lines.pop() == f"node n1 was ended by {name}; 'raftkv chaos restart n1' brings it back"


class Wire:
    """A socket with one request."""

    def __init__(self) -> None:
        self.answers: list[ControlResponse] = []

    def send(self, parts: Sequence[bytes]) -> None:
        self.answers.append(decode_response(parts[1]))


def test_a_mistake_in_answering_ends_no_cluster(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    stage.launcher._report = lines.append

    def fail(request: ControlRequest) -> None:
        raise AttributeError(request.verb)

    monkeypatch.setattr(stage.launcher, "_do", fail)
    wire: Any = Wire()
    stage.launcher._on_frame(wire, [b"somebody", encode_request(ControlRequest(7, "processes", {}))])
    (answer,) = wire.answers
    assert (answer.request_id, answer.ok) == (7, False)
    assert lines == [answer.body]
    assert answer.body == "this is a bug in raftkv: 'processes' raised AttributeError: processes"


@pytest.mark.parametrize("address", [(1, 2, 3, 4), ("a", "b", "c", "d"), ("tcp://127.0.0.1:0",) * 4])
def test_a_node_whose_address_is_none_is_not_added(stage: Stage, address: tuple[Any, ...]) -> None:
    before = stage.launcher.config.source.read_text()
    with pytest.raises(RaftkvError, match="is no endpoint"):
        stage.do("add_node", node="n2", address=address)
    assert stage.launcher.config.source.read_text() == before


@pytest.mark.parametrize("fails", ["set_aside", "_save_state", "_start"])
def test_a_node_that_cannot_be_added_now_can_be_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    node = local.another_node(stage.launcher.config, "n2")
    with monkeypatch.context() as patched:
        patched.setattr(local if fails == "set_aside" else stage.launcher, fails, fail)
        with pytest.raises(PermissionError):
            stage.do("add_node", node="n2", address=node.endpoints())
    assert [each.name for each in config.load(stage.launcher.config.source).nodes] == ["n1"]
    stage.do("add_node", node="n2", address=node.endpoints())
    assert [each.name for each in config.load(stage.launcher.config.source).nodes] == ["n1", "n2"]
    assert stage.started == ["n2"]


def test_who_starts_is_not_taken_for_who_ran_here_before(tmp_path: Path) -> None:
    """Whoever was killed left a file whose ports may be another cluster's by now."""
    node = RunNode("n1", *["tcp://127.0.0.1:1"] * 3)
    RunState("before", 1, "tcp://127.0.0.1:2", (node,)).save(tmp_path)
    assert run_state.load(tmp_path) is None
    launcher = Launcher(tmp_path, nodes=1, base_port=free_base_port())
    try:
        assert local.is_locked(tmp_path)
        assert run_state.load(tmp_path) is None
    finally:
        launcher._lock.release()


def test_a_file_that_is_not_the_clusters_own_stays(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"of": "somebody else"}')
    run_state.forget(tmp_path)
    assert (tmp_path / "run.json").exists()


def test_a_launcher_that_cannot_tidy_up_ends_its_nodes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Launcher(tmp_path, nodes=1, base_port=free_base_port())
    ended: list[bool] = []
    monkeypatch.setattr(launcher, "_start_all", launcher.stop)
    monkeypatch.setattr(launcher, "_end_all", lambda: ended.append(True))
    unlink = Path.unlink

    def fail(path: Path, missing_ok: bool = False) -> None:
        if path.name == "run.json":
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", fail)
    launcher.run()
    assert ended == [True]
    assert not local.is_locked(tmp_path)


def test_a_node_that_cannot_be_dropped_for_want_of_room_is_there_still(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(local, "write_config", no_room)
        with pytest.raises(OSError, match="No space left"):
            stage.do("drop_node")
    assert [process.name for process in stage.launcher.processes()] == ["n1"]
    assert [node.name for node in stage.launcher.config.nodes] == ["n1"]


def test_whatever_ends_a_launcher_is_told_to_whoever_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what no launcher expects: a full disk, say, must not pass for the end that was asked for."""
    launcher = Launcher(tmp_path, nodes=1, base_port=free_base_port())

    def fail() -> None:
        launcher._lock.release()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(launcher, "run", fail)
    hosted = Hosted(launcher)
    with pytest.raises(OSError, match="No space left"):
        hosted.await_ready(DEADLINE_SECONDS)
    hosted.end()
    assert not hosted.running
    with pytest.raises(OSError, match="No space left"):
        hosted.check()
