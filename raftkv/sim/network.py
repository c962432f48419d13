"""The network between nodes, and between clients and nodes. Every link is directed.

``Weather`` happens to every frame; a *cut* blocks a set of links until it is lifted, and several
cuts may overlap. A frame is lost if its link is cut when it leaves or when it would arrive. What is done
to a single link by hand (``links``) comes on top of that.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raftkv.observe import shapes
from raftkv.observe.shapes import Link
from raftkv.sim.links import LinkFaults
from raftkv.sim.schedule import Action, Schedule


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
    def __init__(
        self,
        schedule: Schedule,
        rng: random.Random,
        weather: Weather,
        links_rng: random.Random | None = None,
    ) -> None:
        self._schedule = schedule
        self._rng = rng
        self.weather = weather
        self.faults = LinkFaults(schedule, links_rng or random.Random(0))
        self._cuts: Counter[Link] = Counter()
        self._last_arrival: dict[Link, float] = {}
        self.counts: Counter[str] = Counter()
        """Of what was done to frames, by kind."""

    def send(self, sender: str, to: str, arrive: Action, stream: bool = False) -> None:
        """``stream``: nothing on this link is duplicated or overtaken. Clients rely on that, as TCP gives
        it to them: a second copy of a request could be refused when the first was taken, and say so."""
        link = (sender, to)
        if not self.faults.any:
            self._send(link, arrive, stream)
            return
        for delay in self.faults.copies(link):
            self._schedule.after(delay, lambda: self._send(link, arrive, stream))

    def _send(self, link: Link, arrive: Action, stream: bool) -> None:
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
        return self._cuts.get(link, 0) > 0 or (self.faults.any and self.faults.blocks(link))

    def cut(self, links: Iterable[Link]) -> None:
        self._cuts.update(links)

    def lift(self, links: Iterable[Link]) -> None:
        """Undo one ``cut`` of these links; of one that was healed meanwhile nothing is left to be undone."""
        for link in links:
            if self._cuts[link] > 0:
                self._cuts[link] -= 1

    def heal(self) -> None:
        self._cuts.clear()
        self.faults.clear()


def symmetric(names: Sequence[str], rng: random.Random) -> list[Link]:
    """Two sides that do not hear each other; one may be a majority, or neither."""
    return shapes.between(*_halves(names, rng))


def one_way(names: Sequence[str], rng: random.Random) -> list[Link]:
    """One side still hears the other, but is not heard."""
    return shapes.one_way(*_halves(names, rng))


def bridge(names: Sequence[str], rng: random.Random) -> list[Link]:
    """Two sides that share one node."""
    shuffled = _shuffled(names, rng)
    return shapes.bridge(shuffled[0], shuffled)


def ring(names: Sequence[str], rng: random.Random) -> list[Link]:
    """Each node hears only the next and the one before."""
    return shapes.ring(_shuffled(names, rng))


def _halves(names: Sequence[str], rng: random.Random) -> tuple[list[str], list[str]]:
    shuffled = _shuffled(names, rng)
    size = rng.randrange(1, len(shuffled)) if len(shuffled) > 1 else 1
    return shuffled[:size], shuffled[size:]


def _shuffled(names: Sequence[str], rng: random.Random) -> list[str]:
    shuffled = list(names)
    rng.shuffle(shuffled)
    return shuffled
