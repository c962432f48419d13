"""``Client`` and ``AsyncClient`` have one surface; what either does beyond single requests."""

from __future__ import annotations

import asyncio
import copy
import inspect
import math
import os
import pickle
import re
import threading
from concurrent.futures import Future
from typing import Any

import pytest

import raftkv
from raftkv import clock, txn
from raftkv.client import AsyncClient, Client, Entry, Event, pump, requests
from raftkv.client.stream import WatchStream
from raftkv.errors import (
    ClientError,
    Compacted,
    CorruptLog,
    InvalidRequest,
    LeaseNotFound,
    OutcomeUnknown,
    ScenarioFailed,
    Unavailable,
)
from raftkv.recipes import Barrier, Counter, Lock, Queue
from raftkv.testing import LocalCluster
from tests.support.processes import DEADLINE_SECONDS, await_condition

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("recipes")]


def public(kind: type) -> dict[str, Any]:
    return {name: each for name, each in vars(kind).items() if not name.startswith("_") and callable(each)}


def test_both_clients_offer_the_same() -> None:
    assert public(Client).keys() == public(AsyncClient).keys()
    for name, sync in public(Client).items():
        assert list(inspect.signature(sync).parameters) == list(
            inspect.signature(public(AsyncClient)[name]).parameters
        ), name
    assert (raftkv.Client, raftkv.AsyncClient) == (Client, AsyncClient)
    with pytest.raises(AttributeError):
        _ = raftkv.Server  # type: ignore[attr-defined]
    for name in raftkv.__all__:
        assert name in dir(raftkv)
        assert getattr(raftkv, name)
    assert raftkv.errors.Unavailable is Unavailable


def test_a_client_is_a_dict(raftkv_client: Client) -> None:
    raftkv_client["a"] = b"1"
    assert raftkv_client["a"] == b"1"
    assert "a" in raftkv_client
    assert list(raftkv_client) == [b"a"]
    del raftkv_client["a"]
    for action in (lambda: raftkv_client["a"], lambda: raftkv_client.__delitem__("a")):
        with pytest.raises(KeyError):
            action()


def test_each_says_what_it_is(raftkv_client: Client) -> None:
    """To whoever looks at it in a shell or a debugger."""
    assert repr(raftkv_client).startswith("<Client(['tcp://127.0.0.1:")
    assert repr(raftkv_client.with_timeout(0.25)).endswith("'], timeout=0.25)>")
    with Client(["tcp://127.0.0.1:1"]) as other:
        pass
    assert repr(other) == "<Client(['tcp://127.0.0.1:1'], timeout=5, closed)>"

    lease = raftkv_client.lease(60)
    assert re.fullmatch(rf"<Lease {lease.id}: 60 s, valid for [0-9.]+>", repr(lease))
    lease.revoke()
    assert repr(lease) == f"<Lease {lease.id}: 60 s, lost>"

    lock = Lock(raftkv_client, "one")
    assert repr(lock) == "<Lock b'one': not held>"
    with lock:
        assert repr(lock) == f"<Lock b'one': held, token {lock.token}>"
    assert repr(LocalCluster(5)) == "<LocalCluster of 5 nodes: stopped>"


def test_what_python_has_and_a_store_has_not_is_told_in_pythons_words(raftkv_client: Client) -> None:
    for value, said in ((None, "None"), ({}, "a dict"), (["x"], "a list"), (True, "true"), (5, "5")):
        with pytest.raises(InvalidRequest, match=f"^a value is bytes or text, not {said}$"):
            raftkv_client.put("k", value)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="takes each key once, and 'a' is there twice"):
        raftkv_client.put_many({"a": "1"}.items() | {(b"a", "2")})
    alone: list[tuple[Any, Any]] = [(txn.exists("k"), []), ([], txn.put("k", "1"))]
    for compares, success in alone:
        with pytest.raises(InvalidRequest, match="a list of compares and two of operations"):
            raftkv_client.txn(compares, success)


