"""How far long work has come: one line on a terminal, drawn over and over, and gone in the end. Elsewhere
nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from raftkv.cli.output import stderr_is_terminal

REDRAW_SECONDS = 0.1
CLEAR = "\r\x1b[K"
COLUMNS = 80
"""Where a terminal does not say how many it has."""


class Progress:
    """``with Progress() as progress:`` and ``progress.show(lambda: …)`` as often as you like."""

    def __init__(self, quiet_seconds: float = 0.0) -> None:
        """``quiet_seconds``: before it is drawn for the first time; most work is over by then."""
        self.visible = stderr_is_terminal()
        self._due = time.monotonic() + quiet_seconds
        self._drawn = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Before anything else is printed."""
        if self._drawn:
            self._drawn = False
            self._draw(CLEAR)

    def show(self, text: Callable[[], str]) -> None:
        """``text`` is called only where its line is to be drawn."""
        if self.visible and (now := time.monotonic()) >= self._due:
            self._due, self._drawn = now + REDRAW_SECONDS, True
            self._draw(CLEAR + text()[: _columns() - 1])

    def counting(self, what: str, of: str = "") -> Callable[[int, int], None]:
        """For work that says how many of how many are done."""
        whose = f"{of}: " if of else ""
        return lambda done, total: self.show(lambda: f"{whose}{done:,} of {total:,} {what}")

    def _draw(self, text: str) -> None:
        try:
            print(text, end="", file=sys.stderr, flush=True)
        except OSError:  # the terminal is gone, and the work goes on
            self.visible = False


def _columns() -> int:
    """Of the terminal that stderr is; stdout may be a file."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return COLUMNS
