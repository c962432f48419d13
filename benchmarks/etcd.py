"""etcd beside raftkv on the same machine, by turns.

    python -m benchmarks.etcd

Needs ``etcd`` on PATH; says so and leaves it at that where it is not. Three etcd nodes with their own
defaults, on loopback, whose leader is asked by as many clients as raftkv's is (``etcd_load``). Where there is
``etcdctl`` too, its own load follows as an outside witness: ``check perf`` has 1,000 clients write for a
minute, 15,000 times a second at most.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import etcd_load
from benchmarks.cluster import VALUE_BYTES, Cluster, Results, Row, tell

NODES = 3
BASE_PORT = 24_790
PLAN = (
    *(("put", 1, 4_000, VALUE_BYTES), ("put", 16, 20_000, VALUE_BYTES), ("put", 64, 40_000, VALUE_BYTES)),
    *(("put", 512, 60_000, VALUE_BYTES), ("put", 512, 40_000, 1024)),
    *(("get", 1, 6_000, VALUE_BYTES), ("get", 64, 40_000, VALUE_BYTES), ("get", 512, 60_000, VALUE_BYTES)),
)
"""Operation, clients, requests, bytes of a value."""
CONNECTIONS = 1
"""Which serves etcd best on two cores, and is what raftkv's load uses."""
KEY_SPACE = 10_000
READY_SECONDS = 30.0
CHECK_CLIENTS, CHECK_VALUE_BYTES, CHECK_RATE_MAX = 1000, 1024, 15_000
"""Of ``etcdctl check perf --load=xl``."""
_CHECKED = re.compile(r"Throughput (?:is|too low:) ([0-9]+) writes/s")


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


def by_turns(results: Results) -> list[Row]:
    """Each line of the plan on the one and then on the other, as the machine changes from minute to minute.
    Both are there all the time; what is not asked is idle."""
    found: list[Row] = []
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd()) as folder,
        running(Path(folder)) as endpoints,
        Cluster(Path(folder)) as cluster,
    ):
        leader = etcd_load.leader_of(endpoints)
        if leader is None:
            raise SystemExit("etcd does not elect a leader")
        every = (b"bench/%012d" % number for number in range(KEY_SPACE))
        _ask_etcd(leader, every, "put", 64, KEY_SPACE, VALUE_BYTES)
        for operation, clients, total, size in PLAN:
            theirs = _ask_etcd(leader, _drawn(), operation, clients, total, size)
            ours = cluster.bench(operation, clients, total, value=size)
            results[f"etcd {operation} {clients} {size}"] = {"etcd": theirs, "raftkv": ours}
            what = f"{operation}, {clients} clients" + (f", {size:,} bytes" if size != VALUE_BYTES else "")
            share = ours["ops_per_second"] / theirs["ops_per_second"]
            text = f"{share:.1f} × ({ours['ops_per_second']:,.0f} to {theirs['ops_per_second']:,.0f})"
            tails = [f"{spent['p50']:.2f} / {spent['p99']:.1f}" for spent in map(_latency, (ours, theirs))]
            goal = "2 ×" if clients > 1 else "lower latency" if operation == "put" else ""
            found.append((f"{what}, raftkv to etcd", goal, text, f"p50 / p99 {tails[0]} to {tails[1]} ms"))
    return found


def _drawn() -> Iterator[bytes]:
    draw = random.Random(0).randrange
    while True:
        yield b"bench/%012d" % draw(KEY_SPACE)


def _ask_etcd(
    leader: str, keys: Iterator[bytes], operation: str, clients: int, total: int, size: int
) -> Results:
    shape = {"clients": clients, "connections": CONNECTIONS, "total": total}
    found = etcd_load.run(leader, operation, keys, value=bytes(size), **shape).summary()
    if found["errors"]:
        raise SystemExit(f"etcd refused {found['errors']} of {total} requests")
    return found


def _latency(found: Results) -> dict[str, float]:
    spent: dict[str, float] = found["latency_ms"]
    return spent


def rows(results: Results) -> list[Row]:
    if shutil.which("etcd") is None:
        print("no comparison with etcd: it is not on PATH", file=sys.stderr)
        return []
    return by_turns(results) + (check_perf(results) if shutil.which("etcdctl") else [])


if __name__ == "__main__":
    tell(rows({}))
