"""Where a put or a get goes: the CPU that each kind of a node's turns takes, and how much of it stays idle.

    python -m benchmarks.turns [get]

Three nodes, each ``run_node`` itself with a clock around its turns, and none of which asks for news while it
waits. Ends by itself after a minute; prints a Markdown table for each number of clients. With ``--parts``
another clock goes around every actor and every call into ZeroMQ as well, which makes turns longer, and shows
what they consist of.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cluster import ANSWERED_SECONDS
from raftkv.actors import loop, zmq_ports
from raftkv.actors import node as node_module
from raftkv.actors.node import Node
from raftkv.actors.storage import DiskResult
from raftkv.actors.system import ActorName, System
from raftkv.cluster.local import prepare
from raftkv.config import LoopConfig, load
from raftkv.raft import Role

CLIENTS = {1: 1500, 16: 16_000, 64: 40_000, 512: 80_000}
"""And how many requests they make."""
KEYS_READ = 10
WARM_UP_SECONDS = 1.0
NODES = 3
PARTS_SHOWN = 7
RARE = 50
"""A kind of turns of which there are fewer than one in so many is left out."""


class Parts:
    """Wall-clock nanoseconds of the calls within a turn; of calls within calls, those of the inner ones."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._inner = 0

    def timed(self, what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            outer, self._inner = self._inner, 0
            began = time.perf_counter_ns()
            try:
                return call(*arguments)
            finally:
                passed = time.perf_counter_ns() - began
                self.spent[what] += passed - self._inner
                self._inner = outer + passed

        return run


PARTS = Parts()


class TimedActor:
    def __init__(self, name: str, actor: Any) -> None:
        self.handle = PARTS.timed(name, actor.handle)
        if hasattr(actor, "end_of_turn"):
            self.end_of_turn = PARTS.timed(name, actor.end_of_turn)


class TimedSystem(System):
    def add(self, name: Any, actor: Any) -> None:
        super().add(name, TimedActor(name, actor))


class TimedNode(Node):
    """Adds up the CPU of its thread, by who it is and what came in: in the turn, and between two of them:
    polling and, before a turn that hears of the disk, what was done there."""

    spent: dict[str, list[int]]
    """Role and sources → number of turns, CPU nanoseconds before them, and in them."""
    parts: dict[str, Counter[str]]
    """Role and sources → part → nanoseconds."""
    ended = (0, 0)
    """Which thread's, and its CPU when the last turn ended: now and then another takes the loop over."""

    heard: int | None = None
    """When it began to hear of the disk, ahead of this turn."""

    def hear_disk(self, results: Iterable[DiskResult]) -> None:
        self.heard = time.thread_time_ns()
        PARTS.spent.clear()
        super().hear_disk(results)

    def turn(self, readable: Iterable[ActorName]) -> None:
        heard, self.heard = self.heard, None
        began = heard or time.thread_time_ns()
        readable = list(readable)
        role = "leader" if self.raft.raft.role is Role.LEADER else "follower"
        if not heard:
            PARTS.spent.clear()
        super().turn(readable)
        sources = [*readable, *(["disk"] if heard else [])] or ["timer"]
        what = f"{role}: {', '.join(sources)}"
        TimedNode.parts.setdefault(what, Counter()).update(PARTS.spent)
        row = TimedNode.spent.setdefault(what, [0, 0, 0])
        now = time.thread_time_ns()
        row[0] += 1
        thread, ended = self.ended
        row[1] += began - ended if thread == threading.get_ident() else 0
        row[2] += now - began
        self.ended = (threading.get_ident(), now)


def run_timed(config: Path, name: str, parts: bool) -> None:
    """One node, until SIGTERM; then its figures as JSON."""
    TimedNode.spent, TimedNode.parts = {}, {}
    put = setattr
    put(loop, "Node", TimedNode)
    if parts:
        put(node_module, "System", TimedSystem)
        for what in ("receive", "send"):
            put(zmq_ports.ZmqPort, what, PARTS.timed(f"ZeroMQ {what}", getattr(zmq_ports.ZmqPort, what)))
    # Nodes that sleep while they wait: asking for news is CPU as well, and the table is of work.
    sleepy = replace(load(config), loop=LoopConfig(busy_poll_us=0))
    loop.run_node(sleepy, name, report=lambda _: None)
    print(json.dumps([TimedNode.spent, TimedNode.parts]))


def measure(operation: str, clients: int, total: int, parts: bool) -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        cluster = prepare(Path(folder), NODES, None, fresh=False)
        config = Path(folder) / "cluster.toml"
        names = [node.name for node in cluster.nodes]
        flags = ["--config", str(config), *(["--parts"] * parts)]
        nodes = [_start("benchmarks.turns", *flags, "--node", name) for name in names]
        try:
            load = (
                f"bench {operation} --clients {clients} --total {total} --timeout {ANSWERED_SECONDS} --json"
            )
            if operation == "get":
                load += f" --key-space {KEYS_READ}"  # that are put first
            load_generator = _start("raftkv", *load.split(), "--config", str(config))
            idle = _idle_cores(load_generator)
            rate = json.loads(load_generator.communicate()[0])["ops_per_second"]
        finally:
            for node in nodes:
                node.terminate()
        answers = [json.loads(node.communicate()[0]) for node in nodes]
    idle_of = f"{idle:.1f} of {psutil.cpu_count()} cores idle"
    print(f"\n{clients} clients, {rate:,.0f} {operation}s a second, {idle_of}\n")
    _print_table([spent for spent, _ in answers], [consist for _, consist in answers] if parts else [], total)


def _print_table(
    spent: list[dict[str, list[int]]], consist: list[dict[str, dict[str, int]]], total: int
) -> None:
    print(
        "| turn | for 1,000 requests | µs of CPU before it | in it |" + " parts of it, µs |" * bool(consist)
    )
    print("|---|---|---|---|" + "---|" * bool(consist))
    turns = sum(row[0] for node in spent for row in node.values())
    for what in sorted({what for node in spent for what in node}):
        count, before, within = (
            sum(node.get(what, (0, 0, 0))[place] for node in spent) for place in range(3)
        )
        if count * RARE < turns:
            continue
        cells = [
            what,
            f"{count / total * 1000:,.0f}",
            f"{before / count / 1000:.0f}",
            f"{within / count / 1000:.0f}",
        ]
        if consist:
            summed: Counter[str] = Counter()
            for node in consist:
                summed.update(node.get(what, {}))
            largest = summed.most_common(PARTS_SHOWN)
            cells.append(
                ", ".join(f"{part} {nanoseconds / count / 1000:.0f}" for part, nanoseconds in largest)
            )
        print(f"| {' | '.join(cells)} |")


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
    parser.add_argument("operation", choices=("put", "get"), nargs="?", default="put")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--node")
    parser.add_argument("--parts", action="store_true", help="what the turns consist of, too")
    options = parser.parse_args()
    if options.node:
        run_timed(options.config, options.node, options.parts)
        return
    for clients, total in CLIENTS.items():
        measure(options.operation, clients, total, options.parts)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
