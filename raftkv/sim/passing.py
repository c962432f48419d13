"""Time that passes until something holds, and that can be stopped between any two events.

A *phase* of a run is a generator: it yields what it waits for (``Until``) and is told whether that came.
``Play`` lets phases happen, all at once or a little at a time; the steps are the same either way, because
a condition is looked at exactly once after each of them: looking may start a node.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

from raftkv.sim.schedule import Schedule
from raftkv.sim.twin import Violation

STEPS_A_MOMENT_MAX = 10_000
"""A node that asks for a turn at once, for ever, stops time."""


@dataclass(frozen=True, slots=True)
class Until:
    """Let time pass until ``condition`` holds, ``seconds`` at most."""

    condition: Callable[[], Any]
    seconds: float


Phase = Generator[Until, bool, None]


class Unmet(Violation):
    """A healed cluster did not do in time what it owes. Says nothing where somebody broke it by hand."""


def never() -> bool:
    return False


class Passing:
    """One wait under way."""

    def __init__(self, schedule: Schedule, until: Until) -> None:
        self._schedule = schedule
        self._condition = until.condition
        self._deadline = schedule.now + until.seconds
        self._moment = schedule.now
        self._steps = 0
        """At one moment."""
        self._looked = False
        """Since the last step."""
        self.came = False
        """Whether the condition came to hold; known once ``advance`` has returned true."""

    def advance(self, until: float = math.inf, steps_max: float = math.inf) -> bool:
        """Let happen what is planned up to ``until``; whether the wait is over. Raises what steps raise."""
        schedule = self._schedule
        last = schedule.steps + steps_max
        while True:
            if not self._looked and self._look():
                return True
            when = schedule.next_time()
            if when is None or when > self._deadline:
                if until < self._deadline:
                    return False
                schedule.now = self._deadline
                self.came = bool(self._condition())
                return True
            if when > until or schedule.steps >= last:
                return False
            self._looked = False
            schedule.step()

    def _look(self) -> bool:
        if self._condition():
            self.came = True
            return True
        self._looked = True
        when = self._schedule.next_time()
        self._steps = self._steps + 1 if when == self._moment else 0
        self._moment = when if when is not None else self._moment
        if self._steps > STEPS_A_MOMENT_MAX:
            raise Violation(f"{self._steps:,} steps at {self._moment:.6f} s, and time does not pass")
        return False


class Play:
    """Phases under way, from the first to the last or to the first violation."""

    def __init__(self, schedule: Schedule, phases: Phase) -> None:
        self._schedule = schedule
        self._phases = phases
        self._passing: Passing | None = None
        self.finished = False
        self.violation: str | None = None
        """What was found; nothing happens after that."""
        self.unmet = False
        """It is of the kind that ``Unmet`` is."""

    def advance(self, until: float = math.inf, steps_max: float = math.inf) -> None:
        """Let happen what is planned up to ``until``, in virtual seconds. Never raises what it finds."""
        if self.finished:
            return
        try:
            self.finished = self._advance(until, self._schedule.steps + steps_max)
        except Violation as violation:
            self.violation, self.unmet = str(violation), isinstance(violation, Unmet)
        except Exception as error:
            # Whatever the code under test raises through a turn would have ended a node.
            self.violation = "".join(traceback.format_exception(error)).rstrip()
        self.finished = self.finished or self.violation is not None

    def _advance(self, until: float, last: float) -> bool:
        """Whether the last phase is over."""
        schedule = self._schedule
        if self._passing is None:
            self._passing = self._next(partial(next, self._phases))
        while self._passing and self._passing.advance(until, last - schedule.steps):
            self._passing = self._next(partial(self._phases.send, self._passing.came))
        return self._passing is None

    def _next(self, wait: Callable[[], Until]) -> Passing | None:
        """A ``StopIteration`` is the end here, and in a step of the schedule a bug of what is tested."""
        try:
            return Passing(self._schedule, wait())
        except StopIteration:
            return None
