"""The clock that goes on while the machine sleeps."""

from __future__ import annotations

import time

import pytest

from raftkv import clock


def test_whoever_is_held_up_between_two_clocks_takes_rather_too_much_time_for_slept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other way round a leader would hold its lease against a moment before the read had come."""
    passed = [100.0]

    def look(*_: object) -> float:
        passed[0] += 5.0
        return passed[0]

    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", look)
        patch.setattr(time, "clock_gettime", look)
        assert clock.slept() == 5.0


def test_it_does_not_go_backwards() -> None:
    before = clock.now()
    assert clock.now() >= before
    assert clock.slept() >= 0.0
