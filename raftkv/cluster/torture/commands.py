"""The command line under torture: one watch for the whole time, and a lock by turns."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from raftkv.client import Event
from raftkv.cluster.ourselves import own_command

EXITS = frozenset({0, 1, 3, 4})
"""Done, somebody else had the lock, nobody answered, unknown: anything else is a mistake."""
NAME = "torture/command"
TURN_SECONDS = 60.0
END_SECONDS = 10.0

Line = tuple[str, str, int]
"""(put or delete, key, revision)"""


class Commands:
    """Processes of ``raftkv``, started as a user would."""

    def __init__(self, data: Path) -> None:
        self._flags = ["--data", str(data)]
        self._lines: list[Line] = []
        self._watch: subprocess.Popen[str] | None = None
        self._running: list[subprocess.Popen[str]] = []
        """All that may have to be ended."""
        self._ended = False
        self.problems: list[str] = []

    def begin(self) -> None:
        everything = ["watch", "", "--prefix", "--from-revision", "1", "--json"]
        self._watch = self._start([*everything, *self._flags, "--timeout", "60"])
        threading.Thread(target=self._read, name="command line", daemon=True).start()

    def lock(self) -> None:
        """One turn with a lock of its own."""
        with self._start(
            ["lock", NAME, *self._flags, "--wait", "5", "--", "true"], subprocess.PIPE
        ) as process:
            try:
                _, errors = process.communicate(timeout=TURN_SECONDS)
            except subprocess.TimeoutExpired:
                self._end(process)
                self.problems.append(f"'raftkv lock' did not end within {TURN_SECONDS:g} s")
                return
            finally:
                self._running.remove(process)
        if not self._ended and (process.returncode not in EXITS or "Traceback" in errors):
            self.problems.append(f"'raftkv lock' ended with {process.returncode}: {errors[-300:]}")

    def differs(self, events: list[Event], seconds: float) -> list[str]:
        """From what another watch was told, once that has come to its end."""
        expected = [(event.type.value, event.key.decode(), event.mod_revision) for event in events]
        idle, waited = threading.Event(), 0.0
        while len(self._lines) < len(expected) and waited < seconds:
            idle.wait(0.1)
            waited += 0.1
        told = self._lines[: len(expected)]
        if told == expected:
            return []
        where = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(told, expected, strict=False)))
        return [
            f"'raftkv watch' printed {len(told):,} of {len(expected):,} changes; line {where + 1} differs"
        ]

    def end(self) -> None:
        """Nothing outlives it; what is started afterwards ends at once."""
        self._ended = True
        for process in list(self._running):
            self._end(process)

    def _end(self, process: subprocess.Popen[str]) -> None:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self, arguments: Sequence[str], errors: int | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            own_command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        self._running.append(process)
        if self._ended:  # meanwhile
            self._end(process)
        return process

    def _read(self) -> None:
        assert self._watch
        assert self._watch.stdout
        with self._watch.stdout as stdout:
            for line in stdout:
                event = json.loads(line)
                self._lines.append((event["type"], event["key"], event["mod_revision"]))
