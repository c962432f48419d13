"""The thread behind a client: who may ask it from where, and that nobody waits for it in vain."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from raftkv.client import AsyncClient, Client, requests
from raftkv.client.stream import WatchStream
from raftkv.client.transport import FRAMES_A_PASS_MAX, Transport
from raftkv.errors import ClientError, InvalidRequest, OutcomeUnknown, Unavailable
from raftkv.recipes import Lock
from raftkv.testing import LocalCluster
from raftkv.wire.client import decode_responses
from tests.support.processes import DEADLINE_SECONDS, await_condition

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("recipes")]


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Has SIGUSR1 call something."""
    before = signal.getsignal(signal.SIGUSR1)

    def call(action: Callable[[], object]) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: action())

    yield call
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_may_use_the_client_at_any_moment(
    raftkv_client: Client, monkeypatch: pytest.MonkeyPatch, on_signal: Callable[[Callable[[], object]], None]
) -> None:
    """The signal comes while its own thread is about to wake the client's."""
    transport: Any = raftkv_client._pump._transport
    wake = transport.wake
    raised: list[bool] = []

    def interrupted() -> None:
        if not raised:
            raised.append(True)
            signal.raise_signal(signal.SIGUSR1)
        wake()

    on_signal(lambda: raftkv_client.put("from the handler", "1"))
    monkeypatch.setattr(transport, "wake", interrupted)
    raftkv_client.put("from the program", "1")
    assert raised
    assert "from the handler" in raftkv_client


def call_back(client: Client, action: Callable[[object], None]) -> None:
    """In the client's thread: where the answer is there already, a callback is called by whoever adds it."""
    added = threading.Event()

    def hold_up() -> None:
        added.wait(DEADLINE_SECONDS)

    client._pump.post(lambda core, now: hold_up())
    client.submit(requests.put("a", "1")).add_done_callback(action)
    added.set()


def test_a_callback_that_waits_for_its_own_thread_is_told_so(raftkv_client: Client) -> None:
    errors: list[Exception] = []

    def ask(_: object) -> None:
        for action in (lambda: raftkv_client.get("a"), lambda: stream.get(DEADLINE_SECONDS)):
            try:
                action()
            except ClientError as error:
                errors.append(error)

    with raftkv_client.watch("b") as stream:
        call_back(raftkv_client, ask)
        await_condition(lambda: len(errors) == 2, "both to be refused")
    assert all(type(error) is InvalidRequest and "own thread" in str(error) for error in errors)
    assert raftkv_client["a"] == b"1"


def test_a_listener_that_ends_the_program_ends_neither_the_client_nor_its_callers(
    raftkv_client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    lease = raftkv_client.lease(1).keep()
    lease.on_lost(lambda: sys.exit("the lock is lost"))
    raftkv_client.revoke(lease.id)
    await_condition(lambda: lease.lost, "the lease to be lost")
    raftkv_client.put("a", "1")
    assert "the lock is lost" in capsys.readouterr().err


def test_a_callback_that_ends_the_program_ends_no_client(
    raftkv_client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    told = threading.Event()

    def leave(_: object) -> None:
        told.set()
        sys.exit("had enough")

    call_back(raftkv_client, leave)
    assert told.wait(DEADLINE_SECONDS)
    raftkv_client.put("a", "2")
    assert "had enough" in capsys.readouterr().err


def test_what_was_sent_when_the_thread_fails_may_have_happened(
    raftkv_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raftkv_cluster.client() as client:
        client.put("a", "1")

        core = client._pump._transport.core
        on_frame = core.on_frame

        def fail(endpoint: str, data: bytes, now: float) -> None:
            if any(response.request_id for response in decode_responses(data)):
                raise RuntimeError("a bug")
            on_frame(endpoint, data, now)  # a greeting's answer, which may still be on its way

        monkeypatch.setattr(core, "on_frame", fail)
        with pytest.raises(OutcomeUnknown, match="a bug"):
            client.put("a", "2")
        with pytest.raises(ClientError, match="the client has failed: RuntimeError"):
            client.get("a")


def test_whoever_waits_beyond_all_deadlines_is_let_go(
    raftkv_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftkv.client.client.GRACE_SECONDS", 0.1)
    release = threading.Event()

    def block() -> None:
        release.wait(DEADLINE_SECONDS)

    with raftkv_cluster.client(timeout=0.2) as client:
        client.put("a", "1")
        client._pump.post(lambda core, now: block())
        with pytest.raises(OutcomeUnknown, match="does not answer"):
            client.put("a", "2")
        with pytest.raises(Unavailable, match="does not answer"):
            client.get("a")
        release.set()


def test_a_client_that_is_forgotten_leaves_nothing(raftkv_cluster: LocalCluster) -> None:
    """But a watch holds it, as long as somebody holds the watch."""

    forgotten, watching = Client(raftkv_cluster.endpoints), Client(raftkv_cluster.endpoints)
    forgotten.put("a", "1")
    threads = [client._pump._thread for client in (forgotten, watching)]
    stream = watching.watch("a", revision=1)
    del forgotten, watching

    def ended(number: int) -> bool:
        gc.collect()
        return not threads[number].is_alive()

    await_condition(lambda: ended(0), "the thread to end")
    assert stream.get(DEADLINE_SECONDS)
    assert not ended(1)
    del stream  # as one does who breaks out of a loop over it
    await_condition(lambda: ended(1), "the other one to end")


def test_a_client_has_as_many_timeouts_as_are_wanted() -> None:
    class Mine(Client):
        whose = "mine"

    nobody = Mine(["tcp://127.0.0.1:1"], timeout=DEADLINE_SECONDS * 10)
    waits = nobody.submit(requests.get("a"))
    hurried = nobody.with_timeout(0.01).with_timeout(0.02)
    assert (hurried.timeout, hurried.whose) == (0.02, "mine")
    with pytest.raises(Unavailable, match="in time"):
        hurried.get("a")
    assert not waits.done(), "what was asked of the first has its own time"
    hurried.close()
    with pytest.raises(Unavailable, match="closed"):
        waits.result(DEADLINE_SECONDS)
    with pytest.raises(InvalidRequest):
        nobody.with_timeout(0)


def test_a_client_lives_as_long_as_it_has_another_timeout(raftkv_cluster: LocalCluster) -> None:
    other = Client(raftkv_cluster.endpoints).with_timeout(DEADLINE_SECONDS)
    gc.collect()
    other.put("a", "1")
    thread = other._pump._thread
    del other

    def ended() -> bool:
        gc.collect()
        return not thread.is_alive()

    await_condition(ended, "the thread to end")


def test_a_client_that_is_forgotten_with_a_lock_gives_it_up(
    raftkv_cluster: LocalCluster, raftkv_client: Client
) -> None:
    """Its thread keeps the lease alive, but must not keep the client alive for that."""
    forgotten = Client(raftkv_cluster.endpoints)
    lock = Lock(forgotten, "forgotten", ttl=1.0)
    assert lock.acquire()
    told: list[str] = []
    lease = forgotten.lease(1.0).keep()
    lease.on_lost(lambda: told.append("lost"))
    lease_id = lease.id
    del lease
    gc.collect()
    assert Lock(raftkv_client, "forgotten").acquire(timeout=0) is False
    raftkv_client.revoke(lease_id)
    await_condition(lambda: told == ["lost"], "the listener of a lease that nobody holds to be told")
    del lock, forgotten
    gc.collect()
    waiting = Lock(raftkv_client, "forgotten")
    assert waiting.acquire(timeout=DEADLINE_SECONDS)
    waiting.release()


@pytest.mark.parametrize("what", [copy.copy, copy.deepcopy, pickle.dumps])
def test_nothing_of_a_client_can_be_copied(raftkv_client: Client, what: Callable[[Any], Any]) -> None:
    """A copy would close descriptors of the first, whose numbers may be other files' by then."""
    lease = raftkv_client.lease(60.0)
    try:
        for thing in (raftkv_client, AsyncClient(["tcp://127.0.0.1:9"]), raftkv_client._pump):
            with pytest.raises(TypeError, match="make another one there"):
                what(thing)
        if what is not copy.copy:  # of which both are the same lease, as with a name more
            with pytest.raises(TypeError, match="make another one there"):
                what(lease)
    finally:
        lease.revoke()
    gc.collect()
    raftkv_client.put("a", "1")


def test_a_program_without_descriptors_is_told_so_and_goes_on() -> None:
    """ZeroMQ would end it."""
    program = """
import os, resource
from raftkv import Client
from raftkv.errors import ClientError

used = len(os.listdir("/proc/self/fd"))
for spare in (2, 17, 18):
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + spare, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        with Client([f"tcp://127.0.0.1:{port}" for port in range(9, 29)], timeout=0.3) as client:
            client.put("a", "b")
    except ClientError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    told = done.stdout.splitlines()
    assert len(told) == 3
    assert all("descriptor" in line and "ulimit -n" in line for line in told), told


def test_a_client_that_is_forgotten_brings_what_was_asked_of_it(raftkv_cluster: LocalCluster) -> None:
    def ask() -> list[Any]:
        client = Client(raftkv_cluster.endpoints)
        return [client.submit(requests.put(f"forgotten/{number}", "1")) for number in range(100)]

    futures = ask()
    gc.collect()
    assert all(future.result(DEADLINE_SECONDS).revision for future in futures)


def test_what_is_posted_while_the_thread_ends_is_ended_with_it(raftkv_cluster: LocalCluster) -> None:
    """A watch that begins just then: it is told, and whoever reads it does not wait for good."""
    with raftkv_cluster.client() as client:
        pump = client._pump
        after = client.put("a", "1").revision
        pump.close()
        pump._closing = False  # as whoever looked just before
        pump._over = False
        stream = WatchStream(client, pump, b"a", b"b", after, 0)
        pump._closing = pump._over = True
        pump._end_open()
        with pytest.raises(Unavailable, match="closed"):
            stream.get(DEADLINE_SECONDS)
        with pytest.raises(ClientError, match="closed"):
            client.get("a")


def test_events_that_have_come_can_be_read_after_the_client_was_closed(raftkv_cluster: LocalCluster) -> None:
    with raftkv_cluster.client() as client:
        revisions = [client.put("closed", str(number)).revision for number in range(20)]
        stream = client.watch("closed", revision=revisions[0])
        await_condition(lambda: stream.revision >= revisions[-1], "all events")
    assert [event.value for _ in revisions if (event := stream.get())] == [b"%d" % n for n in range(20)]
    with pytest.raises(Unavailable, match="closed"):
        stream.get()


SUSPENDED = """
import sys, raftkv
from raftkv.recipes import Lock
client = raftkv.Client(sys.argv[1:], timeout=60)
def hold():
    with Lock(client, "suspended"):
        yield
holding = hold()
next(holding)
"""


def test_a_program_that_ends_in_the_middle_of_something_ends(raftkv_cluster: LocalCluster) -> None:
    """The interpreter runs finalisers when the client's thread is gone."""
    done = subprocess.run(
        [sys.executable, "-c", SUSPENDED, *raftkv_cluster.endpoints],
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_fork_in_the_middle_of_a_call_leaves_a_child_that_can_close(raftkv_client: Client) -> None:
    with raftkv_client.watch("a") as stream:
        child = os.fork()
        if not child:
            code = 1
            try:
                raftkv_client.close()
                stream.get()
            except ClientError as error:
                code = 0 if "forked" in str(error) else 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    raftkv_client.put("a", "1")


def test_a_lock_whose_release_is_interrupted_is_free(
    raftkv_cluster: LocalCluster, raftkv_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and not when the client is closed: nobody keeps it alive."""
    lock = Lock(raftkv_client, "interrupted", ttl=60)
    post = raftkv_client._pump.post

    def interrupted(action: Any) -> None:
        monkeypatch.setattr(raftkv_client._pump, "post", post)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), lock:
        monkeypatch.setattr(raftkv_client._pump, "post", interrupted)
    assert not lock.held
    with raftkv_cluster.client() as other, Lock(other, "interrupted") as next_one:
        assert next_one.held


def test_whoever_posts_without_end_keeps_nobody_from_being_answered(raftkv_client: Client) -> None:
    """Nor a lease from being renewed: several threads together are as fast."""
    going_on = True

    def again(core: Any, now: float) -> None:
        del core, now
        if going_on:
            raftkv_client._pump.post(again)

    raftkv_client._pump.post(again)
    try:
        assert raftkv_client.put("beside", "1").revision
    finally:
        going_on = False


def test_a_node_that_sends_without_end_keeps_the_client_from_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transport: Any = Transport(["tcp://127.0.0.1:9"])
    heard: list[bytes] = []
    monkeypatch.setattr(transport.core, "on_frame", lambda endpoint, frame, now: heard.append(frame))

    class Endless:
        def recv(self, flags: int) -> bytes:
            return b"frame"

        def getsockopt(self, option: int) -> int:
            return int(zmq.POLLIN)

    socket = Endless()
    transport._endpoints[socket] = "tcp://127.0.0.1:9"
    transport._drain(socket)
    assert len(heard) == FRAMES_A_PASS_MAX
    transport.close()