def test_a_lease_ends_for_its_holder_though_the_machine_slept(
    raftkv_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``time.monotonic`` does not count that on Linux, and the cluster does."""
    lease = raftkv_client.lease(60)
    assert lease.valid_for > 0
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + 61)
    assert lease.lost
    assert not lease.valid_for
    monkeypatch.undo()
    lease.revoke()


def test_what_did_not_succeed_is_false(raftkv_client: Client) -> None:
    """Or a lock that is made of one of them would be held by everybody."""
    assert raftkv_client.cas("a", None, "1")
    assert not raftkv_client.cas("a", None, "2")
    assert raftkv_client.txn([txn.exists("a")], [txn.put("b", "1")])
    assert not raftkv_client.txn([txn.absent("a")], [txn.put("b", "2")])
    assert raftkv_client.delete("a")
    assert not raftkv_client.delete("a")
    assert not raftkv_client.delete_prefix("nothing/")


def test_many_requests_are_in_flight_together(raftkv_client: Client) -> None:
    futures = [raftkv_client.submit(requests.put(f"k{number}", "v")) for number in range(500)]
    revisions = [future.result(DEADLINE_SECONDS).revision for future in futures]
    assert sorted(revisions) == list(range(min(revisions), min(revisions) + 500))
    late: Future[Any] = raftkv_client.submit(requests.put("k", "late"))
    assert not late.cancel(), "it is on its way"
    assert late.result(DEADLINE_SECONDS).revision
    assert raftkv_client["k"] == b"late"
    refused = raftkv_client.submit(requests.revoke(7))
    with pytest.raises(LeaseNotFound):
        refused.result(DEADLINE_SECONDS)
    assert raftkv_client["k1"] == b"v", "it has not harmed the client"


def test_a_transaction_takes_whatever_can_be_gone_through(raftkv_client: Client) -> None:
    """It was applied, and its answer could not be read: an error that says neither of it."""
    done = raftkv_client.txn(iter([txn.version("new") == 0]), (txn.put(key, "1") for key in "pq"))
    assert (done.succeeded, len(done.results)) == (True, 2)
    inside = txn.nested([], (txn.get(key) for key in "pq"), iter([]))
    (found,) = raftkv_client.txn([], iter([inside])).results
    assert [entry.value for entry in found.results] == [b"1", b"1"]


def test_a_watch_that_is_closed_has_nothing_more_and_one_whose_time_is_up_says_so(
    raftkv_client: Client,
) -> None:
    watch = raftkv_client.watch("a")
    for number in range(5):
        raftkv_client.put("a", str(number))
    assert watch.get(timeout=math.inf) is not None
    assert watch.get(timeout=1e300) is not None
    await_condition(lambda: watch.revision >= raftkv_client.revision(), "all events")
    watch.close()
    assert watch.get() is None
    assert watch.get(timeout=-1.0) is None
    with raftkv_client.watch("a") as other:
        assert other.get(timeout=-1.0) is None


def test_whoever_closes_a_client_is_told_so() -> None:
    client = Client(["tcp://127.0.0.1:1"], timeout=DEADLINE_SECONDS)
    errors: list[Exception] = []

    def ask() -> None:
        try:
            client.get("a")
        except ClientError as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    await_condition(lambda: client._pump._transport.core.calls_open, "the request")
    client.close()
    asking.join()
    assert str(errors[0]).startswith("the client was closed: nothing happened")


def test_a_range_is_of_one_moment(raftkv_client: Client) -> None:
    raftkv_client.put_many([(f"k{number:04}", "old") for number in range(1001)])
    raftkv_client.put_many([(f"k{number:04}", "old") for number in range(1001, 2002)])
    seen: list[Entry] = []
    for entry in raftkv_client.prefix("k"):
        if not seen:
            raftkv_client["k2001"] = b"new"
            raftkv_client.delete("k1500")
        seen.append(entry)
    assert [entry.value for entry in seen] == [b"old"] * 2002
    assert {entry.revision for entry in seen} == {seen[0].revision}, "and may be watched on from any of them"
    assert raftkv_client.count("k", "l")[0] == 2001


@pytest.mark.parametrize(
    "action",
    [
        lambda client: client.compact(1 << 64),
        lambda client: client.compact(0),
        lambda client: client.lease_info(1 << 64),
        lambda client: client.revoke(-1),
        lambda client: client.put("a", "b", lease=None),
        lambda client: client.put("a", "b", lease="1"),
        lambda client: client.get("a", revision=1 << 64),
        lambda client: client.get("a", revision=-1),
        lambda client: list(client.range(revision=True)),
        lambda client: txn.version("a") == 1 << 64,
        lambda client: txn.version("a") == "1",
        lambda client: txn.value("a") == 1,
        lambda client: client.lease(0),
        lambda client: client.lease(float("nan")),
        lambda client: client.watch("", end=None),
        lambda client: client.get(7),
        lambda client: list(client.range(limit=-1)),
        lambda client: list(client.range(limit="1")),
        lambda client: list(client.range(limit=None)),
        lambda client: client.txn(5),
        lambda client: client.txn([], [txn.nested(5, 5)]),  # type: ignore[arg-type]
        lambda client: client.txn([], [txn.nested([], ["x"])]),  # type: ignore[list-item]
        lambda client: client.watch_prefix("k" * 5000),
        lambda client: client.watch("k" * 2_000_000, end="z"),
        lambda client: client.watch("a").get(timeout="1"),
        lambda client: client.watch("a").get(timeout=float("nan")),
        lambda client: Client(None),  # type: ignore[arg-type]
        lambda client: Client(5),  # type: ignore[arg-type]
        lambda client: Counter(client, "n").add(0.5),  # type: ignore[arg-type]
        lambda client: Counter(client, "n").add("1"),  # type: ignore[arg-type]
        lambda client: Counter(client, "n").add(10**5000),
        lambda client: Barrier(client, "b", 1.5),  # type: ignore[arg-type]
        lambda client: Barrier(client, "b", None),  # type: ignore[arg-type]
        lambda client: Lock(client, "l").acquire(timeout="1"),  # type: ignore[arg-type]
        lambda client: Queue(client, "q").get(timeout=float("nan")),
    ],
)
def test_what_makes_no_sense_is_refused_and_harms_nobody(raftkv_client: Client, action: Any) -> None:
    with pytest.raises(InvalidRequest):
        action(raftkv_client)
    raftkv_client["a"] = b"1"


def test_a_lease_says_when_it_is_lost(raftkv_client: Client) -> None:
    with raftkv_client.lease(30) as lease:
        raftkv_client.put("leased", "v", lease=lease.id)
        told = threading.Event()
        lease.on_lost(told.set)
        assert 0 < lease.valid_for <= 30
        raftkv_client.revoke(lease.id)
        assert told.wait(DEADLINE_SECONDS)
        assert lease.lost
    assert "leased" not in raftkv_client
    other = raftkv_client.lease(30)
    assert other.keep_alive() == 30
    other.revoke()
    assert other.lost
    with pytest.raises(LeaseNotFound):
        other.keep_alive()


def test_whoever_asks_late_or_renews_by_hand_is_told_as_well(raftkv_client: Client) -> None:
    late = raftkv_client.lease(30).keep()
    raftkv_client.revoke(late.id)
    await_condition(lambda: late.lost, "the loss to be found out")
    told = threading.Event()
    late.on_lost(told.set)
    assert told.wait(DEADLINE_SECONDS)
    for lease in (raftkv_client.lease(30), raftkv_client.lease(30).keep()):
        calls: list[None] = []
        lease.on_lost(lambda calls=calls: calls.append(None))  # type: ignore[misc]
        raftkv_client.revoke(lease.id)
        with pytest.raises(LeaseNotFound):
            lease.keep_alive()
        await_condition(lambda calls=calls: calls, "the word")  # type: ignore[misc]
        with pytest.raises(LeaseNotFound):
            lease.keep_alive()
        raftkv_client["a"] = b"1"
        assert calls == [None], "once"


def test_what_is_given_back_on_the_way_out_is_given_back(
    raftkv_client: Client, raftkv_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or whoever was interrupted would keep its place in every line for as long as its lease lives."""
    monkeypatch.setattr(pump, "PARTING_SECONDS", DEADLINE_SECONDS)
    for number in range(5):
        with Client(raftkv_cluster.endpoints) as other:
            lease = other.lease(600).keep()
            other.put(f"place/{number}", "mine", lease=lease.id)
            lease.abandon()
    assert raftkv_client.count("place/", "place0")[0] == 0


def test_a_listener_that_fails_or_closes_harms_nobody(
    raftkv_client: Client, raftkv_cluster: LocalCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ValueError("a listener's own mistake")

    lease = raftkv_client.lease(1).keep()
    lease.on_lost(fail)
    raftkv_client.revoke(lease.id)
    await_condition(lambda: "a listener's own mistake" in capsys.readouterr().err, "the listener")
    raftkv_client["a"] = b"1"
    client = Client(raftkv_cluster.endpoints)
    other = client.lease(1).keep()
    other.on_lost(client.close)
    raftkv_client.revoke(other.id)

    def closed() -> bool:
        try:
            client.put("a", "1")
        except ClientError:
            return True
        return False

    await_condition(closed, "the client to be closed")


def test_a_watch_follows_the_leader_and_ends_when_it_is_closed(
    raftkv_cluster: LocalCluster, raftkv_client: Client
) -> None:
    with raftkv_client.watch_prefix("w/", previous=True) as watch:
        raftkv_client.put("w/a", "1")
        raftkv_cluster.kill(raftkv_cluster.leader())
        raftkv_client.put("w/a", "2")
        events = [watch.get(DEADLINE_SECONDS) for _ in range(2)]
        assert all(isinstance(event, Event) for event in events)
        assert [event.value for event in events if event] == [b"1", b"2"]
        assert events[1]
        assert events[1].previous
        assert events[1].previous.value == b"1"
        assert watch.get(0) is None
    assert list(watch) == []
    waiting = raftkv_client.watch("w/a")
    heard: list[list[Event]] = []
    reader = threading.Thread(target=lambda: heard.append(list(waiting)))
    reader.start()
    waiting.close()
    reader.join(DEADLINE_SECONDS)
    assert heard == [[]]


def test_a_slow_reader_gets_everything(raftkv_client: Client) -> None:
    with raftkv_client.watch_prefix("s/") as watch:
        for turn in range(60):
            raftkv_client.put_many([(f"s/{turn}/{number}", "v" * 100) for number in range(50)])
        events = [watch.get(DEADLINE_SECONDS) for _ in range(3000)]
        assert len({event.key for event in events if event}) == 3000
        revisions = [event.mod_revision for event in events if event]
        assert revisions == sorted(revisions)


def test_a_watch_of_the_past_and_one_that_is_too_late(raftkv_client: Client) -> None:
    first = raftkv_client.put("p", "1").revision
    second = raftkv_client.put("p", "2").revision
    with raftkv_client.watch("p", revision=first) as watch:
        assert [next(watch).value, next(watch).value] == [b"1", b"2"]
    raftkv_client.compact(second)
    with raftkv_client.watch("p", revision=first) as late, pytest.raises(Compacted) as error:
        late.get(DEADLINE_SECONDS)
    assert error.value.revision == second


def test_a_client_that_is_closed_ends_its_watches(raftkv_cluster: LocalCluster) -> None:
    client = Client(raftkv_cluster.endpoints)
    watch: WatchStream = client.watch("a")
    client.close()
    with pytest.raises(ClientError):
        watch.get(DEADLINE_SECONDS)
    with pytest.raises(ClientError, match="closed"):
        client.watch("a", revision=1)


async def test_the_async_client_does_all_of_it(raftkv_cluster: LocalCluster) -> None:
    async with raftkv_cluster.async_client() as client:
        async with await client.watch_prefix("a/") as watch:
            await asyncio.gather(*[client.put(f"a/{number}", "v") for number in range(100)])
            events = [await watch.get(DEADLINE_SECONDS) for _ in range(100)]
            assert len({event.key for event in events if event}) == 100
            assert await watch.get(0) is None
        assert [event async for event in watch] == []
        await client.put_many([("a/x", "1"), ("a/y", "2")])
        found = await client.get("a/x")
        assert found
        assert await client.get("a/x", revision=found.mod_revision) == found
        assert (await client.cas("a/x", "1", "2")).succeeded
        result = await client.txn([txn.exists("a/x"), txn.absent("a/z")], [txn.get("a/x"), txn.delete("a/x")])
        assert result.results[0].value == b"2"
        assert (await client.delete("a/x")).deleted == 0
        assert len([entry async for entry in client.prefix("a/")]) == 101
        assert (await client.count("a/", "a0"))[0] == 101
        assert (await client.delete_prefix("a/")).deleted == 101
        async with await client.lease(30) as lease:
            await client.put("leased", "v", lease=lease.id)
            assert (await lease.info()).keys == (b"leased",)
            assert [each.id for each in await client.leases()] == [lease.id]
            assert await lease.keep_alive() == 30
        assert await client.get("leased") is None
        revision = await client.revision()
        assert await client.compact(revision) == revision
        with pytest.raises(LeaseNotFound):
            await client.keep_alive(lease.id)
        assert (await client.hello()).leader
        await client.catch_up(raftkv_cluster.endpoints[0])
    with pytest.raises(ClientError, match="closed"):
        await client.put("a", "1")


@pytest.mark.parametrize(
    "action",
    [
        lambda client: client.put_many({"ab": "1"}),
        lambda client: client.put_many([("a",)]),
        lambda client: client.put_many(["ab", 7]),
        lambda client: client.txn([True], []),
        lambda client: client.txn([], ["x"]),
        lambda client: client.txn([], 7),
        lambda client: client.catch_up("x"),
    ],
)
def test_a_slip_in_what_is_asked_never_leaves_the_client(raftkv_client: Client, action: Any) -> None:
    with pytest.raises(InvalidRequest):
        action(raftkv_client)


def test_endpoints_may_come_from_anywhere_and_are_looked_at() -> None:
    with Client((each for each in ["tcp://127.0.0.1:9"]), timeout=0.1) as client, pytest.raises(Unavailable):
        client.hello()
    wrong: Any
    for wrong in ([5], "tcp://127.0.0.1:9", [], ["http://x"]):
        with pytest.raises(InvalidRequest):
            Client(wrong)


def test_a_client_does_not_outlive_a_fork(raftkv_client: Client) -> None:
    """Its thread did not come along, so nobody would answer."""
    raftkv_client.put("fork", "1")
    child = os.fork()
    if not child:
        code = 1
        try:
            raftkv_client.get("fork")
        except ClientError as error:
            code = 0 if "forked" in str(error) else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert raftkv_client["fork"] == b"1"


def test_what_is_almost_bytes_is_bytes(raftkv_client: Client) -> None:
    class Odd(bytes):
        """As numpy has one."""

    raftkv_client.txn([txn.absent(Odd(b"odd"))], [txn.put(Odd(b"odd"), Odd(b"1"))])
    raftkv_client.put(Odd(b"odd"), Odd(b"2"))
    assert raftkv_client[Odd(b"odd")] == b"2"
    raftkv_client.put(memoryview(b"odd"), bytearray(b"3"))
    assert raftkv_client[bytearray(b"odd")] == b"3"


def test_what_is_no_bytes_is_named(raftkv_client: Client) -> None:
    wrong: Any = 7
    with pytest.raises(InvalidRequest, match="a value is bytes or text, not 7"):
        raftkv_client.put("a", wrong)
    with pytest.raises(InvalidRequest, match="a key is bytes or text, not 7"):
        raftkv_client.put(wrong, "a")


@pytest.mark.parametrize(
    "error",
    [
        Compacted(7),
        LeaseNotFound(5),
        CorruptLog("file", 3, "cause"),
        ScenarioFailed("this", "that"),
        Unavailable("no node answered"),
        OutcomeUnknown("who knows"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_can_be_sent_to_another_process(error: Exception) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))
