"""Real clusters in real processes, driven through the real command line.

Only how a cluster stands is asked for from within: tests ask again and again until something holds, and a
process for each look took more of the machine than the cluster did."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

DEADLINE_SECONDS = 60.0
"""Of what takes a second where nothing else runs: a machine may be ten times slower, and busy."""
PATIENT_SECONDS = "30"
"""For each command of a test that names no time itself: a starved cluster may elect that long."""
PATIENT_COMMANDS = frozenset(
    "cas compact delete dump get info load put scan set snapshot transfer txn lease".split()  # noqa: SIM905
)
"""They end as soon as they are answered; ``lease`` has commands of its own."""
ELECTIONS_MAX = 20
"""That one check may meet: a cluster that elects all the time is not slow but broken."""
Result = TypeVar("Result")


def await_condition(
    condition: Callable[[], Result | None], what: str, seconds: float = DEADLINE_SECONDS
) -> Result:
    """Poll until ``condition`` gives something true; fails with ``what`` when it never does."""
    deadline = time.monotonic() + seconds
    between_looks = threading.Event()
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        between_looks.wait(0.02)


def free_base_port() -> int:
    """The first of fifty ports in a row of which those a cluster uses are free now.

    Below 32768, where the kernel takes the ports of outgoing connections from; and a range of its own
    for each process, as tests run in several."""
    from raftkv.cluster.local import PORTS_A_CLUSTER, busy_port

    start = 10_000 + (os.getpid() * 61) % 20_000
    for base in range(start, 32_000, PORTS_A_CLUSTER):
        if busy_port(base, range(9)) is None:
            return base
    raise AssertionError("no free ports")


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAFTKV_")}
    return {**kept, "NO_COLOR": "1", "COLUMNS": "120", "PYTHONWARNINGS": "error"}


def patient(arguments: Sequence[str | bytes]) -> list[str | bytes]:
    """The same command, waiting longer than a user would if it says nothing of how long."""
    listed = list(arguments)
    if not listed or listed[0] not in PATIENT_COMMANDS or "--timeout" in listed:
        return listed
    words = 2 if listed[0] == "lease" else 1
    return [*listed[:words], "--timeout", PATIENT_SECONDS, *listed[words:]]


class LocalCluster:
    """``raftkv up --headless`` in a folder of its own."""

    def __init__(self, folder: Path, nodes: int = 3) -> None:
        self.folder = folder
        self.nodes = nodes
        self.base_port = free_base_port()
        self._launcher: subprocess.Popen[str] | None = None

    # -- life

    def up(self, *extra: str) -> float:
        """Start and wait for the ready line; returns the seconds that took."""
        begin = time.monotonic()
        stderr = (self.folder / "up.log").open("a+", encoding="utf-8")
        offset = stderr.seek(0, os.SEEK_END)
        arguments = ["--nodes", str(self.nodes), "--base-port", str(self.base_port), *extra]
        self._launcher = subprocess.Popen(
            [sys.executable, "-m", "raftkv", "up", "--headless", *arguments],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            text=True,
        )
        stderr.close()

        def ready() -> bool:
            assert self._launcher is not None
            text = self.log()[offset:]
            assert self._launcher.poll() is None, f"up ended early:\n{text}"
            return "ready: " in text

        await_condition(ready, "the ready line of 'up'")
        return time.monotonic() - begin

    def down(self) -> None:
        """SIGTERM to the launcher, and wait for everything to end."""
        if self._launcher and self._launcher.poll() is None:
            self._launcher.send_signal(signal.SIGTERM)
            assert self._launcher.wait(DEADLINE_SECONDS) == 0, self.log()
        self._launcher = None

    def kill_launcher(self) -> None:
        assert self._launcher is not None
        self._launcher.kill()
        self._launcher.wait(DEADLINE_SECONDS)
        self._launcher = None

    def log(self) -> str:
        return (self.folder / "up.log").read_text(encoding="utf-8")

    # -- use

    def run(
        self, *arguments: str | bytes, stdin: bytes | None = None, timeout: float = 2 * DEADLINE_SECONDS
    ) -> subprocess.CompletedProcess[bytes]:
        return raftkv(*patient(arguments), folder=self.folder, stdin=stdin, timeout=timeout)

    def ok(
        self, *arguments: str | bytes, stdin: bytes | None = None, timeout: float = 2 * DEADLINE_SECONDS
    ) -> bytes:
        """Run a command that must succeed; its stdout."""
        done = self.run(*arguments, stdin=stdin, timeout=timeout)
        assert done.returncode == 0, (arguments, done.returncode, done.stderr.decode())
        return done.stdout

    def status(self) -> dict[str, Any]:
        """What ``status --json`` prints; no leader and no nodes when none answers."""
        from raftkv.cli.observe import ANSWER_SECONDS, status_document
        from raftkv.cluster import run_state
        from raftkv.cluster.control import ControlClient, snapshots

        state = run_state.load(self.folder / ".raftkv")
        controls = {node.name: node.control for node in state.nodes} if state else {}
        with ControlClient() as client:
            found = snapshots(client, controls, ANSWER_SECONDS)
        return status_document(found) if any(found.values()) else {"leader": None, "nodes": []}

    def leader(self) -> str:
        return str(await_condition(lambda: self.status()["leader"], "a leader"))

    def pids(self) -> dict[str, int]:
        """Of the nodes that answer."""
        return {node["name"]: node["pid"] for node in self.status()["nodes"] if node["alive"]}

    def kill_nodes(self, *names: str) -> None:
        """SIGKILL from outside, as the kernel's out-of-memory killer would."""
        pids = await_condition(
            lambda: found if set(names) <= (found := self.pids()).keys() else None, f"{names} to answer"
        )
        for name in names:
            os.kill(pids[name], signal.SIGKILL)
        await_condition(lambda: not any(is_alive(pids[name]) for name in names), f"{names} to be gone")

    def await_equal(self) -> None:
        """All nodes answer, one leads, and all have applied all there is."""

        def equal() -> bool:
            status = self.status()
            nodes = status["nodes"]
            states = {(node["applied_index"], node["last_index"], node["state_digest"]) for node in nodes}
            return status["leader"] is not None and len(nodes) == self.nodes and len(states) == 1

        await_condition(equal, "all nodes to come to one state")

    def undisturbed(self, check: Callable[[], None]) -> None:
        """Run ``check``; once more each time it failed while there was an election, which adds an entry and
        may change who leads."""
        for _ in range(ELECTIONS_MAX):
            before = self.await_all_alive()["term"]
            try:
                check()
            except AssertionError:
                if self.await_all_alive()["term"] == before:
                    raise
            else:
                return
        raise AssertionError(f"{ELECTIONS_MAX} elections, and never a quiet moment")

    def await_all_alive(self) -> dict[str, Any]:
        """The status in which all nodes answer."""

        def answered() -> dict[str, Any] | None:
            status = self.status()
            return status if sum(node["alive"] for node in status["nodes"]) == self.nodes else None

        return await_condition(answered, "all nodes to answer")


def raftkv(
    *arguments: str | bytes, folder: Path, stdin: bytes | None = None, timeout: float = 2 * DEADLINE_SECONDS
) -> subprocess.CompletedProcess[bytes]:
    """The real command line in a real process."""
    return subprocess.run(
        [sys.executable, "-m", "raftkv", *arguments],
        cwd=folder,
        env=environment(),
        input=stdin if stdin is not None else b"",
        capture_output=True,
        timeout=timeout,
        check=False,
    )


@contextmanager
def local_cluster(folder: Path, nodes: int = 3) -> Iterator[LocalCluster]:
    cluster = LocalCluster(folder, nodes)
    cluster.up()
    try:
        yield cluster
    finally:
        cluster.down()


def is_alive(pid: int) -> bool:
    """Whether a process of this id runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or before it was read
        return False


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[1]) == pid:
            found.append(int(entry.name))
    return found
