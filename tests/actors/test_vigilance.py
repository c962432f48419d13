"""When a node goes on asking for news, and when it sleeps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raftkv.actors.vigilance import ENOUGH, LONG_WEIGH, MOST, SHYNESS_LEAST, SHYNESS_MOST, Vigilance

MOST_SECONDS = 0.001
SHORT, LONG = MOST_SECONDS / 3, MOST_SECONDS * 10


def after(*waits: float, seconds: float = MOST_SECONDS) -> Vigilance:
    vigilance = Vigilance(seconds)
    for wait in waits:
        vigilance.waited(wait)
    return vigilance


def test_a_node_that_has_just_started_sleeps() -> None:
    assert not after().awake


def test_it_stays_awake_once_news_has_come_soon_often_enough() -> None:
    assert not after(*[SHORT] * (ENOUGH - 1)).awake
    assert after(*[SHORT] * ENOUGH).awake


def test_one_long_wait_is_forgiven_and_some_are_not() -> None:
    busy = [SHORT] * 10_000
    assert after(*busy, LONG).awake
    assert not after(*busy, *[LONG] * ((MOST - ENOUGH) // LONG_WEIGH + 1)).awake


def test_a_request_now_and_then_does_not_keep_it_awake() -> None:
    """Two or three hops close together, then nothing for long: what most clusters see."""
    for hops in range(1, LONG_WEIGH + 1):
        vigilance = Vigilance(MOST_SECONDS)
        for _ in range(1000):
            for wait in (*[SHORT] * hops, LONG):
                vigilance.waited(wait)
                assert not vigilance.awake


def test_heartbeats_alone_do_not_keep_it_awake() -> None:
    assert not after(*[0.05, SHORT] * 1000).awake


def test_with_no_time_to_stay_awake_it_never_does() -> None:
    assert not after(*[SHORT] * 1000, seconds=0.0).awake


def sleeps_for(vigilance: Vigilance) -> int:
    """So many short waits until it stays awake again."""
    waits = 0
    while not vigilance.awake:
        vigilance.waited(SHORT)
        waits += 1
    return waits


def test_a_node_that_is_robbed_of_its_core_sleeps_each_time_for_longer() -> None:
    vigilance = after(*[SHORT] * MOST)
    slept = []
    for _ in range(10):
        vigilance.robbed()
        assert not vigilance.awake
        slept.append(sleeps_for(vigilance) - ENOUGH)
    assert slept == [min(SHYNESS_LEAST << times, SHYNESS_MOST) for times in range(10)]


def test_it_forgets_that_it_was_robbed_once_it_has_long_been_left_in_peace() -> None:
    vigilance = after()
    for _ in range(10):
        vigilance.robbed()
    for _ in range(SHYNESS_MOST * 3):
        vigilance.waited(SHORT)
    vigilance.robbed()
    assert sleeps_for(vigilance) == SHYNESS_LEAST + ENOUGH


def test_a_long_wait_is_no_consolation_for_a_robbery() -> None:
    vigilance = after()
    vigilance.robbed()
    for _ in range(1000):
        vigilance.waited(LONG)
    assert sleeps_for(vigilance) == SHYNESS_LEAST + ENOUGH


@given(st.lists(st.sampled_from((SHORT, LONG)), max_size=200))
def test_whatever_it_was_like_before_it_sleeps_soon_once_it_is_quiet_and_wakes_soon_under_load(
    before: list[float],
) -> None:
    assert not after(*before, *[LONG] * 3).awake
    assert after(*before, *[SHORT] * ENOUGH).awake
