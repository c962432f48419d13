"""``ClientCore`` without sockets: what it takes for an answer, and what it puts into frames."""

from __future__ import annotations

import gc
import random
from typing import Any

import msgpack
import pytest

from raftkv.client.calls import ANY_NODE, Call
from raftkv.client.core import (
    HELLO_SECONDS,
    LOOK_SECONDS,
    SILENCE_SECONDS,
)
from raftkv.client.framing import FRAME_REQUESTS_MAX
from raftkv.client.patience import RESEND_SECONDS
from raftkv.errors import (
    Unavailable,
)
from raftkv.kv.commands import Code
from raftkv.kv.limits import SESSION_WINDOW
from raftkv.wire.client import (
    FRAME_SLACK_BYTES,
    VERSION,
    Kind,
    Request,
    decode_requests,
)
from raftkv.wire.packing import REQUEST_BYTES_MAX, pack
from tests.client.talk import N1, N2, N3, TIMEOUT, Talk, command_of, names

# -- what is no answer


def test_a_node_of_another_cluster_is_ignored() -> None:
    talk = Talk().led_by("n1")
    talk.put()
    talk.sent()
    talk.wait(SILENCE_SECONDS + 0.05)
    talk.hello("n2", leader="n2", term=9, cluster="another")
    assert talk.sent() == {}
    assert talk.core.cluster == "c"
    assert all(hello.cluster == "c" for hello in talk.core.hellos.values())


def test_requests_name_the_cluster_once_it_is_known() -> None:
    talk = Talk()
    talk.put()
    assert {decode_requests(frame)[0] for _, frame in talk.core.take_frames()} == {None}
    talk.hello("n1", leader="n1")
    assert {decode_requests(frame)[0] for _, frame in talk.core.take_frames()} == {"c"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"garbage",
        bytes(100),
        b"\x93" * 5000,
        pack(5),
        pack([VERSION]),
        pack([VERSION + 1, []]),
        pack([VERSION, {}]),
        pack([VERSION, [5]]),
        pack([VERSION, [[1, 0]]]),
        pack([VERSION, [[1, 0, 0, None, 5]]]),
        pack([VERSION, [[0, 0, 0, None]]]),
        pack([VERSION, [[0, 0, 0, ["c", "n1"]]]]),
        pack([VERSION, [[999, 0, 0, None]]]),
    ],
    ids=lambda data: data[:12].hex(),
)
def test_garbage_is_like_silence(data: bytes) -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.core.on_frame(N1, data, talk.now)
    talk.core.on_frame("tcp://nobody:1", data, talk.now)
    assert talk.done == []
    talk.answer(N1, call, Code.OK)
    assert call.error is None


@pytest.mark.parametrize(
    "row",
    [
        [{}, 0, 0, None],
        [0, 0, 0, "seven77"],
        [0, 0, 0, ["c", "n1", "leader", 1, "n1", 0, 5]],
        [0, 0, 0, ["c", "n1", "leader", 1, "n1", 0, [["n1", "x"]]]],
        [0, 0, 0, ["c", "n1", "leader", "one", "n1", 0, []]],
        [0, 0, 0, [{}, "n1", "leader", 1, "n1", 0, []]],
        [0, 0, 0, ["c", "n1", "leader", 1, {"a": 1}, 0, []]],
    ],
    ids=["id-map", "text", "nodes-number", "short-node", "term-text", "cluster-map", "leader-map"],
)
def test_garbage_within_a_response_is_like_silence(row: list[Any]) -> None:
    """An exception here ends the client's thread, and every operation then waits for ever."""
    talk = Talk()
    call = talk.put()
    talk.core.on_frame(N1, pack([VERSION, [row]]), talk.now)
    talk.wait(0.2)
    talk.hello("n2", leader="n2", term=2)
    assert set(talk.sent()) == {N2}
    talk.answer(N2, call, Code.OK)
    assert call.error is None


# -- reads that any node may answer


def test_a_stale_read_goes_to_whoever_answers_first() -> None:
    talk = Talk()
    call = talk.get(stale=True, target=ANY_NODE)
    assert talk.greeted() == {N1, N2, N3}
    talk.hello("n3", leader=None)
    assert set(talk.sent()) == {N3}
    talk.answer(N3, call, Code.OK)
    assert call.error is None


def test_a_read_pinned_to_a_node_goes_there_and_nowhere_else() -> None:
    talk = Talk().led_by("n1")
    call = talk.get(target=N3, timeout=2.0)
    assert set(talk.sent()) == {N3}
    talk.wait(1.0)
    talk.hello("n1", leader="n1")
    assert set(talk.sent()) <= {N3}
    talk.wait(1.1)
    assert set(talk.sent()) <= {N3}
    assert type(call.error) is Unavailable


# -- frames


def test_many_small_requests_travel_together() -> None:
    talk = Talk().led_by("n1")
    calls = [talk.put(b"%d" % number) for number in range(FRAME_REQUESTS_MAX + 1)]
    sent = talk.sent()[N1]
    assert [request[0] for request in sent] == [call.request_id for call in calls]
    assert [len(decode_requests(frame)[1]) for _, frame in talk.frames] == [FRAME_REQUESTS_MAX, 1]


def test_a_frame_is_never_larger_than_a_node_takes() -> None:
    talk = Talk().led_by("n1")
    rng = random.Random(3)
    sizes = [1 << 20, 1 << 20, *(rng.randrange(1 << 18) for _ in range(40)), 1 << 20]
    for size in sizes:
        talk.put(value=bytes(size))
    sent = talk.sent()[N1]
    assert [len(command_of(request).arguments[1]) for request in sent] == sizes
    assert max(len(frame) for _, frame in talk.frames) <= REQUEST_BYTES_MAX + FRAME_SLACK_BYTES
    assert len(talk.frames) < len(sizes), "small ones share a frame"


# -- sessions


def test_sequences_count_and_the_floor_is_the_oldest_that_waits() -> None:
    talk = Talk().led_by("n1")
    first, second, third = (talk.put() for _ in range(3))
    commands = [command_of(request) for request in talk.sent()[N1]]
    assert [command.sequence for command in commands] == [1, 2, 3]
    assert [command.floor for command in commands] == [1, 1, 1]
    assert {command.client_id for command in commands} == {talk.session.client_id}
    assert {command.born for command in commands} == {7}, "an applied index it was told of"
    talk.answer(N1, second, Code.OK)
    talk.put()
    assert command_of(talk.sent()[N1][0]).floor == 1
    talk.answer(N1, first, Code.OK)
    talk.put()
    assert command_of(talk.sent()[N1][0]).floor == third.sequence


def test_each_session_counts_for_itself() -> None:
    talk = Talk().led_by("n1")
    other = talk.core.new_session()
    talk.put()
    talk.put(session=other)
    one, two = (names(request) for request in talk.sent()[N1])
    assert one[0] != two[0]
    assert one[1] == two[1] == 1


def test_a_retry_is_byte_for_byte_the_first_try() -> None:
    """Its floor too: a floor that has moved past it would have its answer forgotten."""
    talk = Talk().led_by("n1")
    first, second = talk.put(b"a"), talk.put(b"b")
    tries = talk.sent()[N1]
    talk.answer(N1, first, Code.OK)
    talk.answer(N1, second, Code.LEADER_CHANGED)
    talk.wait(HELLO_SECONDS * 2)
    talk.hello("n2", leader="n2", term=2)
    assert talk.sent()[N2] == [tries[1]]


@pytest.mark.parametrize("code", [Code.NO_LEADER, Code.NO_SPACE, Code.BUSY, Code.LEADER_CHANGED])
def test_a_late_refusal_of_a_node_that_was_left_changes_nothing(code: Code) -> None:
    """As a partition that heals delivers them: the leader that was found since stays the one to ask."""
    talk = Talk().led_by("n1")
    call = talk.put(b"a")
    talk.wait(SILENCE_SECONDS)
    talk.hello("n2", "n2", term=2)
    assert set(talk.sent()) >= {N2}
    talk.answer(N1, call, code)
    other = talk.put(b"b")
    assert {endpoint: len(requests) for endpoint, requests in talk.sent().items()} == {N2: 1}
    talk.wait(RESEND_SECONDS)
    talk.answer(N2, call, Code.OK)
    talk.answer(N2, other, Code.OK)
    assert talk.done == [call, other]
    assert call.response is not None


