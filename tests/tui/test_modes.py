"""The same screens over a recording and over a simulated run: their own keys, and what they refuse."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest
from textual.pilot import Pilot

from raftkv.sim.swarm import Fault
from raftkv.sim.theatre import Theatre
from raftkv.tui.app import Dashboard
from raftkv.tui.frame import Mode
from raftkv.tui.model import initial, reduce_all
from raftkv.tui.playback.files import RecordingFile, read_recording
from raftkv.tui.playback.replay import NoFeed
from raftkv.tui.playback.tape import Tape
from tests.tui.driving import SMALL, TRIES
from tests.tui.fakes import START, event, leader_snapshot, process
from tests.tui.scenes import NAMES, healthy


class Watched:
    """A dashboard of any mode, and its screen."""

    def __init__(self, app: Dashboard, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    def screen(self) -> str:
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    def mode(self) -> Mode:
        return self.app.viewer.mode

    async def until_shown(self, text: str, *, gone: bool = False) -> None:
        for _ in range(TRIES):
            if (text in self.screen()) is not gone:
                return
            await self.pilot.pause(0.05)
        raise AssertionError(f"waited in vain for {text!r}:\n{self.screen()}")

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.app.workers.wait_for_complete()
        await self.pilot.pause()


def recorded(folder: Path) -> Path:
    """Twenty seconds, three elections."""
    path = folder / "seen.rec"
    file = RecordingFile(path, NAMES, "a test", 0.0, 0.0)
    tape, state = Tape(NAMES), initial(NAMES)
    for second in range(21):
        now = START + second
        items = list(healthy()) if second == 0 else []
        if second in (5, 10, 15):
            term, head = 7 + second // 5, NAMES[second // 5 % 3]
            items += [
                event(second // 5, head, "RoleChanged", now, role="leader", term=term, reason="election-won"),
                leader_snapshot(head, time=now, term=term, boot=second),
            ]
        if second == 18:
            items.append(process("n1", "exited", since=now, exit_code=-9))
        if items:
            before, state = state, reduce_all(state, items)
            block = tape.add(now, items, before, state)
            if block:
                file.write(block)
    last = tape.seal()
    assert last
    file.write(last)
    file.close()
    return path


@asynccontextmanager
async def replayed(folder: Path) -> AsyncIterator[Watched]:
    found = read_recording(recorded(folder))
    app = Dashboard(
        NoFeed(found.state.names), None, owns_cluster=False, source=found.about.source, recording=found
    )
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        yield Watched(app, pilot)


@asynccontextmanager
async def simulated(seed: int = 3) -> AsyncIterator[Watched]:
    no_faults: list[Fault] = []
    theatre = Theatre(seed, nodes=3, faults=no_faults, lock=threading.RLock())
    app = Dashboard(
        theatre,
        theatre,
        theatre,
        owns_cluster=False,
        source=f"sim --seed {seed}",
        simulation=theatre,
        clock=lambda: theatre.now,
        wall=lambda: datetime(2000, 1, 1),
    )
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        yield Watched(app, pilot)


# -- a recording -------------------------------------------------------------------------------


async def test_a_replay_plays_stops_steps_and_jumps(tmp_path: Path) -> None:
    async with replayed(tmp_path) as running:
        await running.until_shown("REPLAY")
        await running.press("space")
        assert not running.app.viewer.playing
        await running.press("}")
        await running.until_shown("leader, term 8")
        await running.press("}", "}")
        await running.until_shown("leader, term 10")
        await running.press("{")
        await running.until_shown("leader, term 10", gone=True)
        await running.press("]")
        await running.until_shown("leader, term 10")
        await running.press("[")
        await running.until_shown("leader, term 10", gone=True)
        await running.press("escape")  # there is no present to return to
        await running.until_shown("REPLAY")


async def test_a_replay_plays_to_its_end_and_again(tmp_path: Path) -> None:
    async with replayed(tmp_path) as running:
        await running.press(">", ">", ">", ">")
        assert running.app.viewer.speed == 50.0
        await running.until_shown("☠ exit -9")
        await running.press("<")
        assert running.app.viewer.speed == 10.0
        for _ in range(TRIES):
            if not running.app.viewer.playing:
                break
            await running.pilot.pause(0.05)
        await running.press("space")
        await running.until_shown("☠ exit -9", gone=True)


@pytest.mark.parametrize("key", "kKtrzeTcfipohHLn")
async def test_nothing_in_a_recording_can_be_changed(tmp_path: Path, key: str) -> None:
    async with replayed(tmp_path) as running:
        await running.press("space", "}", key)
        await running.until_shown("this is a recording")


async def test_a_replay_is_exported_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.chdir(folder)
    async with replayed(tmp_path) as running:
        await running.press("E")
        for _ in range(TRIES):
            if len(list(folder.iterdir())) == 3:
                break
            await running.pilot.pause(0.05)
    exported = next(folder.glob("*.rec"))
    again = read_recording(exported)
    assert again.state.lines_total == read_recording(tmp_path / "seen.rec").state.lines_total


async def test_quitting_a_replay_asks_nothing(tmp_path: Path) -> None:
    async with replayed(tmp_path) as running:
        await running.pilot.press("q")
        for _ in range(TRIES):
            if running.app._exit:
                break
            await running.pilot.pause(0.05)
        assert running.app._exit


# -- a simulated run ---------------------------------------------------------------------------


async def test_a_simulated_run_plays_stops_and_steps() -> None:
    async with simulated() as running:
        await running.until_shown("SIMULATED")
        await running.until_shown("election won")
        await running.press("space")
        stood = running.app.clock()
        await running.pilot.pause(0.3)
        assert running.app.clock() == stood
        await running.press("]")
        for _ in range(TRIES):
            if running.app.clock() > stood:
                break
            await running.pilot.pause(0.05)
        assert running.app.clock() > stood
        await running.press("<")
        assert running.app.staging
        assert running.app.staging.simulation.speed == 0.1


async def test_a_run_is_forked_in_its_past() -> None:
    async with simulated() as running:
        await running.until_shown("election won")
        await running.press("space", "{")
        assert running.mode() is Mode.FROZEN
        await running.press("[", "k")
        await running.until_shown("sim --seed 3, at ")
        assert running.mode() is Mode.SIMULATED
        await running.until_shown("☠ exit -9")


async def test_whoever_is_down_now_can_be_broken_at_a_moment_at_which_it_was_up() -> None:
    """It said 'n1 is down', though the run was about to be played anew up to a moment long before that."""
    async with simulated() as running:
        await running.until_shown("election won")
        await running.press("k")
        await running.until_shown("☠ exit -9")
        await running.press("space", "{", "i")
        await running.until_shown("s: isolate n1 --for")
        assert running.mode() is Mode.SIMULATED


async def test_the_data_and_logs_of_a_simulated_run_can_be_looked_up() -> None:
    async with simulated() as running:
        await running.press(">", ">", ">", ">")
        await running.press("f5")
        await running.until_shown("keys: ")
        await running.press("f4")
        await running.until_shown("put k")
