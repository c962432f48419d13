"""Faults that an operator sets: what they do, how they show, when they end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from raftkv.actors import peers
from raftkv.actors.system import System
from raftkv.types import NodeId
from raftkv.wire.control import decode_response
from tests.support.world import World


class Wire:
    """A port that keeps what is sent."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def receive(self, frames_max: int, bytes_max: int = 0) -> list[list[bytes]]:
        del frames_max
        return []

    def send(self, frame: Sequence[bytes]) -> bool:
        self.frames.append(frame[-1])
        return True

    def close(self) -> None: ...

    @property
    def ours(self) -> list[int]:
        return [int(frame[3:]) for frame in self.frames if frame.startswith(b"our")]


def shown(world: World, name: str) -> tuple[str, ...]:
    return world.node(name).status.snapshot().faults


def lines(world: World, name: str, *words: str) -> list[str]:
    return [line for line in world.lines[name] if any(word in line for word in words)]


def test_a_fault_of_the_disk_shows_its_time_and_ends_by_itself() -> None:
    world = World()
    world.await_leader()
    world.control("n1", "disk", slow_ms=50, seconds=12)
    world.run(0.2)
    assert shown(world, "n1") == ("disk slower by 50 ms, 12 s left",)
    world.run(5.0)
    assert shown(world, "n1") == ("disk slower by 50 ms, 7 s left",)
    world.run(7.0)
    assert shown(world, "n1") == ()
    assert lines(world, "n1", "disk") == ["disk slower by 50 ms for 12 s", "disk healed (time is up)"]


def test_a_fault_of_the_clock_ends_when_the_operators_time_is_up_not_the_nodes() -> None:
    world = World()
    world.await_leader()
    for name, rate in (("n1", 0.1), ("n2", 10.0)):
        world.control(name, "clock", rate=rate, seconds=5)
        world.control(name, "link", to="n3", drop=0.1, seconds=5)
        world.run(4.8)
        assert shown(world, name) == (f"clock ×{rate:g}, 0 s left",)
        assert world.node(name).peers.links()[-1].seconds_left is not None
        world.run(0.4)
        assert shown(world, name) == ()
        assert world.node(name).peers.links()[-1].fault is None


def test_the_newer_fault_counts_with_its_own_lifetime() -> None:
    world = World()
    world.await_leader()
    world.control("n1", "disk", slow_ms=50, seconds=2)
    world.control("n1", "disk", slow_ms=20)
    world.run(3.0)
    assert shown(world, "n1") == ("disk slower by 20 ms",)
    world.control("n1", "disk", full=True, seconds=2)
    world.run(0.1)
    assert shown(world, "n1") == ("disk full, 2 s left",)
    world.control("n1", "disk")
    world.run(0.1)
    world.control("n1", "disk", fail=True)
    world.run(3.0)  # the end of the one that was mended must not end this one
    assert shown(world, "n1") == ("disk fails",)


def test_heal_ends_faults_of_the_node_and_says_so_only_where_there_was_one() -> None:
    world = World()
    world.await_leader()
    world.control("n1", "clock", rate=1.5)
    world.control("n1", "heal")
    world.control("n2", "heal")
    world.control("n2", "clock", rate=1.0, seconds=3)
    world.run(0.1)
    assert shown(world, "n1") == ()
    assert lines(world, "n1", "clock", "disk") == ["clock ×1.5", "clock healed"]
    assert lines(world, "n2", "clock", "disk") == []


def refusal(world: World, verb: str, **arguments: Any) -> str:
    """The line with which n1 refuses."""
    wire = world.node("n1").control._port = Wire()
    world.control("n1", verb, **arguments)
    world.run(0.1)
    response = decode_response(wire.frames[-1])
    assert not response.ok
    return str(response.body)


def test_impossible_faults_are_refused_by_the_node() -> None:
    world = World()
    world.await_leader()
    assert refusal(world, "disk", slow_ms=1, seconds=-1).startswith("seconds: expected a number from 0")
    assert refusal(world, "clock", rate=2, seconds="x").startswith("seconds: expected a number from 0")
    assert refusal(world, "link", to="n2", duplicate=2).startswith("duplicate: expected a number from 0 to 1")
    assert refusal(world, "link", to="n2", reorder=-1).startswith("reorder: expected a number from 0 to 1")
    assert shown(world, "n1") == ()


# -- links


def sent_through(count: int, **fault: Any) -> tuple[World, Wire]:
    """``count`` numbered frames over a link of this fault, and what arrived within a second."""
    world = World()
    world.await_leader()
    world.control("n1", "link", to="n2", **fault)
    world.run(0.1)
    actor, wire = world.node("n1").peers, Wire()
    actor._links[NodeId("n2")].port = wire
    for number in range(count):
        actor._send_frame(NodeId("n2"), b"our%d" % number)
    world.run(1.0)
    return world, wire


def test_a_link_that_duplicates_sends_some_frames_twice_and_none_thrice() -> None:
    _, wire = sent_through(400, duplicate=0.5)
    counts = [wire.ours.count(number) for number in range(400)]
    assert set(counts) == {1, 2}
    assert 120 < counts.count(2) < 280
    assert wire.ours == sorted(wire.ours)


def test_a_link_that_reorders_loses_nothing_and_lets_later_frames_pass() -> None:
    world, wire = sent_through(400, reorder=0.3)
    assert sorted(wire.ours) == list(range(400))
    overtaken = sum(before > after for before, after in zip(wire.ours, wire.ours[1:], strict=False))
    assert overtaken > 20
    world.control("n1", "link", to="n2")
    world.run(0.1)
    assert lines(world, "n1", "link") == ["link to n2: reorders 30%", "link to n2 healed"]


def test_a_copy_is_delayed_like_the_frame_itself() -> None:
    _, wire = sent_through(10, duplicate=1.0, delay_ms=20)
    assert sorted(wire.ours) == sorted([*range(10)] * 2)


def test_no_more_is_held_back_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "DELAYED_FRAMES_MAX", 10)
    world, wire = sent_through(50, reorder=1.0)
    assert 0 < len(wire.ours) <= 10
    assert world.node("n1").peers.links()[0].frames_dropped >= 40


def test_a_verb_that_nobody_knows_is_no_question_of_permission() -> None:
    """Of a later version's, asked where chaos is off."""
    world = World()
    world.node("n1").control._chaos = False
    assert "unknown verb 'fly'" in refusal(world, "fly")
    assert "accepts no chaos" in refusal(world, "campaign")


# -- timers by the true time


def test_true_timers_do_not_follow_the_clock_of_their_node() -> None:
    now = [100.0]
    system = System(lambda: now[0], random.Random(0))
    system.begin_turn()
    system.set_clock_rate(0.1)
    assert system.next_timer() is None
    system.set_true_timer("raft", 2.0, None)
    assert system.next_timer() == 102.0
    system.set_timer("raft", 0.1, None)
    assert system.next_timer() == pytest.approx(101.0)
    now[0] = 101.0
    system.begin_turn()
    assert system.true_now() == 101.0
    assert system.now() == pytest.approx(100.1)
