"""One put of one client, step by step: when each thing happens on its way, the medians of many.

    python -m benchmarks.timeline

Three nodes, each ``run_node`` itself, and ``raftkv bench``'s own loop, with stamps of the clock that all
processes of a machine share around turns, jobs of the disk and what is sent. Ends by itself within half a
minute; prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from raftkv.actors import loop, zmq_ports
from raftkv.actors.node import Node
from raftkv.actors.relay import Relay
from raftkv.actors.storage import DiskResult
from raftkv.actors.system import ActorName
from raftkv.client.bench import Bench
from raftkv.cluster.local import prepare
from raftkv.config import load
from raftkv.raft import Role
from raftkv.storage import DiskJob

NODES, PUTS, KEYS, VALUE_BYTES = 3, 4000, 10_000, 128
ANSWERED_SECONDS = 30.0
WARM_UP_PUTS = PUTS // 4
STEPS = (
    "the client makes its request; on its way",
    "leader's turn: gateway, raft, the append is encoded and sent",
    "on its way to a follower",
    "follower's turn, until its disk begins",
    "its disk: a record is written and synced",
    "the answer is sent",
    "on its way to the leader",
    "leader's turn: raft, the state machine, gateway, the reply is sent",
    "on its way; the client has it",
)
"""What happens to a put, in this order."""

stamps: list[tuple[int, str]] = []
"""(nanoseconds, what) of this process, in their order."""


def stamp(what: str) -> None:
    stamps.append((time.perf_counter_ns(), what))


class StampedNode(Node):
    def turn(self, readable: Iterable[ActorName]) -> None:
        stamp("leader" if self.raft.raft.role is Role.LEADER else "follower")
        stamp("turn")
        super().turn(readable)


class StampedRelay(Relay):
    def _perform(self, job: DiskJob) -> DiskResult:
        stamp("disk")
        result = super()._perform(job)
        stamp("synced")
        return result


class StampedPort(zmq_ports.ZmqPort):
    __slots__ = ()

    def send(self, frame: Sequence[bytes]) -> bool:
        left = super().send(frame)
        stamp("sent")
        return left


class StampedBench(Bench):
    def _ask(self, session: Any, done: Any) -> None:
        stamp("asked")
        super()._ask(session, done)

    def _on_done(self, session: Any, call: Any) -> None:
        stamp("answered")
        super()._on_done(session, call)


def run_stamped(config: Path, name: str) -> None:
    """One node, until SIGTERM; then its stamps as JSON."""
    put = setattr
    put(loop, "Node", StampedNode)
    put(loop, "Relay", StampedRelay)
    put(zmq_ports, "ZmqPort", StampedPort)
    loop.run_node(load(config), name, report=lambda _: None)
    print(json.dumps(stamps))


def ask(config: Path) -> None:
    endpoints = [node.client for node in load(config).nodes]
    bench = StampedBench(
        endpoints,
        operation="put",
        clients=1,
        total=PUTS,
        value_size=VALUE_BYTES,
        key_space=KEYS,
        timeout=ANSWERED_SECONDS,
    )
    bench.run()
    print(json.dumps(stamps))


class Track:
    """The stamps of one process, to be looked up by time."""

    def __init__(self, found: list[tuple[int, str]]) -> None:
        self._times: dict[str, list[int]] = {}
        for moment, what in found:
            self._times.setdefault(what, []).append(moment)

    @property
    def leads(self) -> bool:
        """For most of its turns."""
        return len(self._times.get("leader", ())) > len(self._times.get("follower", ()))

    def all(self, what: str) -> list[int]:
        return self._times.get(what, [])

    def after(self, moment: float, what: str) -> float:
        times = self.all(what)
        place = bisect_left(times, moment)
        return times[place] if place < len(times) else float("inf")


class Put(NamedTuple):
    """Nanoseconds since it was asked, at which each step of ``STEPS`` ended; and the leader's own disk."""

    ends: list[float]
    disk: tuple[float, float]


def follow(asked: int, answered: int, leader: Track, followers: list[Track]) -> Put | None:
    """One put through the stamps of all; None where it cannot be told from what else went on."""
    turn = leader.after(asked, "turn")
    appended = leader.after(turn, "sent")
    ways = []
    for follower in followers:
        begun = follower.after(appended, "turn")
        disk = follower.after(begun, "disk")
        synced = follower.after(disk, "synced")
        ways.append((follower.after(synced, "sent"), begun, disk, synced))
    acknowledged, begun, disk, synced = min(ways)  # whoever was the first, with the leader's makes a majority
    second = leader.after(acknowledged, "turn")
    replied = leader.after(second, "sent")
    moments = [turn, appended, begun, disk, synced, acknowledged, second, replied, answered]
    if moments != sorted(moments):
        return None
    own = leader.after(turn, "disk")
    return Put([moment - asked for moment in moments], (own - asked, leader.after(own, "synced") - asked))


def tell(puts: list[Put], count: int) -> None:
    print(f"{len(puts):,} of {count:,} puts could be followed\n\n| µs | until | |\n|---|---|---|")
    before = 0.0
    for place, what in enumerate(STEPS):
        end = median(put.ends[place] for put in puts) / 1000
        print(f"| {end - before:.0f} | {end:.0f} | {what} |")
        before = end
    begin, end = (median(put.disk[place] for put in puts) / 1000 for place in range(2))
    print(f"\nmeanwhile the leader's own disk, from {begin:.0f} to {end:.0f}")


def measure() -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        cluster = prepare(Path(folder), NODES, None, fresh=False)
        config = str(Path(folder) / "cluster.toml")
        nodes = [_start("--config", config, "--node", node.name) for node in cluster.nodes]
        try:
            answer = _start("--config", config).communicate()[0]
        finally:
            for node in nodes:
                node.terminate()
        tracks = [Track(json.loads(node.communicate()[0])) for node in nodes]
    client = Track(json.loads(answer))
    leader = next(track for track in tracks if track.leads)
    followers = [track for track in tracks if track is not leader]
    pairs = list(zip(client.all("asked"), client.all("answered"), strict=False))[WARM_UP_PUTS:]
    puts = [put for pair in pairs if (put := follow(*pair, leader, followers))]
    tell(puts, len(pairs))


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.timeline", *arguments], stdout=subprocess.PIPE, text=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--node", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.node:
        run_stamped(options.config, options.node)
    elif options.config:
        ask(options.config)
    else:
        measure()


if __name__ == "__main__":
    main()
