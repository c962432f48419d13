"""The sync ``Client`` against a real cluster, used from many threads at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from raftkv.client import Client
from raftkv.errors import ClientError, InvalidRequest, OutcomeUnknown, Unavailable
from tests.support.processes import DEADLINE_SECONDS, LocalCluster, await_condition, local_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("client")]

THREADS = 8


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def endpoints(cluster: LocalCluster) -> list[str]:
    return [f"tcp://127.0.0.1:{cluster.base_port + position}" for position in range(cluster.nodes)]


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(endpoints(cluster), timeout=DEADLINE_SECONDS) as connected:
        yield connected


def at_once(work: Callable[[int], None]) -> None:
    """Run ``work(0)`` to ``work(THREADS - 1)`` in as many threads; raises the first error of any."""
    errors: list[BaseException] = []
    together = threading.Barrier(THREADS)

    def run(number: int) -> None:
        try:
            together.wait(DEADLINE_SECONDS)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * DEADLINE_SECONDS)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def test_every_thread_gets_its_own_answers(client: Client) -> None:
    def work(number: int) -> None:
        for turn in range(50):
            key, value = f"own/{number}/{turn}", f"{number}-{turn}"
            revision = client.put(key, value).revision
            entry = client.get(key)
            assert entry is not None
            assert (entry.value, entry.mod_revision) == (value.encode(), revision)

    at_once(work)
    assert client.count("own/", "own0")[0] == THREADS * 50


def test_a_counter_counts_every_increment_once(client: Client) -> None:
    client.put("counter", "0")

    def work(number: int) -> None:
        del number
        for _ in range(10):
            while True:
                entry = client.get("counter")
                assert entry is not None
                if client.cas("counter", entry.value, b"%d" % (int(entry.value) + 1)).succeeded:
                    break

    at_once(work)
    entry = client.get("counter")
    assert entry is not None
    assert entry.value == b"%d" % (THREADS * 10)
    assert entry.version == THREADS * 10 + 1


def test_revisions_are_unique_and_grow_within_a_thread(client: Client) -> None:
    seen: list[list[int]] = [[] for _ in range(THREADS)]

    def work(number: int) -> None:
        for _ in range(30):
            seen[number].append(client.put("revisions", str(number)).revision)

    at_once(work)
    assert all(revisions == sorted(revisions) for revisions in seen)
    everything = [revision for revisions in seen for revision in revisions]
    assert len(set(everything)) == len(everything)


def test_all_operations(client: Client) -> None:
    client.put_many([(f"all/{number:04}", str(number)) for number in range(1024)])
    assert [entry.key for entry in client.prefix("all/", limit=3)] == [b"all/0000", b"all/0001", b"all/0002"]
    assert [entry.value for entry in client.range("all/1000", "all/1003")] == [b"1000", b"1001", b"1002"]
    backwards = [entry.key for entry in client.prefix("all/", reverse=True, limit=1001)]
    assert len(backwards) == 1001, "more than a page"
    assert backwards == sorted(backwards, reverse=True)
    assert client.cas("all/0000", "0", "new").succeeded
    failed = client.cas("all/0000", "0", "newer")
    assert not failed.succeeded
    assert failed.current is not None
    assert failed.current.value == b"new"
    assert client.cas("all/absent", None, "made").succeeded
    assert client.delete("all/absent").deleted == 1
    assert client.delete("all/absent").deleted == 0
    assert client.delete_prefix("all/").deleted == 1024
    assert client.get("all/0000") is None
    stale = client.get("counter", stale=True)
    assert stale is None or stale.value
    hello = client.hello()
    assert [name for name, *_ in hello.nodes] == ["n1", "n2", "n3"]


def test_what_can_never_succeed_is_refused_at_once(client: Client) -> None:
    for broken in (
        lambda: client.put("", "x"),
        lambda: client.put("k" * 4097, "x"),
        lambda: client.put("k", bytes((1 << 20) + 1)),
        lambda: client.get(""),
        lambda: client.put("k", "\ud800"),
        lambda: client.lease(0.05),
        lambda: client.lease(1e30),
        lambda: Client([]),
    ):
        with pytest.raises(InvalidRequest):
            broken()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), None, "5"])
def test_a_timeout_that_is_none_is_refused_at_once(seconds: Any) -> None:
    with pytest.raises(InvalidRequest, match="timeout: expected seconds above 0"):
        Client(["tcp://127.0.0.1:1"], timeout=seconds)


def test_threads_survive_a_change_of_leader_and_nothing_is_lost_or_doubled(
    cluster: LocalCluster, client: Client
) -> None:
    leader = cluster.leader()
    client.put("survivor", "0")
    begun = threading.Semaphore(0)
    ended = threading.Event()

    def change() -> None:
        for _ in range(THREADS):
            assert begun.acquire(timeout=DEADLINE_SECONDS)
        cluster.ok("chaos", "kill", leader)
        ended.set()

    def work(number: int) -> None:
        turn = 0
        while not ended.is_set() or turn < 20:
            turn += 1
            created = client.cas(f"survivor/{number}/{turn}", None, str(turn))
            assert created.succeeded, "a retry gets the first try's answer, not a failed compare"
            if turn == 5:
                begun.release()

    changer = threading.Thread(target=change)
    changer.start()
    at_once(work)
    changer.join(DEADLINE_SECONDS)
    assert ended.is_set()
    for entry in client.prefix("survivor/"):
        assert entry.version == 1
        assert entry.key.endswith(b"/" + entry.value)
    cluster.ok("chaos", "restart", leader)
    cluster.await_all_alive()


def test_close_ends_open_operations_with_what_is_known_of_them(cluster: LocalCluster) -> None:
    follower = next(name for name in ("n1", "n2", "n3") if name != cluster.leader())
    cluster.ok("chaos", "partition", "n1", "n2", "n3")
    outcomes: list[BaseException] = []
    client = Client(endpoints(cluster), timeout=DEADLINE_SECONDS)

    def write() -> None:
        try:
            client.put(f"closing/{follower}", "x")
        except ClientError as error:
            outcomes.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    await_condition(lambda: client._pump._transport.core.calls_open == 1, "the write to be open")
    begin = time.monotonic()
    client.close()
    thread.join(DEADLINE_SECONDS)
    assert time.monotonic() - begin < DEADLINE_SECONDS / 2, "it did not wait for the timeout"
    (outcome,) = outcomes
    assert isinstance(outcome, OutcomeUnknown | Unavailable)
    with pytest.raises(ClientError, match="closed"):
        client.get("a")
    client.close()
    cluster.ok("chaos", "heal")


def test_a_client_that_reaches_nobody_says_so_in_time() -> None:
    with Client(["tcp://127.0.0.1:9"], timeout=0.3) as client:
        begin = time.monotonic()
        with pytest.raises(Unavailable):
            client.put("a", "1")
        with pytest.raises(Unavailable):
            client.get("a", stale=True)
        assert time.monotonic() - begin < DEADLINE_SECONDS / 2
