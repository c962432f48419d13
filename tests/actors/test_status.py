"""Snapshots are made for those who listen; events are told anyway."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import pytest

from raftkv.actors.messages import Note, Trace
from raftkv.actors.status import FRAMES_A_TICK_MAX, SNAPSHOT_SECONDS, Audience, StatusActor
from raftkv.actors.system import System
from raftkv.observe import NodeSnapshot, events
from raftkv.raft import trace
from raftkv.types import NodeId, Term
from raftkv.wire import status as wire
from tests.support.world import World

COMES, GOES = b"\1", b"\0"


class FakePort:
    def __init__(self) -> None:
        self.inbox: deque[list[bytes]] = deque()
        self.topics: list[bytes] = []

    def receive(self, frames_max: int, bytes_max: int = 0) -> list[list[bytes]]:
        return [self.inbox.popleft() for _ in range(min(frames_max, len(self.inbox)))]

    def send(self, frame: Sequence[bytes]) -> bool:
        self.topics.append(frame[0])
        return True

    def close(self) -> None:
        """There is nothing to be closed."""


class Stage:
    """A status actor by itself, on a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.port = FakePort()
        self.snapshots_made = 0
        self.system = System(lambda: self.now, random.Random(0))
        node = World().machines[NodeId("n1")].node
        snapshot = node.status.snapshot()

        def make(sequence: int, rejected: int) -> NodeSnapshot:
            del sequence, rejected
            self.snapshots_made += 1
            return snapshot

        self.actor = StatusActor(self.system, self.port, NodeId("n1"), make, lambda line: None)
        self.system.add("status", cast(Any, self.actor))

    def tick(self, seconds: float = SNAPSHOT_SECONDS) -> None:
        self.now += seconds
        self.system.begin_turn()
        self.system.finish_turn()

    def hear(self, *frames: bytes) -> None:
        self.port.inbox.extend([frame] for frame in frames)


def test_a_snapshot_that_nobody_wants_is_not_made() -> None:
    stage = Stage()
    stage.tick()
    stage.system.send("status", Note(events.SPACE_BACK, {}))
    stage.tick()
    assert stage.snapshots_made == 0
    assert stage.port.topics == [wire.TOPIC_EVENT]


def test_from_the_first_listener_to_the_last_there_is_one_each_time() -> None:
    stage = Stage()
    stage.hear(COMES)
    stage.tick()
    stage.hear(COMES + wire.TOPIC_SNAPSHOT, GOES)
    stage.tick()
    assert stage.port.topics == [wire.TOPIC_SNAPSHOT] * 2
    stage.hear(GOES + wire.TOPIC_SNAPSHOT)
    stage.tick()
    assert stage.snapshots_made == 2
    stage.hear(COMES + b"snap")
    stage.tick()
    assert stage.snapshots_made == 3


def test_other_topics_and_garbage_are_no_audience() -> None:
    audience = Audience(wire.TOPIC_SNAPSHOT)
    for frame in ([b""], [b"\2snapshot"], [COMES + b"event"], [COMES + b"snapshots"], [COMES, b"snapshot"]):
        audience.hear(frame)
    audience.hear([GOES + wire.TOPIC_SNAPSHOT])
    assert not audience


def test_a_flood_of_subscriptions_is_heard_in_parts() -> None:
    stage = Stage()
    stage.hear(*[COMES + b"x%d" % number for number in range(2 * FRAMES_A_TICK_MAX)], COMES)
    stage.tick()
    assert len(stage.port.inbox) == FRAMES_A_TICK_MAX + 1
    stage.tick(0.0)
    stage.tick(0.0)
    assert not stage.port.inbox
    assert stage.port.topics == [wire.TOPIC_SNAPSHOT]


@pytest.mark.parametrize("rate", [2.0, 0.5])
def test_events_are_stamped_by_the_true_clock_however_the_nodes_own_runs(rate: float) -> None:
    """They stand beside those of others, which have clocks of their own."""
    stage = Stage()
    stage.system.set_clock_rate(rate)
    for _ in range(50):
        stage.tick()
        stage.system.send("status", Note(events.SPACE_BACK, {}))
        stage.system.send("status", Trace([trace.LeaderChanged(Term(1), None)]))
        stage.system.finish_turn()
    times = [each.time for each in stage.actor._kept]
    assert times == sorted(times)
    assert times[-1] == stage.now


def test_whoever_looks_at_the_mailboxes_takes_nothing_away_from_the_others() -> None:
    """``raftkv status`` asks between two snapshots of the dashboard's."""
    stage = Stage()
    stage.tick(0.0)
    for _ in range(40):
        stage.system.send("status", Note(events.SPACE_BACK, {}))
    stage.tick(0.0)
    assert [stage.system.deepest_mailboxes() for _ in range(2)] == [{"status": 40}] * 2
    stage.tick()
    stage.tick()
    assert stage.system.deepest_mailboxes() == {"status": 1}
