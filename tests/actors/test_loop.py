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
from raftkv.actors.node import Node
from raftkv.actors.relay import Relay
from raftkv.actors.vigilance import ENOUGH, Vigilance
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

    def turn(self, readable: Iterable[str], results: Iterable[object]) -> None:
        assert not [*readable, *results]
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
    private(cast("Node", node), {}, relay, Vigilance(0.0), guard)


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
        def turn(self, readable: Iterable[str], results: Iterable[object]) -> None:
            if self.turns == 0:
                relay.submit(Append(None, []))
            super().turn(readable, results)

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


class Script:
    """A poller that has news at the ``asked``-th time it is asked, or when somebody sleeps."""

    def __init__(self, asked: int) -> None:
        self.left = asked
        self.waits: list[int] = []

    def poll(self, milliseconds: int) -> list[tuple[object, int]]:
        self.waits.append(milliseconds)
        self.left -= 1
        return [("news", 1)] if milliseconds or not self.left else []


def vigilant(seconds: float, waits: int = ENOUGH) -> Vigilance:
    """After so many short waits."""
    vigilance = Vigilance(seconds)
    for _ in range(waits):
        vigilance.waited(0.0)
    return vigilance


def await_news(script: Script, vigilance: Vigilance, timer: float | None = None) -> list[tuple[object, int]]:
    private: Any = loop._await_news
    found: list[tuple[object, int]] = private(script, timer, vigilance)
    return found


def test_a_node_that_is_awake_asks_until_there_is_news() -> None:
    script = Script(asked=5)
    vigilance = vigilant(DEADLINE_SECONDS)
    assert await_news(script, vigilance)
    assert vigilance.awake
    assert script.waits == [0] * 5, "it slept"


def test_a_node_that_has_little_to_do_sleeps_at_once() -> None:
    script = Script(asked=5)
    assert await_news(script, vigilant(DEADLINE_SECONDS, waits=ENOUGH - 1))
    assert script.waits == [1000]


def test_nobody_stays_awake_for_longer_than_that_pays() -> None:
    script = Script(asked=10**9)
    vigilance = vigilant(1e-6)
    assert await_news(script, vigilance)
    assert not vigilance.awake
    assert script.waits[-1] == 1000
    assert not any(script.waits[:-1])


def test_a_timer_that_is_due_waits_for_nothing() -> None:
    script = Script(asked=5)
    assert not await_news(script, vigilant(DEADLINE_SECONDS), timer=time.monotonic())
    assert script.waits == [0]


def test_a_node_sleeps_when_whoever_it_yields_to_keeps_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 0.001
    monkeypatch.setattr(os, "sched_yield", lambda: time.sleep(2 * seconds))
    script = Script(asked=10**9)
    vigilance = vigilant(seconds)
    assert await_news(script, vigilance)
    assert script.waits == [0, 0, 1000]
    for _ in range(ENOUGH):
        vigilance.waited(0.0)
    assert not vigilance.awake
