"""The command line under torture: one watch for the whole time, and a lock by turns."""

from __future__ import annotations

import json
import subprocess
import threading
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
        self.problems: list[str] = []

    def begin(self) -> None:
        self._watch = self._start("watch", "", "--prefix", "--from-revision", "1", "--json")
        threading.Thread(target=self._read, name="command line", daemon=True).start()

    def lock(self) -> None:
        """One turn with a lock of its own."""
        try:
            done = subprocess.run(
                own_command("lock", NAME, *self._flags, "--wait", "5", "--", "true"),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TURN_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self.problems.append(f"'raftkv lock' did not end within {TURN_SECONDS:g} s")
            return
        if done.returncode not in EXITS or "Traceback" in done.stderr:
            self.problems.append(f"'raftkv lock' ended with {done.returncode}: {done.stderr[-300:]}")

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
        if self._watch:
            self._watch.terminate()
            try:
                self._watch.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._watch.kill()
                self._watch.wait()

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            own_command(*arguments, *self._flags, "--timeout", "60"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _read(self) -> None:
        assert self._watch
        assert self._watch.stdout
        with self._watch.stdout as stdout:
            for line in stdout:
                event = json.loads(line)
                self._lines.append((event["type"], event["key"], event["mod_revision"]))
