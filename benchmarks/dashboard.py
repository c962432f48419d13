"""What the dashboard costs, and how fast it is.

    python -m benchmarks.dashboard [--soak-seconds 600]

Ends by itself after some minutes, or later with a longer soak; prints a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cluster import Cluster, Row
from raftkv.cluster.chaos import Chaos
from raftkv.cluster.discovery import find
from raftkv.cluster.live import LiveFeed
from raftkv.observe import LinkFault
from raftkv.tui.app import Dashboard

NODES = 5
CLIENTS = 64
TOTAL = 60_000
ROUNDS = 7
"""With and without by turns; a busy machine changes its mind within a minute, so the means are compared."""
EVENTS = 60
GAP_SECONDS = 0.15
REST_SECONDS = 15.0
WARM_SECONDS = 30.0
"""Before memory is first read: by then every bounded thing has been met once, but for the tape."""


def put_rate(cluster: Cluster) -> float:
    arguments = ["--clients", str(CLIENTS), "--total", str(TOTAL)]
    return float(json.loads(cluster.raftkv("bench", "put", *arguments, "--json"))["ops_per_second"])


@contextlib.contextmanager
def attached(cluster: Cluster, columns: int = 80, rows: int = 24) -> Iterator[psutil.Process]:
    """``raftkv tui`` in a terminal of its own, whose screen somebody reads."""
    leading, following = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "LINES": str(rows), "TERM": "xterm-256color"}
    running = subprocess.Popen(
        [sys.executable, "-m", "raftkv", "tui"],
        cwd=cluster.folder,
        env=environment,
        stdin=following,
        stdout=following,
        stderr=following,
        start_new_session=True,
    )
    os.close(following)

    def read() -> None:
        with contextlib.suppress(OSError):
            while os.read(leading, 1 << 16):
                pass

    threading.Thread(target=read, daemon=True).start()
    try:
        time.sleep(3.0)
        yield psutil.Process(running.pid)
    finally:
        running.terminate()
        running.wait()
        os.close(leading)


def throughput(cluster: Cluster, results: dict[str, Any]) -> list[Row]:
    without, beside = [], []
    for _ in range(ROUNDS):
        without.append(put_rate(cluster))
        with attached(cluster):
            beside.append(put_rate(cluster))
    share = sum(beside) / sum(without)
    results["throughput"] = {"without": without, "with": beside}
    text = f"{share:.2f} ({statistics.fmean(beside):,.0f} to {statistics.fmean(without):,.0f} a second)"
    return [(f"puts with the dashboard to puts without, {NODES} nodes, {CLIENTS} clients", "0.90", text, "")]


def rest(cluster: Cluster, results: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for columns, lines in ((80, 24), (160, 50)):
        with attached(cluster, columns, lines) as process:
            before, begin = process.cpu_times(), time.monotonic()
            time.sleep(REST_SECONDS)
            after, spent = process.cpu_times(), time.monotonic() - begin
        share = (after.user + after.system - before.user - before.system) / spent
        results[f"rest {columns}x{lines}"] = share
        rows.append((f"of one core at rest, {columns}x{lines}, {NODES} nodes", "15 %", f"{share:.1%}", ""))
    return rows


class Watched(Dashboard):
    """Notes for every event how long it took to the screen."""

    def __init__(self, feed: LiveFeed, chaos: Chaos) -> None:
        super().__init__(feed, chaos, chaos, owns_cluster=False)
        self.delays: list[float] = []
        self._told = 0

    def draw(self) -> None:
        super().draw()
        fresh = self.state.lines_total - self._told
        self._told = self.state.lines_total
        lines = self.state.lines[len(self.state.lines) - fresh :] if fresh else ()
        times = [line.time for line in lines if line.event and line.event.kind.startswith("LinkFault")]
        if times:
            self.call_after_refresh(self._painted, times)

    def _painted(self, times: list[float]) -> None:
        now = time.monotonic()
        self.delays += [now - each for each in times]


async def event_delays(cluster: Cluster) -> list[float]:
    target = find(None, None, cluster.folder / ".raftkv")
    chaos = Chaos(target)
    app = Watched(LiveFeed(target), chaos)
    load = subprocess.Popen(
        [sys.executable, "-m", "raftkv", "bench", "put", "--clients", str(CLIENTS), "--total", "100000000"],
        cwd=cluster.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with app.run_test(size=(160, 50)):
            await asyncio.sleep(3.0)
            for number in range(EVENTS):
                fault = LinkFault(delay_ms=1.0 + number)
                await asyncio.to_thread(chaos.link, "n4", "n5", fault, 5.0)
                await asyncio.sleep(GAP_SECONDS)
            await asyncio.to_thread(chaos.heal)
            await asyncio.sleep(1.0)
    finally:
        load.terminate()
        load.wait()
        chaos.close()
    return app.delays


def delays(cluster: Cluster, results: dict[str, Any]) -> list[Row]:
    found = sorted(1000 * delay for delay in asyncio.run(event_delays(cluster)))
    p95 = found[int(len(found) * 0.95)]
    results["event to screen"] = {"p50": statistics.median(found), "p95": p95, "count": len(found)}
    text = f"{p95:.0f} ms (p50 {statistics.median(found):.0f} ms, {len(found)} events)"
    return [(f"event to screen under full load, {NODES} nodes, 160x50, p95", "200 ms", text, "")]


def soak(cluster: Cluster, results: dict[str, Any], seconds: float) -> list[Row]:
    with attached(cluster) as process:
        load = subprocess.Popen(
            [sys.executable, "-m", "raftkv", "bench", "put", "--clients", "16", "--total", "100000000"],
            cwd=cluster.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(WARM_SECONDS)
            before = process.memory_info().rss
            time.sleep(seconds)
            grown = process.memory_info().rss - before
        finally:
            load.terminate()
            load.wait()
    results["soak"] = {"seconds": seconds, "before": before, "grown": grown}
    text = f"{grown / 1e6:+.1f} MB of {before / 1e6:.0f}"
    return [
        (f"growth of the dashboard's memory in {seconds:g} s under load, {NODES} nodes", "10 MB", text, "")
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--soak-seconds", type=float, default=60.0)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder), nodes=NODES) as cluster:
        rows += rest(cluster, results)
        rows += delays(cluster, results)
        rows += throughput(cluster, results)
        rows += soak(cluster, results, options.soak_seconds)
    print("\n| figure | goal | measured |\n|---|---|---|")
    for name, goal, measured, _ in rows:
        print(f"| {name} | {goal} | {measured} |")
    print(json.dumps(results), file=sys.stderr)


if __name__ == "__main__":
    main()
