"""How long a cluster is away: a leader that is killed, or restarted politely; a start; a whole command.

python -m benchmarks.recovery
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.cluster import Cluster, Results, Row, tell
from raftkv.client import Client
from raftkv.cluster.discovery import find

FAILOVERS = 50
RESTARTS = 20


def failover(cluster: Cluster, results: Results) -> list[Row]:
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
        cluster.await_all()
        print(f"failover {number + 1} of {FAILOVERS}: {times[-1]:.2f} s", file=sys.stderr, flush=True)
    results["failover_seconds"] = times
    measured = f"{statistics.median(times):.2f} / {max(times):.2f} s"
    what = f"kill -9 the leader → next acknowledged write, median and worst of {FAILOVERS}"
    return [(what, "0.5 / 1.2 s", measured)]


def polite_restart(cluster: Cluster, results: Results) -> list[Row]:
    """SIGTERM to the leader, and a start: the longest time between two acknowledged writes of one client that
    always has one outstanding."""
    longest = []
    target = find(None, None, cluster.folder / ".raftkv")
    with Client(target.clients, timeout=20.0) as client:
        for number in range(RESTARTS):
            leader = cluster.status()["leader"]
            client.put("polite", str(number))
            gaps = [0.0]
            last = time.monotonic()
            with ThreadPoolExecutor(1) as worker:
                restart = worker.submit(cluster.raftkv, "chaos", "restart", leader)
                while not restart.done():
                    client.put("polite", f"{number} again")
                    now = time.monotonic()
                    gaps.append(now - last)
                    last = now
            restart.result()
            longest.append(max(gaps))
            cluster.await_all()
            print(
                f"restart {number + 1} of {RESTARTS}: {longest[-1] * 1000:.0f} ms",
                file=sys.stderr,
                flush=True,
            )
    results["polite_restart_seconds"] = longest
    measured = f"{statistics.median(longest) * 1000:.0f} / {max(longest) * 1000:.0f} ms"
    what = f"polite restart of the leader: longest time without a write, median and worst of {RESTARTS}"
    return [(what, "100 ms", measured)]


def whole_processes(cluster: Cluster, results: Results) -> list[Row]:
    spent = []
    cluster.raftkv("put", "small", "value")
    for _ in range(20):
        begin = time.monotonic()
        cluster.raftkv("get", "small")
        spent.append(time.monotonic() - begin)
    results["get_process_seconds"] = spent
    results["ready_seconds"] = cluster.ready_seconds
    return [
        ("`raftkv up` to ready", "2 s", f"{cluster.ready_seconds:.2f} s"),
        ("`raftkv get` as a whole process", "0.15 s", f"{statistics.median(spent):.2f} s"),
    ]


def rows(results: Results) -> list[Row]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        return [
            *whole_processes(cluster, results),
            *failover(cluster, results),
            *polite_restart(cluster, results),
        ]


if __name__ == "__main__":
    tell(rows({}))
