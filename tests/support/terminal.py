"""A real terminal for the real dashboard: tmux, with a server of our own."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.processes import await_condition, environment

WAIT_SECONDS = 60.0
TMUX = shutil.which("tmux")
needs_tmux = pytest.mark.skipif(TMUX is None, reason="no tmux on this machine")


class Terminal:
    def __init__(self, socket: str, folder: Path) -> None:
        self._socket = socket
        self._folder = folder

    def _tmux(self, *arguments: str) -> str:
        assert TMUX
        command = [TMUX, "-L", self._socket, "-f", "/dev/null", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
        return done.stdout

    def start(self, arguments: Sequence[str], columns: int, rows: int) -> None:
        """raftkv with these arguments. What it ends with stays on the screen, with its exit code."""
        program = " ".join([sys.executable, "-m", "raftkv", *arguments])
        self._tmux(
            *("new-session", "-d", "-x", str(columns), "-y", str(rows), "-c", str(self._folder)),
            *(f"-e{name}={value}" for name, value in environment().items() if name.startswith("PYTHON")),
            f"{program}; echo EXIT $?; exec sleep {WAIT_SECONDS * 5:g}",
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            self._tmux("send-keys", key)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def until(self, text: str, *, gone: bool = False) -> str:
        """The screen, once ``text`` is on it, or is not any more."""
        screens = [""]

        def shown() -> bool:
            screens[0] = self.screen()
            return (text in screens[0]) is not gone

        try:
            await_condition(shown, repr(text))
        except AssertionError as error:
            raise AssertionError(f"{error}, on the screen:\n{screens[0]}") from None
        return screens[0]

    def close(self) -> None:
        self._tmux("kill-server")


@contextmanager
def terminal(folder: Path) -> Iterator[Terminal]:
    opened = Terminal(f"raftkv-{folder.name}-{time.monotonic_ns()}", folder)
    try:
        yield opened
    finally:
        opened.close()


class VanishingTerminal:
    """When it goes away raftkv in it gets no signal, as when the terminal's session is led by a ``make``."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (30, 100))
        self._seen = bytearray()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "raftkv", *arguments],
            cwd=folder,
            env={**environment(), "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> VanishingTerminal:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        with suppress(OSError):
            os.close(self._master)

    def until(self, text: bytes) -> None:
        def shown() -> bool:
            assert self._process.poll() is None, self._seen[-2000:].decode()
            while select.select([self._master], [], [], 0)[0]:
                try:
                    self._seen += os.read(self._master, 65536)
                except OSError:  # the other end is closed
                    break
            return text in self._seen

        await_condition(shown, repr(text))

    def vanish(self) -> None:
        """And raftkv with it, by itself; its exit code depends on which of its threads notices first."""
        os.close(self._master)
        self._process.wait(WAIT_SECONDS)
