"""What comes of a watch reaches whoever reads it, once, however that is interrupted."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from raftkv.client.aio import AsyncWatchStream
from raftkv.client.stream import WatchStream
from raftkv.client.types import Event, EventType
from raftkv.client.watching import Watch
from raftkv.errors import Compacted
from tests.support.processes import DEADLINE_SECONDS, await_condition


class _Core:
    def __init__(self) -> None:
        self.watches = self
        self.begun: list[Watch] = []
        self.given_back = 0

    def begin(self, watch: Watch, now: float) -> None:
        del now
        self.begun.append(watch)

    def end(self, watch: Watch) -> None:
        self.begun.remove(watch)

    def consumed(self, watch: Watch, answers: int, now: float) -> None:
        del watch, now
        self.given_back += answers


class _Pump:
    """Does at once what is posted."""

    def __init__(self) -> None:
        self.core = _Core()

    def post(self, action: Callable[[Any, float], None]) -> None:
        action(self.core, 0.0)

    def check_wait(self) -> None:
        """Anybody may."""


def event(revision: int) -> Event:
    return Event(EventType.PUT, b"k", b"v", 1, revision, 1, 0, None)


def opened(kind: type[Any]) -> tuple[Any, _Pump, Callable[..., None]]:
    """A stream, its pump, and what has answers come to it: of one revision each."""
    pump = _Pump()
    stream = kind(None, pump, b"k", b"l", 0, 0)
    (watch,) = pump.core.begun

    def come(*revisions: int) -> None:
        for revision in revisions:
            watch.on_events([event(revision)], 1)

    return stream, pump, come


def test_events_come_in_order_and_answers_are_given_back_once_they_were_read() -> None:
    stream, pump, come = opened(WatchStream)
    come(1, 2, 3)
    assert [stream.get(0).mod_revision for _ in range(3)] == [1, 2, 3]
    assert pump.core.given_back == 2, "the last is given back when the next is asked for"
    assert stream.get(0) is None
    assert pump.core.given_back == 3


def test_an_interrupt_of_whoever_waits_loses_nothing() -> None:
    """Between the moment at which it is woken and the one at which it looks."""
    stream, _, come = opened(WatchStream)
    wakings = stream._arrivals._wakings

    class Interrupted:
        def put(self, token: None) -> None:
            wakings.put(token)

        def empty(self) -> bool:
            return bool(wakings.empty())

        def get(self, timeout: float) -> None:
            come(1, 2)
            wakings.get(timeout=timeout)
            raise KeyboardInterrupt

    stream._arrivals._wakings = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        stream.get(DEADLINE_SECONDS)
    stream._arrivals._wakings = wakings
    assert [stream.get(DEADLINE_SECONDS).mod_revision for _ in range(2)] == [1, 2]
    come(3)
    assert stream.get(DEADLINE_SECONDS).mod_revision == 3


def test_whoever_reads_in_a_signal_handler_takes_no_batch_along() -> None:
    """It may come just when the one that is being read has come to its end."""
    stream, _, come = opened(WatchStream)
    read: list[int] = []

    def interrupted() -> Iterator[Event]:
        read.append(stream.get(0).mod_revision)
        yield from ()

    class Once:
        """A generator that runs may not be asked again, as what is read in a handler may."""

        asked = 0

        def __iter__(self) -> Iterator[Event]:
            self.asked += 1
            return interrupted() if self.asked == 1 else iter(())

    stream._waiting.extend([(Once(), 1), (iter([event(1), event(2)]), 1)])
    come(3)
    while found := stream.get(0):
        read.append(found.mod_revision)
    assert read == [1, 2, 3]


def test_wakings_do_not_pile_up() -> None:
    stream, _, come = opened(WatchStream)
    for revision in range(1, 100):
        come(2 * revision, 2 * revision + 1)
        assert stream.get(0).mod_revision == 2 * revision
        assert stream.get(0).mod_revision == 2 * revision + 1
        assert stream.get(0) is None
    assert stream._arrivals._wakings.qsize() <= 1


@pytest.mark.parametrize("failed", [False, True])
def test_all_that_wait_at_a_stream_are_let_go_when_it_ends(failed: bool) -> None:
    stream, pump, _ = opened(WatchStream)
    (watch,) = pump.core.begun
    ended: list[object] = []

    def read() -> None:
        try:
            ended.append(stream.get())
        except Compacted as error:
            ended.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    watch.on_error(Compacted(7)) if failed else stream.close()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()
    assert len([each for each in ended if each is None]) == (2 if failed else 3)


def test_whoever_takes_an_event_wakes_the_next_and_all_are_let_go() -> None:
    """One reads and goes away; the other still waits, for what has come as for the end."""
    stream, _, come = opened(WatchStream)
    taken: list[object] = []
    both = [threading.Thread(target=lambda: taken.append(stream.get()), daemon=True) for _ in range(2)]
    for thread in both:
        thread.start()
    come(2)
    await_condition(lambda: taken, "one of them to have it")
    come(3)
    await_condition(lambda: len(taken) == 2, "the other one to have the next")
    last = threading.Thread(target=lambda: taken.append(stream.get()), daemon=True)
    last.start()
    stream.close()
    for thread in (*both, last):
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()
    assert taken[2:] == [None]


def test_an_error_is_raised_once_after_what_came_before_it() -> None:
    stream, pump, come = opened(WatchStream)
    come(1)
    pump.core.begun[0].on_error(Compacted(5))
    assert stream.get(0).mod_revision == 1
    with pytest.raises(Compacted):
        stream.get()
    assert stream.get() is None


def test_a_stream_that_is_forgotten_ends_its_watch() -> None:
    stream, pump, come = opened(WatchStream)
    come(1)
    del stream
    gc.collect()
    assert pump.core.begun == []


def test_a_closed_stream_ends_its_watch_once() -> None:
    stream, pump, come = opened(WatchStream)
    come(1)
    stream.close()
    stream.close()
    assert pump.core.begun == []
    assert stream.get() is None


@pytest.mark.parametrize("ticks", range(5))
@pytest.mark.parametrize("timeout", [None, DEADLINE_SECONDS])
async def test_whoever_is_cancelled_when_something_comes_is_cancelled_and_nothing_is_lost(
    ticks: int, timeout: float | None
) -> None:
    stream, _, come = opened(AsyncWatchStream)
    waiting = asyncio.ensure_future(stream.get(timeout))
    for _ in range(3):
        await asyncio.sleep(0)
    come(1)
    for _ in range(ticks):
        await asyncio.sleep(0)
    if waiting.cancel():
        with pytest.raises(asyncio.CancelledError):
            await waiting
    else:
        assert (await waiting).mod_revision == 1
        come(1)
    assert (await stream.get(DEADLINE_SECONDS)).mod_revision == 1


async def test_whoever_only_looks_again_and_again_lets_the_loop_go_on() -> None:
    stream, _, come = opened(AsyncWatchStream)
    come(1)
    looks = 0
    while not (event := await stream.get(0)):
        looks += 1
        assert looks < 100
    assert event.mod_revision == 1


async def test_an_event_loop_gets_what_has_come_without_waiting_and_is_told_that_nothing_comes() -> None:
    stream, _, come = opened(AsyncWatchStream)
    assert await stream.get(0) is None
    assert await stream.get(0.001) is None
    come(1, 2)
    assert (await stream.get(DEADLINE_SECONDS)).mod_revision == 1
    assert (await stream.get(0)).mod_revision == 2
    reader = asyncio.ensure_future(stream.get())
    await asyncio.sleep(0)
    stream.close()
    assert await reader is None
