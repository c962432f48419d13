"""Time in a simulated world: what happens next, and when.

Events are ordered by (time, sequence): two events at one moment happen in the order in which they
were planned, never in the order of a hash.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

Action = Callable[[], None]

TRUE_RATE = 1.0
ROUNDING_SECONDS = 1e-7
"""Added when a node's time is converted to the world's: a timer that comes out a rounding error too
early would be asked for again at the same moment, for ever."""


class Schedule:
    """Everything that is planned. Time stands still between two events."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the world began."""
        self.steps = 0
        self._planned: list[tuple[float, int, Action]] = []
        self._sequence = 0

    def at(self, when: float, action: Action) -> None:
        self._sequence += 1
        heapq.heappush(self._planned, (max(when, self.now), self._sequence, action))

    def after(self, delay: float, action: Action) -> None:
        self.at(self.now + delay, action)

    def step(self) -> None:
        """Let the next event happen."""
        self.now, _, action = heapq.heappop(self._planned)
        self.steps += 1
        action()

    def next_time(self) -> float | None:
        return self._planned[0][0] if self._planned else None


class Alarm:
    """One action with at most one time set: setting it again replaces what was set before."""

    def __init__(self, schedule: Schedule, action: Action) -> None:
        self._schedule = schedule
        self._action = action
        self._generation = 0
        self._due: float | None = None

    def set(self, when: float) -> None:
        """Later than what is set already: nothing changes until then, so callers must ask again."""
        if self._due is not None and self._due <= when:
            return
        self._due = when
        self._generation += 1
        generation = self._generation
        self._schedule.at(when, lambda: self._ring(generation))

    def _ring(self, generation: int) -> None:
        if generation == self._generation:
            self._due = None
            self._action()


class VirtualClock:
    """A node's own clock: it starts anywhere and may run too fast or too slow, but never backwards."""

    def __init__(self, schedule: Schedule, start: float) -> None:
        self._schedule = schedule
        self._true, self._mine = schedule.now, start
        self.rate = TRUE_RATE

    def __call__(self) -> float:
        return self._mine + (self._schedule.now - self._true) * self.rate

    def set_rate(self, rate: float) -> None:
        self._true, self._mine = self._schedule.now, self()
        self.rate = rate

    def true_time(self, mine: float) -> float:
        """When, in the world's time, this clock will show ``mine``."""
        return self._true + (mine - self._mine) / self.rate + ROUNDING_SECONDS
