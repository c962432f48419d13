"""Commands in words: every operation, cut short, printable, and never an error."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftkv.kv.commands import Command, Op
from raftkv.kv.describe import BYTES_SHOWN, describe_clock, describe_command
from raftkv.kv.transactions import Step

PUT_A, GET_B = (Step.PUT, b"a", b"1", 0), (Step.RANGE, b"b", None, 0, False, False, False, 0)
DELETE_C = (Step.DELETE, b"c", b"d")
WORDS: list[tuple[Op, tuple[Any, ...], str]] = [
    (Op.PUT, (b"color", b"blue"), "put color=blue"),
    (Op.PUT, (b"color", b"", 7), "put color= lease 7"),
    (Op.DELETE, (b"color",), "delete color"),
    (Op.DELETE_RANGE, (b"a", b"b"), "delete a..b"),
    (Op.DELETE_RANGE, (b"a", b""), "delete a.."),
    (Op.COMPARE_AND_SET, (b"color", b"red", b"blue"), "cas color: red→blue"),
    (Op.COMPARE_AND_SET, (b"color", None, b"blue"), "cas color: absent→blue"),
    (Op.MULTI_PUT, (((b"a", b"1"), (b"b", b"2")),), "put of 2: a=1, b=2"),
    (Op.TXN, ((), (PUT_A, GET_B), (DELETE_C,)), "txn of 3: put a=1, get b, delete c..d"),
    (Op.TXN, ((), ((Step.TXN, (), (), ()),), ()), "txn of 1: txn"),
    (Op.TXN, ((), (), ()), "txn of 0"),
    (Op.LEASE_GRANT, (1500,), "lease grant 1.5 s"),
    (Op.LEASE_REVOKE, (7,), "lease revoke 7"),
    (Op.LEASE_KEEP_ALIVE, ((7, 9),), "keep leases 7, 9 alive"),
    (Op.COMPACT, (12345,), "compact 12,345"),
]


def words(op: int, *arguments: Any) -> str:
    return describe_command(Command(5, 0, 1, 1, op, arguments).encode())


@pytest.mark.parametrize(("op", "arguments", "expected"), WORDS)
def test_every_operation_has_words(op: Op, arguments: tuple[Any, ...], expected: str) -> None:
    assert words(op, *arguments) == expected


def test_the_table_above_knows_every_operation() -> None:
    assert {op for op, _, _ in WORDS} == set(Op)


def test_what_is_long_is_cut_and_what_is_no_text_is_escaped() -> None:
    assert words(Op.PUT, b"k" * 4000, "é".encode() * 4000) == f"put {'k' * 31}…={'é' * 31}…"
    assert words(Op.PUT, b"a\n\x00\xff", "ä€".encode()) == r"put a\n\x00\xff=ä€"
    assert words(Op.PUT, b"k" * BYTES_SHOWN, "🙂".encode() * 33) == f"put {'k' * BYTES_SHOWN}={'🙂' * 31}…"
    assert words(Op.MULTI_PUT, tuple((b"%d" % number, b"") for number in range(1000))).startswith(
        "put of 1000: 0=, 1=, "
    )


def test_clock_entries() -> None:
    assert describe_clock(msgpack.packb((1000, None, ()))) == "1,000 ms pass"
    assert describe_clock(msgpack.packb((0, (1, 2, 3), ((7, 1), (9, 2))))) == "0 ms pass, leases 7, 9 end"
    assert describe_clock(b"\xc1") == "no clock: 1 bytes"


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.binary() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=12,
)


@given(op=st.integers(-1, 12), arguments=st.lists(anything, max_size=4))
def test_whatever_the_log_holds_is_one_printable_line(op: int, arguments: list[Any]) -> None:
    for text in (
        describe_command(msgpack.packb([1, 2, 3, 4, op, *arguments])),
        describe_command(msgpack.packb(arguments)),
        describe_clock(msgpack.packb(arguments)),
    ):
        assert text.isprintable()
        assert text


@given(st.binary(max_size=40))
def test_bytes_that_are_no_command_are_said_to_be_none(data: bytes) -> None:
    assert describe_command(data).isprintable()
    assert describe_clock(data).isprintable()
