"""etcd beside raftkv on the same machine, in the same run.

    python -m benchmarks.etcd

Needs ``etcd`` on PATH, and one of its own load generators: ``benchmark`` (tools/benchmark of its sources), or
``etcdctl``, whose ``check perf`` has 1,000 clients write for a minute, 15,000 times a second at most. Says so
and leaves it at that where they are not. Three etcd nodes with their own defaults, on loopback.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cluster import VALUE_BYTES, Cluster, Results, Row, tell

NODES = 3
BASE_PORT = 24_790
PUTS = {1: 4_000, 16: 20_000, 64: 40_000, 512: 60_000}
RANGES = {1: 6_000, 64: 40_000, 512: 60_000}
READY_SECONDS = 30.0
CHECK_CLIENTS, CHECK_VALUE_BYTES, CHECK_RATE_MAX = 1000, 1024, 15_000
"""Of ``etcdctl check perf --load=xl``."""
_CHECKED = re.compile(r"Throughput (?:is|too low:) ([0-9]+) writes/s")
_RATE = re.compile(r"Requests/sec:\s*([0-9.]+)")
_P99 = re.compile(r"99% in ([0-9.]+) secs")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[list[str]]:
    """Three nodes that serve; their client endpoints."""
    peers = [f"http://127.0.0.1:{BASE_PORT + number}" for number in range(NODES)]
    clients = [f"http://127.0.0.1:{BASE_PORT + 10 + number}" for number in range(NODES)]
    founding = ",".join(f"e{number}={peer}" for number, peer in enumerate(peers))
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(NODES):
            options = {
                "name": f"e{number}",
                "data-dir": str(folder / f"e{number}"),
                "listen-peer-urls": peers[number],
                "initial-advertise-peer-urls": peers[number],
                "listen-client-urls": clients[number],
                "advertise-client-urls": clients[number],
                "initial-cluster": founding,
                "initial-cluster-state": "new",
            }
            log = (folder / f"e{number}.log").open("wb")
            arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
            started.append(subprocess.Popen(["etcd", *arguments], stdout=log, stderr=log))
            log.close()
        _await_ports(started)
        time.sleep(3.0)  # an election takes it one second or two
        yield [client.removeprefix("http://") for client in clients]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def _await_ports(started: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    for number in range(NODES):
        while True:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", BASE_PORT + 10 + number), 1),
            ):
                break
            if time.monotonic() > deadline or any(process.poll() is not None for process in started):
                raise SystemExit("etcd does not start")
            time.sleep(0.1)


def load(endpoints: list[str], operation: str, clients: int, total: int) -> tuple[float, float]:
    """Requests a second, and their p99 in milliseconds."""
    connections = str(min(clients, 100))
    command = [
        "benchmark",
        f"--endpoints={','.join(endpoints)}",
        "--conns",
        connections,
        "--clients",
        str(clients),
    ]
    if operation == "put":
        more = [
            "put",
            "--total",
            str(total),
            "--key-size=16",
            f"--val-size={VALUE_BYTES}",
            "--key-space-size=10000",
        ]
    else:
        more = ["range", "key", "--consistency=l", "--total", str(total)]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    rate, p99 = _RATE.search(done.stdout), _P99.search(done.stdout)
    if done.returncode or not rate or not p99:
        raise SystemExit(f"benchmark {operation}: {done.stderr or done.stdout}")
    return float(rate[1]), 1000 * float(p99[1])


def check_perf(results: Results) -> list[Row]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, running(Path(folder)) as endpoints:
        command = ["etcdctl", f"--endpoints={','.join(endpoints)}", "check", "perf", "--load=xl"]
        environment = {**os.environ, "ETCDCTL_API": "3"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    rate = _CHECKED.search(said)
    if not rate:
        raise SystemExit(f"etcdctl check perf: {said}")
    theirs = float(rate[1])
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        ours = cluster.bench("put", CHECK_CLIENTS, 400_000, value=CHECK_VALUE_BYTES)
    results["etcd check perf"] = {"etcd": theirs, "said": said, "raftkv": ours}
    text = f"{ours['ops_per_second'] / theirs:.1f} × ({ours['ops_per_second']:,.0f} to {theirs:,.0f})"
    capped = f"p99 {ours['latency_ms']['p99']:.1f} ms; etcdctl asks for {CHECK_RATE_MAX:,} a second at most"
    return [(f"put, {CHECK_CLIENTS:,} clients, raftkv to etcd (etcdctl check perf)", "2 ×", text, capped)]


def rows(results: Results) -> list[Row]:
    if shutil.which("etcd") is None:
        print("no comparison with etcd: it is not on PATH", file=sys.stderr)
        return []
    if shutil.which("benchmark") is None:
        if shutil.which("etcdctl"):
            return check_perf(results)
        print("no comparison with etcd: neither benchmark nor etcdctl is on PATH", file=sys.stderr)
        return []
    plan = [("put", *each) for each in PUTS.items()] + [("get", *each) for each in RANGES.items()]
    theirs: dict[tuple[str, int], tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, running(Path(folder)) as endpoints:
        load(endpoints, "put", 16, 2_000)
        for operation, clients, total in plan:
            theirs[operation, clients] = load(endpoints, operation, clients, total)
    found: list[Row] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        for operation, clients, total in plan:
            ours = cluster.bench(operation, clients, total)
            rate, p99 = theirs[operation, clients]
            results[f"etcd {operation} {clients}"] = {"etcd": [rate, p99], "raftkv": ours}
            share = ours["ops_per_second"] / rate
            text = f"{share:.1f} × ({ours['ops_per_second']:,.0f} to {rate:,.0f})"
            tail = f"p99 {ours['latency_ms']['p99']:.1f} to {p99:.1f} ms"
            found.append((f"{operation}, {clients} clients, raftkv to etcd", "2 ×", text, tail))
    return found


if __name__ == "__main__":
    tell(rows({}))
