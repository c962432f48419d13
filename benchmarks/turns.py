"""Where a put goes: the CPU that each kind of a node's turns takes, and how much of the machine stays idle.

    python -m benchmarks.turns

Three nodes, each ``run_node`` itself with a clock around its turns. Ends by itself after a minute; prints a
Markdown table for each number of clients.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from benchmarks.cluster import ANSWERED_SECONDS
from raftkv.actors import loop
from raftkv.actors.node import Node
from raftkv.actors.storage import DiskResult
from raftkv.cluster.local import prepare
from raftkv.config import load
from raftkv.raft import Role

CLIENTS = {1: 1500, 16: 16_000, 64: 40_000, 512: 80_000}
"""And how many puts they make."""
WARM_UP_SECONDS = 1.0
NODES = 3
RARE = 50
"""A kind of turns of which there are fewer than one in so many is left out."""


class TimedNode(Node):
    """Adds up the CPU of its thread, by who it is and what came in: in the turn, and between two of them."""

    spent: dict[str, list[int]]
    """Role and sources → number of turns, CPU nanoseconds before them (polling), and in them."""
    ended = time.thread_time_ns()

    def turn(self, readable: Iterable[str], disk_results: Iterable[DiskResult] = ()) -> None:
        began = time.thread_time_ns()
        readable, disk_results = list(readable), list(disk_results)
        role = "leader" if self.raft.raft.role is Role.LEADER else "follower"
        super().turn(readable, disk_results)
        sources = [*readable, *(["disk"] if disk_results else [])] or ["timer"]
        row = TimedNode.spent.setdefault(f"{role}: {', '.join(sources)}", [0, 0, 0])
        now = time.thread_time_ns()
        row[0] += 1
        row[1] += began - self.ended
        row[2] += now - began
        self.ended = now


def run_timed(config: Path, name: str) -> None:
    """One node, until SIGTERM; then its figures as JSON."""
    TimedNode.spent = {}
    setattr(loop, "Node", TimedNode)  # noqa: B010
    loop.run_node(load(config), name, report=lambda _: None)
    print(json.dumps(TimedNode.spent))


def measure(clients: int, total: int) -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        cluster = prepare(Path(folder), NODES, None, fresh=False)
        config = Path(folder) / "cluster.toml"
        names = [node.name for node in cluster.nodes]
        nodes = [_start("benchmarks.turns", "--config", str(config), "--node", name) for name in names]
        try:
            load = (
                f"bench put --clients {clients} --total {total} --timeout {ANSWERED_SECONDS} --json".split()
            )
            load_generator = _start("raftkv", *load, "--config", str(config))
            idle = _idle_cores(load_generator)
            rate = json.loads(load_generator.communicate()[0])["ops_per_second"]
        finally:
            for node in nodes:
                node.terminate()
        spent = [json.loads(node.communicate()[0]) for node in nodes]
    print(f"\n{clients} clients, {rate:,.0f} puts a second, {idle:.1f} of {psutil.cpu_count()} cores idle\n")
    print("| turn | for 1,000 puts | µs of CPU before it | in it |\n|---|---|---|---|")
    for what in sorted({what for node in spent for what in node}):
        count, before, within = (
            sum(node.get(what, (0, 0, 0))[place] for node in spent) for place in range(3)
        )
        if count * RARE >= sum(row[0] for node in spent for row in node.values()):
            share = count / total * 1000
            print(f"| {what} | {share:,.0f} | {before / count / 1000:.0f} | {within / count / 1000:.0f} |")


def _start(module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)


def _idle_cores(during: subprocess.Popen[str]) -> float:
    """While that process is at work, but for its beginning."""
    time.sleep(WARM_UP_SECONDS)
    begin, before = time.monotonic(), psutil.cpu_times()
    while during.poll() is None and time.monotonic() - begin < WARM_UP_SECONDS:
        time.sleep(0.05)
    after, seconds = psutil.cpu_times(), time.monotonic() - begin
    return float(after.idle - before.idle + after.iowait - before.iowait) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--node")
    options = parser.parse_args()
    if options.node:
        run_timed(options.config, options.node)
        return
    for clients, total in CLIENTS.items():
        measure(clients, total)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
