"""The users of a torture, and what they must have been served at its end."""

from __future__ import annotations

import random
from collections.abc import Sequence

from raftkv.client.users import User
from raftkv.cluster.stage import PUMP_SECONDS, LoadHabits, SocketStage
from raftkv.history import Op, Recorder, Result
from raftkv.kv.commands import Code


class Load(SocketStage):
    """``work`` lets the users work; ``history`` holds what they did. One thread owns it."""

    def __init__(self, endpoints: Sequence[str], users: int, habits: LoadHabits, rng: random.Random) -> None:
        super().__init__(endpoints, rng.getrandbits(32))
        self.history = Recorder()
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

    def begin(self) -> None:
        self._last_write = self.now()
        for user in self._users:
            user.begin()

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

    def _on_write(self, client_id: int, sequence: int, code: int, revision: int) -> None:
        del client_id, sequence, revision
        if code == Code.OK:
            now = self.now()
            self.writes += 1
            self._note_gap(now)
            self._last_write = now

    def _note_gap(self, now: float) -> None:
        self.longest_gap = max(self.longest_gap, now - self._last_write)
