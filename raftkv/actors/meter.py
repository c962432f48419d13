"""How often something happened and how long it took lately."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 1.0
SAMPLES_MAX = 512
"""Bounds the memory of a meter, and what sorting it costs ten times a second."""


class Meter:
    __slots__ = ("_samples", "total")

    def __init__(self) -> None:
        self.total = 0
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES_MAX)

    def record(self, now: float, seconds: float, count: int = 1) -> None:
        """One sample that stands for ``count`` things."""
        self.total += count
        self._samples.append((now, seconds))

    def quantiles_ms(self, now: float) -> tuple[float, float]:
        """(p50, p99) of the last second's samples in milliseconds; zeros when there are none."""
        recent = sorted(seconds for time, seconds in self._samples if now - time <= WINDOW_SECONDS)
        if not recent:
            return 0.0, 0.0
        return (
            round(recent[len(recent) // 2] * 1000, 3),
            round(recent[min(len(recent) - 1, int(len(recent) * 0.99))] * 1000, 3),
        )
