"""A plain put, which is written out for speed, does exactly what the way for all commands does."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raftkv.kv import Applied, Code, Command, Op, SessionLimits, StateMachine
from raftkv.kv.commands import NOT_MESSAGEPACK
from raftkv.kv.limits import KEY_BYTES_MAX, SESSION_WINDOW, VALUE_BYTES_MAX
from raftkv.kv.transactions import Step
from tests.kv.support import chunks_left

LEASE = 1
"""Granted by the first entry, so that is its id."""
GRANT = Command(9, 0, 1, 1, Op.LEASE_GRANT, (1000,))

keys = st.sampled_from([b"a", b"b", b"c"])
values = st.binary(max_size=2)
put = st.tuples(st.just(Op.PUT), keys, values)
others = st.one_of(
    st.tuples(st.just(Op.PUT), keys, values, st.just(LEASE)),
    st.tuples(st.just(Op.DELETE), keys),
    st.tuples(st.just(Op.COMPARE_AND_SET), keys, values, values),
    st.tuples(st.just(Op.DELETE_RANGE), keys, keys),
    st.tuples(st.just(Op.TXN), st.just(()), st.just([(Step.RANGE, b"a", b"c", 0, 0, 0, 0, 0)]), st.just(())),
)
sequences = st.integers(0, 5) | st.integers(SESSION_WINDOW - 1, SESSION_WINDOW + 3)


@st.composite
def commands(draw: st.DrawFn) -> bytes:
    op, *arguments = draw(put | put | others)
    head = (draw(st.integers(1, 3)), draw(st.integers(0, 30)), draw(sequences), draw(st.integers(0, 4)))
    return Command(*head, op, tuple(arguments)).encode()


def fields_of(data: bytes) -> Any:
    try:
        return msgpack.unpackb(data, use_list=False)
    except NOT_MESSAGEPACK:
        return None


def both(log: list[bytes], captured_at: int) -> None:
    """Apply ``log`` either way, while a snapshot is taken, and compare all there is."""
    limits = SessionLimits(sessions_max=2)  # of three clients: one is forgotten again and again
    machines = StateMachine(limits), StateMachine(limits)
    captures = []
    for index, data in enumerate([GRANT.encode(), *log], start=1):
        if index == captured_at:
            captures = [machine.begin_capture(1) for machine in machines]
        assert machines[0].apply(index, data) == machines[1]._apply_any(index, fields_of(data))
        assert machines[0].applied_index == machines[1].applied_index == index
    # A snapshot holds all of the state, so two with the same rows are of the same state. In which order the
    # sessions of one that was under way come tells who was touched meanwhile: any order will do.
    if captures:
        assert sorted(chunks_left(captures[0])) == sorted(chunks_left(captures[1]))
    one, two = [chunks_left(machine.begin_capture()) for machine in machines]
    assert one == two
    assert machines[0].sessions.horizon == machines[1].sessions.horizon
    assert machines[0].leases.find(LEASE).keys == machines[1].leases.find(LEASE).keys
    assert machines[0].history.events == machines[1].history.events
    assert machines[0].history.kept_bytes == machines[1].history.kept_bytes
    assert list(machines[0].keys) == list(machines[1].keys) == sorted(machines[0].items)


OFF_ITS_LEASE = [
    Command(1, 0, 1, 1, Op.PUT, (b"a", b"1", LEASE)).encode(),
    Command(1, 0, 2, 2, Op.PUT, (b"a", b"2")).encode(),
]

FORGOTTEN_AND_BACK = [
    Command(3, 0, 0, 0, Op.PUT, (b"a", b"")).encode(),
    Command(1, 0, 0, 0, Op.PUT, (b"a", b"")).encode(),
    Command(2, 1, 0, 0, Op.DELETE, (b"a",)).encode(),
    Command(3, 2, 0, 1, Op.PUT, (b"a", b"")).encode(),
]
"""The last is no plain put, as its number is below its floor: the session is entered twice."""


@given(st.lists(commands(), max_size=30), st.integers(0, 20))
@settings(max_examples=500, deadline=None)
@example(OFF_ITS_LEASE, 3)
@example(FORGOTTEN_AND_BACK, 4)
def test_whatever_came_before_and_whatever_is_under_way(log: list[bytes], captured_at: int) -> None:
    both(log, captured_at)


HEAD = (1, 0, 1, 0, Op.PUT.value)


@pytest.mark.parametrize(
    "fields",
    [
        (*HEAD, b"", b"v"),
        (*HEAD, b"k" * KEY_BYTES_MAX, b"v"),
        (*HEAD, b"k" * (KEY_BYTES_MAX + 1), b"v"),
        (*HEAD, b"k", bytes(VALUE_BYTES_MAX)),
        (*HEAD, b"k", bytes(VALUE_BYTES_MAX + 1)),
        (*HEAD, "k", b"v"),
        (*HEAD, b"k", None),
        (*HEAD, b"k"),
        (*HEAD, b"k", b"v", False),
        (True, *HEAD[1:], b"k", b"v"),
        (*HEAD[:4], True, b"k", b"v"),
        (*HEAD[:2], 1.0, *HEAD[3:], b"k", b"v"),
        (*HEAD[:4], 11, b"k", b"v"),
        {5: 0, 0: 0, 2: 0, 3: 0, Op.PUT.value: 0, b"k": 0, b"v": 0},
        b"\x01\x00\x01\x00\x01kv",
        7,
    ],
    ids=lambda fields: repr(fields)[:40],
)
def test_what_is_not_quite_a_plain_put(fields: object) -> None:
    both([msgpack.packb(fields), *[b"", b"\xc1", msgpack.packb(fields)[:-1]]], 0)


def test_a_map_is_no_command_even_if_its_keys_look_like_one() -> None:
    lookalike = msgpack.packb({5: 0, 0: 0, 2: 0, 3: 0, 1: 0, b"k": 0, b"v": 0})
    machine = StateMachine()
    assert machine.apply(1, lookalike) is None
    assert not machine.items


def test_a_client_that_was_forgotten_is_told_so() -> None:
    machine = StateMachine()
    machine.sessions.horizon = 5
    applied = machine.apply(9, Command(1, 4, 1, 1, Op.PUT, (b"k", b"v")).encode())
    assert isinstance(applied, Applied)
    assert applied.answer.code == Code.SESSION_EXPIRED
    assert not machine.items


def test_a_command_that_holds_a_map_of_tuples_is_none() -> None:
    """Once in the log it would be decoded at every start, by every node, for as long as its author likes."""
    data = msgpack.packb((1, 0, 1, 0, int(Op.PUT), b"k", {(-1, -2): 1}))
    assert StateMachine().apply(1, data) is None
