"""The loop around a node: what it wakes for, and what it does not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from typing import Any, cast

import pytest

from raftkv.actors import loop
from raftkv.actors.disk_thread import DiskThread
from raftkv.actors.node import Node

LEAVES_AFTER = 0.2


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
            os.kill(os.getpid(), signal.SIGTERM)
        elif time.monotonic() >= self._ends:
            self.stopped = self.told[0]


class IdleDisk:
    def __init__(self) -> None:
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK)


def test_a_node_that_was_told_to_stop_sleeps_until_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal's byte that is not read wakes every poll, and takes the core from those who take over."""
    monkeypatch.setattr(loop, "_tune_interpreter", lambda: None)
    monkeypatch.setattr(loop, "IDLE_SECONDS_MAX", 0.01)  # for the first turn, in which nothing arrives
    node, disk = LeavingNode(), IdleDisk()
    run: Any = loop._run
    try:
        run(cast("Node", node), {}, cast("DiskThread", disk), None)
    finally:
        os.close(disk.wake_fd)
    assert (node.stopped, node.told) == ("SIGTERM", ["SIGTERM"])
    assert node.turns < 2 + 10 * LEAVES_AFTER / loop.IDLE_SECONDS_MAX, "it spins"
