"""Lines for people, out of the way of whoever has them: a node tells of its events from the thread that runs
it, and whoever reads them may be slow, stop reading (Ctrl-S, a full pipe) or be gone. No node should care
for any of that."""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress

LINES_MAX = 10_000
"""That wait for a reader; of more the oldest are dropped, and their number is told."""
CLOSE_SECONDS = 1.0


class Teller:
    """Writes lines to a descriptor, in their order, in a thread of its own. Not through a stream of Python's:
    one that a thread is stuck in can end an interpreter that shuts down."""

    def __init__(self, fd: int, lines_max: int = LINES_MAX) -> None:
        self._fd = fd
        self._lines: deque[str] = deque()
        self._lines_max = lines_max
        self._lost = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name=f"teller-{fd}", daemon=True)
        self._thread.start()

    def say(self, line: str) -> None:
        """Never waits, never fails."""
        with self._changed:
            if len(self._lines) >= self._lines_max:
                self._lines.popleft()
                self._lost += 1
            self._lines.append(line)
            self._changed.notify()

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """What was said is written, if that takes at most ``timeout`` seconds. The descriptor stays open."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _write_all(self) -> None:
        while text := self._next():
            rest = text.encode("utf-8", "backslashreplace")
            with suppress(OSError):  # no space, nobody reads it: the next may fare better
                while rest:
                    rest = rest[os.write(self._fd, rest) :]

    def _next(self) -> str:
        """Everything that waits; nothing at the end."""
        with self._changed:
            while not self._lines and not self._closed:
                self._changed.wait()
            lines, lost = list(self._lines), self._lost
            self._lines.clear()
            self._lost = 0
        if lost:
            lines.insert(0, f"({lost:,} lines were lost: nobody read them in time)")
        return "".join([line + "\n" for line in lines])
