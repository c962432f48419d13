"""Faults of single links, set by hand, with a lifetime in virtual time.

Chance comes from a stream of its own: while nothing is set, nothing is drawn, and a seed is what it was.
At most one fault a link, so the table is bounded by the number of links.
"""

from __future__ import annotations

import math
import random

from raftkv.observe import LinkFault
from raftkv.sim.schedule import Schedule

REORDER_SECONDS = 0.05
"""That a frame is held back for: several heartbeats' worth of others overtake it."""


class LinkFaults:
    """A link is (sender, to)."""

    def __init__(self, schedule: Schedule, rng: random.Random) -> None:
        self._schedule = schedule
        self._rng = rng
        self._faults: dict[tuple[str, str], tuple[LinkFault, float]] = {}
        """With the time at which it ends."""
        self._last_release: dict[tuple[str, str], float] = {}

    @property
    def any(self) -> bool:
        """Whether one was set and not cleared, ended or not."""
        return bool(self._faults)

    def set(self, link: tuple[str, str], fault: LinkFault, seconds: float | None) -> None:
        """In place of the one it has; ``LinkFault()`` heals it. ``seconds`` None: until it is cleared."""
        if fault == LinkFault():
            self._faults.pop(link, None)
        else:
            ends = math.inf if seconds is None else self._schedule.now + seconds
            self._faults[link] = (fault, ends)

    def clear(self) -> None:
        self._faults.clear()

    def get(self, link: tuple[str, str]) -> tuple[LinkFault, float | None] | None:
        """With the seconds that are left of it, None where it does not end by itself."""
        fault, ends = self._faults.get(link, (None, 0.0))
        if fault is None or ends <= self._schedule.now:
            return None
        return fault, None if ends == math.inf else ends - self._schedule.now

    def blocks(self, link: tuple[str, str]) -> bool:
        found = self.get(link)
        return found is not None and found[0].block

    def copies(self, link: tuple[str, str]) -> list[float]:
        """What becomes of a frame: one delay in seconds for each copy that is sent on, none if it is lost.
        Frames stay in order, but for those that are to be overtaken."""
        found = self.get(link)
        if found is None:
            return [self._in_order(link, 0.0)]
        fault, chance = found[0], self._rng.random
        if fault.block or (fault.drop and chance() < fault.drop):
            return []
        delay = fault.delay_ms / 1000
        if fault.jitter_ms:
            delay = max(0.0, delay + (2 * chance() - 1) * fault.jitter_ms / 1000)
        if fault.reorder and chance() < fault.reorder:
            delays = [delay + REORDER_SECONDS]
        else:
            delays = [self._in_order(link, delay)]
        if fault.duplicate and chance() < fault.duplicate:
            delays.append(delays[0])
        return delays

    def _in_order(self, link: tuple[str, str], delay: float) -> float:
        """Also after the fault has ended: what it still holds back is not overtaken."""
        now = self._schedule.now
        release = self._last_release[link] = max(now + delay, self._last_release.get(link, 0.0))
        return release - now
