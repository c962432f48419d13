"""The loop around a node: what it wakes for, and what it does not."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest

from raftkv.actors import loop
from raftkv.actors.busy_poll import ENOUGH, BusyPoll
from raftkv.actors.node import Node
from raftkv.actors.relay import Relay
from raftkv.storage import Append, DiskJob, Volume

LEAVES_AFTER = 0.2
DEADLINE_SECONDS = 20.0


class LeavingNode:
    """Once told to stop it has something to wait for, as a leader that hands over has."""

    def __init__(self) -> None:
        self.stopped: str | None = None
        self.told: list[str] = []
        self.turns = 0
        self._ends = 0.0

    def stop(self, reason: str) -> None:
        self.told.append(reason)
        self._ends = time.monotonic() + LEAVES_AFTER

    def next_timer(self) -> float | None:
        return self._ends or None

    def turn(self, readable: Iterable[str]) -> None:
        assert not [*readable]
        self.turns += 1
        if self.turns == 1:
            self.ask()
        elif self.told and time.monotonic() >= self._ends:  # the signal may come turns later
            self.stopped = self.told[0]

    def ask(self) -> None:
        """Have it told to stop."""
        os.kill(os.getpid(), signal.SIGTERM)


class IdleVolume:
    """Nobody writes to it, or what is written takes until it is ``released``."""

    def __init__(self) -> None:
        self.log_bytes = self.snapshot_bytes = 0
        self.released = threading.Event()

    def do(self, job: DiskJob) -> bool:
        return self.released.wait(DEADLINE_SECONDS)

    def close(self) -> None:
        """There is nothing to be closed."""


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """Over a volume whose jobs hang until the end of the test."""
    monkeypatch.setattr(loop, "_tune_interpreter", lambda: None)
    volume = IdleVolume()
    relay = Relay(cast("Volume", volume))
    yield relay
    volume.released.set()
    relay.close(DEADLINE_SECONDS)
    os.close(relay.wake_fd)


def run(node: LeavingNode, relay: Relay, guard: loop.Guard | None = None) -> None:
    private: Any = loop._run
    private(cast("Node", node), {}, relay, BusyPoll(0.0), guard)


def test_a_node_that_was_told_to_stop_sleeps_until_it_may(
    monkeypatch: pytest.MonkeyPatch, relay: Relay
) -> None:
    """A signal's byte that is not read wakes every poll, and takes the core from those who take over."""
    monkeypatch.setattr(loop, "IDLE_SECONDS_MAX", 0.01)  # for the first turn, in which nothing arrives
    node = LeavingNode()
    run(node, relay)
    assert (node.stopped, node.told) == ("SIGTERM", ["SIGTERM"])
    assert node.turns < 2 + 10 * LEAVES_AFTER / loop.IDLE_SECONDS_MAX, "it spins"


def test_a_node_whose_disk_hangs_hears_that_it_is_to_stop(
    monkeypatch: pytest.MonkeyPatch, relay: Relay
) -> None:
    monkeypatch.setattr(loop, "IDLE_SECONDS_MAX", 0.01)

    class Writing(LeavingNode):
        def turn(self, readable: Iterable[str]) -> None:
            if self.turns == 0:
                relay.submit(Append(None, []))
            super().turn(readable)

    node = Writing()
    run(node, relay)
    assert (node.stopped, node.told) == ("SIGTERM", ["SIGTERM"])


def test_the_end_of_the_launcher_is_one_request_to_stop(
    monkeypatch: pytest.MonkeyPatch, relay: Relay
) -> None:
    """Its pipe stays at its end; a second request would cut short what the first began."""
    monkeypatch.setattr(loop, "IDLE_SECONDS_MAX", 0.01)
    guarded, held = os.pipe()

    class Guarded(LeavingNode):
        def ask(self) -> None:
            os.close(held)

    node = Guarded()
    run(node, relay, loop.Guard(guarded))
    os.close(guarded)
    assert (node.stopped, node.told) == ("the launcher is gone", ["the launcher is gone"])
    assert node.turns < 2 + 10 * LEAVES_AFTER / loop.IDLE_SECONDS_MAX, "it spins"


class Moments:
    """By which it takes 0.1 ms to ask for the time, and as long as it is told to yield."""

    def __init__(self, yielding: float = 0.0) -> None:
        self.now = 0.0
        self._yielding = yielding

    def monotonic(self) -> float:
        self.now += 0.0001
        return self.now

    def sched_yield(self) -> None:
        self.now += self._yielding


class Script:
    """A poller that has news at the ``asked``-th time it is asked, or when somebody sleeps."""

    def __init__(self, asked: int) -> None:
        self.left = asked
        self.waits: list[int] = []

    def poll(self, milliseconds: int) -> list[tuple[object, int]]:
        self.waits.append(milliseconds)
        self.left -= 1
        return [("news", 1)] if milliseconds or not self.left else []


def await_news(
    monkeypatch: pytest.MonkeyPatch,
    script: Script,
    busy_poll: BusyPoll,
    *,
    waits: int = ENOUGH,
    timer: float | None = None,
    yielding: float = 0.0,
) -> list[tuple[object, int]]:
    """After so many short waits."""
    for _ in range(waits):
        busy_poll.waited(0.0)
    moments = Moments(yielding)
    monkeypatch.setattr(loop, "time", moments)
    monkeypatch.setattr(os, "sched_yield", moments.sched_yield)
    private: Any = loop._await_news
    found: list[tuple[object, int]] = private(script, timer, busy_poll)
    return found


def test_a_busy_node_asks_until_there_is_news(monkeypatch: pytest.MonkeyPatch) -> None:
    script, busy_poll = Script(asked=5), BusyPoll(0.001)
    assert await_news(monkeypatch, script, busy_poll)
    assert script.waits == [0] * 5, "it slept"
    assert busy_poll.pays


def test_a_node_that_has_little_to_do_sleeps_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(asked=5)
    assert await_news(monkeypatch, script, BusyPoll(0.001), waits=ENOUGH - 1)
    assert script.waits == [1000]


def test_nobody_polls_for_longer_than_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    script, busy_poll = Script(asked=1000), BusyPoll(0.00095)
    assert await_news(monkeypatch, script, busy_poll)
    assert script.waits == [0] * 11 + [1000]
    assert not busy_poll.pays
    for _ in range(ENOUGH // 2):  # as after any long wait: nobody has preempted it
        busy_poll.waited(0.0)
    assert busy_poll.pays


def test_a_timer_that_is_due_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(asked=5)
    assert not await_news(monkeypatch, script, BusyPoll(0.001), timer=0.0)
    assert script.waits == [0]


def test_a_node_sleeps_when_whoever_it_yields_to_keeps_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    script, busy_poll = Script(asked=1000), BusyPoll(0.001)
    assert await_news(monkeypatch, script, busy_poll, yielding=0.002)
    assert script.waits == [0, 0, 1000]
    for _ in range(ENOUGH):
        busy_poll.waited(0.0)
    assert not busy_poll.pays, "it is preempted again and again"
