"""``ClientCore`` without sockets: what it says became of a call, and of whom it believes what."""

from __future__ import annotations

import random

import pytest

from raftkv.client.calls import ANY_NODE
from raftkv.client.peers import SILENT_SECONDS, Peers
from raftkv.errors import (
    AccessRefused,
    OutcomeUnknown,
    Unavailable,
    Unreachable,
)
from raftkv.kv.commands import WAS_IN_LOG, Code, Op, encode_flat
from raftkv.wire.client import (
    Kind,
    decode_requests,
)
from raftkv.wire.packing import REQUEST_BYTES_MAX
from tests.client.talk import N1, N2, N3, NODES, Talk, watched

# -- the three outcomes at the deadline


def test_an_open_write_is_unknown_at_the_deadline() -> None:
    talk = Talk().led_by("n1")
    call = talk.put(timeout=0.1)
    talk.sent()
    talk.wait(0.2)
    assert type(call.error) is OutcomeUnknown
    assert talk.core.calls_open == 0
    talk.answer(N1, call, Code.OK)
    assert talk.done == [call], "an answer that comes too late changes nothing"


def test_a_greeting_names_no_cluster_so_that_a_node_of_another_one_answers_it() -> None:
    talk = Talk().led_by("n1")
    talk.put()
    talk.core.greet(talk.now)
    named = [
        (decode_requests(frame)[0], [request[1] for request in decode_requests(frame)[1]])
        for endpoint, frame in talk.core.take_frames()
        if endpoint == N1
    ]
    assert named == [(None, [Kind.HELLO]), ("c", [Kind.WRITE])]


def test_whoever_watches_is_told_that_another_cluster_has_taken_the_place_of_theirs() -> None:
    talk = Talk().led_by("n1")
    errors = watched(talk)
    for _ in range(30):
        talk.hello("n1", "n1")
        talk.hello("n2", "n2", cluster="restored")
        talk.hello("n3", "n2", cluster="restored")
        talk.wait(0.1)
    assert errors == [], "ours is heard"
    for _ in range(60):
        talk.hello("n3", "n2", cluster="restored")
        talk.wait(0.1)
    assert errors == [], "one of three: it may have taken the port of a node of ours that is down"
    talk.hello("n2", "n2", cluster="restored")
    assert [str(error) for error in errors] == [
        f"{N2} is of cluster 'restored', and this client was made for 'c'"
    ]
    write = talk.put(timeout=0.5)
    talk.wait(0.6)
    assert type(write.error) is OutcomeUnknown, "it was sent to where ours led"
    assert str(write.error).endswith("this client was made for 'c'")


def test_a_client_that_stood_still_hears_its_own_nodes_before_it_believes_strangers() -> None:
    talk = Talk(N1)
    talk.hello("n1", "n2")  # which names the others; its port is somebody else's later
    talk.hello("n2", "n2")
    errors = watched(talk)
    for _ in range(3):
        talk.now += 60.0  # as after SIGSTOP: what was said meanwhile is read in any order
        talk.hello("n1", "n2", cluster="other")
        talk.hello("n1", "n2", cluster="other")
        assert errors == []
        talk.now += SILENT_SECONDS / 2
    talk.hello("n2", "n2")
    talk.now += SILENT_SECONDS + 1.0
    talk.hello("n1", "n2", cluster="other")
    assert errors == []
    talk.now += SILENT_SECONDS - 0.1
    talk.hello("n1", "n2", cluster="other")
    assert errors == []
    talk.now += 0.2
    talk.hello("n1", "n2", cluster="other")
    assert len(errors) == 1, "by now ours would have been heard"


def test_a_stranger_in_the_leaders_place_is_left_as_if_nobody_were_there() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.sent()
    for _ in range(10):
        talk.wait(0.1)
        talk.hello("n1", "n1", cluster="other")  # the first to answer, each time
        talk.hello("n2", "n2", term=2)
    assert [request[0] for request in talk.sent().get(N2, [])] == [call.request_id]
    talk.answer(N2, call, Code.OK)
    assert call.error is None


def test_what_a_stranger_was_is_forgotten_once_one_of_ours_is_back_there() -> None:
    talk = Talk().led_by("n1")
    talk.hello("n2", "n2", cluster="other")
    talk.hello("n2", "n1")
    write = talk.put(timeout=0.5)
    talk.sent()
    talk.wait(0.6)
    assert "other" not in str(write.error)


def test_a_write_that_was_never_sent_did_not_happen() -> None:
    talk = Talk()
    call = talk.put(timeout=0.3)
    talk.wait(0.4)
    assert type(call.error) is Unreachable
    assert str(call.error) == f"no node answered in time: nothing happened; asked {N1}, {N2}, {N3}"


def test_where_every_node_refuses_the_connection_nobody_is_waited_for() -> None:
    talk = Talk()
    write, read = talk.put(timeout=5.0), talk.get(timeout=5.0)
    for endpoint in (N1, N2):
        talk.core.on_refused(endpoint, "it wants a key", talk.now)
    assert talk.done == [], "the third may let us in"
    talk.core.on_refused(N3, "it wants a key", talk.now)
    for call in (write, read):
        assert type(call.error) is AccessRefused
        assert str(call.error) == f"{N1} refuses the connection: it wants a key; nothing happened"


def test_what_one_node_refused_is_told_when_the_others_say_nothing_at_all() -> None:
    talk = Talk()
    call = talk.get(timeout=1.0)
    talk.core.on_refused(N2, "it wants a key", talk.now)
    talk.wait(1.1)
    assert type(call.error) is AccessRefused
    assert N2 in str(call.error)


