"""Starting a dashboard on a script, waiting for what it shows, reading its screen."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from textual.pilot import Pilot

from raftkv.observe import LogEntry
from raftkv.tui.app import Dashboard
from raftkv.tui.pace import Pace
from raftkv.tui.ports import FeedItem
from raftkv.types import LogIndex, Term
from tests.tui.fakes import NOON, Clock, RecordingActions, ScriptedFeed, ScriptedLessons, ScriptedLookups
from tests.tui.scenes import NAMES

SMALL, LARGE = (80, 24), (160, 50)
TRIES = 400


def make_dashboard(
    items: Sequence[FeedItem] = (), names: Sequence[str] = NAMES, *, owns_cluster: bool = True
) -> Dashboard:
    """Clocks that stand still, so that the same script always draws the same screen."""
    feed = ScriptedFeed(names, items)
    app = Dashboard(
        feed,
        RecordingActions(),
        scripted_lookups(),
        ScriptedLessons(),
        owns_cluster=owns_cluster,
        clock=Clock(),
        wall=lambda: NOON,
    )
    app.pace = Pace(math.inf)  # however slow the machine is
    return app


def scripted_lookups() -> ScriptedLookups:
    """A few keys, and the end of every log of ``scenes.election``."""
    lookups = ScriptedLookups()
    lookups.rows = [(b"color/blue", b"BLUE", 1, 900), (b"color/red", b"RED", 1, 901)]
    for node, last in (("n1", 1042), ("n2", 1044), ("n3", 1038)):
        lookups.logs[node] = [
            LogEntry(
                LogIndex(index), Term(6 if index <= 1036 or node == "n3" else 7), "command", f"put k{index}=v"
            )
            for index in range(1000, last + 1)
        ]
    return lookups


@dataclass
class Session:
    app: Dashboard
    pilot: Pilot[None]
    feed: ScriptedFeed
    actions: RecordingActions
    clock: Clock
    lookups: ScriptedLookups
    lessons: ScriptedLessons

    def screen(self) -> str:
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(TRIES):
            if condition():
                return
            await self.pilot.pause(0.01)
        raise AssertionError(f"waited in vain, on the screen:\n{self.screen()}")

    async def until_shown(self, text: str) -> None:
        await self.until(lambda: text in self.screen())

    async def press(self, *keys: str) -> None:
        """Press, and wait until the actions that this began have come back."""
        await self.pilot.press(*keys)
        await self.app.workers.wait_for_complete()
        await self.pilot.pause()

    async def push(self, *items: FeedItem) -> None:
        polls = self.feed.polls
        self.feed.push(*items)
        await self.until(lambda: self.feed.polls > polls + 1)


@asynccontextmanager
async def session(
    items: Sequence[FeedItem] = (),
    names: Sequence[str] = NAMES,
    *,
    size: tuple[int, int] = SMALL,
    owns_cluster: bool = True,
) -> AsyncIterator[Session]:
    feed, actions, clock = ScriptedFeed(names, items), RecordingActions(), Clock()
    lookups, lessons = scripted_lookups(), ScriptedLessons()
    app = Dashboard(
        feed, actions, lookups, lessons, owns_cluster=owns_cluster, clock=clock, wall=lambda: NOON
    )
    app.pace = Pace(math.inf)
    async with app.run_test(size=size, notifications=True) as pilot:
        running = Session(app, pilot, feed, actions, clock, lookups, lessons)
        await running.until(lambda: feed.polls > 1)
        yield running
