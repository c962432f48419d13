"""What the screens look like. ``pytest --snapshot-update`` accepts a change; look at it first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from textual.pilot import Pilot

from raftkv.tui.app import Dashboard
from raftkv.tui.ports import FeedItem
from tests.tui.driving import LARGE, SMALL, TRIES, make_dashboard
from tests.tui.fakes import START, ScriptedFeed, process
from tests.tui.scenes import election, healthy

Compare = Callable[..., bool]


def settled(*keys: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Two polls: the first brings the script, by the second it is drawn."""

    async def run(pilot: Pilot[Any]) -> None:
        assert isinstance(pilot.app, Dashboard)
        feed = pilot.app.feed
        assert isinstance(feed, ScriptedFeed)
        for _ in range(TRIES):
            if feed.polls > 2:
                break
            await pilot.pause(0.01)
        await pilot.press(*keys)
        await pilot.pause()

    return run


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
def test_an_election(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(make_dashboard(election()), terminal_size=size, run_before=settled("2"))


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
def test_dead_and_paused_nodes(snap_compare: Compare, size: tuple[int, int]) -> None:
    items: Sequence[FeedItem] = [
        *healthy(),
        process("n1", "exited", since=START - 12, exit_code=-9),
        process("n2", "paused", since=START - 4),
    ]
    assert snap_compare(make_dashboard(items), terminal_size=size, run_before=settled("space"))


@pytest.mark.parametrize("key", ["question_mark", "p", "q"], ids=["help", "partition", "quit"])
def test_dialogs(snap_compare: Compare, key: str) -> None:
    assert snap_compare(make_dashboard(election()), terminal_size=SMALL, run_before=settled(key))


def test_too_small(snap_compare: Compare) -> None:
    assert snap_compare(make_dashboard(healthy()), terminal_size=(60, 16), run_before=settled())


def test_without_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(make_dashboard(election()), terminal_size=SMALL, run_before=settled("2"))
