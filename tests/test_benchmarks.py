"""What the benchmarks do with their figures. That they run at all, only a run of them shows."""

from __future__ import annotations

from typing import Any

from benchmarks.plot import plot
from benchmarks.timeline import STEPS, Put, Track, follow


def figures(operation: str, clients: int, value_size: int = 128) -> dict[str, Any]:
    return {
        "operation": operation,
        "clients": clients,
        "value_size": value_size,
        "ops_per_second": 1000.0 * clients,
        "floor": 2000.0 * clients,
        "latency_ms": {"p50": 1.0, "p99": 2.0},
    }


def test_a_picture_is_drawn_of_a_whole_run_in_which_other_things_were_measured_too() -> None:
    results: dict[str, Any] = {
        f"{operation} {clients}": figures(operation, clients)
        for operation in ("put", "get")
        for clients in (1, 64, 512)
    }
    alone = plot(results)
    assert alone.startswith("<svg")
    results |= {
        "ready_seconds": 0.9,
        "failover_seconds": [0.4, 0.5],
        "large": figures("put", 512, 1024),
        "memory_mib": {"idle": 28.0, "grown": [500.0]},
    }
    assert plot(results) == alone


def track(*stamps: tuple[int, str]) -> Track:
    return Track(list(stamps))


def test_a_put_is_followed_through_whoever_makes_its_majority() -> None:
    leader = track(
        (10, "leader"), (10, "turn"), (20, "sent"), (25, "disk"), (45, "synced"), (50, "turn"),
        (75, "turn"), (80, "sent"),
    )  # fmt: skip
    quick = track((30, "turn"), (35, "disk"), (60, "synced"), (62, "turn"), (65, "sent"))
    slow = track((30, "turn"), (35, "disk"), (90, "synced"), (92, "turn"), (95, "sent"))
    put = follow(0, 100, leader, [slow, quick])
    assert put == Put([10, 20, 30, 35, 60, 65, 75, 80, 100], (25, 45))
    assert len(put.ends) == len(STEPS)
    assert follow(0, 70, leader, [slow, quick]) is None, "answered before anybody could have"
    assert follow(81, 100, leader, [slow, quick]) is None, "nothing of it was seen"
