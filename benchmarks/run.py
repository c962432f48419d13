"""``make bench``: every figure of docs/performance.md, measured in one run.

A fresh three-node cluster in a temporary folder, the load generator of ``raftkv bench`` in a process
of its own, and the floor (``benchmarks/floor.py``) in the same run: what counts is the ratio, as
machines differ. Prints a Markdown table; ``--json FILE`` keeps the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks import floor
from raftkv.client import Client
from raftkv.cluster.discovery import find
from raftkv.errors import ClientError

Row = tuple[str, ...]
VALUE_BYTES = 128
PUTS = {1: (4_000, 1_400), 16: (40_000, 9_000), 64: (80_000, 18_000), 512: (120_000, 28_000)}
"""clients -> (requests, goal a second)"""
GETS = {1: (8_000, 3_500), 64: (80_000, 18_000), 512: (120_000, 30_000)}
P99_GOAL_MS = 8.0
FAILOVERS = 20


class Cluster:
    """``raftkv up`` in a folder of its own."""

    def __init__(self, folder: Path, nodes: int = 3) -> None:
        self.folder = folder
        self.nodes = nodes
        self.ready_seconds = 0.0

    def __enter__(self) -> Cluster:
        begin = time.monotonic()
        self.raftkv("up", "--detach", "--fresh", "--nodes", str(self.nodes))
        self.ready_seconds = time.monotonic() - begin
        return self

    def __exit__(self, *_: object) -> None:
        self.raftkv("down")

    def raftkv(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "raftkv", *arguments, "--data", str(self.folder / ".raftkv")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raftkv("status", "--json"))
        return found

    def bench(self, operation: str, clients: int, total: int) -> dict[str, Any]:
        arguments = ["bench", operation, "--clients", str(clients), "--total", str(total), "--json"]
        found: dict[str, Any] = json.loads(self.raftkv(*arguments, "--value-size", str(VALUE_BYTES)))
        return found

    def cpu_seconds(self) -> float:
        total = 0.0
        for node in self.status()["nodes"]:
            times = psutil.Process(node["pid"]).cpu_times()
            total += times.user + times.system
        return total


def throughput(cluster: Cluster, results: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for operation, plan in (("put", PUTS), ("get", GETS)):
        for clients, (total, goal) in plan.items():
            bare = floor.measure(operation, clients, total, VALUE_BYTES)
            cpu = cluster.cpu_seconds()
            found = cluster.bench(operation, clients, total)
            cpu = cluster.cpu_seconds() - cpu
            rate, bare_rate = found["ops_per_second"], float(str(bare["ops_per_second"]))
            found["floor"], found["cpu_us_per_op"] = bare, round(cpu / total * 1e6, 1)
            results[f"{operation}_{clients}"] = found
            measured = f"{rate:,.0f} ({rate / bare_rate:.2f} of {bare_rate:,.0f})"
            goal_text = f"{goal:,}" + (", 0.50" if operation == "put" else "")
            rows.append((f"{operation}, {clients} clients, per second", goal_text, measured, _latency(found)))
            print(rows[-1], file=sys.stderr, flush=True)
    p99 = results["put_64"]["latency_ms"]["p99"]
    rows.append(("put p99 at 64 clients", f"{P99_GOAL_MS:g} ms", f"{p99:.1f} ms", ""))
    return rows


def failover(cluster: Cluster, results: dict[str, Any]) -> Row:
    """kill -9 of the leader until the next acknowledged write, as one client sees it."""
    times = []
    target = find(None, None, cluster.folder / ".raftkv")
    for number in range(FAILOVERS):
        with Client(target.clients, timeout=20.0) as client:
            client.put("failover", str(number))
            found = cluster.status()
            leader = next(node for node in found["nodes"] if node["name"] == found["leader"])
            os.kill(leader["pid"], signal.SIGKILL)
            begin = time.monotonic()
            client.put("failover", f"{number} again")
            times.append(time.monotonic() - begin)
        cluster.raftkv("chaos", "restart", leader["name"])
        _await_all(cluster)
    results["failover_seconds"] = times
    measured = f"{statistics.median(times):.2f} s (worst {max(times):.2f})"
    return (f"kill -9 the leader → next write, median of {FAILOVERS}", "0.7 s", measured, "")


def _await_all(cluster: Cluster) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = cluster.status()
        nodes = found["nodes"]
        level = len({node["applied_index"] for node in nodes}) == 1
        if found["leader"] and level and all(node["alive"] for node in nodes):
            return
        time.sleep(0.1)
    raise SystemExit("the cluster does not come back")


def small_figures(cluster: Cluster, results: dict[str, Any]) -> list[Row]:
    spent = []
    cluster.raftkv("put", "small", "value")
    for _ in range(10):
        begin = time.monotonic()
        cluster.raftkv("get", "small")
        spent.append(time.monotonic() - begin)
    results["get_process_seconds"] = spent
    results["ready_seconds"] = cluster.ready_seconds
    return [
        ("`raftkv up` to ready", "2 s", f"{cluster.ready_seconds:.2f} s", ""),
        ("`raftkv get` as a whole process", "0.25 s", f"{statistics.median(spent):.2f} s", ""),
    ]


def leased_reads(results: dict[str, Any]) -> list[Row]:
    """With ``lease_reads``: what a read costs without a round of heartbeats."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        cluster.raftkv("down")
        path = cluster.folder / ".raftkv" / "cluster.toml"
        path.write_text(path.read_text().replace("lease_reads = false", "lease_reads = true", 1))
        cluster.raftkv("up", "--detach")
        for clients in (1, 64):
            found = cluster.bench("get", clients, GETS[clients][0])
            results[f"leased get {clients}"] = found
            rate = f"{found['ops_per_second']:,.0f} a second"
            p50, p99 = found["latency_ms"]["p50"], found["latency_ms"]["p99"]
            latency = f"p50 {p50:.2f}, p99 {p99:.2f} ms"
            rows.append((f"linearizable get by lease, {clients} clients", "", rate, latency))
    return rows


def idle_memory(results: dict[str, Any]) -> Row:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        time.sleep(2)
        sizes = [psutil.Process(node["pid"]).memory_info().rss / 2**20 for node in cluster.status()["nodes"]]
    results["idle_mib"] = sizes
    return ("resident memory of an idle node", "60 MB", f"{max(sizes):.0f} MiB", "")


def _latency(found: dict[str, Any]) -> str:
    latency = found["latency_ms"]
    text = f"p50 {latency['p50']:.2f}, p99 {latency['p99']:.2f} ms"
    return (
        text
        + f", {found['cpu_us_per_op']:.0f} µs CPU"
        + (f", errors {found['errors']}" if found["errors"] else "")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure every figure of docs/performance.md.")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        before = cluster.status()["term"]
        rows += throughput(cluster, results)
        after = cluster.status()["term"]
        rows.append(("term during these runs", "unchanged", f"{before} → {after}", ""))
        rows += small_figures(cluster, results)
        try:
            rows.append(failover(cluster, results))
        except ClientError as error:
            rows.append(("failover", "0.7 s", f"failed: {error}", ""))
    rows += leased_reads(results)
    rows.append(idle_memory(results))
    print("| figure | goal | measured | |\n|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