def test_a_call_that_is_over_leaves_nothing_behind() -> None:
    """A busy client would hold on to everything it has asked within a timeout."""
    talk = Talk().led_by("n1")
    before = _calls_in_memory()
    for _ in range(1_000):
        talk.answer(N1, talk.put(timeout=3600), Code.OK)
        talk.core.take_frames()
        assert not talk.done.pop().error
    assert talk.core.calls_open == 0
    assert _calls_in_memory() == before


def _calls_in_memory() -> int:
    gc.collect()
    return sum(isinstance(thing, Call) for thing in gc.get_objects())


def test_each_call_ends_when_its_own_time_is_up() -> None:
    rng = random.Random(4)
    talk = Talk().led_by("n1")
    due: dict[int, float] = {}
    for _ in range(300):
        if rng.random() < 0.5:
            call = talk.put(timeout=rng.uniform(0.005, 0.5))
            due[call.request_id] = call.deadline
        talk.wait(0.01)
        assert all(due.pop(call.request_id) <= talk.now for call in talk.done)
        assert all(deadline > talk.now - 0.001 for deadline in due.values())
        assert talk.core.next_timer(talk.now) <= min(due.values(), default=talk.now + 1) + 0.001
        talk.done.clear()


def test_a_cluster_of_another_version_is_named_as_the_reason() -> None:
    talk = Talk()
    call = talk.get()
    talk.core.on_frame(N2, msgpack.packb([7, [], "and more"]), talk.now)
    talk.wait(TIMEOUT)
    assert type(call.error) is Unavailable
    assert f"{N2} speaks client protocol version 7; this side speaks version 1" in str(call.error)
    assert "install the same version of raftkv" in str(call.error)


def test_many_calls_whose_time_is_up_at_different_moments_are_not_looked_at_for_each() -> None:
    talk = Talk().led_by("n1")
    calls = [talk.get(timeout=0.1 + number * 1e-6) for number in range(1000)]
    talk.now = calls[0].deadline
    talk.core.on_time(talk.now)
    assert talk.done == calls[:1]
    assert talk.core.next_timer(talk.now) >= talk.now + 999 * LOOK_SECONDS
    talk.now = talk.core.next_timer(talk.now)
    talk.core.on_time(talk.now)
    assert len(talk.done) >= 999


def test_whoever_asks_again_at_once_when_time_is_up_does_not_keep_the_others_waiting() -> None:
    """Nor does it go round in that look for ever, though its time is up from the beginning."""
    talk = Talk().led_by("n1")
    tries: list[Call] = []

    def again(call: Call) -> None:
        tries.append(call)
        talk.core.submit(Call(call.fields, call.deadline, again), talk.now)

    fields = (Kind.GET, b"k", 0, False)
    talk.core.submit(Call(fields, talk.now + 0.1, again), talk.now)
    other = talk.get(timeout=0.1)
    talk.now = other.deadline
    talk.core.on_time(talk.now)
    assert (len(tries), talk.done) == (1, [other])
    talk.wait(0.01)
    assert len(tries) > 1, "the next look ends it as well"


def test_what_waits_behind_the_window_is_not_gone_through_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand writes may be asked for at once: only those that are next are looked at."""
    talk = Talk().led_by("n1")
    calls = [talk.put() for _ in range(SESSION_WINDOW + 1000)]
    sent: list[Request] = []
    while frame := talk.sent():
        sent += frame[N1]
    assert len(sent) == SESSION_WINDOW
    for number in range(10):
        talk.answer(N1, calls[number], Code.OK)
    dispatched: list[Call] = []
    dispatch = talk.core._dispatch

    def look(call: Call, now: float) -> None:
        dispatched.append(call)
        dispatch(call, now)

    monkeypatch.setattr(talk.core, "_dispatch", look)
    talk.core.on_time(talk.now)
    talk.core.on_time(talk.now)
    assert dispatched == calls[SESSION_WINDOW : SESSION_WINDOW + 10]


def test_a_write_that_ended_while_it_waited_for_its_turn_is_not_sent_any_more() -> None:
    talk = Talk().led_by("n1")
    calls = [talk.put() for _ in range(SESSION_WINDOW)]
    late = talk.put(timeout=0.01)
    while talk.sent():
        pass
    talk.wait(0.02)
    assert type(late.error) is Unavailable
    for call in calls:
        talk.answer(N1, call, Code.OK)
    talk.core.on_time(talk.now)
    assert talk.sent() == {}
