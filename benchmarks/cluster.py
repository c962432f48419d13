"""What the benchmarks share: a cluster in a folder of its own, and how its figures are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from raftkv.cli.observe import ANSWER_SECONDS, status_document
from raftkv.cluster import run_state
from raftkv.cluster.control import ControlClient, snapshots

Row = tuple[str, ...]
"""What was measured, its goal, the figure, and what else is to be said of it."""
Results = dict[str, Any]
VALUE_BYTES = 128
PYTHON = os.environ.get("RAFTKV_PYTHON") or sys.executable
"""Whose raftkv is measured."""
ANSWERED_SECONDS = 30.0


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
        command = [PYTHON, "-m", "raftkv", *arguments, "--data", str(self.folder / ".raftkv")]
        # From there that interpreter finds its own raftkv, and not the one of a checkout.
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def status(self) -> dict[str, Any]:
        """What ``raftkv status --json`` prints, without a process that would take time from the nodes."""
        state = run_state.load(self.folder / ".raftkv")
        controls = {node.name: node.control for node in state.nodes} if state else {}
        with ControlClient() as client:
            return status_document(snapshots(client, controls, ANSWER_SECONDS))

    def bench(
        self, operation: str, clients: int, total: int, *more: str, value: int = VALUE_BYTES
    ) -> Results:
        """The JSON of ``raftkv bench``, and the CPU time of all nodes for one put. Of other operations that
        would count the keys as well that are put to be read."""
        arguments = ["bench", operation, "--clients", str(clients), "--total", str(total), "--json"]
        processes = self.processes()
        before = cpu_seconds(processes)
        found: Results = json.loads(self.raftkv(*arguments, "--value-size", str(value), *more))
        if operation == "put":
            found["cpu_us_per_op"] = round((cpu_seconds(processes) - before) / total * 1e6, 1)
        return found

    def processes(self) -> list[psutil.Process]:
        """Of all nodes. One that is busy may not answer at once, and would be missing in what is added up."""
        deadline = time.monotonic() + ANSWERED_SECONDS
        while True:
            nodes = self.status()["nodes"]
            if all(node["alive"] for node in nodes):
                return [psutil.Process(node["pid"]) for node in nodes]
            if time.monotonic() > deadline:
                raise SystemExit("a node does not answer")

    def resident_mib(self) -> float:
        """Of the largest node."""
        return max(float(process.memory_info().rss) for process in self.processes()) / 2**20

    def await_all(self) -> None:
        """Until a leader is known and every node has applied as much as the others."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = self.status()
            nodes = found["nodes"]
            level = len({node["applied_index"] for node in nodes}) == 1
            if found["leader"] and level and all(node["alive"] for node in nodes):
                return
            time.sleep(0.1)
        raise SystemExit("the cluster does not come back")


def cpu_seconds(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(each.user + each.system for each in times))


def latency(found: Results) -> str:
    """``p50 2.81, p99 5.02 ms, 46 µs CPU, errors 3``"""
    spent = found["latency_ms"]
    text = f"p50 {spent['p50']:.2f}, p99 {spent['p99']:.2f} ms"
    text += f", {found['cpu_us_per_op']:.0f} µs CPU" if "cpu_us_per_op" in found else ""
    return text + (f", errors {found['errors']}" if found["errors"] else "")


def tell(rows: list[Row]) -> None:
    print("| figure | goal | measured | |\n|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join((*row, '')[:4])} |")
