"""How often numbers that merely move are drawn."""

from __future__ import annotations

import time

MOVING_SHARE = 0.1
"""Of a core, for drawing numbers that merely move."""
MOVING_SECONDS_MAX = 0.5
"""After which they are drawn all the same."""


class Pace:
    """When to draw again what merely moves: once all that was done since the last picture, which that
    made necessary as well, is no more than ``share`` of the time since."""

    def __init__(self, share: float = MOVING_SHARE) -> None:
        self._share = share
        self._drawn_at = -MOVING_SECONDS_MAX
        self._used = 0.0

    def allows(self, now: float) -> bool:
        passed = now - self._drawn_at
        return passed >= MOVING_SECONDS_MAX or time.process_time() - self._used <= self._share * passed

    def drawn(self, now: float) -> None:
        self._drawn_at, self._used = now, time.process_time()
