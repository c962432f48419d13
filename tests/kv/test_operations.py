"""Every operation: what it answers, what it changes, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from raftkv.errors import InvalidRequest
from raftkv.kv import (
    KEY_BYTES_MAX,
    VALUE_BYTES_MAX,
    Answer,
    Code,
    KeyValue,
    Op,
    StateMachine,
    check_key,
    check_value,
)
from raftkv.kv.limits import KEPT_VALUE_BYTES_MAX, MULTI_PUT_MAX
from tests.kv.support import Client, contents, state


@pytest.fixture
def machine() -> StateMachine:
    return StateMachine()


@pytest.fixture
def client(machine: StateMachine) -> Client:
    return Client(machine)


# -- put


def test_a_put_creates_a_key_and_counts_one_revision(machine: StateMachine, client: Client) -> None:
    assert client.put(b"a", b"1") == Answer(Code.OK, 1)
    assert machine.get(b"a") == KeyValue(b"1", create_revision=1, mod_revision=1, version=1)


def test_a_later_put_keeps_the_create_revision_and_counts_versions(
    machine: StateMachine, client: Client
) -> None:
    for value in (b"1", b"2", b"2"):
        client.put(b"other", value)
        client.put(b"a", value)
    assert machine.get(b"a") == KeyValue(b"2", create_revision=2, mod_revision=6, version=3)


def test_a_deleted_key_begins_anew(machine: StateMachine, client: Client) -> None:
    client.put(b"a", b"1")
    client.put(b"a", b"2")
    client.do(Op.DELETE, b"a")
    client.put(b"a", b"3")
    assert machine.get(b"a") == KeyValue(b"3", create_revision=4, mod_revision=4, version=1)


def test_an_empty_value_is_a_value(machine: StateMachine, client: Client) -> None:
    assert client.put(b"a", b"").code == Code.OK
    assert machine.get(b"a") == KeyValue(b"", 1, 1, 1)


def test_keys_and_values_of_exactly_the_largest_size_are_taken(machine: StateMachine, client: Client) -> None:
    key, value = b"k" * KEY_BYTES_MAX, b"v" * VALUE_BYTES_MAX
    assert client.put(key, value).code == Code.OK
    item = machine.get(key)
    assert item is not None
    assert item.value == value


# -- delete


def test_a_delete_answers_one_and_counts_a_revision(machine: StateMachine, client: Client) -> None:
    client.put(b"a", b"1")
    assert client.do(Op.DELETE, b"a") == Answer(Code.OK, 2, 1)
    assert machine.get(b"a") is None
    assert len(machine) == 0


def test_a_delete_of_a_missing_key_changes_nothing(machine: StateMachine, client: Client) -> None:
    client.put(b"a", b"1")
    before = machine.digest
    assert client.do(Op.DELETE, b"b") == Answer(Code.OK, 1, 0)
    assert (machine.revision, machine.digest, len(machine)) == (1, before, 1)


@pytest.mark.parametrize(
    ("start", "end", "left"),
    [
        (b"b", b"d", [b"a", b"d", b"e"]),
        (b"b", b"", [b"a"]),
        (b"", b"c", [b"c", b"d", b"e"]),
        (b"", b"", []),
        (b"bb", b"cc", [b"a", b"b", b"d", b"e"]),
    ],
)
def test_a_range_is_deleted_in_one_revision(
    machine: StateMachine, client: Client, start: bytes, end: bytes, left: list[bytes]
) -> None:
    for key in (b"a", b"b", b"c", b"d", b"e"):
        client.put(key, b"1")
    assert client.do(Op.DELETE_RANGE, start, end) == Answer(Code.OK, 6, 5 - len(left))
    assert [key for key, _ in contents(machine)] == left


@pytest.mark.parametrize(("start", "end"), [(b"x", b"z"), (b"b", b"b"), (b"c", b"a"), (b"b", b"a\xff")])
def test_a_range_that_holds_nothing_changes_nothing(
    machine: StateMachine, client: Client, start: bytes, end: bytes
) -> None:
    for key in (b"a", b"b", b"c"):
        client.put(key, b"1")
    before = machine.digest
    assert client.do(Op.DELETE_RANGE, start, end) == Answer(Code.OK, 3, 0)
    assert (machine.revision, machine.digest, len(machine)) == (3, before, 3)


# -- compare and set


def test_a_compare_that_holds_sets(machine: StateMachine, client: Client) -> None:
    client.put(b"a", b"1")
    assert client.do(Op.COMPARE_AND_SET, b"a", b"1", b"2") == Answer(Code.OK, 2)
    assert machine.get(b"a") == KeyValue(b"2", 1, 2, 2)


def test_a_compare_that_fails_changes_nothing_and_answers_what_is_there(
    machine: StateMachine, client: Client
) -> None:
    client.put(b"a", b"1")
    before = state(machine)[:2]
    answer = client.do(Op.COMPARE_AND_SET, b"a", b"other", b"2")
    assert answer == Answer(Code.COMPARE_FAILED, 1, KeyValue(b"1", 1, 1, 1))
    assert state(machine)[:2] == before


def test_a_compare_with_absent_creates_once(machine: StateMachine, client: Client) -> None:
    assert client.do(Op.COMPARE_AND_SET, b"a", None, b"1") == Answer(Code.OK, 1)
    answer = client.do(Op.COMPARE_AND_SET, b"a", None, b"2")
    assert answer == Answer(Code.COMPARE_FAILED, 1, KeyValue(b"1", 1, 1, 1))


def test_a_compare_of_a_missing_key_with_a_value_fails_with_nothing(client: Client) -> None:
    assert client.do(Op.COMPARE_AND_SET, b"a", b"1", b"2") == Answer(Code.COMPARE_FAILED, 0, None)
    assert client.do(Op.COMPARE_AND_SET, b"a", b"", b"2") == Answer(Code.COMPARE_FAILED, 0, None)


def test_an_empty_value_is_not_absent(client: Client) -> None:
    client.put(b"a", b"")
    assert client.do(Op.COMPARE_AND_SET, b"a", None, b"1").code == Code.COMPARE_FAILED
    assert client.do(Op.COMPARE_AND_SET, b"a", b"", b"1").code == Code.OK


@pytest.mark.parametrize(("size", "kept"), [(KEPT_VALUE_BYTES_MAX, True), (KEPT_VALUE_BYTES_MAX + 1, False)])
def test_a_failed_compare_keeps_a_small_value_only(client: Client, size: int, kept: bool) -> None:
    value = b"v" * size
    client.put(b"a", value)
    answer = client.do(Op.COMPARE_AND_SET, b"a", b"other", b"2")
    assert answer.detail == KeyValue(value, 1, 1, 1), "the first answer has all of it"
    again = client.send(client.sequence, client.sequence, Op.COMPARE_AND_SET, b"a", b"other", b"2")
    assert again.detail == KeyValue(value if kept else b"", 1, 1, 1)


# -- multi-put


def test_a_multi_put_is_one_revision(machine: StateMachine, client: Client) -> None:
    client.put(b"b", b"0")
    assert client.do(Op.MULTI_PUT, [(b"b", b"1"), (b"a", b"2")]) == Answer(Code.OK, 2, 2)
    assert contents(machine) == [(b"a", KeyValue(b"2", 2, 2, 1)), (b"b", KeyValue(b"1", 1, 2, 2))]


def test_a_multi_put_takes_as_many_pairs_as_its_limit_and_no_more(client: Client) -> None:
    pairs = [(b"%d" % number, b"") for number in range(MULTI_PUT_MAX + 1)]
    assert client.do(Op.MULTI_PUT, pairs).code == Code.INVALID
    assert client.do(Op.MULTI_PUT, pairs[1:]) == Answer(Code.OK, 1, MULTI_PUT_MAX)


# -- what is refused

LONG_KEY, LONG_VALUE = b"k" * (KEY_BYTES_MAX + 1), b"v" * (VALUE_BYTES_MAX + 1)
REFUSED: list[tuple[int, tuple[Any, ...], str]] = [
    (Op.PUT, (b"", b"v"), "the key is empty"),
    (Op.PUT, (LONG_KEY, b"v"), "the key has 4,097 bytes"),
    (Op.PUT, (b"k", LONG_VALUE), "the value has 1,048,577 bytes"),
    (Op.PUT, ("k", b"v"), "are bytes"),
    (Op.PUT, (b"k", "v"), "are bytes"),
    (Op.PUT, (b"k", None), "are bytes"),
    (Op.PUT, (1, 2), "are bytes"),
    (Op.PUT, ([b"k"], b"v"), "are bytes"),
    (Op.PUT, (), "wrong arguments"),
    (Op.PUT, (b"k",), "wrong arguments"),
    (Op.PUT, (b"k", b"v", b"w"), "the id of a lease"),
    (Op.PUT, (b"k", b"v", True), "the id of a lease"),
    (Op.PUT, (b"k", b"v", 0, 0), "wrong arguments"),
    (Op.DELETE, (b"",), "the key is empty"),
    (Op.DELETE, (LONG_KEY,), "the key has"),
    (Op.DELETE, ("k",), "are bytes"),
    (Op.DELETE, ([b"k"],), "are bytes"),
    (Op.DELETE, ({},), "are bytes"),
    (Op.DELETE, (), "wrong arguments"),
    (Op.DELETE, (b"k", b"v"), "wrong arguments"),
    (Op.DELETE_RANGE, (b"a",), "wrong arguments"),
    (Op.DELETE_RANGE, (b"a", b"b", b"c"), "wrong arguments"),
    (Op.DELETE_RANGE, (b"a", None), "are bytes"),
    (Op.DELETE_RANGE, ("a", b"b"), "are bytes"),
    (Op.COMPARE_AND_SET, (b"", None, b"v"), "the key is empty"),
    (Op.COMPARE_AND_SET, (LONG_KEY, None, b"v"), "the key has"),
    (Op.COMPARE_AND_SET, (b"k", None, LONG_VALUE), "the value has"),
    (Op.COMPARE_AND_SET, (b"k", "x", b"v"), "are bytes"),
    (Op.COMPARE_AND_SET, (b"k", False, b"v"), "are bytes"),
    (Op.COMPARE_AND_SET, (b"k", b"v", None), "are bytes"),
    (Op.COMPARE_AND_SET, (b"k", b"v"), "wrong arguments"),
    (Op.COMPARE_AND_SET, (b"k", b"v", b"w", b"x"), "wrong arguments"),
    (Op.MULTI_PUT, ([],), "1 to 1024 pairs"),
    (Op.MULTI_PUT, (b"k",), "1 to 1024 pairs"),
    (Op.MULTI_PUT, ({b"k": b"v"},), "1 to 1024 pairs"),
    (Op.MULTI_PUT, (7,), "1 to 1024 pairs"),
    (Op.MULTI_PUT, (), "wrong arguments"),
    (Op.MULTI_PUT, ([(b"k", b"v")], 1), "wrong arguments"),
    (Op.MULTI_PUT, ([b"kv"],), "pairs of key and value"),
    (Op.MULTI_PUT, ([(b"a", b"1"), (b"k",)],), "pairs of key and value"),
    (Op.MULTI_PUT, ([(b"a", b"1"), (b"k", b"v", b"w")],), "pairs of key and value"),
    (Op.MULTI_PUT, ([(b"a", b"1"), (b"", b"v")],), "the key is empty"),
    (Op.MULTI_PUT, ([(b"a", b"1"), (LONG_KEY, b"v")],), "the key has"),
    (Op.MULTI_PUT, ([(b"a", b"1"), (b"k", LONG_VALUE)],), "the value has"),
    (Op.MULTI_PUT, ([(b"a", b"1"), (b"k", 1)],), "are bytes"),
    (Op.MULTI_PUT, ([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")],), "names a key twice"),
    (0, (), "unknown operation 0"),
    (11, (b"k", b"v"), "unknown operation 11"),
    (Op.LEASE_GRANT, (99,), "a lease lives for 0.1 s"),
    (Op.LEASE_GRANT, (1 << 60,), "a lease lives for"),
    (Op.LEASE_GRANT, (1000.0,), "a lease lives for"),
    (Op.LEASE_GRANT, (True,), "a lease lives for"),
    (Op.LEASE_REVOKE, (None,), "the id of a lease"),
    (Op.LEASE_KEEP_ALIVE, ([],), "1 to 1,024 leases"),
    (Op.LEASE_KEEP_ALIVE, (["x"],), "the id of a lease"),
    (Op.LEASE_KEEP_ALIVE, (7,), "1 to 1,024 leases"),
    (Op.COMPACT, (0,), "a number above 0"),
    (Op.COMPACT, (b"1",), "a number above 0"),
    (Op.TXN, ([], []), "wrong arguments"),
    (Op.TXN, ([], [], 7), "two lists"),
    (Op.TXN, ([[9, 0, b"k", None, 1]], [], []), "a compare that is none"),
    (Op.TXN, ([[1, 4, b"k", None, 1]], [], []), "a compare that is none"),
    (Op.TXN, ([[0, 0, b"k", None, 1]], [], []), "a compare that is none"),
    (Op.TXN, ([[1, 0, b"k", None, b"1"]], [], []), "a compare that is none"),
    (Op.TXN, ([[1, 0, b"k", None]], [], []), "a compare that is none"),
    (Op.TXN, ([[1, 0, b"", None, 1]], [], []), "the key is empty"),
    (Op.TXN, ([], [[1, b"k", b"v"]], []), "an operation that is none"),
    (Op.TXN, ([], [[1, b"k", b"v", True]], []), "an operation that is none"),
    (Op.TXN, ([], [], [[1, b"k", LONG_VALUE, 0]]), "the value has"),
    (Op.TXN, ([], [], [[5, b"k", None]]), "an operation that is none"),
    (Op.TXN, ([], [[2, b"k", None, -1, False, False, False, 0]], []), "0 or more"),
    (Op.TXN, ([], [[3, b"k", 7]], []), "are bytes"),
    (Op.TXN, ([], [[1, b"k", b"v", 0]] * 1025, []), "at most 1,024 compares and operations"),
    (2**63, (b"k",), "unknown operation"),
]


@pytest.mark.parametrize(("op", "arguments", "why"), REFUSED)
def test_a_command_without_sense_is_refused_whole_and_says_why(
    machine: StateMachine, client: Client, op: int, arguments: tuple[Any, ...], why: str
) -> None:
    client.put(b"a", b"before")
    before = (machine.revision, machine.digest, contents(machine))
    answer = client.do(op, *arguments)
    assert (answer.code, answer.revision) == (Code.INVALID, 1)
    assert why in answer.detail
    assert "\n" not in answer.detail
    assert (machine.revision, machine.digest, contents(machine)) == before


@pytest.mark.parametrize(("op", "arguments", "why"), REFUSED[:3])
def test_a_refusal_is_remembered_like_any_answer(
    client: Client, op: int, arguments: tuple[Any, ...], why: str
) -> None:
    first = client.send(1, 0, op, *arguments)
    assert client.send(1, 0, Op.PUT, b"a", b"a retry is the same request") is first


def test_the_limits_are_checked_where_a_client_can_ask_too() -> None:
    check_key(b"k" * KEY_BYTES_MAX)
    check_value(b"v" * VALUE_BYTES_MAX)
    for check, wrong in ((check_key, b""), (check_key, LONG_KEY), (check_value, LONG_VALUE)):
        with pytest.raises(InvalidRequest):
            check(wrong)


def test_skipping_an_entry_moves_the_applied_index_only(machine: StateMachine, client: Client) -> None:
    client.put(b"a", b"1")
    before = machine.revision, machine.digest
    machine.skip(2)
    assert machine.applied_index == 2
    assert (machine.revision, machine.digest) == before


def test_reading_changes_nothing(machine: StateMachine, client: Client) -> None:
    def everything() -> tuple[Any, ...]:
        sizes = (len(machine), len(machine.sessions))
        return (machine.revision, machine.digest, machine.applied_index, *sizes, contents(machine))

    client.do(Op.PUT, b"a", b"1")
    before = everything()
    for key in (b"a", b"absent", b""):
        machine.get(key)
        machine.range(key, b"")
        machine.range(b"", key, limit=1, reverse=True, count_only=True)
    assert everything() == before
