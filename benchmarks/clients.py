"""What programs get out of ``Client`` and ``AsyncClient``, beside the load generator of ``raftkv bench``.

    python -m benchmarks.clients

The same requests, one outstanding for each thread or task: the difference is what threads, or an event
loop, cost.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.cluster import VALUE_BYTES, Cluster, Results, Row, tell
from raftkv import AsyncClient, Client
from raftkv.cluster.discovery import find

SECONDS = 3.0
VALUE = b"v" * VALUE_BYTES
THREADS = (1, 16, 64)
TASKS = (1, 16, 64, 512)
BENCH_TOTALS = {1: 4_000, 16: 40_000, 64: 80_000, 512: 120_000}


def by_threads(endpoints: list[str], operation: str, threads: int) -> float:
    """Requests a second of so many threads that share one ``Client``."""
    counts = [0] * threads

    def work(number: int) -> None:
        key = f"client/{number}"
        while time.monotonic() < end:
            if operation == "put":
                client.put(key, VALUE)
            else:
                client.get(key)
            counts[number] += 1

    with Client(endpoints) as client:
        client.hello()
        begin = time.monotonic()
        end = begin + SECONDS
        running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return sum(counts) / (time.monotonic() - begin)


def by_tasks(endpoints: list[str], operation: str, tasks: int) -> float:
    """Requests a second of so many tasks that share one ``AsyncClient``."""

    async def work(client: AsyncClient, key: str, end: float) -> int:
        count = 0
        while time.monotonic() < end:
            if operation == "put":
                await client.put(key, VALUE)
            else:
                await client.get(key)
            count += 1
        return count

    async def run() -> float:
        async with AsyncClient(endpoints) as client:
            await client.hello()
            begin = time.monotonic()
            work_all = [work(client, f"client/{number}", begin + SECONDS) for number in range(tasks)]
            return sum(await asyncio.gather(*work_all)) / (time.monotonic() - begin)

    return asyncio.run(run())


def rows(results: Results) -> list[Row]:
    found: list[Row] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        endpoints = list(find(None, None, cluster.folder / ".raftkv").clients)
        for operation in ("put", "get"):
            bench = {
                clients: cluster.bench(operation, clients, total)["ops_per_second"]
                for clients, total in BENCH_TOTALS.items()
            }
            kinds: tuple[tuple[str, Callable[[list[str], str, int], float], tuple[int, ...]], ...] = (
                ("threads of one Client", by_threads, THREADS),
                ("tasks of one AsyncClient", by_tasks, TASKS),
            )
            for kind, measure, counts in kinds:
                for count in counts:
                    rate = results[f"{operation}, {count} {kind}"] = measure(endpoints, operation, count)
                    told = f"{rate:,.0f} ({rate / bench[count]:.2f} of {bench[count]:,.0f})"
                    found.append((f"{operation}, {count} {kind}, a second", "", told))
    return found


if __name__ == "__main__":
    tell(rows({}))
