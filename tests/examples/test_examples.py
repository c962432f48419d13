"""The examples do what they say, on a real cluster that breaks under them."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import raftkv
from raftkv.errors import ClientError, Compacted, LockLost, OutcomeUnknown
from raftkv.testing import LocalCluster
from tests.support.processes import DEADLINE_SECONDS, await_condition, environment

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("examples")]
FOLDER = Path(__file__).parent.parent.parent / "examples"


def load(name: str) -> Any:
    """A script as a module, as whoever copies it has it."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


config_service = load("config_service")
leader_worker = load("leader_worker")
rate_limiter = load("rate_limiter")


@contextmanager
def script(name: str, cluster: LocalCluster, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Runs it as a process, which does not outlive the test."""
    process = subprocess.Popen(
        [sys.executable, str(FOLDER / f"{name}.py"), *cluster.endpoints, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def output(name: str, cluster: LocalCluster, *arguments: str) -> list[str]:
    with script(name, cluster, *arguments) as process:
        text = process.communicate(timeout=DEADLINE_SECONDS)[0]
        assert process.returncode == 0, text
    return text.splitlines()


@contextmanager
def in_background(action: Callable[[], None]) -> Iterator[None]:
    """A thread that ends by itself before the test does."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


# -- the configuration


def test_a_follower_sees_every_change_whole_and_in_order_though_the_leader_is_killed(
    raftkv_cluster: LocalCluster, raftkv_client: raftkv.Client
) -> None:
    service = config_service.ConfigService(raftkv_client)
    seen: list[Any] = []

    def follow() -> None:
        with raftkv.Client(raftkv_cluster.endpoints, DEADLINE_SECONDS) as own:
            for state in config_service.ConfigService(own).follow():
                seen.append(state)
                if state.settings.get("number") == "39":
                    return

    with in_background(follow):
        await_condition(lambda: seen, "the follower to have read")
        for number in range(40):
            if number == 20:
                raftkv_cluster.kill(raftkv_cluster.leader())
            # More than one answer of a watch holds, so that the events of one change come in pieces.
            changes = {"number": str(number), **{f"pad/{part}": str(number) * 30_000 for part in range(8)}}
            service.publish(changes, service.load())
    assert [state.settings.get("number") for state in seen[1:]] == [str(number) for number in range(40)]
    for state in seen[1:]:
        number, *pads = (value for _, value in sorted(state.settings.items()))
        assert pads == [number * 30_000] * 8
    assert seen[-1].settings == service.load().settings


def test_of_two_changes_based_on_the_same_state_one_fails_and_changes_nothing(
    raftkv_client: raftkv.Client,
) -> None:
    service = config_service.ConfigService(raftkv_client)
    service.publish({"colour": "red"}, service.load())
    both = service.load()
    service.publish({"colour": None}, both)  # a deletion leaves nothing whose revision could be compared
    with pytest.raises(config_service.ConflictError):
        service.publish({"colour": "blue", "size": "1"}, both)
    assert service.load().settings == {}


def test_rolling_back_brings_back_what_was_changed_added_and_deleted(raftkv_client: raftkv.Client) -> None:
    service = config_service.ConfigService(raftkv_client)
    before = service.publish({"changed": "1", "deleted": "1"}, service.load())
    service.publish({"changed": "2", "deleted": None, "added": "2"}, service.load())
    service.roll_back(before)
    assert service.load().settings == {"changed": "1", "deleted": "1"}
    raftkv_client.compact(raftkv_client.revision())
    with pytest.raises(Compacted):
        service.roll_back(before)


def test_a_follower_that_was_away_for_longer_than_the_past_is_kept_begins_anew(
    raftkv_client: raftkv.Client,
) -> None:
    service = config_service.ConfigService(raftkv_client)
    states = service.follow()
    assert next(states).settings == {}
    for number in range(3):
        service.publish({"number": str(number)}, service.load())
    raftkv_client.compact(raftkv_client.revision())
    assert next(states).settings == {"number": "2"}
    version = service.publish({"number": "3"}, service.load())
    last = next(states)
    assert (last.settings, last.version) == ({"number": "3"}, version)
    states.close()


def test_the_configuration_as_a_script(raftkv_cluster: LocalCluster) -> None:
    cluster = raftkv_cluster
    (first,) = output("config_service", cluster, "--set", "timeout=30", "--set", "retries=3")
    assert first.endswith(": retries=3 timeout=30")
    version = first.removeprefix("version ").partition(":")[0]
    with script("config_service", cluster, "--follow") as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == f"{first}\n"
        output("config_service", cluster, "--set", "timeout=60")
        assert follower.stdout.readline().endswith(": retries=3 timeout=60\n")
        output("config_service", cluster, "--roll-back", version)
        assert follower.stdout.readline().endswith(": retries=3 timeout=30\n")
        follower.send_signal(signal.SIGINT)
        assert follower.wait(DEADLINE_SECONDS) == 0


# -- workers


def add(client: raftkv.Client, items: int) -> None:
    client.put_many([(f"job/todo/{number:03}", f"item {number}") for number in range(items)])


def results(client: raftkv.Client) -> list[tuple[bytes, bytes, int]]:
    """(key, whose it is, token) in the order in which they were written."""
    done = sorted(client.prefix("job/done/"), key=lambda entry: entry.mod_revision)
    assert all(entry.version == 1 for entry in done)
    parts = [entry.value.split(b" by ")[1].split(b", token ") for entry in done]
    return [(entry.key, part[0], int(part[1])) for entry, part in zip(done, parts, strict=True)]


def is_done(client: raftkv.Client) -> bool:
    """Every item, and each once."""
    return not list(client.prefix("job/todo/", limit=1))


def in_office(client: raftkv.Client) -> bytes | None:
    holder = leader_worker.Election(client, "job/office").leader()
    return None if holder is None else bytes(holder.value)


def test_a_worker_whose_lease_ends_in_the_middle_of_an_item_does_not_write(
    raftkv_client: raftkv.Client,
) -> None:
    add(raftkv_client, 1)

    def depose(value: bytes) -> bytes:
        (lease,) = raftkv_client.leases()
        raftkv_client.revoke(lease.id)
        assert second.election.campaign("second", timeout=DEADLINE_SECONDS)
        return value

    first = leader_worker.Worker(raftkv_client, "first", depose)
    second = leader_worker.Worker(raftkv_client, "second")
    assert first.election.campaign("first")
    with pytest.raises(LockLost):
        first.work()
    assert not results(raftkv_client)
    assert second.work()
    ((_, name, token),) = results(raftkv_client)
    assert (name, token) == (b"second", second.election.token)
    assert not second.work()
    second.election.resign()


def test_every_item_is_done_once_though_the_leader_is_killed_and_a_worker_ends(
    raftkv_cluster: LocalCluster, raftkv_client: raftkv.Client
) -> None:
    items = 80
    add(raftkv_client, items)
    ends = {name: threading.Event() for name in ("first", "second")}
    performed: list[bytes] = []
    ended = threading.Event()

    def perform(value: bytes) -> bytes:
        performed.append(value)
        if len(performed) > items // 2:
            ended.wait(DEADLINE_SECONDS)
        return value

    def run(name: str) -> None:
        with raftkv.Client(raftkv_cluster.endpoints, DEADLINE_SECONDS) as own:
            leader_worker.Worker(own, name, perform).run(ends[name])

    with in_background(lambda: run("first")), in_background(lambda: run("second")):
        try:
            await_condition(lambda: performed, "a worker to work")
            raftkv_cluster.kill(raftkv_cluster.leader())
            await_condition(lambda: len(results(raftkv_client)) >= 20, "items to be done again")
            working = await_condition(lambda: in_office(raftkv_client), "a worker in office")
            ends[working.decode()].set()
            ended.set()
            await_condition(lambda: is_done(raftkv_client), "all items to be done")
        finally:
            for event in (ended, *ends.values()):
                event.set()
    found = results(raftkv_client)
    assert len(found) == items
    assert [token for *_, token in found] == sorted(token for *_, token in found)
    assert {name for _, name, _ in found} == {b"first", b"second"}


def test_a_worker_that_is_paused_in_the_middle_of_an_item_finds_itself_deposed(
    raftkv_cluster: LocalCluster, raftkv_client: raftkv.Client
) -> None:
    workers = ("--ttl", "2", "--item-seconds", "0.3")
    with (
        script("leader_worker", raftkv_cluster, "--name", "a", *workers) as a,
        script("leader_worker", raftkv_cluster, "--name", "b", *workers) as b,
    ):
        processes = {b"a": a, b"b": b}
        add(raftkv_client, 4)
        (_, first, _), *_ = await_condition(lambda: results(raftkv_client), "the first item to be done")
        processes[first].send_signal(signal.SIGSTOP)  # it has begun the next one
        await_condition(lambda: len(results(raftkv_client)) >= 3, "the other worker to take over")
        processes[first].send_signal(signal.SIGCONT)
        await_condition(lambda: is_done(raftkv_client), "all items to be done")
        for process in (a, b):
            process.send_signal(signal.SIGTERM)
        assert [process.communicate(timeout=DEADLINE_SECONDS)[0] for process in (a, b)] == ["", ""]
        assert (a.returncode, b.returncode) == (0, 0)
    found = results(raftkv_client)
    assert len(found) == 4
    assert [token for *_, token in found] == sorted(token for *_, token in found)
    assert {name for _, name, _ in found} == {b"a", b"b"}
    await_condition(lambda: not raftkv_client.leases(), "the deposed worker's lease to end")


# -- the rate limit


def test_the_limit_holds_among_many_though_the_leader_is_cut_off(
    raftkv_cluster: LocalCluster, raftkv_client: raftkv.Client
) -> None:
    limit, each = 60, 20
    begun = threading.Semaphore(0)

    def ask(_: int) -> list[str]:
        answers = []
        with raftkv.Client(raftkv_cluster.endpoints, DEADLINE_SECONDS) as own:
            limiter = rate_limiter.RateLimiter(own, "shared", limit, 60.0)
            for _ in range(each):
                begun.release()
                try:
                    answers.append("allowed" if limiter.allow() else "refused")
                except OutcomeUnknown:
                    answers.append("unknown")
                except ClientError:
                    answers.append("failed")
        return answers

    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(ask, number) for number in range(4)]
        for _ in range(8):
            assert begun.acquire(timeout=DEADLINE_SECONDS)
        raftkv_cluster.isolate(raftkv_cluster.leader())
        answers = [answer for future in asked for answer in future.result()]
    assert len(answers) == 4 * each
    assert answers.count("allowed") <= limit <= answers.count("allowed") + answers.count("unknown")
    assert rate_limiter.RateLimiter(raftkv_client, "shared", limit, 60.0).left() == 0
    (lease,) = raftkv_client.leases()
    assert raftkv_client.revoke(lease.id) == 1


def test_a_bucket_goes_by_itself_and_the_next_request_begins_another(raftkv_client: raftkv.Client) -> None:
    for window in (0.3, 3.0, 30.0):  # the shortest that does not end in between
        revision = raftkv_client.revision()
        limiter = rate_limiter.RateLimiter(raftkv_client, f"for-{window}", 2, window)
        answers = [limiter.allow(), limiter.allow(), limiter.allow(), limiter.allow(3)]
        if answers == [True, True, False, False]:
            break
    assert answers == [True, True, False, False]
    with raftkv_client.watch(f"rate/for-{window}", revision=revision, puts=False) as stream:
        assert stream.get(DEADLINE_SECONDS) is not None
    assert limiter.left() == 2
    await_condition(lambda: limiter.allow(2) and not limiter.allow(), "a bucket of its own to be used up")


def test_the_rate_limiter_as_a_script(raftkv_cluster: LocalCluster) -> None:
    said = output("rate_limiter", raftkv_cluster, "--limit", "2", "--requests", "3")
    assert said == ["allowed", "allowed", "refused"]
    assert output("rate_limiter", raftkv_cluster, "--limit", "3", "--requests", "2") == ["allowed", "refused"]
