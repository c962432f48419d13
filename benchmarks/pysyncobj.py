"""PySyncObj beside raftkv on the same machine, in the same run.

    python -m benchmarks.pysyncobj

Three processes with its journal on disk (which it never syncs). It has no clients: one of its nodes asks
itself, which spares it a hop that raftkv's clients take. Needs ``pysyncobj`` (extra ``bench``).
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.cluster import VALUE_BYTES, Cluster, Results, Row, tell

BASE_PORT = 24_850
NODES = 3
PUTS = {1: 50, 512: 20_000}
KEYS = 10_000
SILENCE_SECONDS = 60.0


def _node(number: int, folder: str, pipe: Connection) -> None:
    from pysyncobj import SyncObj, SyncObjConf
    from pysyncobj.batteries import ReplDict

    here, *others = [f"127.0.0.1:{BASE_PORT + (number + offset) % NODES}" for offset in range(NODES)]
    store: Any = ReplDict()
    conf = SyncObjConf(journalFile=f"{folder}/journal-{number}")
    node = SyncObj(here, others, consumers=[store], conf=conf)
    while not node.isReady():
        time.sleep(0.01)
    pipe.send("ready")
    while (asked := pipe.recv()) is not None:
        pipe.send(_drive(store, *asked))
    node.destroy()


def _drive(store: Any, clients: int, total: int) -> float:
    """Requests a second, with ``clients`` outstanding."""
    value = "v" * VALUE_BYTES
    state = {"asked": 0, "answered": 0}
    over, lock = threading.Event(), threading.Lock()

    def ask() -> None:
        with lock:
            number = state["asked"]
            if number == total:
                return
            state["asked"] += 1
        store.set(f"bench/{number % KEYS}", value, callback=answered)

    def answered(_result: object, _error: object) -> None:
        state["answered"] += 1
        if state["answered"] == total:
            over.set()
        ask()

    begin = time.monotonic()
    for _ in range(clients):
        ask()
    if not over.wait(SILENCE_SECONDS):
        return state["answered"] / SILENCE_SECONDS
    return total / (time.monotonic() - begin)


def measured() -> dict[int, float]:
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        pipes, processes = [], []
        for number in range(NODES):
            here, there = spawn.Pipe()
            processes.append(spawn.Process(target=_node, args=(number, folder, there), daemon=True))
            processes[-1].start()
            pipes.append(here)
        try:
            for pipe in pipes:
                pipe.recv()
            found = {}
            for clients, total in PUTS.items():
                pipes[0].send((clients, total))
                found[clients] = float(pipes[0].recv())
            return found
        finally:
            for process in processes:
                process.kill()
                process.join()


def rows(results: Results) -> list[Row]:
    try:
        import pysyncobj  # noqa: F401
    except ImportError:
        print("no comparison with PySyncObj: it is not installed (extra 'bench')", file=sys.stderr)
        return []
    theirs = measured()
    found: list[Row] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        for clients in PUTS:
            ours = cluster.bench("put", clients, 4_000 if clients == 1 else 60_000)["ops_per_second"]
            results[f"pysyncobj put {clients}"] = {"pysyncobj": theirs[clients], "raftkv": ours}
            text = f"{ours / theirs[clients]:.1f} × ({ours:,.0f} to {theirs[clients]:,.0f})"
            found.append((f"put, {clients} clients, raftkv (synced) to PySyncObj (not synced)", "", text))
    return found


if __name__ == "__main__":
    tell(rows({}))
