"""The nemesis of the torture, over a cluster that only takes notes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from raftkv.cluster.torture import nemesis as module
from raftkv.cluster.torture.nemesis import Fault, Nemesis, Stroke
from raftkv.errors import RaftkvError, Unavailable

NAMES = ("n1", "n2", "n3", "n4", "n5")


class Notes:
    """Stands in for ``Chaos``."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.deaf: set[str] = set()

    def __getattr__(self, verb: str) -> Any:
        def note(*arguments: Any, **more: Any) -> None:
            if str(arguments[0]) in self.deaf:
                raise Unavailable("no answer")
            self.done.append((verb, *arguments, more))

        return note


class Swaps:
    """Stands in for ``Churn``."""

    def __init__(self, controls: dict[str, str]) -> None:
        self._controls = controls

    def replace(self, node: str) -> str:
        self._controls[f"{node}+"] = self._controls.pop(node)
        return f"{node}+"


def make(monkeypatch: pytest.MonkeyPatch, *faults: Fault, leader: str | None = "n1") -> tuple[Nemesis, Notes]:
    notes = Notes()
    controls = {name: f"tcp://127.0.0.1:{number}" for number, name in enumerate(NAMES, start=1)}
    nemesis = Nemesis(notes, controls, "tcp://127.0.0.1:9", faults, random.Random(1), Swaps(controls))  # type: ignore[arg-type]
    monkeypatch.setattr(nemesis, "pids", lambda: dict.fromkeys(NAMES, 1))
    monkeypatch.setattr(nemesis, "_leader", lambda: leader)
    monkeypatch.setattr(module, "_limit_file_size", lambda pid, size: True)
    return nemesis, notes


def strokes(nemesis: Nemesis, count: int) -> list[Stroke]:
    return [stroke for _ in range(count) if (stroke := nemesis.strike())]


def test_a_round_has_every_fault_once(monkeypatch: pytest.MonkeyPatch) -> None:
    nemesis, _ = make(monkeypatch, *Fault)
    found = []
    for _ in range(400):
        for stroke in strokes(nemesis, 1):
            found.append(stroke.fault)
            nemesis.release(stroke)
        if len(found) == len(Fault):
            break
    assert set(found) == set(Fault)


def test_no_two_strokes_break_the_same_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    nemesis, _ = make(monkeypatch, *Fault)
    active = strokes(nemesis, 200)
    claims = [claim for stroke in active for claim in stroke.claims]
    assert len(claims) == len(set(claims))
    for stroke in active:
        nemesis.release(stroke)
    assert nemesis.strike()


def test_what_cannot_be_broken_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    nemesis, notes = make(monkeypatch, Fault.ISOLATE_LEADER, leader=None)
    assert nemesis.strike() is None
    nemesis, notes = make(monkeypatch, Fault.SLOW_DISK)
    notes.deaf = set(NAMES)
    assert nemesis.strike() is None
    assert not nemesis.counts
    notes.deaf = set()
    assert nemesis.strike()
    assert nemesis.counts == {Fault.SLOW_DISK: 1}


def test_undoing_fails_aloud_as_long_as_the_node_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    nemesis, notes = make(monkeypatch, Fault.SLOW_DISK)
    (stroke,) = strokes(nemesis, 1)
    notes.deaf = set(NAMES)
    with pytest.raises(RaftkvError):
        stroke.undo()
    monkeypatch.setattr(nemesis, "pids", dict)
    stroke.undo()  # it is down: its next life begins sound
    monkeypatch.setattr(nemesis, "pids", lambda: dict.fromkeys(NAMES, 1))
    notes.deaf = set()
    stroke.undo()
    assert notes.done[-1][0] == "disk"
