"""Quitting asks only when something is broken, says what, and offers to mend it."""

from __future__ import annotations

import pytest

from raftkv.tui.dialogs.quit import QuitDialog
from tests.tui.driving import session
from tests.tui.fakes import START, process
from tests.tui.scenes import NINE, election, healthy


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
async def test_quitting_a_healthy_cluster_asks_nothing(key: str) -> None:
    async with session(healthy()) as running:
        await running.pilot.press(key)
        await running.until(lambda: not running.app.is_running or running.app._exit)
    assert running.feed.closed


@pytest.mark.parametrize(
    ("owns", "wording"),
    [(True, "Quit stops the cluster."), (False, "Quit detaches: the cluster runs on like this.")],
)
async def test_quitting_says_what_is_still_broken(owns: bool, wording: str) -> None:
    dead = process("n1", "exited", since=START - 5, exit_code=-9)
    async with session([*election(), dead], owns_cluster=owns) as running:
        await running.press("q")
        assert isinstance(running.app.screen, QuitDialog)
        screen = running.screen()
        for text in ("✕ n2→n3 blocked  0:21 left", "◐ n3→n2 drops 5%", "☠ n1 down  0:05", wording):
            assert text in screen
        await running.press("ctrl+q")  # no second dialog over the first
        assert len(running.app.screen_stack) == 2
        await running.press("escape")
        assert not running.app._exit
        assert running.actions.calls == []


@pytest.mark.parametrize("way", ["key", "button"])
async def test_quit_as_it_is(way: str) -> None:
    async with session(election()) as running:
        await running.press("q")
        if way == "key":
            await running.pilot.press("q")
        else:
            await running.pilot.click("#quit")
        await running.until(lambda: running.app._exit)
        assert running.actions.calls == []


@pytest.mark.parametrize("way", ["key", "button"])
async def test_heal_and_quit(way: str) -> None:
    async with session(election()) as running:
        await running.press("q")
        if way == "key":
            await running.pilot.press("h")
        else:
            await running.pilot.click("#heal")
        await running.until(lambda: running.app._exit)
        assert running.actions.calls == [("heal_all",)]


async def test_a_failed_heal_does_not_quit() -> None:
    async with session(election()) as running:
        running.actions.fails = "n3 cannot be reached"
        await running.press("q", "h")
        await running.until_shown("n3 cannot be reached")
        assert not running.app._exit


async def test_many_faults_are_counted() -> None:
    names = NINE
    items = [process(name, "exited", since=START) for name in names]
    async with session(items, names) as running:
        await running.press("q")
        await running.until_shown("… and 1 more")
