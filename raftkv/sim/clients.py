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
        self.core = ClientCore(endpoints, rng)
        self._world = world
        self._alarm = Alarm(world.schedule, self._on_time)

    def now(self) -> float:
        return self._world.schedule.now

    def later(self, delay: float, action: Callable[[], None]) -> None:
        self._world.schedule.after(delay, action)

    def submit(self, call: Call) -> None:
        self.core.submit(call, self.now())
        self._flush()

    def arrive(self, endpoint: str, frame: bytes) -> None:
        self.core.on_frame(endpoint, frame, self.now())
        self._flush()

    def _on_time(self) -> None:
        self.core.on_time(self.now())
        self._flush()

    def _flush(self) -> None:
        for endpoint, frame in self.core.take_frames():
            self._world.send_to_node(self.name, endpoint, frame)
        self._alarm.set(self.core.next_timer(self.now()))
