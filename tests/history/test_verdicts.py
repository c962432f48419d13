"""Histories written by hand, each a story; the dumb twin must agree on every one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raftkv.history import Operation, Outcome, Result, check_history
from tests.history.brute_force import is_linearizable
from tests.history.building import append, cas, delete, get, put

History = list[Operation]

LINEARIZABLE: dict[str, History] = {
    "nothing at all": [],
    "one read of nothing": [get(None, 0, 1)],
    "a concurrent read sees the old value": [put(1, 0, 1), put(2, 2, 9), get(1, 3, 4), get(2, 5, 6)],
    "operations that touch are concurrent": [put(1, 0, 5), get(None, 5, 6)],
    "two writers, read in the order of their return turned round": [
        put(1, 0, 9),
        put(2, 0, 5),
        get(1, 10, 11),
    ],
    "a long put hides behind another": [put(1, 0, 20), put(2, 1, 2), get(2, 3, 4), get(2, 21, 22)],
    "an unknown put appears late": [put(1, 0, 1), put(2, 2, None), get(1, 50, 51), get(2, 90, 91)],
    "an unknown put never appears": [put(1, 0, 1), put(2, 2, None), get(1, 50, 51), get(1, 90, 91)],
    "two equal unknown puts appear one after the other": [
        *(put(2, 0, None), put(2, 0, None), put(1, 1, 2), get(2, 3, 4), put(1, 5, 6), get(2, 7, 8)),
    ],
    "an unknown cas links two values": [put(1, 0, 1), cas(1, 2, 2, None), cas(2, 3, 4, 5), get(3, 6, 7)],
    "an unknown delete": [put(1, 0, 1), delete(2, None), get(1, 3, 4), get(None, 5, 6)],
    "an unknown append between two": [
        *(append("a", 0, 1), append("b", 2, None), append("c", 3, 4), get("abc", 5, 6)),
    ],
    "an unknown read says nothing": [put(1, 0, 1), get(7, 2, None), get(1, 3, 4)],
    "cas misses": [put(1, 0, 1), cas(2, 3, 2, 3, done=False), get(1, 4, 5)],
    "a miss that only an unknown put explains": [put(1, 0, 1), put(9, 2, None), cas(1, 2, 3, 4, done=False)],
    "cas from nothing": [cas(None, 1, 0, 1), get(1, 2, 3)],
    "put of null is absence": [put(1, 0, 1), put(None, 2, 3), get(None, 4, 5), cas(None, 1, 6, 7)],
    "append makes the key": [append("a", 0, 1), get("a", 2, 3)],
    "append after delete": [append("a", 0, 1), delete(2, 3), append("b", 4, 5), get("b", 6, 7)],
    "concurrent appends in either order": [append("a", 0, 9), append("b", 0, 9), get("ba", 10, 11)],
    "appends of bytes join to a string": [put(b"\xc3", 0, 1), append(b"\xa9", 2, 3), get("é", 4, 5)],
    "an append needs an unknown put to get rid of a number": [
        put(1, 0, 1),
        put("b", 2, None),
        append("a", 3, 4),
    ],
    "junk keeps a miss from hitting": [
        *(get(None, 0, 6), append("", 1, 6), cas(None, "ab", 1, None), cas("", "a", 8, 8, done=False)),
    ],
}

VIOLATIONS: dict[str, tuple[History, int, str]] = {
    # history, size of the witness, reason
    "a value out of nowhere": (
        [put(1, 0, 1), get(2, 2, 3), get(1, 4, 5)],
        1,
        "get returned 2, but nothing had written it by then",
    ),
    "true is not 1": (
        [put(1, 0, 1), get(True, 2, 3)],
        1,
        "get returned true, but nothing had written it by then",
    ),
    "a stale read": (
        [put(0, 0, 1), get(0, 2, 3), put(1, 4, 5), put(2, 6, 7), get(1, 8, 9)],
        3,
        "get returned 1, but put 2 had replaced it before the get began",
    ),
    "a false that was replaced": (
        [put(False, 0, 1), put("a", 2, 3), get(False, 4, 5)],
        3,
        'get returned false, but put "a" had replaced it before the get began',
    ),
    "a cas that changes nothing has replaced nothing": (
        [cas(None, None, 0, 0), cas(None, None, 2, 2), cas(None, 1, 3, 3, done=False)],
        3,
        "no order of these operations gives every one of them its result",
    ),
    "a read before the write": (
        [get(1, 0, 1), put(1, 2, 3)],
        1,
        "get returned 1, but nothing had written it by then",
    ),
    "a lost write": (
        [put(1, 0, 1), get(None, 2, 3)],
        2,
        "get returned no value, but put 1 had replaced it before the get began",
    ),
    "a delete that did not delete": (
        [put(1, 0, 1), delete(2, 3), get(1, 4, 5)],
        3,
        "get returned 1, but a delete had replaced it before the get began",
    ),
    "reads that go back": (
        [put(1, 0, 1), put(2, 2, 20), get(2, 3, 4), get(1, 5, 6)],
        4,
        "get returned 1, but an earlier get returned 2, and nothing wrote 1 after that",
    ),
    "a value that goes although nothing deletes it": (
        [put(1, 0, None), get(1, 1, 2), get(None, 3, 4)],
        3,
        "get returned no value, but an earlier get returned 1, and nothing deleted it after that",
    ),
    "an append beside one that is alike": (
        [append("a", 0, 1), append("a", 2, 3), put("b", 4, 5), get("aa", 6, 7)],
        4,
        "",
    ),
    "a cas of what only a later put wrote": (
        [put(0, 0, 1), put(1, 2, 3), cas(0, 2, 4, 6), cas(0, 1, 5, 8), put(0, 7, 9)],
        3,
        "cas found 0, but put 1 had replaced it before the cas began",
    ),
    "a cas that passes on what is there": (
        [put(1, 0, 5), put(2, 0, 5), cas(2, 2, 6, 7), get(1, 8, 9)],
        4,
        "get returned 1, but an earlier cas found 2, and nothing wrote 1 after that",
    ),
    "unknown cas that go round": (
        [put(0, 0, 1), *[cas(a, b, 2, None) for a, b in ((0, 1), (1, 2), (2, 0), (1, 0))], get(77, 3, 4)],
        1,
        "get returned 77, but nothing had written it by then",
    ),
    "two cas from one value": ([put(1, 0, 1), cas(1, 2, 2, 8), cas(1, 3, 3, 9)], 3, ""),
    "a lost update": ([put(1, 0, 1), cas(1, 2, 2, 3), get(1, 4, 5)], 3, "get returned 1, but cas 2 had"),
    "a cas that missed what was there": ([put(1, 0, 1), cas(1, 2, 2, 3, done=False)], 2, ""),
    "an append applied twice": (
        [append("a", 0, 1), get("aa", 2, 3)],
        2,
        'get returned "aa", and all that could be part of it by then is shorter',
    ),
    "an append lost": (
        [append("a", 0, 1), append("b", 2, 3), get("b", 4, 5)],
        3,
        'get returned "b", but append "a" was done before the get began',
    ),
    "appends in the wrong order": ([append("a", 0, 1), append("b", 2, 3), get("ba", 4, 5)], 3, ""),
    "one append in two places": (
        [append("a", 0, 9), append("b", 0, 9), get("ab", 10, 11), delete(12, 13), get("ba", 14, 15)],
        4,
        "",
    ),
    "an unknown put that appears and disappears": (
        [put(1, 0, 1), put(2, 2, None), get(2, 3, 4), get(1, 5, 6)],
        4,
        "get returned 1, but an earlier get returned 2, and nothing wrote 1 after that",
    ),
    "an unknown put used twice": (
        [put(1, 0, 1), put(2, 2, None), get(2, 3, 4), put(1, 5, 6), get(2, 7, 8)],
        4,
        "",
    ),
    "an unknown put seen before its call": (
        [get(2, 0, 1), put(2, 2, None)],
        1,
        "get returned 2, but nothing",
    ),
    "an append on a number": ([put(1, 0, 1), append("a", 2, 3)], 2, ""),
    "a failed put seen": (
        [replace(put(1, 0, 1), result=Result.FAIL), get(1, 2, 3)],
        1,
        "get returned 1, but nothing had written it by then",
    ),
}


@pytest.mark.parametrize("name", LINEARIZABLE)
def test_linearizable(name: str) -> None:
    history = LINEARIZABLE[name]
    assert is_linearizable(history)
    for order in (history, history[::-1]):
        verdict = check_history(order)
        assert verdict.outcome is Outcome.LINEARIZABLE
        assert (verdict.witness, verdict.describe()) == ((), "linearizable")


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violations(name: str) -> None:
    history, size, reason = VIOLATIONS[name]
    assert not is_linearizable(history)
    verdict = check_history(history)
    assert verdict.outcome is Outcome.VIOLATION
    assert verdict.describe() == "NOT linearizable: key k"
    assert not is_linearizable(verdict.witness)
    assert len(verdict.witness) == size, verdict.witness
    assert verdict.reason.startswith(reason or "no order of these operations"), verdict.reason


def test_keys_are_judged_apart() -> None:
    fine = [replace(operation, key="b") for operation in (put(2, 0, 1), get(2, 8, 9))]
    verdict = check_history([put(1, 0, 1), *fine, get(2, 2, 3)])
    assert (verdict.key, verdict.keys, verdict.operations) == ("k", 2, 4)
    assert verdict.witness == (get(2, 2, 3),)


def test_a_witness_does_not_hide_that_the_value_was_once_there() -> None:
    """A get of 1 alone proves as much, but would say that nobody ever wrote it."""
    history = [put(1, 0, 1), put(2, 2, 3), put(1, 4, 5), put(3, 6, 7), get(1, 8, 9)]
    verdict = check_history(history)
    assert verdict.witness == (put(1, 4, 5), put(3, 6, 7), get(1, 8, 9))
