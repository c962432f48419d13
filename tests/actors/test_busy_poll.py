"""When a node goes on asking for news, and when it sleeps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raftkv.actors.busy_poll import BACKOFF_MAX, BACKOFF_MIN, ENOUGH, LONG_WEIGH, MOST, BusyPoll

MOST_SECONDS = 0.001
SHORT, LONG = MOST_SECONDS / 3, MOST_SECONDS * 10


def after(*waits: float, seconds: float = MOST_SECONDS) -> BusyPoll:
    busy_poll = BusyPoll(seconds)
    for wait in waits:
        busy_poll.waited(wait)
    return busy_poll


def test_a_node_that_has_just_started_sleeps() -> None:
    assert not after().pays


def test_it_stays_awake_once_news_has_come_soon_often_enough() -> None:
    assert not after(*[SHORT] * (ENOUGH - 1)).pays
    assert after(*[SHORT] * ENOUGH).pays


def test_one_long_wait_is_forgiven_and_some_are_not() -> None:
    busy = [SHORT] * 10_000
    assert after(*busy, LONG).pays
    assert not after(*busy, *[LONG] * ((MOST - ENOUGH) // LONG_WEIGH + 1)).pays


def test_a_request_now_and_then_does_not_keep_it_awake() -> None:
    """Two or three hops close together, then nothing for long: what most clusters see."""
    for hops in range(1, LONG_WEIGH + 1):
        busy_poll = BusyPoll(MOST_SECONDS)
        for _ in range(1000):
            for wait in (*[SHORT] * hops, LONG):
                busy_poll.waited(wait)
                assert not busy_poll.pays


def test_heartbeats_alone_do_not_keep_it_awake() -> None:
    assert not after(*[0.05, SHORT] * 1000).pays


def test_with_no_time_to_stay_awake_it_never_does() -> None:
    assert not after(*[SHORT] * 1000, seconds=0.0).pays


def sleeps_for(busy_poll: BusyPoll) -> int:
    """So many short waits until it stays awake again."""
    waits = 0
    while not busy_poll.pays:
        busy_poll.waited(SHORT)
        waits += 1
    return waits


def test_a_node_that_is_preempted_sleeps_each_time_for_longer() -> None:
    busy_poll = after(*[SHORT] * MOST)
    slept = []
    for _ in range(10):
        busy_poll.preempted()
        assert not busy_poll.pays
        slept.append(sleeps_for(busy_poll) - ENOUGH)
    assert slept == [min(BACKOFF_MIN << times, BACKOFF_MAX) for times in range(10)]


def test_it_forgets_that_it_was_preempted_once_it_has_long_been_left_in_peace() -> None:
    busy_poll = after()
    for _ in range(10):
        busy_poll.preempted()
    for _ in range(BACKOFF_MAX * 3):
        busy_poll.waited(SHORT)
    busy_poll.preempted()
    assert sleeps_for(busy_poll) == BACKOFF_MIN + ENOUGH


def test_a_long_wait_is_no_consolation_for_a_preemption() -> None:
    busy_poll = after()
    busy_poll.preempted()
    for _ in range(1000):
        busy_poll.waited(LONG)
    assert sleeps_for(busy_poll) == BACKOFF_MIN + ENOUGH


@given(st.lists(st.sampled_from((SHORT, LONG)), max_size=200))
def test_whatever_it_was_like_before_it_sleeps_soon_once_it_is_quiet_and_wakes_soon_under_load(
    before: list[float],
) -> None:
    assert not after(*before, *[LONG] * 3).pays
    assert after(*before, *[SHORT] * ENOUGH).pays
