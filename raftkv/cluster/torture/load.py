"""Users on real sockets: the stage that ``client.users`` stand on, in one thread."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raftkv.client.calls import Call
from raftkv.client.transport import Transport
from raftkv.client.users import User
from raftkv.history import Op, Recorder, Result
from raftkv.kv.commands import Code

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


class Load:
    """``work`` lets the users work; ``history`` holds what they did. One thread owns it."""

    def __init__(self, endpoints: Sequence[str], users: int, habits: LoadHabits, rng: random.Random) -> None:
        self._transport = Transport(endpoints, rng.getrandbits(32))
        self.core = self._transport.core
        self.history = Recorder()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_count = 0
        self._last_write = self.now()
        self.writes = 0
        self.longest_gap = 0.0
        """Seconds without a successful write."""
        self._keys = habits.keys
        self._users = [
            User(
                number,
                self,
                habits,
                random.Random(rng.getrandbits(64)),
                self.history,
                self._on_write,
                endpoints,
            )
            for number in range(users)
        ]

    # -- the stage

    def now(self) -> float:
        return time.monotonic()

    def later(self, delay: float, action: Callable[[], None]) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (self.now() + delay, self._timer_count, action))

    def submit(self, call: Call) -> None:
        self.core.submit(call, self.now())

    # -- the play

    def begin(self) -> None:
        self._last_write = self.now()
        for user in self._users:
            user.begin()

    def work(self, until: float) -> None:
        """Let them work until then, in seconds of ``now``."""
        while (now := self.now()) < until:
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
            wait = min(PUMP_SECONDS, until - now)
            if self._timers:
                wait = min(wait, max(0.0, self._timers[0][0] - now))
            self._transport.pump(wait)

    def rest(self, seconds: float) -> None:
        """Nothing new is asked; let what is open come to an end, which it does by itself in time."""
        self._note_gap(self.now())
        for user in self._users:
            user.resting = True
        deadline = self.now() + seconds
        while any(user.busy for user in self._users) and self.now() < deadline:
            self.work(self.now() + PUMP_SECONDS)

    def last_words(self, seconds: float) -> list[str]:
        """A write by everybody and a read of every key go into the history; which were not served."""
        deadline = self.now() + seconds
        unserved = [
            f"a write of user {number}"
            for number, user in enumerate(self._users)
            if not self._insist(user, Op.PUT, "last", deadline, f"last.{number}")
        ]
        keys = ["last", *(f"k{number}" for number in range(self._keys))]
        reader = self._users[0]
        return unserved + [
            f"a read of {key}" for key in keys if not self._insist(reader, Op.GET, key, deadline)
        ]

    def _insist(self, user: User, op: Op, key: str, deadline: float, value: str | None = None) -> bool:
        """Ask until it is answered well. Each attempt is one more request, and stands in the history."""
        attempt = 0
        while self.now() < deadline:
            attempt += 1
            user.ask(op, key, value and f"{value}.{attempt}")
            while user.busy:
                self.work(self.now() + PUMP_SECONDS)
            if user.last is Result.OK:
                return True
        return False

    def close(self) -> None:
        self._transport.close()

    def _on_write(self, client_id: int, sequence: int, code: int, revision: int) -> None:
        del client_id, sequence, revision
        if code == Code.OK:
            now = self.now()
            self.writes += 1
            self._note_gap(now)
            self._last_write = now

    def _note_gap(self, now: float) -> None:
        self.longest_gap = max(self.longest_gap, now - self._last_write)
