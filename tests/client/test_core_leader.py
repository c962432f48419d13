"""``ClientCore`` without sockets: whom it asks, and when it asks somebody else."""

from __future__ import annotations

import pytest

from raftkv.client.core import (
    BUSY_SECONDS,
    HELLO_SECONDS,
    SILENCE_SECONDS,
)
from raftkv.client.patience import DESERT_SECONDS, RESEND_SECONDS
from raftkv.client.peers import SILENT_SECONDS
from raftkv.errors import (
    ClientError,
    InvalidRequest,
    OutcomeUnknown,
    SessionExpired,
    Unavailable,
)
from raftkv.kv.commands import WAS_IN_LOG, Code
from tests.client.talk import N1, N2, N3, NODES, TIMEOUT, Talk, names

# -- finding the leader


def test_it_asks_everybody_and_then_only_the_leader() -> None:
    talk = Talk()
    call = talk.put()
    assert talk.greeted() == {N1, N2, N3}
    talk.hello("n1", leader="n2")
    assert set(talk.sent()) == {N2}
    talk.answer(N2, call, Code.OK)
    assert talk.done == [call]
    assert call.error is None
    assert call.response is not None
    assert call.response.revision == 9
    talk.put()
    assert set(talk.sent()) == {N2}, "no new round of questions"


def test_one_endpoint_is_enough_to_learn_of_all() -> None:
    talk = Talk(N3)
    talk.put()
    assert talk.greeted() == {N3}
    talk.hello("n3", leader="n1")
    assert set(talk.sent()) == {N1}


def test_while_nobody_leads_it_asks_again_and_again_but_not_more_often() -> None:
    talk = Talk()
    talk.put()
    assert talk.greeted() == {N1, N2, N3}
    rounds = 0
    for _ in range(100):
        talk.hello("n1", leader=None)
        talk.wait(0.01)
        rounds += bool(talk.greeted())
    assert rounds == pytest.approx(1.0 / HELLO_SECONDS, abs=2)
    talk.hello("n1", leader="n1", term=2)
    assert set(talk.sent()) == {N1}


def test_who_names_the_leader_of_an_older_term_is_not_believed() -> None:
    talk = Talk()
    talk.put()
    talk.hello("n2", leader="n2", term=5)
    assert set(talk.sent()) == {N2}
    talk.wait(SILENCE_SECONDS + 0.05)
    talk.hello("n3", leader="n1", term=4)
    assert talk.sent() == {}
    talk.hello("n3", leader="n3", term=6)
    assert set(talk.sent()) == {N3}


def test_a_cluster_made_anew_is_believed_though_its_terms_begin_again() -> None:
    """Under the same name and at one of the old endpoints. Who said otherwise is gone for good."""
    talk = Talk().led_by("n2", term=9)
    for node in NODES:
        talk.hello(node, leader="n2", term=9)
    talk.wait(SILENT_SECONDS)
    call = talk.get()
    talk.sent()
    talk.wait(SILENCE_SECONDS + 0.05)
    talk.hello("n1", leader="n1", term=2, nodes={"n1": N1})
    assert set(talk.sent()) == {N1}
    talk.answer(N1, call, Code.OK)
    assert talk.done == [call]


# -- refusals


def test_no_leader_waits_for_one_and_the_request_did_not_happen() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    (first,) = talk.sent()[N1]
    talk.answer(N1, call, Code.NO_LEADER)
    assert talk.done == []
    talk.wait(HELLO_SECONDS * 2)
    talk.hello("n2", leader="n2", term=2)
    (again,) = talk.sent()[N2]
    assert names(again) == names(first)
    talk.answer(N2, call, Code.NO_LEADER)
    talk.wait(TIMEOUT)
    assert type(call.error) is Unavailable
    assert "no leader" in str(call.error)


@pytest.mark.parametrize(("code", "why"), [(Code.BUSY, "overloaded"), (Code.NO_SPACE, "NOSPACE")])
def test_a_refused_request_comes_again_after_a_moment(code: Code, why: str) -> None:
    talk = Talk().led_by("n1")
    call = talk.put(timeout=1.0)
    first = talk.sent()[N1]
    talk.answer(N1, call, code)
    assert talk.sent() == {}, "not at once: that would only add to the load"
    talk.wait(2 * BUSY_SECONDS)
    talk.hello("n1", "n1")  # a full disk is asked about first: see below
    assert talk.sent()[N1] == first
    talk.answer(N1, call, code)
    while not talk.done:
        talk.wait(0.001)
        talk.hello("n1", "n1")
        if talk.sent():
            talk.answer(N1, call, code)
    assert type(call.error) is Unavailable
    assert why in str(call.error)


def test_a_node_with_a_full_disk_that_leads_no_more_is_not_clung_to() -> None:
    """It answers, so it is never silent; but another one leads by now. Found by 'raftkv sim --seed 2730'."""
    talk = Talk().led_by("n1")
    call = talk.put(timeout=5.0)
    talk.sent()
    talk.answer(N1, call, Code.NO_SPACE)
    talk.wait(2 * BUSY_SECONDS)
    assert N2 in talk.greeted()
    talk.hello("n2", "n2", term=2)
    assert N2 in talk.sent()


