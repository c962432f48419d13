"""A simulated run on the dashboard: what befalls it is told once, and a fork goes on from its moment as a run
would that had been played no further."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from raftkv.errors import RaftkvError
from raftkv.observe import LoadReport, NodeSnapshot
from raftkv.sim.swarm import Fault
from raftkv.sim.theatre import Theatre
from raftkv.tui import staging as stagings
from raftkv.tui.model import Item, RosterChanged, State, Stroke, initial, reduce_all
from raftkv.tui.staging import Staging

CALLS_MAX = 20_000


def stormy(seconds: float = 1.5) -> Theatre:
    """Seed 4 kills, cuts and pauses within the first second."""
    return Theatre(4, nodes=3, seconds=seconds)


class Shown:
    """As the dashboard: polls in turns, and reduces."""

    def __init__(self, theatre: Theatre) -> None:
        self.theatre = theatre
        theatre.speed = 1.0
        self.staging = Staging(theatre, theatre)
        self.state = initial(theatre.names())
        self.items: list[Item] = []

    def tick(self) -> None:
        names = tuple(self.theatre.names())
        if names != self.state.names:
            self.state = reduce_all(self.state, [RosterChanged(names)])
        found = self.staging.tick(0.05)
        self.items += found
        self.state = reduce_all(self.state, found)

    def until(self, condition: Callable[[], bool]) -> Shown:
        for _ in range(CALLS_MAX):
            if condition():
                return self
            self.tick()
        raise AssertionError("never")

    def to(self, moment: float) -> Shown:
        return self.until(lambda: self.theatre.now >= moment)

    def to_the_end(self) -> Shown:
        self.until(lambda: self.theatre.finished)
        self.tick()
        return self

    def fork(self, moment: float, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
        """``state``: what was known then. The thread sleeps here, and others tick meanwhile."""
        self.state = state
        self.items.clear()
        go = self.staging.fork(moment)
        monkeypatch.setattr(time, "sleep", lambda _: self.tick())
        go()
        monkeypatch.undo()
        assert self.theatre.now == moment
        assert self.items == []

    @property
    def news(self) -> list[Item]:
        """All but the reports of the load, whose moments are those at which somebody looked."""
        return [item for item in self.items if not isinstance(item, LoadReport)]

    @property
    def strokes(self) -> list[Stroke]:
        return [item for item in self.items if isinstance(item, Stroke)]


def numbers(state: State) -> list[object]:
    """Of each node, what it said last."""
    return [(node.name, node.snapshot, node.process, node.sequence) for node in state.nodes]


def test_strokes_are_told_once_and_so_is_the_end() -> None:
    shown = Shown(stormy()).to_the_end()
    told = shown.strokes
    befell = [(at, text) for at, text in shown.theatre.strokes]
    assert befell
    assert [(stroke.time, stroke.text) for stroke in told[:-1]] == befell
    assert [stroke.bad for stroke in told[:-1]] == [not text.startswith("end of ") for _, text in befell]
    end = told[-1]
    assert (end.text, end.bad, end.time) == (shown.theatre.verdict.splitlines()[0], False, shown.theatre.now)
    before = len(shown.items)
    shown.tick()
    assert not [item for item in shown.items[before:] if isinstance(item, Stroke)]


def test_a_violation_is_told_as_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Theatre, "violation", property(lambda _: "two leaders\nand more"))
    shown = Shown(stormy()).to_the_end()
    assert shown.strokes[-1].bad
    assert shown.strokes[-1].text.startswith("VIOLATION at ")
    assert "\n" not in shown.strokes[-1].text


def test_a_fork_goes_on_as_a_run_that_was_played_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 0.6
    fresh, forked = Shown(stormy()).to(moment), Shown(stormy())
    forked.to(moment)
    assert fresh.theatre.now == forked.theatre.now
    moment, known = forked.theatre.now, forked.state
    forked.to(1.2)
    forked.fork(moment, known, monkeypatch)
    assert replace(forked.state, load=None) == replace(fresh.state, load=None)
    for each in (fresh, forked):
        each.items.clear()
        each.theatre.kill("n1", None)
        each.to(1.3)
    assert forked.news == fresh.news
    assert replace(forked.state, load=None) == replace(fresh.state, load=None)
    assert forked.theatre.digest == fresh.theatre.digest
    for each in (fresh, forked):
        each.to_the_end()
    assert forked.news == fresh.news
    assert numbers(forked.state) == numbers(fresh.state)


def test_a_fork_from_the_end_tells_the_end_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(stormy())
    shown.to(0.5)
    moment, known = shown.theatre.now, shown.state
    shown.to_the_end()
    before = shown.strokes
    assert not shown.theatre.forks
    shown.fork(moment, known, monkeypatch)
    shown.theatre.pause("n2", 0.2)
    shown.to_the_end()
    after = shown.strokes
    assert before[-1].text != after[-1].text
    assert "with 1 actions by hand" in after[-1].text
    assert [stroke.text for stroke in after].count(after[-1].text) == 1
    assert all(stroke.time > moment for stroke in after)


def test_going_back_to_the_end_tells_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(stormy()).to_the_end()
    moment = shown.theatre.now
    shown.fork(moment, shown.state, monkeypatch)
    shown.tick()
    assert shown.strokes == []


def test_no_time_passes_on_the_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often somebody looks before the thread does: what comes after the moment is news."""
    shown = Shown(stormy()).to(0.9)
    shown.fork(0.4, shown.state, monkeypatch)
    go = shown.staging.fork(0.3)

    def look_often(_: float) -> None:
        for _ in range(50):
            shown.tick()

    monkeypatch.setattr(time, "sleep", look_often)
    go()
    assert shown.theatre.now == 0.3
    shown.tick()
    assert 0.3 < shown.theatre.now <= 0.35 + 1e-9
    assert all(item.time > 0.3 for item in shown.items if isinstance(item, NodeSnapshot))


class Stuck(Theatre):
    """Never comes anywhere."""

    @property
    def busy(self) -> bool:
        return True


def test_a_fork_that_does_not_come_there_says_so_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    theatre = Stuck(4, nodes=3, seconds=1.5, faults=list[Fault]())
    staging = Staging(theatre, theatre)
    monkeypatch.setattr(stagings, "FORK_SECONDS", -1.0)
    with pytest.raises(RaftkvError, match=r"did not come to 0\.500 s within"):
        staging.fork(0.5)()
    theatre.seek(0.0)
    found: Sequence[Item] = [item for _ in range(20) for item in staging.tick(0.5)]
    assert found


def test_a_moment_that_is_none_is_refused() -> None:
    shown = Shown(stormy()).to(0.2)
    with pytest.raises(RaftkvError, match="there is no moment"):
        shown.staging.fork(-1.0)()
    assert shown.staging.tick(0.5)
