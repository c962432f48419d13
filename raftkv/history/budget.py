"""How long a check may take: in steps, which are the same on every machine, and in seconds of a clock
that the caller hands in. Whoever spends both is told the same thing: stop."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds, from any origin, never backwards."""

SLICE_STEPS = 256
"""Between two looks at the clock: some milliseconds."""


class Spent(Exception):
    """The budget has ended in the middle of something that makes no steps."""


class Budget:
    def __init__(
        self, *, steps: int | None = None, seconds: float | None = None, clock: Clock | None = None
    ) -> None:
        """None means without bound. ``seconds`` needs a clock."""
        assert seconds is None or clock is not None, "seconds of which clock?"
        self.steps_left = steps
        self._clock = clock
        self._deadline = None if seconds is None or clock is None else clock() + seconds

    def seconds_left(self) -> float | None:
        if self._deadline is None or self._clock is None:
            return None
        return max(0.0, self._deadline - self._clock())

    def is_spent(self) -> bool:
        return self.steps_left == 0 or self.seconds_left() == 0

    def check(self) -> None:
        """Raises ``Spent``."""
        if self.is_spent():
            raise Spent

    def slice(self) -> int:
        """How many steps may be taken before ``take`` is called."""
        return SLICE_STEPS if self.steps_left is None else min(SLICE_STEPS, self.steps_left)

    def take(self, steps: int) -> None:
        if self.steps_left is not None:
            self.steps_left = max(0, self.steps_left - steps)

    def share(self, part: float, *, steps_max: int, seconds_max: float) -> Budget:
        """Another budget, of a part of what is left and no more than the bounds."""
        steps = steps_max if self.steps_left is None else min(steps_max, int(self.steps_left * part))
        left = self.seconds_left()
        if left is None or self._clock is None:
            return Budget(steps=steps)
        return Budget(steps=steps, seconds=min(seconds_max, left * part), clock=self._clock)
