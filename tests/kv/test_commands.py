"""Commands as bytes: what decodes, and that nothing else ever matters."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftkv.kv import Code, Command, StateMachine
from tests.kv.support import machine_with, state

numbers = st.integers(0, 2**64 - 1)
scalars = st.none() | st.booleans() | numbers | st.binary(max_size=20) | st.text(max_size=10) | st.floats()
arguments = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=8)


@given(
    st.builds(
        Command, numbers, numbers, numbers, numbers, numbers, st.lists(arguments, max_size=4).map(tuple)
    )
)
def test_a_command_reads_back_as_it_was_written(command: Command) -> None:
    """Compared as text, for the sake of numbers that are not equal to themselves."""
    assert repr(Command.decode(command.encode())) == repr(command)


GARBAGE: list[bytes] = [
    b"",
    b"\xc1",
    b"\x00",
    b"\xc0",
    b"\x95\x01\x01\x01\x01",
    b"\x90",
    b"\x80",
    b"\x91" * 100_000,
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\x81" * 2000,
    b"\xd7\xff" + b"\xff" * 8,  # a timestamp with too many nanoseconds
    b"\x95\x01\x01\x01\x01\xc7\x03\xff\0\0\0",  # and one of an impossible length
    *[
        msgpack.packb(content)
        for content in (
            [1, 0, 1, 0],
            [1, 0, 1, 0, "1"],
            [1, 0, 1, 0, None],
            [1, 0, 1, 0, True],
            [1, 0, 1, 0, 1.0],
            {},
            {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5},
            "as text",
            b"as bytes",
            b"\1\0\1\0\1kv",
            7,
        )
    ],
    msgpack.packb([1, 0, 1, 0, 1, b"k", b"v"]) + b"\0",
    msgpack.packb([1, 0, 1, 0, 1, b"k", b"v"])[:-1],
]


@pytest.mark.parametrize("data", GARBAGE)
def test_what_is_no_command_changes_nothing_and_answers_nobody(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^no command: "):
        Command.decode(data)
    machine = machine_with(b"a", b"b")
    before = state(machine)
    assert machine.apply(3, data) is None
    assert machine.applied_index == 3
    assert state(machine)[:2] == before[:2]
    assert len(machine.sessions) == 1


@pytest.mark.parametrize("position", [1, 2, 4])
def test_a_negative_birth_sequence_or_operation_changes_nothing(position: int) -> None:
    head = [9, 0, 1, 0, 1]
    head[position] = -1
    machine = machine_with(b"a")
    before = machine.revision, machine.digest
    applied = machine.apply(2, msgpack.packb([*head, b"k", b"v"]))
    assert applied is None or applied.answer.code != Code.OK
    assert (machine.revision, machine.digest) == before


@given(st.binary(max_size=60))
@settings(max_examples=200)
def test_no_bytes_make_a_node_stumble(data: bytes) -> None:
    machine = StateMachine()
    machine.apply(1, data)
    assert machine.revision <= 1


@given(st.lists(arguments, max_size=7))
@settings(max_examples=200)
def test_no_shape_of_a_command_makes_a_node_stumble(content: list[Any]) -> None:
    machine = StateMachine()
    machine.apply(1, msgpack.packb(content))
    machine.apply(2, msgpack.packb([1, 0, 1, 0, 5, *content]))
    for op in range(7):
        machine.apply(3 + op, msgpack.packb([1, 0, 2 + op, 0, op, *content]))
    assert machine.applied_index == 9


@given(st.binary(min_size=1, max_size=8), st.integers(0, 30), st.integers(0, 7))
@settings(max_examples=300)
def test_a_flipped_bit_in_a_command_makes_no_node_stumble(value: bytes, position: int, bit: int) -> None:
    data = bytearray(Command(1, 0, 1, 0, 1, (b"key", value)).encode())
    data[position % len(data)] ^= 1 << bit
    machine = StateMachine()
    machine.apply(1, bytes(data))
    assert machine.applied_index == 1
