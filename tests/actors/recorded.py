"""An actor's surroundings, for tests of a single one."""

from __future__ import annotations

import random
from typing import Any


class Recorded:
    """A context that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.random = random.Random(1)
        self.delays: list[float] = []
        """Of the timers that were set."""

    def now(self) -> float:
        return 0.0

    def send(self, to: str, message: Any) -> None:
        self.sent.append((to, message))

    def fresh_now(self) -> float:
        return self.now()

    def lease_now(self) -> float:
        return self.now()

    def true_now(self) -> float:
        return self.now()

    def set_true_timer(self, to: str, delay: float, message: Any) -> None:
        self.set_timer(to, delay, message)

    def set_timer(self, to: str, delay: float, message: Any) -> None:
        del to, message
        self.delays.append(delay)

    def of(self, kind: type) -> list[Any]:
        return [message for _, message in self.sent if isinstance(message, kind)]
