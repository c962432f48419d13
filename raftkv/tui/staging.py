"""A simulated run on the dashboard: its time, what befalls it, and how it is forked.

Whoever looks at the past of a run and then breaks something there makes another course of things of it:
the seed is played anew up to that moment, which takes a while and happens in the action's own thread, and
what was seen of it later is forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from raftkv.errors import RaftkvError
from raftkv.tui.model import Item, Stroke
from raftkv.tui.ports import Feed, Simulation

POLL_SECONDS = 0.005
FORK_SECONDS = 120.0
"""To play a seed anew; ten seconds of it take about two."""


class Staging:
    def __init__(self, simulation: Simulation, feed: Feed) -> None:
        self.simulation = simulation
        self._feed = feed
        self._stroke = 0.0
        """The moment of the last stroke that was told."""
        self._ended = False
        self._forking = False

    def tick(self, seconds: float) -> list[Item]:
        """Let so much time of the one who looks pass; what that brought."""
        # On the way back only what was asked for happens, or the run would be past it already.
        self.simulation.advance(0.0 if self._forking else seconds)
        return [] if self._forking else self._news()

    def fork(self, moment: float) -> Callable[[], None]:
        """What brings the run back to ``moment``; to be called in a thread, while ``tick`` goes on."""
        self._forking = True
        self._stroke = moment

        def go() -> None:
            try:
                self.simulation.seek(moment)
                deadline = time.monotonic() + FORK_SECONDS
                while self.simulation.busy:
                    if time.monotonic() > deadline:
                        raise RaftkvError(f"the run did not come to {moment:.3f} s within {FORK_SECONDS:g} s")
                    time.sleep(POLL_SECONDS)
                while self._feed.poll():
                    pass  # how it came to that is on the tape already
                self._ended = self.simulation.finished
            finally:
                self._forking = False

        return go

    def _news(self) -> list[Item]:
        items: list[Item] = list(self._feed.poll())
        fresh = [(at, text) for at, text in self.simulation.strokes if at > self._stroke]
        if fresh:
            self._stroke = fresh[-1][0]
            items += [Stroke(at, text, bad=not text.startswith("end of ")) for at, text in fresh]
        if not self._ended and self.simulation.finished:
            self._ended = True
            first = self.simulation.verdict.splitlines()[0]
            items.append(Stroke(self.simulation.now, first, bad=self.simulation.violation is not None))
        return items
