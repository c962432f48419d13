"""What the data model costs: history, ranges, watches.

    python -m benchmarks.store

Ends by itself after some minutes; prints a Markdown table.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cluster import Cluster, Row
from raftkv.client import Client
from raftkv.cluster.discovery import find

HERE = Path(__file__).parent
CLIENTS = 64
TOTAL = 40_000
ROUNDS = 5
"""Of what is compared, by turns: a machine that others use changes its mind within a minute."""
RANGE_KEYS = 10_000
PREFIX_KEYS = 100
STORE_KEYS = 200_000
WATCHERS = 1000
MANY_WATCHERS = 10_000
EVENTS = 200


def in_folder(work: Callable[[Cluster], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder)) as cluster:
        return work(cluster)


def put_rate(cluster: Cluster, key_space: int = 10_000) -> float:
    found = cluster.bench("put", CLIENTS, TOTAL, "--key-space", str(key_space))
    return float(found["ops_per_second"])


def client_of(cluster: Cluster) -> Client:
    return Client(find(None, None, cluster.folder / ".raftkv").clients, timeout=30.0)


def history(results: dict[str, Any]) -> list[Row]:
    rates: dict[bool, list[float]] = {True: [], False: []}
    before = os.environ.pop("PYTHONPATH", None)
    try:
        for _ in range(ROUNDS):
            for keeps, found in rates.items():
                os.environ["PYTHONPATH"] = "" if keeps else str(HERE / "without_history")
                found.append(in_folder(put_rate))
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
    kept, dropped = statistics.fmean(rates[True]), statistics.fmean(rates[False])
    results["history"] = {"kept": kept, "dropped": dropped}
    share = f"{kept / dropped:.2f} ({kept:,.0f} to {dropped:,.0f} a second)"
    return [(f"puts with history to puts without, {CLIENTS} clients", "0.85", share, "")]


def ranges(results: dict[str, Any]) -> list[Row]:
    def work(cluster: Cluster) -> tuple[float, float, float]:
        with client_of(cluster) as client:
            client.put_many([(f"few/{number}", "v" * 128) for number in range(PREFIX_KEYS)])
            few = median_ms(lambda: len(list(client.prefix("few/"))))
            for first in range(0, STORE_KEYS, 1000):
                client.put_many([(f"many/{number:09}", "v" * 128) for number in range(first, first + 1000)])
            large = median_ms(lambda: len(list(client.range("many/", limit=RANGE_KEYS))))
            return large, few, median_ms(lambda: len(list(client.prefix("few/"))))

    large, few, among_many = in_folder(work)
    results["ranges"] = {"ten_thousand_ms": large, "prefix_ms": few, "prefix_among_many_ms": among_many}
    scan = f"{few:.2f} → {among_many:.2f} ms"
    return [
        (f"a range of {RANGE_KEYS:,} keys", "60 ms", f"{large:.0f} ms", ""),
        (f"a prefix of {PREFIX_KEYS} keys, alone and among {STORE_KEYS:,} others", "the same", scan, ""),
    ]


def median_ms(action: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(11):
        begin = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds) * 1000


def watch_in_a_process(cluster: Cluster, count: int) -> subprocess.Popen[str]:
    """``count`` watches of the keys that the load writes, each of one key, in one client."""
    script = (
        "import sys, time\n"
        "from raftkv.client import Client\n"
        "from raftkv.cluster.discovery import find\n"
        "from raftkv.client.watching import Watch\n"
        "client = Client(find(None, None, None).clients)\n"
        "revision, told = client.revision(), []\n"
        "def begin(core, now):\n"
        "    def on_events(cell, events, answers):\n"
        "        told.append(len(events))\n"
        "        core.watches.consumed(cell[0], answers, time.monotonic())\n"
        f"    for number in range({count}):\n"
        "        key, cell = b'bench/%012d' % number, []\n"
        "        on = lambda events, answers, cell=cell: on_events(cell, events, answers)\n"
        "        cell.append(Watch(key, key + b'\\0', revision, 0, on, lambda _: None))\n"
        "        core.watches.begin(cell[0], now)\n"
        "client._pump.post(begin)\n"
        "client.revision()\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
        "print(sum(told))\n"
        "client.close()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=cluster.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def watchers(results: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []

    def work(cluster: Cluster) -> None:
        for key_space in (10_000, WATCHERS):
            told = 0
            rates: dict[str, list[float]] = {"alone": [], "watched": []}
            for _ in range(ROUNDS):
                rates["alone"].append(put_rate(cluster, key_space))
                process = watch_in_a_process(cluster, WATCHERS)
                rates["watched"].append(put_rate(cluster, key_space))
                told += int(process.communicate("")[0])
            alone, watched = statistics.fmean(rates["alone"]), statistics.fmean(rates["watched"])
            results[f"watched_of_{key_space}"] = {**rates, "told": told}
            share = f"{watched / alone:.2f} ({watched:,.0f} to {alone:,.0f} a second)"
            goal = "0.80" if key_space == 10_000 else ""
            what = f"puts with {WATCHERS:,} of {key_space:,} written keys watched to puts without"
            rows.append((what, goal, share, f"{told:,} events told, of {ROUNDS * TOTAL:,} puts"))

    in_folder(work)
    return rows


def latency(results: dict[str, Any]) -> list[Row]:
    def work(cluster: Cluster) -> tuple[float, float, float]:
        with client_of(cluster) as client, client.watch_prefix("late/") as watch:
            late = []
            for number in range(EVENTS):
                client.put(f"late/{number}", "v")
                acknowledged = time.perf_counter()
                watch.get(5.0)
                late.append(time.perf_counter() - acknowledged)
            streams = [client.watch("all", revision=1) for _ in range(MANY_WATCHERS)]
            client.revision()
            begin = time.perf_counter()
            client.put("all", "v")
            for stream in streams:
                assert stream.get(30.0)
            reached = time.perf_counter() - begin
            return statistics.median(late) * 1000, max(late) * 1000, reached * 1000

    median, worst, reached = in_folder(work)
    results["watch_latency_ms"] = {"median": median, "worst": worst, "all_reached": reached}
    return [
        ("an event after its put was acknowledged, median", "5 ms", f"{median:.2f} ms", f"worst {worst:.1f}"),
        (
            f"one put to {MANY_WATCHERS:,} watchers of its key, until the last has it",
            "",
            f"{reached:.0f} ms",
            "",
        ),
    ]


def main() -> None:
    results: dict[str, Any] = {}
    rows: list[Row] = []
    for part in (history, ranges, watchers, latency):
        rows += part(results)
        for row in rows[-2:]:
            print(row, file=sys.stderr, flush=True)
    print("| figure | goal | measured | |\n|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(json.dumps(results), file=sys.stderr)


if __name__ == "__main__":
    main()
