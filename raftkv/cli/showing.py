"""A dashboard in its process, and what ends it from outside.

A signal, or the end of what it is shown for, is a polite quit: the terminal is left in order. A terminal
that has vanished is left to nobody: the driver waits for ever for somebody to take what it writes, and the
signal of a hang-up reaches only the leader of the terminal's session, which may be a ``make`` that waits for
us. So the terminal itself is watched, and the process ends without another word to it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from raftkv.cli.endings import when_told_to_end

if TYPE_CHECKING:
    from textual.app import App

LOOK_SECONDS = 0.2
EXIT_HUNG_UP = 128 + signal.SIGHUP


def show(dashboard: App[Any]) -> None:
    """Until somebody quits it, or this process is told to end."""
    over = threading.Event()
    when_told_to_end(lambda _: over.set())
    show_until(over, dashboard)


def show_until(over: threading.Event, dashboard: App[Any], leave: Callable[[], None] = lambda: None) -> None:
    """``over`` is as good as a quit. When the terminal has vanished this process exits, once ``leave`` has
    returned, which is called from another thread."""
    quitted = threading.Event()
    threading.Thread(
        target=_watch, args=(over, dashboard, leave, quitted), name="terminal", daemon=True
    ).start()
    try:
        dashboard.run()
    finally:
        quitted.set()


def _watch(
    over: threading.Event, dashboard: App[Any], leave: Callable[[], None], quitted: threading.Event
) -> None:
    terminal = select.poll()
    if sys.stdin.isatty():  # a browser's dashboard has none
        terminal.register(sys.stdin.fileno(), 0)  # a hang-up is told unasked
    asked = False
    while not quitted.is_set():
        if terminal.poll(int(LOOK_SECONDS * 1000)):
            leave()
            os._exit(EXIT_HUNG_UP)
        if over.is_set() and not asked and dashboard.is_running:
            asked = True
            with suppress(RuntimeError):  # it has been quit meanwhile
                dashboard.call_from_thread(dashboard.exit)
