"""The network between nodes, and between clients and nodes. Every link is directed.

``Weather`` happens to every frame; a *cut* blocks a set of links until it is lifted, and several
cuts may overlap. A frame is lost if its link is cut when it leaves or when it would arrive.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raftkv.sim.schedule import Action, Schedule

Link = tuple[str, str]
"""(sender, to)"""


@dataclass(frozen=True, slots=True)
class Weather:
    """Probabilities from 0 to 1, times in seconds."""

    latency: float = 0.0003
    jitter: float = 0.0002
    """Mean of an exponential share on top of ``latency``."""
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """Of overtaking what was sent before; all other frames of a link stay in order, as in a stream."""
    delay: float = 0.0
    """Of being held up for ``delay_seconds`` at most."""
    delay_seconds: float = 0.2


class Network:
    def __init__(self, schedule: Schedule, rng: random.Random, weather: Weather) -> None:
        self._schedule = schedule
        self._rng = rng
        self.weather = weather
        self._cuts: Counter[Link] = Counter()
        self._last_arrival: dict[Link, float] = {}
        self.counts: Counter[str] = Counter()
        """Of what was done to frames, by kind."""

    def send(self, sender: str, to: str, arrive: Action, stream: bool = False) -> None:
        """``stream``: nothing on this link is duplicated or overtaken. Clients rely on that, as TCP gives
        it to them: a second copy of a request could be refused when the first was taken, and say so."""
        link = (sender, to)
        weather, chance = self.weather, self._rng.random
        self.counts["sent"] += 1
        if self.is_cut(link):
            self.counts["blocked"] += 1
            return
        if weather.drop and chance() < weather.drop:
            self.counts["drop"] += 1
            return
        self._plan(link, arrive, stream)
        if weather.duplicate and not stream and chance() < weather.duplicate:
            self.counts["duplicate"] += 1
            self._plan(link, arrive, stream)

    def _plan(self, link: Link, arrive: Action, stream: bool) -> None:
        weather, rng = self.weather, self._rng
        when = self._schedule.now + weather.latency
        if weather.jitter:
            when += rng.expovariate(1 / weather.jitter)
        if weather.delay and rng.random() < weather.delay:
            self.counts["delay"] += 1
            when += rng.random() * weather.delay_seconds
        if weather.reorder and not stream and rng.random() < weather.reorder:
            self.counts["reorder"] += 1
        else:
            when = self._last_arrival[link] = max(when, self._last_arrival.get(link, 0.0))
        self._schedule.at(when, lambda: self._arrive(link, arrive))

    def _arrive(self, link: Link, arrive: Action) -> None:
        if self.is_cut(link):
            self.counts["blocked"] += 1
        else:
            arrive()

    # -- cuts

    def is_cut(self, link: Link) -> bool:
        return self._cuts[link] > 0

    def cut(self, links: Iterable[Link]) -> None:
        self._cuts.update(links)

    def lift(self, links: Iterable[Link]) -> None:
        """Undo one ``cut`` of these links."""
        self._cuts.subtract(links)

    def heal(self) -> None:
        self._cuts.clear()


def between(left: Sequence[str], right: Sequence[str]) -> list[Link]:
    """All links from one side to the other, both ways."""
    return [(a, b) for a in left for b in right] + [(b, a) for a in left for b in right]


def symmetric(names: Sequence[str], rng: random.Random) -> list[Link]:
    """Two sides that do not hear each other; one may be a majority, or neither."""
    sides = _halves(names, rng)
    return between(*sides)


def one_way(names: Sequence[str], rng: random.Random) -> list[Link]:
    """One side still hears the other, but is not heard."""
    left, right = _halves(names, rng)
    return [(a, b) for a in left for b in right]


def bridge(names: Sequence[str], rng: random.Random) -> list[Link]:
    """Two sides that share one node."""
    shuffled = _shuffled(names, rng)
    middle = 1 + (len(shuffled) - 1) // 2
    return between(shuffled[1:middle], shuffled[middle:])


def ring(names: Sequence[str], rng: random.Random) -> list[Link]:
    """Each node hears only the next and the one before: with five or more nobody hears a majority."""
    shuffled = _shuffled(names, rng)
    count = len(shuffled)
    return [
        (shuffled[a], shuffled[b])
        for a in range(count)
        for b in range(count)
        if a != b and (a - b) % count not in (1, count - 1)
    ]


def isolate(node: str, names: Sequence[str]) -> list[Link]:
    return between([node], [name for name in names if name != node])


def _halves(names: Sequence[str], rng: random.Random) -> tuple[list[str], list[str]]:
    shuffled = _shuffled(names, rng)
    size = rng.randrange(1, len(shuffled)) if len(shuffled) > 1 else 1
    return shuffled[:size], shuffled[size:]


def _shuffled(names: Sequence[str], rng: random.Random) -> list[str]:
    shuffled = list(names)
    rng.shuffle(shuffled)
    return shuffled
