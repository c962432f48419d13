"""What snapshots cost, and what they save: the figures of a cluster with a million keys.

    python -m benchmarks.snapshots

Ends by itself after some minutes; prints a Markdown table.
"""

from __future__ import annotations

import gc
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cluster import Cluster, Row
from raftkv.client import Client
from raftkv.cluster.discovery import find
from raftkv.kv import Command, Op, Restoration, StateMachine

KEYS = 1_000_000
VALUE_BYTES = 128
PAIRS_A_WRITE = 1000
READY_POLL_SECONDS = 0.2
NEVER, NEVER_MIB = 2_000_000_000, 100_000
ROUNDS = 3


def pause_of_a_capture(results: dict[str, Any]) -> list[Row]:
    """The longest step of taking and of restoring a snapshot, in one machine without a cluster."""
    machine = StateMachine()
    value = bytes(VALUE_BYTES)
    for first in range(0, KEYS, PAIRS_A_WRITE):
        pairs = tuple((_key(number), value) for number in range(first, first + PAIRS_A_WRITE))
        machine.apply(first + 1, Command(1, 0, first + 1, first + 1, Op.MULTI_PUT, (pairs,)).encode())
    begin = time.perf_counter()
    capture = machine.begin_capture()
    steps = [time.perf_counter() - begin]
    chunks, last = [], False
    while not last:
        begin = time.perf_counter()
        chunk, last = capture.next_chunk()
        steps.append(time.perf_counter() - begin)
        chunks.append(chunk)
    restoration = Restoration(StateMachine())
    gc.disable()  # as in a node
    feeds = []
    for chunk in chunks:
        begin = time.perf_counter()
        restoration.feed(chunk)
        feeds.append(time.perf_counter() - begin)
    results["capture"] = {"steps": len(steps), "sum": sum(steps), "longest": max(steps)}
    results["restore"] = {"steps": len(feeds), "sum": sum(feeds), "longest": max(feeds)}
    taken = f"{max(steps) * 1000:.1f} ms of {len(steps)} (sum {sum(steps):.1f} s)"
    fed = f"{max(feeds) * 1000:.1f} ms of {len(feeds)} (sum {sum(feeds):.1f} s)"
    return [
        ("longest step of a snapshot of a million keys", "50 ms", taken),
        ("longest step of restoring it", "", fed),
    ]


def _key(number: int) -> bytes:
    return b"key-%012d" % number


def fill(cluster: Cluster) -> None:
    target = find(None, None, cluster.folder / ".raftkv")
    value = bytes(VALUE_BYTES)

    with Client(target.clients, timeout=60.0) as client, ThreadPoolExecutor(8) as pool:

        def write(first: int) -> None:
            client.put_many([(_key(number), value) for number in range(first, first + PAIRS_A_WRITE)])

        list(pool.map(write, range(0, KEYS, PAIRS_A_WRITE)))