def test_leader_changed_is_asked_again_under_the_same_name_and_stays_uncertain() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    (first,) = talk.sent()[N1]
    talk.answer(N1, call, Code.LEADER_CHANGED)
    talk.wait(HELLO_SECONDS * 2)
    talk.hello("n3", leader="n3", term=2)
    (again,) = talk.sent()[N3]
    assert again == first
    talk.answer(N3, call, Code.NO_LEADER)
    talk.wait(TIMEOUT)
    assert type(call.error) is OutcomeUnknown, "the first try may be in somebody's log"


@pytest.mark.parametrize(("detail", "outcome"), [(None, Unavailable), (WAS_IN_LOG, OutcomeUnknown)])
def test_what_the_log_refused_may_be_in_it_a_second_time(
    detail: str | None, outcome: type[ClientError]
) -> None:
    """A follower hands it on, and a link may duplicate that; what a node refuses goes nowhere."""
    talk = Talk().led_by("n1")
    call = talk.put(timeout=BUSY_SECONDS / 4)
    talk.answer(N1, call, Code.BUSY, detail)
    talk.wait(BUSY_SECONDS / 4)
    assert type(call.error) is outcome


def test_a_compare_that_failed_is_an_answer() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.answer(N1, call, Code.COMPARE_FAILED, (b"x", 1, 1, 1))
    assert call.error is None
    assert call.response is not None
    assert call.response.code == Code.COMPARE_FAILED


def test_invalid_is_final() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.answer(N1, call, Code.INVALID, "the key is empty")
    assert type(call.error) is InvalidRequest
    assert str(call.error) == "the key is empty"


def test_an_expired_session_did_not_happen_unless_an_earlier_try_might_have() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.answer(N1, call, Code.SESSION_EXPIRED)
    assert type(call.error) is SessionExpired
    tried = talk.put()
    talk.answer(N1, tried, Code.LEADER_CHANGED)
    talk.wait(HELLO_SECONDS * 2)
    talk.hello("n2", leader="n2", term=2)
    talk.answer(N2, tried, Code.SESSION_EXPIRED)
    assert type(tried.error) is OutcomeUnknown


def test_a_refusal_of_an_earlier_try_changes_nothing() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.sent()
    talk.answer(N1, call, Code.BUSY)
    talk.answer(N1, call, Code.LEADER_CHANGED)
    assert not call.uncertain
    talk.wait(2 * BUSY_SECONDS)
    assert len(talk.sent()[N1]) == 1
    talk.answer(N1, call, Code.OK)
    talk.answer(N1, call, Code.INVALID, "late")
    assert (call.error, len(talk.done)) == (None, 1)


# -- silence


def test_a_silent_leader_is_left_for_the_one_that_the_others_name() -> None:
    talk = Talk().led_by("n1")
    calls = [talk.put(b"a"), talk.put(b"b"), talk.get()]
    first = talk.sent()[N1]
    talk.wait(SILENCE_SECONDS - 0.02)
    assert talk.greeted() == set()
    talk.wait(0.04)
    assert talk.greeted() == {N1, N2, N3}
    talk.hello("n2", leader="n2", term=2)
    moved = talk.sent()
    assert moved == {N2: first}, "the same (client id, sequence): applied once however often it is sent"
    for call in calls:
        talk.answer(N2, call, Code.OK)
    assert [call.error for call in calls] == [None] * 3


def test_a_leader_that_only_rests_is_not_left() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.sent()
    talk.wait(SILENCE_SECONDS + 0.05)
    talk.hello("n2", leader="n1")
    assert talk.sent() == {}, "the others name the same one: it is slow, not gone"
    talk.answer(N1, call, Code.OK)
    assert call.error is None


def test_a_leader_that_only_we_cannot_reach_is_asked_through_another_node() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    first = talk.sent()[N1]
    talk.wait(DESERT_SECONDS + 0.05)
    talk.hello("n2", leader="n1")
    assert talk.sent() == {N2: first}
    talk.answer(N2, call, Code.OK)
    assert call.error is None


def test_an_answer_of_the_node_that_was_left_counts() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.sent()
    talk.wait(SILENCE_SECONDS + 0.05)
    talk.hello("n2", leader="n2", term=2)
    assert set(talk.sent()) == {N2}
    talk.answer(N1, call, Code.OK)
    assert call.error is None
    talk.answer(N2, call, Code.OK)
    assert talk.done == [call]


def test_an_open_request_is_sent_again_after_a_while() -> None:
    """A follower may have lost it on its way to the leader, while other answers keep coming."""
    talk = Talk().led_by("n1")
    call = talk.put()
    (first,) = talk.sent()[N1]
    copies = []
    end = talk.now + RESEND_SECONDS + 0.1
    while talk.now < end:
        talk.wait(0.1)
        talk.reply(N1)  # something is heard, though not of this one
        copies += talk.sent().get(N1, [])
    assert copies == [first]
    assert call.uncertain
