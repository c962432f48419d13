"""A dashboard in its process, and what ends it from outside.

A signal, or the end of what it is shown for, is a polite quit: the terminal is left in order. A terminal
that has vanished is left to nobody: the driver waits for ever for somebody to take what it writes, and the
signal of a hang-up reaches only the leader of the terminal's session, which may be a ``make`` that waits for
us. So the terminal itself is watched, and the process ends without another word to it. So it does when the
terminal takes nothing and a polite quit gets nowhere.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO

import typer

from raftkv.cli.endings import when_told_to_end
from raftkv.cli.output import Exit

if TYPE_CHECKING:
    from textual.app import App

LOOK_SECONDS = 0.2
QUIT_SECONDS = 5.0
"""For a polite quit."""
EXIT_HUNG_UP = 128 + signal.SIGHUP


def speak_utf8(terminal: TextIO | None) -> None:
    """The dashboard draws there, with lines and marks that ASCII has not; a terminal has them, as a rule,
    whatever the locale says, and escapes instead would wreck every row."""
    if isinstance(terminal, TextIOWrapper) and terminal.encoding.lower() not in ("utf-8", "utf8"):
        terminal.reconfigure(encoding="utf-8")


class Screen:
    """The terminal, watched by a thread of its own as long as this is entered."""

    def __init__(self, over: Callable[[], bool], leave: Callable[[], None]) -> None:
        """``over`` is as good as a quit. ``leave`` is called, from that thread, before this process exits
        without the dashboard."""
        self._over = over
        self._leave = leave
        self._dashboard: App[Any] | None = None
        self._left = False

    def __enter__(self) -> Screen:
        threading.Thread(target=self._watch, name="terminal", daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._left = True

    def show(self, dashboard: App[Any]) -> None:
        """Until somebody quits it, or it is over."""
        self._dashboard = dashboard
        speak_utf8(sys.__stderr__)
        dashboard.run()
        if dashboard.return_code:  # it has told of the fault itself
            raise typer.Exit(Exit.BUG)

    def _watch(self) -> None:
        terminal = select.poll()
        if sys.stdin is not None and sys.stdin.isatty():  # a browser's dashboard has none
            terminal.register(sys.stdin.fileno(), 0)  # a hang-up is told unasked
        patience_ends: float | None = None
        while not self._left:
            gone = bool(terminal.poll(int(LOOK_SECONDS * 1000)))
            dashboard = self._dashboard
            if self._over() and dashboard and dashboard.is_running:
                if patience_ends is None:
                    patience_ends = time.monotonic() + QUIT_SECONDS
                    dashboard.call_later(dashboard.exit)  # waits for nothing
                gone = gone or time.monotonic() > patience_ends
            if gone and not self._left:
                self._leave()
                os._exit(EXIT_HUNG_UP)


def show(dashboard: App[Any], leave: Callable[[], None] = lambda: None) -> None:
    """Until somebody quits it, or this process is told to end."""
    told: list[int] = []
    when_told_to_end(told.append)
    with Screen(lambda: bool(told), leave) as screen:
        screen.show(dashboard)
