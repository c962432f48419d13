"""Reading ranges: order, limits, pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftkv.kv import KeyValue, StateMachine, prefix_end
from raftkv.kv.limits import ITEM_BYTES, RANGE_BYTES_MAX
from tests.kv.support import Client, contents, machine_with

KEYS = (b"a", b"ab", b"b", b"b\0", b"b\xff", b"c", b"\xff", b"\xff\xff")


def found(
    machine: StateMachine, start: bytes, end: bytes, limit: int = 0, reverse: bool = False
) -> list[bytes]:
    return [key for key, _ in machine.range(start, end, limit, reverse).items]


@pytest.fixture
def machine() -> StateMachine:
    return machine_with(*reversed(KEYS))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (b"", b"", KEYS),
        (b"a", b"b", (b"a", b"ab")),
        (b"ab", b"b\xff", (b"ab", b"b", b"b\0")),
        (b"b", b"", KEYS[2:]),
        (b"", b"b", KEYS[:2]),
        (b"aa", b"aaa", ()),
        (b"c", b"b", ()),
        (b"b", b"b", ()),
        (b"\xff\xff\xff", b"", ()),
    ],
)
def test_a_range_is_half_open_and_in_byte_order(
    machine: StateMachine, start: bytes, end: bytes, expected: tuple[bytes, ...]
) -> None:
    result = machine.range(start, end)
    assert tuple(key for key, _ in result.items) == expected
    assert (result.total, result.more) == (len(expected), False)
    assert found(machine, start, end, reverse=True) == list(reversed(expected))


def test_an_empty_store_has_an_empty_range() -> None:
    assert StateMachine().range(b"", b"") == ([], 0, False)


@pytest.mark.parametrize("limit", [1, 3, 7, 8, 9])
def test_a_limit_bounds_the_items_but_not_the_total(machine: StateMachine, limit: int) -> None:
    result = machine.range(b"", b"", limit)
    assert [key for key, _ in result.items] == list(KEYS[:limit])
    assert (result.total, result.more) == (8, limit < 8)


def test_a_limit_takes_the_last_keys_when_reversed(machine: StateMachine) -> None:
    assert found(machine, b"", b"", limit=2, reverse=True) == [b"\xff\xff", b"\xff"]
    assert found(machine, b"", b"c", limit=2, reverse=True) == [b"b\xff", b"b\0"]


def test_keys_only_leaves_the_values_out_and_nothing_else(machine: StateMachine) -> None:
    result = machine.range(b"a", b"ab", keys_only=True)
    assert result.items == [(b"a", KeyValue(b"", 8, 8, 1))]
    item = machine.get(b"a")
    assert item is not None
    assert item.value == b"value"


def test_count_only_counts(machine: StateMachine) -> None:
    assert machine.range(b"a", b"c", count_only=True) == ([], 5, False)
    assert machine.range(b"a", b"c", limit=1, count_only=True) == ([], 5, False)


def test_one_answer_is_bounded_in_bytes_and_says_that_there_is_more() -> None:
    machine = machine_with(*[b"%02d" % number for number in range(40)], value=b"v" * (RANGE_BYTES_MAX // 16))
    result = machine.range(b"", b"")
    assert (len(result.items), result.total, result.more) == (15, 40, True)
    size = sum(len(key) + len(item.value) for key, item in result.items)
    assert size <= RANGE_BYTES_MAX
    assert [key for key, _ in contents(machine)] == [b"%02d" % number for number in range(40)]
    assert not machine.range(b"", b"", keys_only=True).more
    assert machine.range(b"", b"", reverse=True).items[0][0] == b"39"


def test_the_bound_is_exact() -> None:
    half = RANGE_BYTES_MAX // 2 - 1 - ITEM_BYTES
    machine = machine_with(b"a", b"b", value=b"v" * half)
    assert not machine.range(b"", b"").more
    Client(machine, client_id=2).put(b"b", b"v" * (half + 1))
    assert machine.range(b"", b"").more


def test_small_items_cost_more_than_their_bytes() -> None:
    """350,000 keys of three bytes would be an answer of five megabytes, and half a second of work."""
    machine = machine_with(*[b"%05d" % number for number in range(30_000)], value=b"")
    found = machine.range(b"", b"")
    assert found.more
    assert len(found.items) == RANGE_BYTES_MAX // (ITEM_BYTES + 5)


def test_a_first_item_larger_than_the_bound_is_served_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raftkv.kv.items.RANGE_BYTES_MAX", 10)
    machine = machine_with(b"a", b"b", b"c", value=b"v" * 100)
    result = machine.range(b"", b"")
    assert [key for key, _ in result.items] == [b"a"]
    assert result.more
    assert len(contents(machine)) == 3


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        (b"a", b"b"),
        (b"ab", b"ac"),
        (b"a\xff", b"b"),
        (b"a\xff\xff", b"b"),
        (b"a\xfe\xff", b"a\xff"),
        (b"\xff", b""),
        (b"\xff\xff", b""),
        (b"", b""),
        (b"\0", b"\1"),
    ],
)
def test_the_end_of_a_prefix(prefix: bytes, end: bytes) -> None:
    assert prefix_end(prefix) == end


few = st.binary(max_size=4).map(lambda key: bytes(b"\0a\xfe\xff"[byte % 4] for byte in key))


@given(few, few)
def test_a_key_lies_in_the_range_of_a_prefix_exactly_when_it_begins_with_it(
    prefix: bytes, key: bytes
) -> None:
    end = prefix_end(prefix)
    assert (prefix <= key and (not end or key < end)) == key.startswith(prefix)
