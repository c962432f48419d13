"""One node's process: started by ``multiprocessing`` (spawn), tied to its launcher's life.

The two share a pipe. The node says on it, in one JSON line, that it listens or why it cannot; the
launcher says nothing, but when its end closes, however that came about, the node ends. A node that
is stopped by a signal at that moment reads no pipe: for that one the kernel is asked to kill it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from contextlib import suppress
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path

from raftkv.cluster.ourselves import die_with_parent
from raftkv.cluster.teller import Teller
from raftkv.config import load
from raftkv.errors import ConfigError, CorruptLog, EntriesLost, NotAMember, RaftkvError, RemovedNode

NODE_LOG = "node.log"
LOG_BYTES_MAX = 8 << 20
"""Of a node's own log of events; at a start with more, it begins anew."""
_SPAWN = multiprocessing.get_context("spawn")
EXIT_CONFIG = 2
EXIT_FAILED = 1
EXIT_NO_MEMBER = 3
"""The cluster knows this node by another data folder: to start it again would not help."""
EXIT_REMOVED = 4
"""It was removed from the cluster."""
EXIT_DAMAGED = 5
"""What it has on disk is not what it wrote."""


class NodeProcess:
    """Starts one node and knows what became of it. Used from the launcher's thread alone: the
    kernel ties a node's life to the thread that started it."""

    def __init__(self, config_path: Path, name: str, log_folder: Path, echo: bool) -> None:
        ours, theirs = _SPAWN.Pipe(duplex=True)
        self.name = name
        self._pipe = ours
        self._process = _SPAWN.Process(
            target=_main,
            args=(str(config_path), name, str(log_folder), echo, theirs),
            name=f"raftkv-{name}",
            daemon=True,
        )
        self._process.start()
        theirs.close()
        self._listens = self._paused = self._ended = False
        self.failure: str | None = None
        """Why the node could not start or had to stop, in one line."""
        self.since = time.monotonic()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def state(self) -> str:
        """starting, running, paused or exited, as far as it was looked at. Whoever is paused while it starts
        is paused: nobody else would know that it has to be resumed."""
        if self._ended:
            return "exited"
        if self._paused:
            return "paused"
        return "running" if self._listens else "starting"

    @property
    def begun(self) -> tuple[bool, str]:
        """Whether it has come so far as to listen, or to end; and why, if it has ended."""
        if self.state != "exited":
            return self._listens, ""
        return True, self.failure or f"its process ended with code {self.exit_code}"

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> bool:
        """Take note of what the process has said or done; True when its state changed."""
        before = self.state
        try:
            while self._pipe.poll():
                message = json.loads(self._pipe.recv_bytes())
                if message.get("ready"):
                    self._listens = True
                else:
                    self.failure = str(message.get("failed"))
        except (EOFError, OSError):
            pass  # it is gone, or about to be: the exit code tells
        if self._process.exitcode is not None:
            self._ended = True
        if self.state != before:
            self.since = time.monotonic()
        return self.state != before

    def signal(self, number: signal.Signals) -> None:
        before = self.state
        if self._process.exitcode is None:
            os.kill(self.pid, number)
        if number in (signal.SIGSTOP, signal.SIGCONT):
            self._paused = number is signal.SIGSTOP
        if self.state != before:
            self.since = time.monotonic()

    def end(self, timeout: float) -> None:
        """Politely if it can hear, by force when ``timeout`` seconds were not enough."""
        if self.state == "paused":
            self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        self.wait(timeout)

    def wait(self, timeout: float) -> None:
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self.poll()
        self._pipe.close()


def _main(config_path: str, name: str, log_folder: str, echo: bool, pipe: Connection) -> None:
    """The node's process begins here."""
    die_with_parent()
    # Ctrl-C reaches the whole terminal group: only the launcher answers it, and tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def say(**message: object) -> None:
        with suppress(OSError):  # a launcher that has given us up
            pipe.send_bytes(json.dumps(message).encode("utf-8"))

    try:
        Path(log_folder).mkdir(parents=True, exist_ok=True)
        log = open_log(Path(log_folder) / NODE_LOG)
    except OSError as error:
        say(failed=f"{error.filename}: {error.strerror}")
        sys.exit(EXIT_CONFIG)
    tellers = [Teller(log)]
    if sys.stderr is None:
        pass  # closed, and its number may be another file's by now
    elif echo:
        tellers.append(Teller(sys.stderr.fileno()))
    else:
        os.dup2(log, sys.stderr.fileno())  # a traceback belongs into the log, not on the screen

    def report(text: str) -> None:
        line = f"{datetime.now():%H:%M:%S.%f}"[:-3] + f" {name} {text}"
        for teller in tellers:
            teller.say(line)

    # Imported here, not above: the launcher itself needs nothing of a node's inside.
    from raftkv.actors.loop import Guard, run_node

    try:
        guard = Guard(pipe.fileno())
        run_node(load(Path(config_path)), name, report=report, ready=lambda: say(ready=True), guard=guard)
    except RaftkvError as error:
        report(str(error))
        say(failed=str(error))
        sys.exit(_exit_code(error))
    finally:
        for teller in tellers:
            teller.close()


def open_log(path: Path, in_use: bool = False) -> int:
    """The descriptor of a log of events, which is begun anew where it has become too long, unless somebody
    else writes to it."""
    fresh = not in_use and path.exists() and path.stat().st_size > LOG_BYTES_MAX
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND | (os.O_TRUNC if fresh else 0)
    return os.open(path, flags, 0o644)


def _exit_code(error: RaftkvError) -> int:
    if isinstance(error, RemovedNode):
        return EXIT_REMOVED
    if isinstance(error, NotAMember):
        return EXIT_NO_MEMBER
    if isinstance(error, CorruptLog | EntriesLost):
        return EXIT_DAMAGED
    return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED
