"""How answers come from the client's thread into an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from raftkv.client import AsyncClient, AsyncLease, Client, Lease, requests
from raftkv.client.aio import _Ended
from raftkv.client.calls import Call
from raftkv.client.types import PutResult
from raftkv.errors import InvalidRequest, Unavailable
from raftkv.testing import LocalCluster
from raftkv.wire.client import Response
from tests.support.processes import DEADLINE_SECONDS


class Loop:
    """Keeps what it is asked to run."""

    def __init__(self) -> None:
        self.asked: list[Callable[[], None]] = []

    def call_soon_threadsafe(self, action: Callable[[], None]) -> None:
        self.asked.append(action)


def ended(revision: int = 0, error: Unavailable | None = None) -> Call:
    call = Call((), 5.0, lambda _: None)
    call.response, call.error = Response(1, 0, revision, None), error
    return call


async def test_a_loop_is_woken_once_for_all_answers_that_have_gathered() -> None:
    loop: Any = Loop()
    answers, asked = _Ended(loop, None), requests.put("k", "v")
    futures = [asyncio.get_running_loop().create_future() for _ in range(4)]
    futures[1].cancel()
    answers.put(futures[0], asked, ended(7))
    answers.put(futures[1], asked, ended(8))
    answers.put(futures[2], asked, ended(error=Unavailable("gone")))
    assert len(loop.asked) == 1
    loop.asked.pop()()
    assert futures[0].result().revision == 7
    assert futures[1].cancelled()
    assert isinstance(futures[2].exception(), Unavailable)
    answers.put(futures[3], asked, ended(9))
    loop.asked.pop()()
    assert futures[3].result().revision == 9


async def test_a_cancelled_request_holds_up_no_other(raftkv_cluster: LocalCluster) -> None:
    async with raftkv_cluster.async_client() as client:
        tasks = [asyncio.ensure_future(client.put(f"task/{number}", "v")) for number in range(300)]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for number, outcome in enumerate(outcomes):
            assert isinstance(outcome, PutResult if number % 3 else asyncio.CancelledError)
        assert await client.get("task/1")


async def test_a_client_is_closed_though_the_loop_has_no_thread_to_spare(
    raftkv_cluster: LocalCluster,
) -> None:
    busy, over = asyncio.get_running_loop(), threading.Event()
    jobs = [busy.run_in_executor(None, over.wait, DEADLINE_SECONDS) for _ in range(64)]
    try:
        async with asyncio.timeout(DEADLINE_SECONDS / 2):
            async with AsyncClient(raftkv_cluster.endpoints) as client:
                await client.put("a", "1")
        assert not over.is_set()
    finally:
        over.set()
        await asyncio.gather(*jobs)


async def test_a_second_loop_at_the_same_time_is_refused(raftkv_cluster: LocalCluster) -> None:
    """Its answers would come to the first, and whoever waits there would wait for ever."""
    async with AsyncClient(raftkv_cluster.endpoints) as client:
        await client.put("a", "1")

        def elsewhere() -> None:
            asyncio.run(client.get("a"))

        def hurried() -> None:
            asyncio.run(client.with_timeout(DEADLINE_SECONDS).get("a"))

        for way in (elsewhere, hurried):
            with pytest.raises(InvalidRequest, match="another event loop"):
                await asyncio.to_thread(way)
        assert await client.get("a")


async def test_a_client_has_as_many_timeouts_as_are_wanted() -> None:
    async with AsyncClient(["tcp://127.0.0.1:1"], timeout=DEADLINE_SECONDS * 10) as client:
        hurried = client.with_timeout(0.02)  # before the first request: they share the loop all the same
        waits = client.submit(requests.get("a"))
        with pytest.raises(Unavailable, match="in time"):
            await hurried.get("a")
        assert not waits.done()
        await hurried.close()
        with pytest.raises(Unavailable, match="closed"):
            await waits


def test_another_loop_is_answered_though_the_first_ended_with_requests_open(
    raftkv_cluster: LocalCluster,
) -> None:
    client = raftkv_cluster.async_client()

    async def leave_some_open() -> None:
        for number in range(50):
            client.submit(requests.put(f"left/{number}", "v"))

    async def ask() -> None:
        assert (await client.put("left/after", "v")).revision
        await client.close()

    asyncio.run(leave_some_open())
    asyncio.run(ask())


def test_every_operation_says_what_it_does() -> None:
    for kind in (Client, AsyncClient, Lease, AsyncLease):
        operations = {name: it for name, it in vars(kind).items() if name[0] != "_" and callable(it)}
        assert len(operations) > 3
        assert [name for name, it in operations.items() if not it.__doc__] == []
