"""Requests a second and their latency, by the number of clients, beside the bare floor of the same run.

    python -m benchmarks.throughput [--plot FILE.svg]

Every client has one request outstanding. The floor is ``benchmarks/floor.py``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import floor
from benchmarks.cluster import VALUE_BYTES, Cluster, Results, Row, latency, tell
from benchmarks.plot import plot

FLOOR_SHARE = 0.7
PUTS = {1: (4_000, 1_800), 16: (40_000, 13_000), 64: (80_000, 28_000), 512: (120_000, 42_000)}
"""clients -> (requests, goal a second)"""
GETS = {1: (8_000, 5_000), 64: (80_000, 25_000), 512: (120_000, 40_000)}
P99_MS = {16: 3.0, 64: 5.0, 512: 30.0}
CPU_US = 50.0
"""Of all nodes together, for one put at 512 clients."""
LARGE_BYTES, LARGE_GOAL = 1024, 28_000
MIXED_GOAL, FIVE_NODES_GOAL = 25_000, 15_000


def measure(
    cluster: Cluster, operation: str, clients: int, total: int, value: int, results: Results
) -> Results:
    """One run on the cluster and one of the floor."""
    bare = floor.measure(operation, clients, total, value)
    found = cluster.bench(operation, clients, total, value=value)
    found["floor"] = float(str(bare["ops_per_second"]))
    results[f"{operation} {value} B, {clients} clients"] = found
    return found


def against_floor(cluster: Cluster, results: Results) -> list[Row]:
    rows: list[Row] = []
    for operation, plan in (("put", PUTS), ("get", GETS)):
        for clients, (total, goal) in plan.items():
            found = measure(cluster, operation, clients, total, VALUE_BYTES, results)
            asked = f"{goal:,}" + (f", {FLOOR_SHARE:.2f} of the floor" if operation == "put" else "")
            rows.append(_row(f"{operation}, {clients} clients", asked, found))
            if operation == "put" and clients in P99_MS:
                p99 = f"{found['latency_ms']['p99']:.1f} ms"
                rows.append((f"put p99, {clients} clients", f"{P99_MS[clients]:g} ms", p99))
            print(rows[-1], file=sys.stderr, flush=True)
    spent = results[f"put {VALUE_BYTES} B, 512 clients"]["cpu_us_per_op"]
    rows.append(("CPU of all nodes for one put, 512 clients", f"{CPU_US:g} µs", f"{spent:.0f} µs"))
    return rows


def other_loads(cluster: Cluster, results: Results) -> list[Row]:
    large = measure(cluster, "put", 512, 80_000, LARGE_BYTES, results)
    mixed = results["mixed, 64 clients"] = cluster.bench("mixed", 64, 80_000)
    return [
        _row(f"put of {LARGE_BYTES} bytes, 512 clients", f"{LARGE_GOAL:,}", large),
        _row("nine gets to a put, 64 clients", f"{MIXED_GOAL:,}", mixed),
    ]


def five_nodes(results: Results) -> list[Row]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder), 5) as cluster:
        found = results["put, 5 nodes, 64 clients"] = cluster.bench("put", 64, 80_000)
    return [_row("put, 5 nodes, 64 clients", f"{FIVE_NODES_GOAL:,}", found)]


def _row(what: str, goal: str, found: Results) -> Row:
    rate = f"{found['ops_per_second']:,.0f}"
    bare = found.get("floor")
    share = f" ({found['ops_per_second'] / bare:.2f} of {bare:,.0f})" if bare else ""
    return (f"{what}, a second", goal, rate + share, latency(found))


def rows(results: Results) -> list[Row]:
    """All of them, on a cluster of their own, and whether anybody had to be elected meanwhile."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        before = cluster.status()["term"]
        found = [*against_floor(cluster, results), *other_loads(cluster, results)]
        found.append(("elections meanwhile", "none", str(cluster.status()["term"] - before)))
    return [*found, *five_nodes(results)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plot", type=Path, help="draw throughput and latency against clients into this SVG")
    options = parser.parse_args()
    results: Results = {}
    tell(rows(results))
    if options.plot:
        options.plot.write_text(plot(results), encoding="utf-8")


if __name__ == "__main__":
    main()
