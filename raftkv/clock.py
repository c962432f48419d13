"""The time that goes on while the machine sleeps, which ``time.monotonic`` does not count on Linux.

What somebody was promised until a moment is over when that has passed, whoever was asleep meanwhile: a lease
ends in the cluster while its holder's lid is closed.
"""

from __future__ import annotations

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Seconds since the machine was started."""
    return time.clock_gettime(_CLOCK)


def slept() -> float:
    """Seconds that ``time.monotonic`` has not counted until now; where this process is held up in between
    rather too many than too few: what a lease is held against must not lie in the past."""
    counted = time.monotonic()
    return now() - counted
