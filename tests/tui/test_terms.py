"""Runs of terms against a plain dict of index to term."""

from __future__ import annotations

import random

from raftkv.tui import terms
from raftkv.tui.terms import NONE, UNKNOWN, Terms, cut, diverges_at, merge
from tests.tui.fakes import tail


def of(first: int, *values: int) -> Terms:
    return merge(NONE, tail(first, *values), first + len(values) - 1)


def test_a_tail_becomes_runs() -> None:
    known = of(5, 1, 1, 3, 3, 4)
    assert known.runs == ((5, 1), (7, 3), (9, 4))
    assert [known.at(index) for index in range(3, 12)] == [UNKNOWN, UNKNOWN, 1, 1, 3, 3, 4, None, None]
    assert known.at(0) is None


def test_an_empty_log() -> None:
    assert merge(NONE, tail(1), 0) == Terms()
    assert Terms().at(1) is None


def test_equal_terms_on_both_sides_fill_the_gap() -> None:
    known = merge(of(1, 2, 2), tail(1000, 2, 2, 3), 1002)
    assert known.at(500) == 2
    assert known.at(1002) == 3


def test_different_terms_leave_the_gap_unknown() -> None:
    known = merge(of(1, 2, 2), tail(10, 3), 10)
    assert [known.at(index) for index in (2, 3, 9, 10)] == [2, UNKNOWN, UNKNOWN, 3]


def test_a_new_tail_replaces_what_it_covers() -> None:
    known = merge(of(1, 1, 1, 2, 2, 2), tail(4, 3), 4)
    assert [known.at(index) for index in range(1, 6)] == [1, 1, 2, 3, None]


def test_cut() -> None:
    assert cut(of(3, 1, 1, 2), 5) == of(3, 1, 1)
    assert cut(of(3, 1, 1, 2), 3) == NONE


def test_runs_are_bounded() -> None:
    known = NONE
    for index in range(1, 3 * terms.RUNS_MAX):
        known = merge(known, tail(index, index), index)
    assert len(known.runs) == terms.RUNS_MAX
    assert known.at(1) == UNKNOWN


def test_divergence() -> None:
    leader = of(1, 1, 1, 3, 3)
    assert diverges_at(of(1, 1, 1, 2), leader) == (3, True)
    assert diverges_at(of(1, 1, 1, 3), leader) is None
    assert diverges_at(of(3, 2), leader) == (3, False)  # nothing is known of what lies before
    assert diverges_at(of(9, 2), leader) is None
    assert diverges_at(NONE, leader) is None
    assert diverges_at(of(1, 2), leader) == (1, True)


def test_random_logs_against_a_plain_list() -> None:
    chance = random.Random(7)
    for _ in range(300):
        log: list[int] = []
        known = NONE
        for _ in range(12):
            keep = chance.randint(max(0, len(log) - 3), len(log))
            top = log[keep - 1] if keep else 1
            grown = sorted(chance.randint(top, top + 2) for _ in range(chance.randint(1, 6)))
            known = cut(known, keep + 1) if keep < len(log) else known
            log = log[:keep] + grown
            first = max(1, len(log) - 3)
            known = merge(known, tail(first, *log[first - 1 :]), len(log))
            for index in range(1, len(log) + 1):
                assert known.at(index) in (UNKNOWN, log[index - 1])
            assert known.at(len(log)) == log[-1]
