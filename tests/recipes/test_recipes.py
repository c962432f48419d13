"""Recipes on a real cluster, from many threads and tasks at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from raftkv import recipes, txn
from raftkv.client import AsyncClient, Client, Lease, requests
from raftkv.client.requests import RangePage
from raftkv.client.scripts import Changed, Now, Pause, Within
from raftkv.client.types import entry_of
from raftkv.errors import InvalidRequest, LockLost, OutcomeUnknown, Unavailable
from raftkv.recipes import (
    AsyncBarrier,
    AsyncCounter,
    AsyncElection,
    AsyncLock,
    AsyncQueue,
    AsyncReadWriteLock,
    Barrier,
    Counter,
    Election,
    Lock,
    Queue,
    ReadWriteLock,
)
from raftkv.recipes.election import _next_leader
from raftkv.recipes.line import LAST_LOOK_SECONDS, Place, patiently, read_all
from raftkv.testing import LocalCluster
from tests.support.processes import DEADLINE_SECONDS, await_condition

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("recipes")]


def at_once(count: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * DEADLINE_SECONDS)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def keys(client: Client, prefix: str) -> list[bytes]:
    return [entry.key for entry in client.prefix(prefix)]


@pytest.mark.parametrize("recipe", [Lock, Election, Queue, lambda *named: ReadWriteLock(*named).reader()])
def test_a_name_is_not_empty(raftkv_client: Client, recipe: Callable[[Client, str], object]) -> None:
    with pytest.raises(InvalidRequest, match="the name is empty"):
        recipe(raftkv_client, "")


# -- locks


def test_a_lock_is_held_by_one_and_its_tokens_grow(raftkv_client: Client) -> None:
    inside: list[int] = []
    tokens: list[int] = []

    def work(number: int) -> None:
        lock = Lock(raftkv_client, "lock", ttl=DEADLINE_SECONDS)
        for _ in range(4):
            with lock:
                inside.append(number)
                assert len(inside) == 1
                assert lock.held
                tokens.append(lock.token)
                inside.pop()

    at_once(4, work)
    assert len(tokens) == 16
    assert tokens == sorted(set(tokens))
    assert keys(raftkv_client, "lock/") == []


def test_a_lock_that_is_taken_is_given_up_in_time_and_one_object_is_one_holder(raftkv_client: Client) -> None:
    one, other = Lock(raftkv_client, "lock"), Lock(raftkv_client, "lock")
    assert one.acquire()
    assert not other.acquire(timeout=0.05)
    with pytest.raises(InvalidRequest, match="has it already"):
        one.acquire()
    assert one.held, "asking again has cost nothing"
    with pytest.raises(LockLost, match="nothing is held"):
        _ = other.token
    one.release()
    assert other.acquire(timeout=0)
    other.release()


@pytest.mark.parametrize("recipe", [Lock, ReadWriteLock, Election, Queue, Counter, Barrier])
def test_a_recipe_for_threads_takes_no_client_for_loops_nor_the_other_way_round(
    recipe: Callable[..., Any], raftkv_client: Client
) -> None:
    """``if Lock(client, …).acquire():`` would be a coroutine that nobody awaits, and always true."""
    more = [2] if recipe is Barrier else []
    with pytest.raises(TypeError, match="works with a Client, and was given a AsyncClient"):
        recipe(AsyncClient(["tcp://127.0.0.1:9"]), "name", *more)
    twin = getattr(recipes, f"Async{recipe.__name__}")
    with pytest.raises(TypeError, match="works with a AsyncClient, and was given a Client"):
        twin(raftkv_client, "name", *more)


def test_a_block_that_fails_is_told_of_whatever_becomes_of_its_lock(
    raftkv_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(lease: Lease) -> int:
        lease.abandon()
        raise OutcomeUnknown("no answer in time")

    monkeypatch.setattr(Lease, "revoke", unreachable)
    with pytest.raises(ZeroDivisionError), Lock(raftkv_client, "block"):
        _ = 1 / 0
    with pytest.raises(ZeroDivisionError), raftkv_client.lease(60.0):
        _ = 1 / 0
    with Lock(raftkv_client, "another block"):
        pass  # it was held until here, and goes by itself
    with pytest.raises(OutcomeUnknown), raftkv_client.lease(60.0):
        pass


async def test_a_block_whose_lock_was_lost_says_so(
    raftkv_cluster: LocalCluster, raftkv_client: Client
) -> None:
    def lose(lock: Any) -> None:
        raftkv_client.revoke(lock._place.lease.id)
        await_condition(lambda: not lock.held, "the loss to be noticed")

    with pytest.raises(LockLost, match="before the block"), Lock(raftkv_client, "lost", ttl=0.5) as lock:
        lose(lock)

    def fail(lock: Any) -> None:
        lose(lock)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Lock(raftkv_client, "lost", ttl=0.5) as lock:
        fail(lock)
    with Lock(raftkv_client, "lost", ttl=0.5) as lock:
        lock.release()  # by hand, within the block
    async with AsyncClient(raftkv_cluster.endpoints) as client:
        with pytest.raises(LockLost, match="before the block"):
            async with AsyncLock(client, "lost", ttl=0.5) as other:
                await asyncio.to_thread(lose, other)


async def test_a_lock_that_somebody_took_away_is_noticed_when_it_is_given_back(
    raftkv_cluster: LocalCluster, raftkv_client: Client
) -> None:
    """However soon after that: the next renewal may be seconds away, and another may hold it already."""

    def revoke(lock: Any) -> None:
        raftkv_client.revoke(lock._place.lease.id)

    def delete(lock: Any) -> None:
        assert raftkv_client.delete_prefix("taken/").deleted == 1

    for take in (revoke, delete):
        with pytest.raises(LockLost, match="before the block"), Lock(raftkv_client, "taken", ttl=60) as lock:
            take(lock)
        lock = Lock(raftkv_client, "taken", ttl=60)
        lock.acquire()
        take(lock)
        assert not lock.release()
    assert lock.acquire()
    assert lock.release()
    assert not lock.release(), "nothing is held any more"
    async with AsyncClient(raftkv_cluster.endpoints) as client:
        with pytest.raises(LockLost, match="before the block"):
            async with AsyncLock(client, "taken", ttl=60) as other:
                await asyncio.to_thread(delete, other)


def test_names_that_are_paths_are_different_locks(raftkv_client: Client) -> None:
    inner, outer = Lock(raftkv_client, "jobs/1"), Lock(raftkv_client, "jobs")
    assert inner.acquire()
    assert outer.acquire(timeout=DEADLINE_SECONDS)
    outer.release()
    inner.release()


def test_whoever_lost_the_lock_cannot_write_under_its_guard(raftkv_client: Client) -> None:
    lock, next_one = Lock(raftkv_client, "lock"), Lock(raftkv_client, "lock")
    lock.acquire()
    guard = lock.guard()
    assert raftkv_client.txn([guard], [txn.put("guarded", "1")]).succeeded
    (lease,) = raftkv_client.leases()
    raftkv_client.revoke(lease.id)
    assert next_one.acquire(timeout=DEADLINE_SECONDS)
    assert not raftkv_client.txn([guard], [txn.put("guarded", "2")]).succeeded
    assert raftkv_client["guarded"] == b"1"
    await_condition(lambda: not lock.held, "the holder to learn of it")
    next_one.release()


def test_whoever_waits_in_the_line_holds_nothing(raftkv_client: Client) -> None:
    """Or a thread that looks at the object of another would write beside the holder."""
    holder, waiter = Lock(raftkv_client, "once"), Lock(raftkv_client, "once")
    office = Election(raftkv_client, "once")
    holder.acquire()
    got: list[bool] = []
    threads = [
        threading.Thread(target=lambda: got.append(waiter.acquire(timeout=DEADLINE_SECONDS))),
        threading.Thread(target=lambda: got.append(office.campaign("I", timeout=DEADLINE_SECONDS))),
    ]
    for thread in threads:
        thread.start()
    await_condition(lambda: len(keys(raftkv_client, "once/")) == 3, "both to wait")
    for waiting in (waiter, office):
        assert not waiting.held
        with pytest.raises(LockLost, match="nothing is held"):
            waiting.guard()
        with pytest.raises(LockLost, match="nothing is held"):
            _ = waiting.token
    with pytest.raises(LockLost, match="the office is not held"):
        office.proclaim("I")
    holder.release()
    await_condition(lambda: waiter.held or office.held, "the next in the line")
    (waiter if waiter.held else office)._place.abandon()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert got == [True, True]


def test_readers_share_and_writers_do_not(raftkv_client: Client) -> None:
    shared = ReadWriteLock(raftkv_client, "shared")
    readers, writer, late = [shared.reader(), shared.reader()], shared.writer(), shared.reader()
    assert all(reader.acquire(timeout=DEADLINE_SECONDS) for reader in readers)
    assert not writer.acquire(timeout=0.05)
    for reader in readers:
        reader.release()
    assert writer.acquire(timeout=DEADLINE_SECONDS)
    assert not late.acquire(timeout=0.05)
    writer.release()
    assert late.acquire(timeout=DEADLINE_SECONDS)
    late.release()


def test_all_of_a_line_is_of_one_moment_though_it_fills_several_pages(raftkv_client: Client) -> None:
    keys = [b"wide/%d" % number for number in range(3)]
    for key in keys:
        raftkv_client.put(key, bytes(700_000))
    script: Any = read_all(b"wide/")
    request, revisions = next(script), []
    while True:
        page = raftkv_client.submit(request).result()
        revisions.append(page.revision)
        if len(revisions) == 1:
            raftkv_client.delete(keys[0])
            raftkv_client.delete(keys[2])
        try:
            request = script.send(page)
        except StopIteration as ended:
            whole = ended.value
            break
    assert len(revisions) == 3
    assert [entry.key for entry in whole.entries] == keys
    assert whole.revision == revisions[0]


def test_a_reader_waits_for_whoever_else_stands_in_the_same_line(raftkv_client: Client) -> None:
    reader = ReadWriteLock(raftkv_client, "one line").reader()
    with Lock(raftkv_client, "one line"):
        assert not reader.acquire(timeout=0.05)
    office = Election(raftkv_client, "one line")
    assert office.campaign("me")
    assert not reader.acquire(timeout=0.05)
    office.resign()
    assert reader.acquire(timeout=DEADLINE_SECONDS)
    reader.release()


def test_whoever_waits_sits_out_an_outage_that_the_place_outlives() -> None:
    class Lease:
        lost = False

    lease: Any = Lease()
    place = Place("job", 10.0)
    place.key, place.token, place.lease = b"job/" + b"0" * 16, 7, lease
    waiting = place.await_turn(lambda entry: True, None)
    step = next(waiting)
    for _ in range(3):
        assert isinstance(step, requests.Request)
        assert isinstance(waiting.throw(Unavailable("nobody answers")), Now)
        assert isinstance(waiting.send(10.0), Pause)
        step = waiting.send(None)
    page = RangePage([entry_of(place.key, (b"", 7, 7, 1, 0), 9)], 1, False, 9)
    with pytest.raises(StopIteration) as turn:
        waiting.send(page)
    assert turn.value.value is True

    for lost, until in ((False, 10.0), (True, None)):
        lease.lost = lost
        waiting = place.await_turn(lambda entry: True, until)
        asked(waiting, next(waiting))
        waiting.throw(Unavailable("nobody answers"))
        with pytest.raises(Unavailable):
            waiting.send(10.0)


def asked(script: Any, step: Any) -> Any:
    """The request itself, before which whoever has a limit looks at the clock."""
    if isinstance(step, Now):
        step = script.send(9.5)
        assert isinstance(step, Within)
        step = step.request
    assert isinstance(step, requests.Request)
    return step


def sit_out(script: Any, looking: Any) -> Any:
    """Three looks that nobody answers, one after the other; the request of the next."""
    for _ in range(3):
        asked(script, looking)
        assert isinstance(script.throw(Unavailable("nobody answers")), Now)
        assert isinstance(script.send(10.0), Pause)
        looking = script.send(None)
    return asked(script, looking)


def test_whoever_observes_an_office_or_waits_for_an_item_sits_out_an_outage() -> None:
    """Only whoever waits already: who asks for the first time learns that nobody answers."""
    nobody: Any = None
    page = RangePage([], 0, False, 9)

    observing = _next_leader(b"office/", None, 1)
    assert isinstance(next(observing), Changed)
    sit_out(observing, observing.send(True))
    place = b"office/" + b"0" * 16
    with pytest.raises(StopIteration) as seen:
        observing.send(RangePage([entry_of(place, (b"", 7, 7, 1, 0), 9)], 1, False, 9))
    assert seen.value.value[0].key == place

    getting = Queue(nobody, "queue")._get(None)
    assert isinstance(next(getting), requests.Request)
    assert isinstance(getting.send(page), Changed)
    sit_out(getting, getting.send(True))
    assert isinstance(getting.send(page), Changed)

    in_time = Queue(nobody, "queue")._get(30.0)
    assert isinstance(next(in_time), Now)
    sit_out(in_time, in_time.send(9.0))

    first = Queue(nobody, "queue")._get(None)
    next(first)
    with pytest.raises(Unavailable):
        first.throw(Unavailable("nobody answers"))


def test_a_lock_outlives_its_leaders_node(raftkv_cluster: LocalCluster, raftkv_client: Client) -> None:
    lock, waiting = (
        Lock(raftkv_client, "lock", ttl=DEADLINE_SECONDS),
        Lock(raftkv_client, "lock", ttl=DEADLINE_SECONDS),
    )
    lock.acquire()
    token = lock.token
    got: list[bool] = []
    waiter = threading.Thread(target=lambda: got.append(waiting.acquire(timeout=DEADLINE_SECONDS)))
    waiter.start()
    raftkv_cluster.kill(raftkv_cluster.leader())
    raftkv_cluster.wait_for_leader()
    assert lock.held
    lock.release()
    waiter.join(DEADLINE_SECONDS)
    assert got == [True]
    assert waiting.token > token
    waiting.release()


# -- the others


def test_an_office_is_held_proclaimed_observed_and_resigned(raftkv_client: Client) -> None:
    one, other = Election(raftkv_client, "office"), Election(raftkv_client, "office")
    assert one.leader() is None
    assert one.campaign("one")
    assert not other.campaign("other", timeout=0.05)
    one.proclaim("still one")
    seen = other.observe()
    holder = next(seen)
    assert holder
    assert holder.value == b"still one"
    one.resign()
    assert other.campaign("other", timeout=DEADLINE_SECONDS)
    later = next(seen)
    while later is None:
        later = next(seen)
    assert later.value == b"other"
    (lease,) = raftkv_client.leases()
    raftkv_client.revoke(lease.id)
    with pytest.raises(LockLost, match="was lost"):
        other.proclaim("too late")


def test_a_queue_gives_every_item_once_and_in_order(raftkv_client: Client) -> None:
    queue = Queue(raftkv_client, "queue")

    def produce(number: int) -> None:
        for turn in range(5):
            queue.put(f"{number}.{turn}")

    at_once(3, produce)
    assert len(queue) == 15
    got: list[tuple[int, bytes]] = []

    def take(number: int) -> None:
        del number
        while item := queue.get(timeout=0):
            got.append((item.token, item.value))

    at_once(3, take)
    values = [value for _, value in sorted(got)]
    assert len(set(values)) == 15
    for producer in range(3):
        mine = [value for value in values if value.startswith(b"%d." % producer)]
        assert mine == [b"%d.%d" % (producer, turn) for turn in range(5)]


def test_a_queue_is_waited_for(raftkv_client: Client) -> None:
    queue = Queue(raftkv_client, "queue")
    assert queue.get(timeout=0.05) is None
    got: list[object] = []
    waiter = threading.Thread(target=lambda: got.append(queue.get(timeout=DEADLINE_SECONDS)))
    waiter.start()
    queue.put("x")
    waiter.join(DEADLINE_SECONDS)
    assert [item.value for item in got] == [b"x"]  # type: ignore[attr-defined]


def test_a_counter_counts_everything_once(raftkv_client: Client) -> None:
    counter = Counter(raftkv_client, "counter")
    numbers: list[int] = []
    at_once(4, lambda _: numbers.extend(counter.add() for _ in range(10)))
    assert sorted(numbers) == list(range(1, 41))
    assert counter.add(-40) == 0 == counter.get()
    raftkv_client["counter"] = b"many"
    with pytest.raises(InvalidRequest, match="holds no number"):
        counter.add()


def test_a_barrier_lets_through_together_and_again(raftkv_client: Client) -> None:
    meetings: list[int] = []

    def meet(number: int) -> None:
        del number
        barrier = Barrier(raftkv_client, "barrier", 3)
        for meeting in range(3):
            assert barrier.enter(timeout=DEADLINE_SECONDS)
            meetings.append(meeting)
            barrier.leave()

    at_once(3, meet)
    assert meetings == sorted(meetings)
    assert len(meetings) == 9
    assert keys(raftkv_client, "barrier/") == []


def test_a_barrier_does_not_open_for_too_few(raftkv_client: Client) -> None:
    one, two = (Barrier(raftkv_client, "barrier", 2) for _ in range(2))
    assert not one.enter(timeout=0.05)
    assert not two.enter(timeout=0.05)
    with pytest.raises(InvalidRequest, match="a whole number from 1"):
        Barrier(raftkv_client, "barrier", 0)
    assert keys(raftkv_client, "barrier/") == []


# -- all of them, awaited


async def test_the_same_for_asyncio(raftkv_cluster: LocalCluster) -> None:
    async with raftkv_cluster.async_client() as client:
        tokens: list[int] = []

        async def work() -> None:
            async with AsyncLock(client, "lock") as lock:
                tokens.append(lock.token)

        await asyncio.gather(*[work() for _ in range(5)])
        assert tokens == sorted(set(tokens))
        shared = AsyncReadWriteLock(client, "shared")
        reader, writer = shared.reader(), shared.writer()
        async with reader:
            assert not await writer.acquire(timeout=0.05)
        async with writer:
            assert not await reader.acquire(timeout=0.05)
        election = AsyncElection(client, "office")
        assert await election.campaign("me")
        await election.proclaim("I")
        async for holder in election.observe():
            assert holder
            assert holder.value == b"I"
            break
        await election.resign()
        assert await election.leader() is None
        queue = AsyncQueue(client, "queue")
        await asyncio.gather(*[queue.put(str(number)) for number in range(5)])
        items = [await queue.get(timeout=DEADLINE_SECONDS) for _ in range(5)]
        assert sorted(item.value for item in items if item) == [b"0", b"1", b"2", b"3", b"4"]
        assert await queue.length() == 0
        counter = AsyncCounter(client, "counter")
        assert sorted(await asyncio.gather(*[counter.add() for _ in range(5)])) == [1, 2, 3, 4, 5]
        assert await counter.get() == 5
        barriers = [AsyncBarrier(client, "barrier", 3) for _ in range(3)]
        assert (
            await asyncio.gather(*[barrier.enter(timeout=DEADLINE_SECONDS) for barrier in barriers])
            == [True] * 3
        )
        await asyncio.gather(*[barrier.leave() for barrier in barriers])


async def test_whoever_is_cancelled_leaves_the_line(raftkv_cluster: LocalCluster) -> None:
    async with raftkv_cluster.async_client() as client:
        lock, waiting = AsyncLock(client, "lock"), AsyncLock(client, "lock")
        await lock.acquire()
        task = asyncio.create_task(waiting.acquire())

        async def line() -> int:
            return (await client.count("lock/", "lock0"))[0]

        while await line() < 2:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while await line() > 1:
            await asyncio.sleep(0)
        await lock.release()


async def test_one_object_is_not_waited_for_by_two(raftkv_cluster: LocalCluster) -> None:
    """As one would share an ``asyncio.Lock``: the second is told, and the first is not disturbed."""
    async with raftkv_cluster.async_client() as client:
        taken, shared = AsyncLock(client, "shared"), AsyncLock(client, "shared")
        async with taken:
            first = asyncio.ensure_future(shared.acquire())
            await asyncio.sleep(0)
            with pytest.raises(InvalidRequest, match="waits for it already"):
                await shared.acquire()
        assert await asyncio.wait_for(first, DEADLINE_SECONDS)
        assert shared.held
        await shared.release()


def carry_on(client: Client, script: Any, until: Callable[[Any], bool]) -> Any:
    """Carry a script out as far as a step that is not done any more, which is returned."""
    step = script.send(None)
    while not until(step):
        step = script.send(client._do(step))
    return step


def finish(client: Client, script: Any, outcome: Any) -> Any:
    """Carry it out to its end, in which it waits for nothing any more."""
    try:
        while True:
            step = script.send(outcome)
            assert not isinstance(step, Changed), "it waits for others"
            outcome = client._do(step)
    except StopIteration as end:
        return end.value


def meet(*barriers: Barrier) -> None:
    def enter(number: int) -> None:
        assert barriers[number].enter()

    at_once(len(barriers), enter)


def test_a_gate_that_opens_between_two_looks_is_not_missed(raftkv_client: Client) -> None:
    """The one who opened it has left before the other looks at who is there."""
    late, opener = Barrier(raftkv_client, "gate", 2), Barrier(raftkv_client, "gate", 2)
    entering = late._enter(None)
    waiting = carry_on(raftkv_client, entering, lambda step: isinstance(step, Changed))
    assert opener.enter()
    leaving = threading.Thread(target=opener.leave)
    leaving.start()
    await_condition(lambda: len(keys(raftkv_client, "gate/here")) == 1, "the opener to be gone")
    assert raftkv_client._do(waiting), "it was missed"
    assert finish(raftkv_client, entering, True) is True
    late.leave()
    leaving.join()


def test_a_slow_leaver_is_not_caught_by_the_next_meeting(raftkv_client: Client) -> None:
    one, two, three = (Barrier(raftkv_client, "slow", 2) for _ in range(3))
    meet(one, two)
    leaving = one._leave(None)
    waiting = carry_on(raftkv_client, leaving, lambda step: isinstance(step, Changed))
    two.leave()
    meet(two, three)
    assert finish(raftkv_client, leaving, raftkv_client._do(waiting)) is True
    assert not two.leave(timeout=0.05), "three is still there"
    assert three.leave()
    assert two.leave()


def test_a_release_that_is_slow_takes_nothing_from_the_next_acquire(raftkv_client: Client) -> None:
    """Of the same object, by another thread: its answer comes when the lock is held again."""
    lock = Lock(raftkv_client, "slow release")
    lock.acquire()
    leaving = lock._release()
    step = leaving.send(None)
    went = raftkv_client._do(step)
    lock.acquire()
    assert finish(raftkv_client, leaving, went) is True
    assert lock.held
    lock.release()
    assert keys(raftkv_client, "slow release") == []


def test_a_look_is_not_waited_for_beyond_the_time_that_the_waiter_has_but_a_write_is() -> None:
    """In an outage every recipe with a timeout of a second waited for the client's five."""
    write, reads = requests.put("k", "v"), requests.get("k")

    def look() -> Any:
        yield write
        yield reads
        return (yield reads)

    script = patiently(look, 100.0)
    assert next(script) == write
    assert isinstance(script.send(None), Now)
    assert script.send(20.0) == Within(reads, 80.0)
    assert isinstance(script.send(None), Now)
    assert script.send(99.9) == Within(reads, LAST_LOOK_SECONDS), "who does not wait wants an answer, too"
    assert isinstance(script.throw(Unavailable("nobody answers")), Now)
    with pytest.raises(Unavailable):
        script.send(100.9)
    unbounded = patiently(look, None)
    assert [next(unbounded), unbounded.send(None), unbounded.send(None)] == [write, reads, reads]


def test_a_request_within_a_time_gets_no_more_of_it(
    raftkv_cluster: LocalCluster, raftkv_client: Client
) -> None:
    def asked_within(seconds: float) -> Any:
        return (yield Within(requests.get("k"), seconds))

    async def of_a_task() -> None:
        async with AsyncClient(raftkv_cluster.endpoints, timeout=10 * DEADLINE_SECONDS) as client:
            await client.run(asked_within(0.1))

    assert raftkv_client.run(asked_within(DEADLINE_SECONDS)) is None
    for name in raftkv_cluster.names:
        raftkv_cluster.pause(name)
    began = time.monotonic()
    try:
        with pytest.raises(Unavailable):
            raftkv_client.with_timeout(10 * DEADLINE_SECONDS).run(asked_within(0.1))
        with pytest.raises(Unavailable):
            asyncio.run(of_a_task())
        assert time.monotonic() - began < 5 * DEADLINE_SECONDS
    finally:
        for name in raftkv_cluster.names:
            raftkv_cluster.resume(name)