def a_million_keys(results: dict[str, Any]) -> list[Row]:
    """Catch-up, latency meanwhile, memory, and the largest latency while snapshots are taken."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        idle = cluster.bench("put", 16, 40_000)["latency_ms"]
        cluster.raftkv("down")
        cluster.raftkv("up", "--detach", "--fresh")
        fill(cluster)
        cluster.raftkv("snapshot")
        sizes = [_resident_mib(node["pid"]) for node in cluster.status()["nodes"]]
        rows.append(("resident memory with a million keys, largest node", "700 MB", f"{max(sizes):.0f} MiB"))
        one = cluster.bench("put", 1, 3_000)["latency_ms"]
        with ThreadPoolExecutor(1) as pool:
            taking = pool.submit(cluster.raftkv, "snapshot")
            during = cluster.bench("put", 1, 6_000)["latency_ms"]
            taking.result()
        text = f"{during['p99']:.1f} / {during['max']:.1f} ms (without {one['p99']:.1f} / {one['max']:.1f})"
        rows.append(("put at 1 client while all nodes take one, p99 / max", "50 ms", text))
        seconds, meanwhile = catch_up(cluster)
        results |= {"idle": idle, "during": during, "catch_up_seconds": seconds, "meanwhile": meanwhile}
        rows.append(("an empty node joins a million keys and votes, under load", "30 s", f"{seconds:.1f} s"))
        text = f"{meanwhile['p99']:.1f} ms ({meanwhile['p99'] / idle['p99']:.1f} × {idle['p99']:.1f})"
        rows.append(("put p99 at 16 clients meanwhile", "5 × idle", text))
    return rows


def catch_up(cluster: Cluster) -> tuple[float, dict[str, Any]]:
    """How long a node that joins takes until it votes, while clients write."""
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(cluster.bench, "put", 16, 40_000)
        begin = time.monotonic()
        name = cluster.raftkv("members", "add").split()[0]
        cluster.raftkv("members", "promote", name, "--timeout", "120")
        seconds = time.monotonic() - begin
        latency: dict[str, Any] = writing.result()["latency_ms"]
    return seconds, latency


def await_state(cluster: Cluster, holds: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if holds({node["name"]: node for node in cluster.status()["nodes"]}):
            return
        time.sleep(READY_POLL_SECONDS)
    raise SystemExit("the node does not come back")


def never_compacts(cluster: Cluster) -> None:
    """Begin anew, with a log that only grows."""
    cluster.raftkv("down")
    path = cluster.folder / ".raftkv" / "cluster.toml"
    rule = f"entries = {NEVER}\nmib = {NEVER_MIB}\nretain_entries"
    text, places = re.subn(r"entries = \d+\nmib = \d+\nretain_entries", rule, path.read_text())
    assert places == 1, f"no rule for snapshots in {path}"
    path.write_text(text)
    cluster.raftkv("up", "--detach")


def compaction(results: dict[str, Any]) -> list[Row]:
    """Puts with and without it, by turns."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for compacts, found in rates.items():
            with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
                if not compacts:
                    never_compacts(cluster)
                found.append(cluster.bench("put", 64, 200_000)["ops_per_second"])
    results |= {"compacting": rates[True], "growing": rates[False]}
    with_it, without = statistics.fmean(rates[True]), statistics.fmean(rates[False])
    share = f"{with_it / without:.2f} ({with_it:,.0f} to {without:,.0f} a second)"
    return [("put at 64 clients with compaction, to without", "0.90", share)]


def a_million_entries(results: dict[str, Any]) -> list[Row]:
    """Start of a node after as many: it has to apply them all only if it never took a snapshot."""
    rows: list[Row] = []
    for compacts, what in ((True, "that has written"), (False, "that never took a snapshot and holds")):
        ready, applied, entries = start_of_a_node(compacts)
        results[f"restart_seconds, {'compacting' if compacts else 'growing'}"] = (ready, applied)
        found = f"{ready:.1f} and {applied:.1f} s ({entries:,} in its log)"
        rows.append(
            (
                f"start of a node {what} a million log entries: until it answers, has applied all",
                "10 s",
                found,
            )
        )
    return rows


def start_of_a_node(compacts: bool) -> tuple[float, float, int]:
    """Seconds until it answers, and until it has applied all it had; how many entries its log held."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        if not compacts:
            never_compacts(cluster)
        cluster.bench("put", 512, KEYS)
        found = cluster.status()
        victim = next(node for node in found["nodes"] if node["name"] != found["leader"])
        name, target = victim["name"], victim["applied_index"]
        cluster.raftkv("chaos", "kill", name)
        begin = time.monotonic()
        cluster.raftkv("chaos", "restart", name)
        await_state(cluster, lambda nodes: nodes[name]["applied_index"] is not None)
        ready = time.monotonic() - begin
        await_state(cluster, lambda nodes: (nodes[name]["applied_index"] or 0) >= target)
        applied = time.monotonic() - begin
    return ready, applied, victim["last_index"] - victim["first_index"] + 1


def _resident_mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss / 2**20)


def main() -> None:
    results: dict[str, Any] = {}
    rows: list[Row] = []
    for part in (pause_of_a_capture, a_million_keys, compaction, a_million_entries):
        for row in part(results):
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
    print("| figure | goal | measured |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(json.dumps(results), file=sys.stderr)


if __name__ == "__main__":
    main()
