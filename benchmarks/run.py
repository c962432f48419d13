"""``make bench``: every figure of docs/performance.md that is about speed, measured in one run.

Fresh clusters in temporary folders, the load generator of ``raftkv bench`` in a process of its own, and the
floor (``benchmarks/floor.py``) beside it: what counts is the ratio, as machines differ. Prints one Markdown
table; ``--json FILE`` keeps the figures, ``--plot FILE`` draws them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks import clients, etcd, pysyncobj, recovery, scaling, throughput
from benchmarks.cluster import Cluster, Results, Row, latency, tell
from benchmarks.plot import plot


def leased_reads(results: Results) -> list[Row]:
    """With ``lease_reads``: what a read costs without a round of heartbeats."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        cluster.raftkv("down")
        path = cluster.folder / ".raftkv" / "cluster.toml"
        path.write_text(path.read_text().replace("lease_reads = false", "lease_reads = true", 1))
        cluster.raftkv("up", "--detach")
        for clients in (1, 64):
            found = results[f"leased get {clients}"] = cluster.bench(
                "get", clients, throughput.GETS[clients][0]
            )
            rate = f"{found['ops_per_second']:,.0f}"
            rows.append((f"get by lease, {clients} clients, a second", "", rate, latency(found)))
    return rows


PARTS = (throughput.rows, leased_reads, clients.rows, recovery.rows, scaling.rows, pysyncobj.rows, etcd.rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the speed figures of docs/performance.md.")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    parser.add_argument("--plot", type=Path, help="draw throughput and latency into this SVG")
    options = parser.parse_args()
    results: Results = {}
    rows: list[Row] = []
    for part in PARTS:
        found = part(results)
        rows += found
        for row in found:
            print(" | ".join(row), file=sys.stderr, flush=True)
    tell(rows)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if options.plot:
        options.plot.write_text(plot(results), encoding="utf-8")


if __name__ == "__main__":
    main()
