"""What the screens look like. ``pytest --snapshot-update`` accepts a change; look at it first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from textual.pilot import Pilot

from raftkv.tui.app import Dashboard
from raftkv.tui.ports import FeedItem
from raftkv.tui.view.tabs import TABS
from tests.tui.driving import LARGE, SMALL, TRIES, make_dashboard
from tests.tui.fakes import START, ScriptedFeed, process
from tests.tui.scenes import election, healthy

Compare = Callable[..., bool]


def settled(*keys: str, looked_up: bool = False) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Two polls: the first brings the script, by the second it is drawn. ``looked_up``: wait for what the
    screen then asks for, too."""

    async def run(pilot: Pilot[Any]) -> None:
        assert isinstance(pilot.app, Dashboard)
        feed = pilot.app.feed
        assert isinstance(feed, ScriptedFeed)
        for _ in range(TRIES):
            if feed.polls > 2:
                break
            await pilot.pause(0.01)
        await pilot.press(*keys)
        if looked_up:
            await pilot.pause()
            await pilot.app.workers.wait_for_complete()
            polls = feed.polls
            while feed.polls < polls + 2:
                await pilot.pause(0.01)
        await pilot.pause()

    return run


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
@pytest.mark.parametrize("number", range(1, len(TABS) + 1), ids=[tab.name for tab in TABS])
def test_screens(snap_compare: Compare, number: int, size: tuple[int, int]) -> None:
    assert snap_compare(
        make_dashboard(election()), terminal_size=size, run_before=settled("2", f"f{number}", looked_up=True)
    )


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
def test_dead_and_paused_nodes(snap_compare: Compare, size: tuple[int, int]) -> None:
    items: Sequence[FeedItem] = [
        *healthy(),
        process("n1", "exited", since=START - 12, exit_code=-9),
        process("n2", "paused", since=START - 4),
    ]
    assert snap_compare(make_dashboard(items), terminal_size=size, run_before=settled("space"))


@pytest.mark.parametrize("key", ["question_mark", "p", "q", "f"], ids=["help", "partition", "quit", "disk"])
def test_dialogs(snap_compare: Compare, key: str) -> None:
    assert snap_compare(make_dashboard(election()), terminal_size=SMALL, run_before=settled(key))


def test_too_small(snap_compare: Compare) -> None:
    assert snap_compare(make_dashboard(healthy()), terminal_size=(60, 16), run_before=settled())


def test_without_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(make_dashboard(election()), terminal_size=SMALL, run_before=settled("2"))


@pytest.mark.parametrize("number", [1, 3, 6], ids=["overview", "network", "timeline"])
def test_light(snap_compare: Compare, number: int) -> None:
    async def light(pilot: Pilot[Any]) -> None:
        pilot.app.theme = "textual-light"
        await settled("2", f"f{number}")(pilot)

    assert snap_compare(make_dashboard(election()), terminal_size=SMALL, run_before=light)


@pytest.mark.parametrize("number", [4, 8], ids=["logs", "verdict"])
def test_other_screens_without_colour(
    snap_compare: Compare, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    run = settled("2", f"f{number}", looked_up=True)
    assert snap_compare(make_dashboard(election()), terminal_size=SMALL, run_before=run)
