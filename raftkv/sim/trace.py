"""What happened in a simulated world, as lines and as one digest of them all.

Two runs of a seed give the same digest, in any process: that is what makes a failing seed worth
having. The last lines are kept for whoever looks at a failure; all of them go to ``write`` if given.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable

TAIL_LINES = 60
DIGEST_BYTES = 8


class Trace:
    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._hash = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._write = write
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)

    def add(self, now: float, line: str) -> None:
        text = f"{now:.6f} {line}"
        self._hash.update(text.encode("utf-8", "backslashreplace") + b"\n")
        self.tail.append(text)
        if self._write:
            self._write(text)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
