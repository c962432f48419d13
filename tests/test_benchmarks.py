"""What the benchmarks do with their figures. That they run at all, only a run of them shows."""

from __future__ import annotations

from typing import Any

from benchmarks.plot import plot


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