def test_a_node_that_refuses_is_passed_by_for_one_that_does_not() -> None:
    talk = Talk()
    call = talk.get()
    talk.core.on_refused(N2, "it is not on its list", talk.now)
    talk.hello("n1", "n1")
    talk.answer(N1, call, Code.OK)
    assert (talk.done, call.error) == ([call], None)


def test_a_write_that_may_have_arrived_is_not_said_to_have_been_refused() -> None:
    talk = Talk().led_by("n1")
    call = talk.put(timeout=1.0)
    talk.sent()
    talk.refused_by_all()
    assert talk.done == []
    talk.wait(1.1)
    assert type(call.error) is OutcomeUnknown


def test_what_is_asked_after_a_refusal_is_not_said_to_have_arrived() -> None:
    """Of a key that was taken off the list: the second write, and all that follow."""
    talk = Talk().led_by("n1")
    open_ = talk.put(timeout=1.0)
    talk.sent()
    talk.refused_by_all()
    later = talk.put(timeout=5.0)
    assert talk.sent() == {}
    talk.refused_by_all()
    assert type(later.error) is AccessRefused
    talk.wait(1.1)
    assert type(open_.error) is OutcomeUnknown


def test_what_was_asked_of_a_node_that_refuses_now_is_asked_of_who_leads() -> None:
    """At once, and not after the time that an answer may take."""
    talk = Talk().led_by("n1")
    call = talk.put(timeout=9.0)
    talk.sent()
    talk.core.on_refused(N1, "not on its list", talk.now)
    talk.wait(0.1)
    assert N2 in talk.greeted()
    talk.hello("n2", "n2", term=2)
    assert [request[0] for request in talk.sent()[N2]] == [call.request_id]
    talk.answer(N2, call, Code.OK)
    assert call.error is None


def test_a_node_that_has_refused_counts_anew_once_it_answers() -> None:
    talk = Talk()
    first = talk.get(timeout=5.0)
    talk.refused_by_all()
    assert type(first.error) is AccessRefused
    second = talk.get()
    assert talk.greeted() == {N1, N2, N3}, "it is asked again: the list may be another one by now"
    talk.hello("n1", "n1")
    talk.answer(N1, second, Code.OK)
    assert second.error is None


def test_of_many_endpoints_that_nobody_answers_at_a_few_are_named() -> None:
    peers = Peers(f"tcp://127.0.0.1:{port}" for port in range(1, 41))
    assert peers.asked() == "asked tcp://127.0.0.1:1, tcp://127.0.0.1:2, tcp://127.0.0.1:3 and 37 more"


def test_whoever_was_heard_once_is_not_unreachable() -> None:
    """The cluster is where it was looked for; that it says nothing now is another thing."""
    talk = Talk().led_by("n1")
    talk.wait(10)
    call = talk.get(timeout=0.3)
    talk.wait(0.4)
    assert type(call.error) is Unavailable


@pytest.mark.parametrize(
    ("leader", "why"), [(None, "the cluster has no leader in time"), ("n2", "no node answered in time")]
)
def test_that_nobody_leads_is_another_thing_than_that_nobody_answers(leader: str | None, why: str) -> None:
    talk = Talk()
    call = talk.get(timeout=0.3)
    talk.hello("n1", leader)  # and n2, who may lead, says nothing
    talk.wait(0.4)
    assert str(call.error) == f"{why}: nothing happened"


def test_an_open_read_did_not_happen_at_the_deadline() -> None:
    talk = Talk().led_by("n1")
    call = talk.get(timeout=0.1)
    talk.wait(0.2)
    assert type(call.error) is Unavailable


def test_abandon_ends_everything_with_what_is_known() -> None:
    talk = Talk().led_by("n1")
    write, read = talk.put(), talk.get()
    talk.core.abandon("the client is closed")
    assert type(write.error) is OutcomeUnknown
    assert type(read.error) is Unavailable
    assert talk.core.calls_open == 0


def test_no_outcome_is_told_twice_whatever_comes_when() -> None:
    """Random talk of random nodes, late and in any order."""
    rng = random.Random(7)
    codes = [*Code]
    for _ in range(200):
        talk = Talk()
        calls = [talk.put(timeout=rng.uniform(0.1, 2)) for _ in range(5)]
        calls += [talk.get(stale, ANY_NODE if stale else None, 1.0) for stale in (True, False)]
        for _ in range(60):
            talk.wait(rng.uniform(0, 0.1))
            node = rng.choice([*NODES])
            if rng.random() < 0.4:
                talk.hello(node, rng.choice([*NODES, None]), rng.randrange(1, 4))
            else:
                talk.answer(NODES[node], rng.choice(calls), rng.choice(codes), None)
            talk.sent()
        talk.wait(2)
        assert sorted(call.request_id for call in talk.done) == [call.request_id for call in calls]
        assert all((call.error is None) != (call.response is None) for call in calls)
        assert talk.core.calls_open == 0
        assert talk.session.waiting == set()


def test_a_write_that_may_be_in_a_log_is_unknown_though_it_no_longer_fits() -> None:
    """Asked again it names what its client still waits for, which may take some bytes more by then."""
    talk = Talk().led_by("n1")
    first = [talk.put() for _ in range(200)]
    shortest = len(encode_flat((talk.session.client_id, 7, 201, 1, Op.PUT, b"k", b"")))
    header = 3  # of a value this long, beyond that of an empty one
    call = talk.put(value=bytes(REQUEST_BYTES_MAX - shortest - header))
    talk.sent()
    talk.answer(N1, call, Code.BUSY, WAS_IN_LOG)
    for each in first:
        talk.answer(N1, each, Code.OK)
    talk.wait(1.0)
    assert type(call.error) is OutcomeUnknown, call.error
    assert "is larger than" in str(call.error)
