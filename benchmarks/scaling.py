"""How raftkv scales: with the number of keys, the size of values, the number of nodes; and its memory.

python -m benchmarks.scaling [--overwrites 10000000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.cluster import Cluster, Results, Row, latency, tell

KEYS = (1_000, 10_000, 100_000, 1_000_000)
VALUES = (16, 128, 1024, 16_384)
NODES = (3, 5, 7)
MILLION = 1_000_000
MEMORY_GOAL_MIB = 700


def sizes(results: Results) -> list[Row]:
    """Keys and values, at 64 clients."""
    found: list[Row] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        for keys in KEYS:
            one = results[f"{keys} keys"] = cluster.bench("put", 64, 60_000, "--key-space", str(keys))
            found.append(_row(f"put, {keys:,} different keys", one))
        for size in VALUES:
            one = results[f"{size} bytes"] = cluster.bench(
                "put", 64, 40_000 if size < 4096 else 8_000, value=size
            )
            found.append(_row(f"put of {size:,} bytes", one))
    return found


def nodes(results: Results) -> list[Row]:
    found: list[Row] = []
    for count in NODES:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder), count) as cluster:
            one = results[f"{count} nodes"] = cluster.bench("put", 64, 60_000)
        found.append(_row(f"put, {count} nodes", one))
    return found


def memory(results: Results, overwrites: int) -> list[Row]:
    """Of the largest node: after a million keys, and while they are written over and over."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        space = ("--key-space", str(MILLION))
        idle = cluster.resident_mib()
        # Reads come after every key was written once.
        cluster.bench("get", 512, 1, *space)
        full = cluster.resident_mib()
        grown = [full]
        for written in range(0, overwrites, MILLION):
            cluster.bench("put", 512, min(MILLION, overwrites - written), *space)
            grown.append(cluster.resident_mib())
            print(f"{written + MILLION:,} overwrites: {grown[-1]:.0f} MiB", file=sys.stderr, flush=True)
    results["memory_mib"] = {"idle": idle, "grown": grown}
    flat = " → ".join(f"{mib:.0f}" for mib in (grown[0], grown[len(grown) // 2], grown[-1]))
    return [
        ("resident memory of an idle node", "60 MB", f"{idle:.0f} MiB"),
        ("resident memory with a million keys, largest node", f"{MEMORY_GOAL_MIB} MB", f"{full:.0f} MiB"),
        (f"the same over {overwrites:,} overwrites", "flat", f"{flat} MiB"),
    ]


def _row(what: str, found: Results) -> Row:
    return (f"{what}, 64 clients, a second", "", f"{found['ops_per_second']:,.0f}", latency(found))


def rows(results: Results, overwrites: int = 2 * MILLION) -> list[Row]:
    return [*sizes(results), *nodes(results), *memory(results, overwrites)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--overwrites", type=int, default=10 * MILLION)
    tell(rows({}, parser.parse_args().overwrites))


if __name__ == "__main__":
    main()
