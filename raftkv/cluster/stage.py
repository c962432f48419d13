"""The stage that ``client.users`` stand on, on real sockets. One thread owns it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raftkv import clock
from raftkv.client.calls import Call
from raftkv.client.transport import Transport
from raftkv.keys import Key

PUMP_SECONDS = 0.02
"""At most until timers are looked at again."""


@dataclass(frozen=True, slots=True)
class LoadHabits:
    """Implements ``client.users.Habits``."""

    keys: int
    rest_seconds: float = 0.004
    request_timeout: float = 1.5
    read_share: float = 0.4
    burst_share: float = 0.02
    pinned_share: float = 0.3


class SocketStage:
    """Implements ``client.users.Stage``. Its timers are those of the users: a few each."""

    def __init__(self, endpoints: Sequence[str], seed: int | None = None, key: Key | None = None) -> None:
        self._transport = Transport(endpoints, seed, key)
        self.core = self._transport.core
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_count = 0

    def now(self) -> float:
        return clock.now()

    def later(self, delay: float, action: Callable[[], None]) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (self.now() + delay, self._timer_count, action))

    def submit(self, call: Call) -> None:
        self.core.submit(call, self.now())

    def work(self, until: float) -> None:
        """Let everybody work until then, in seconds of ``now``."""
        while (now := self.now()) < until:
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
            wait = min(PUMP_SECONDS, until - now)
            if self._timers:
                wait = min(wait, max(0.0, self._timers[0][0] - now))
            self._transport.pump(wait)

    def close(self) -> None:
        self._transport.close()
