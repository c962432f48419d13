"""Which moment is shown: the present, the past, and the place of a replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from raftkv.tui.frame import Mode
from raftkv.tui.model import CommandDone, Item, initial, reduce_all
from raftkv.tui.playback.tape import Tape
from raftkv.tui.viewing import SPEEDS, Viewer, other_speed
from tests.tui.fakes import NOON, event, snapshot
from tests.tui.scenes import NAMES

FIRST, LAST = 100.0, 120.0


def elected(sequence: int, node: str, term: int, time: float) -> Item:
    return event(sequence, node, "RoleChanged", time, role="leader", term=term, reason="election-won")


Frames = Sequence[tuple[float, Sequence[Item]]]
FRAMES: Frames = [
    (100.0, [snapshot("n1", time=100.0)]),
    (101.0, [CommandDone(101.0, "one")]),
    (104.0, [elected(1, "n1", 1, 104.0)]),
    (106.0, [CommandDone(106.0, "three")]),
    (110.0, [elected(9, "n1", 2, 110.0)]),  # seven were missed: a line of its own before it
    (112.0, [CommandDone(112.0, "six")]),
    (115.0, [elected(1, "n2", 3, 115.0)]),
    (120.0, [CommandDone(120.0, "eight")]),
]


class Cluster:
    """A tape that hears, and what is known now."""

    def __init__(
        self, mode: Mode = Mode.LIVE, frames: Sequence[tuple[float, Sequence[Item]]] = FRAMES
    ) -> None:
        self.state = initial(NAMES)
        self.tape = Tape(NAMES)
        self.now = FIRST
        for now, items in frames:
            self.hear(now, *items)
        self.viewer = Viewer(self.tape, NOON, mode)

    def hear(self, now: float, *items: Item) -> None:
        before, self.state = self.state, reduce_all(self.state, items)
        self.tape.add(now, items, before, self.state)
        self.now = now

    @property
    def shown(self) -> tuple[str, float]:
        state, now = self.viewer.moment(self.state, self.now)
        return (state.lines[-1].text if state.lines else ""), now

    @property
    def position(self) -> float:
        return self.viewer.times(self.now).position


def test_the_present() -> None:
    cluster = Cluster()
    assert cluster.viewer.mode is Mode.LIVE
    assert cluster.viewer.moment(cluster.state, 121.5) == (cluster.state, 121.5)
    times = cluster.viewer.times(121.5)
    assert (times.start, times.end, times.position, times.mode) == (FIRST, 121.5, 121.5, Mode.LIVE)
    assert times.wall(1.5).second == 1


@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.SIMULATED])
def test_a_frozen_view_stands_while_the_cluster_goes_on(mode: Mode) -> None:
    cluster = Cluster(mode)
    cluster.viewer.toggle()
    assert cluster.viewer.mode is Mode.FROZEN
    shown = cluster.shown
    assert shown == ("eight", LAST)
    cluster.hear(130.0, CommandDone(130.0, "nine"))
    assert cluster.shown == shown
    assert cluster.viewer.times(130.5).end == 130.5
    assert cluster.position == LAST
    cluster.viewer.toggle()
    assert cluster.viewer.mode is mode
    assert cluster.shown == ("nine", 130.0)
    cluster.viewer.seek(104.5)
    cluster.viewer.present()
    assert cluster.viewer.mode is mode


def test_time_does_not_pass_for_a_frozen_view() -> None:
    cluster = Cluster()
    cluster.viewer.seek(105.0)
    cluster.viewer.advance(10.0)
    assert cluster.shown == ("leader, term 1: election won", 105.0)


def test_seeking_is_bounded_by_what_is_known() -> None:
    cluster = Cluster()
    for time, position in ((0.0, FIRST), (1e9, LAST), (103.9, 103.9)):
        cluster.viewer.seek(time)
        assert cluster.position == position
    assert cluster.shown[0] == "one"


def test_steps_back_and_on_reach_every_line() -> None:
    cluster = Cluster()
    back = []
    for _ in range(9):
        cluster.viewer.step(-1)
        back.append(cluster.shown)
    told = [(items[-1], now) for now, items in FRAMES]
    moments = [now for _, now in told][:-1]
    assert [now for _, now in back] == [*reversed(moments), FIRST, FIRST]
    on = []
    for _ in range(9):
        cluster.viewer.step(1)
        on.append(cluster.shown[1])
    assert on == [*moments[1:], LAST, LAST, LAST]
    assert cluster.viewer.mode is Mode.FROZEN


def test_steps_of_several_lines() -> None:
    cluster = Cluster()
    cluster.viewer.step(-5)
    assert cluster.shown == ("three", 106.0)
    cluster.viewer.step(-100)
    assert cluster.shown == ("", FIRST)
    cluster.viewer.step(100)
    assert cluster.shown == ("eight", LAST)


def test_elections_from_the_present() -> None:
    cluster = Cluster()
    viewer = cluster.viewer
    assert not viewer.election(1)
    assert viewer.mode is Mode.LIVE
    found = []
    while viewer.election(-1):
        found.append(cluster.shown)
    assert found == [
        (f"leader, term {term}: election won", time) for term, time in ((3, 115.0), (2, 110.0), (1, 104.0))
    ]
    assert cluster.shown == found[-1]
    assert [viewer.election(1) for _ in range(3)] == [True, True, False]
    assert cluster.shown == found[0]


def test_elections_from_the_past() -> None:
    cluster = Cluster()
    cluster.viewer.seek(107.0)
    assert cluster.viewer.election(1)
    assert cluster.position == 110.0
    cluster.viewer.seek(107.0)
    assert cluster.viewer.election(-1)
    assert cluster.position == 104.0
    cluster.viewer.seek(103.0)
    assert not cluster.viewer.election(-1)
    assert cluster.position == 103.0


def test_no_election_at_all() -> None:
    cluster = Cluster(frames=FRAMES[:2])
    assert not cluster.viewer.election(-1)
    assert not cluster.viewer.election(1)
    assert cluster.viewer.mode is Mode.LIVE


def test_going_to_a_line() -> None:
    cluster = Cluster()
    shown = cluster.state
    assert cluster.viewer.go_to(shown.lines[2])
    assert cluster.shown == ("three", 106.0)
    earlier, _ = cluster.viewer.moment(cluster.state, cluster.now)
    assert cluster.viewer.go_to(earlier.lines[0])
    assert cluster.shown == ("one", 101.0)
    cluster.viewer.present()
    missed = replace(shown.lines[2], number=0)
    assert not cluster.viewer.go_to(replace(missed, time=50.0)), "nobody looked at that moment"
    assert cluster.viewer.mode is Mode.LIVE
    assert cluster.viewer.go_to(replace(missed, time=106.5))
    assert cluster.position == 106.5


def test_before_anything_was_heard() -> None:
    cluster = Cluster(frames=[])
    times = cluster.viewer.times(50.0)
    assert (times.start, times.end, times.position) == (50.0, 50.0, 50.0)
    cluster.viewer.toggle()
    cluster.viewer.step(-1)
    cluster.viewer.step(1)
    assert cluster.viewer.mode is Mode.FROZEN
    assert cluster.shown[0] == ""


def test_a_run_that_begins_at_nought_begins_there() -> None:
    cluster = Cluster(Mode.SIMULATED, [(0.0, [CommandDone(0.0, "one")]), (9.0, [CommandDone(9.0, "two")])])
    assert cluster.viewer.times(10.0).start == 0.0


# -- a replay


def replay() -> Cluster:
    cluster = Cluster()
    cluster.tape.seal()
    cluster.viewer = Viewer(cluster.tape, NOON, Mode.REPLAY)
    return cluster


def test_a_replay_plays_from_its_start_to_its_end_and_stops() -> None:
    cluster = replay()
    viewer = cluster.viewer
    assert (viewer.mode, viewer.playing, cluster.position) == (Mode.REPLAY, True, FIRST)
    for second in range(1, 20):
        viewer.advance(1.0)
        assert cluster.position == FIRST + second
        assert viewer.playing
    viewer.advance(1.0)
    assert (viewer.playing, cluster.shown) == (False, ("eight", LAST))
    viewer.advance(5.0)
    assert cluster.position == LAST
    times = viewer.times(9999.0, playing=True, speed=7.0)
    assert (times.start, times.end, times.playing, times.speed) == (FIRST, LAST, False, 1.0)


def test_a_replay_at_its_end_plays_again_from_the_start() -> None:
    cluster = replay()
    cluster.viewer.advance(100.0)
    cluster.viewer.toggle()
    assert (cluster.viewer.playing, cluster.position) == (True, FIRST)
    cluster.viewer.advance(4.5)
    assert cluster.shown[0] == "leader, term 1: election won"
    cluster.viewer.toggle()
    cluster.viewer.advance(4.5)
    assert (cluster.viewer.playing, cluster.position) == (False, 104.5)
    cluster.viewer.toggle()
    assert (cluster.viewer.playing, cluster.position) == (True, 104.5)


def test_a_replay_that_is_stepped_stands_still() -> None:
    cluster = replay()
    cluster.viewer.step(1)
    assert (cluster.viewer.playing, cluster.shown) == (False, ("one", 101.0))
    cluster.viewer.present()
    assert cluster.viewer.mode is Mode.REPLAY
    assert cluster.viewer.election(1)
    assert cluster.shown[1] == 104.0
    assert not cluster.viewer.election(-1)


def test_speeds() -> None:
    cluster = replay()
    cluster.viewer.change_speed(2)
    cluster.viewer.advance(1.0)
    assert cluster.position == FIRST + 5.0
    for _ in range(20):
        cluster.viewer.change_speed(-1)
    assert cluster.viewer.speed == SPEEDS[0]
    cluster.viewer.change_speed(100)
    assert cluster.viewer.speed == SPEEDS[-1]
    assert [other_speed(speed, 0) for speed in SPEEDS] == list(SPEEDS)
    assert other_speed(0.3, 1) == 0.5
    assert other_speed(700.0, -1) == 10.0
