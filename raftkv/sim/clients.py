"""A client of a simulated world: the real ``ClientCore``, driven by the schedule."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from raftkv.client.calls import Call
from raftkv.client.core import ClientCore
from raftkv.sim.schedule import Alarm, Schedule


class Surroundings(Protocol):
    schedule: Schedule

    def send_to_node(self, sender: str, endpoint: str, frame: bytes) -> None: ...


class SimClient:
    """Implements ``client.users.Stage``."""

    def __init__(self, world: Surroundings, name: str, endpoints: Sequence[str], rng: random.Random) -> None:
        self.name = name
        self.given = frozenset(endpoints)
        self.core = ClientCore(endpoints, rng)
        self._world = world
        self._frozen_until = 0.0
        self._alarm = Alarm(world.schedule, self._on_time)

    def now(self) -> float:
        return self._world.schedule.now

    def later(self, delay: float, action: Callable[[], None]) -> None:
        def ring() -> None:
            if self._frozen_until > self.now():
                self._world.schedule.at(self._frozen_until, ring)
            else:
                action()

        self._world.schedule.after(delay, ring)

    def submit(self, call: Call) -> None:
        self.act(lambda core, now: core.submit(call, now))

    def act(self, action: Callable[[ClientCore, float], None]) -> None:
        action(self.core, self.now())
        self._flush()

    def freeze(self, seconds: float) -> None:
        """Its process stands still: what arrives waits, and so does everything that is due."""
        self._frozen_until = self.now() + seconds

    def arrive(self, endpoint: str, frame: bytes) -> None:
        if self._frozen_until > self.now():
            self._world.schedule.at(self._frozen_until, lambda: self.arrive(endpoint, frame))
            return
        self.act(lambda core, now: core.on_frame(endpoint, frame, now))

    def _on_time(self) -> None:
        if self._frozen_until > self.now():
            self._alarm.set(self._frozen_until)
            return
        self.act(lambda core, now: core.on_time(now))

    def _flush(self) -> None:
        for endpoint, frame in self.core.take_frames():
            self._world.send_to_node(self.name, endpoint, frame)
        self._alarm.set(self.core.next_timer(self.now()))
