"""Snapshots of the state machine: one moment, whatever happens while it is being taken."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftkv.errors import CorruptLog, ForeignData
from raftkv.kv import (
    Code,
    KeyValue,
    Op,
    Refused,
    Restoration,
    Retention,
    SessionLimits,
    StateMachine,
    captured,
    move_on,
)
from raftkv.kv import restored as kv_restored
from raftkv.kv import snapshot as kv_snapshot
from raftkv.kv.clock import ClockStep
from raftkv.kv.commands import encode_flat
from raftkv.kv.snapshot import END, HEADER, HISTORY, ITEMS, KEYS_A_CHUNK_MAX, LEASES, SESSIONS
from tests.kv.support import Client, chunks_left, machine_with, state

SMALL = 64
"""Bytes a chunk: one or two items."""


def sessions(machine: StateMachine) -> list[tuple[Any, ...]]:
    """The table in its order: who is forgotten first is part of the state."""
    return [
        (client_id, each.last_index, each.last_ms, each.floor, each.highest, dict(each.answers))
        for client_id, each in machine.sessions._table.items()
    ]


def everything(machine: StateMachine) -> tuple[Any, ...]:
    return state(machine), sessions(machine), machine.sessions.horizon, machine.sessions.now_ms


def chunks_of(machine: StateMachine, chunk_bytes: int = SMALL) -> list[bytes]:
    return chunks_left(machine.begin_capture(chunk_bytes))


def restored(chunks: list[bytes]) -> StateMachine:
    restoration = Restoration(StateMachine())
    assert [restoration.feed(chunk) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    return restoration.machine


def test_an_empty_machine_comes_back() -> None:
    assert everything(restored(chunks_of(StateMachine()))) == everything(StateMachine())


def test_a_state_that_is_moved_on_has_its_keys_and_no_past() -> None:
    machine = machine_with(b"a", b"b")
    client = Client(machine, client_id=7)
    client.put(b"a", b"again")
    before, past = state(machine), machine.revision
    index = machine.applied_index
    twins = [kv_restored(list(captured(machine)), machine.applied_index, "here") for _ in range(3)]
    for twin, revisions in zip(twins, (1000, 1000, 999), strict=True):
        move_on(twin, revisions)
    moved = kv_restored(list(captured(twins[0])), index, "there")
    assert moved.revision == past + 1000
    assert dict(moved.items) == dict(machine.items)
    assert moved.digest == twins[1].digest != twins[2].digest, "by how much is to be told apart"
    for revision in (past, past + 999):
        with pytest.raises(Refused) as refused:
            moved.get(b"a", revision)
        assert (refused.value.code, refused.value.detail) == (Code.COMPACTED, past + 1000)
    assert moved.get(b"a", past + 1000) == machine.get(b"a")
    assert Client(moved, client_id=8).put(b"c", b"1").revision == past + 1001
    assert state(machine) == before


@pytest.mark.parametrize("chunk_bytes", [1, SMALL, 1 << 20])
def test_everything_comes_back_and_goes_on_alike(chunk_bytes: int) -> None:
    machine = machine_with(*[b"k%d" % number for number in range(50)])
    client = Client(machine, client_id=7)
    client.put(b"k3", b"again")
    client.do(Op.DELETE, b"k4")
    client.do(Op.COMPARE_AND_SET, b"k5", b"wrong", b"x")
    machine.advance(machine.applied_index + 1, pack(1234, None, []))
    client.do(Op.DELETE, b"k6")
    twin = restored(chunks_of(machine, chunk_bytes))
    assert everything(twin) == everything(machine)
    other = Client(twin, client_id=7, born=client.born)
    other.sequence = client.sequence
    assert client.put(b"new", b"1") == other.put(b"new", b"1")
    assert everything(twin) == everything(machine)


def test_a_retry_after_the_restore_gets_the_first_answer() -> None:
    machine = StateMachine()
    client = Client(machine)
    first = client.send(1, 1, Op.PUT, b"a", b"1")
    refused = client.send(2, 1, Op.COMPARE_AND_SET, b"a", b"2", b"3")
    twin = restored(chunks_of(machine))
    again = Client(twin, born=client.born)
    assert again.send(1, 1, Op.PUT, b"a", b"1") == first
    found = again.send(2, 1, Op.COMPARE_AND_SET, b"a", b"2", b"3")
    assert (found.code, KeyValue(*found.detail)) == (Code.COMPARE_FAILED, refused.detail)
    assert twin.revision == machine.revision


commands = st.one_of(
    st.tuples(st.just(Op.PUT), st.integers(0, 12), st.binary(max_size=30)),
    st.tuples(st.just(Op.DELETE), st.integers(0, 12), st.none()),
    st.tuples(st.just(Op.DELETE_RANGE), st.integers(0, 12), st.none()),
)


def do(client: Client, command: tuple[Op, int, bytes | None]) -> None:
    op, number, value = command
    key = b"k%02d" % number
    if op is Op.PUT:
        client.put(key, value or b"")
    elif op is Op.DELETE:
        client.do(op, key)
    else:
        client.do(op, key, b"k%02d" % (number + 3))


@given(
    st.lists(st.tuples(st.integers(1, 4), commands), max_size=40),
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2), commands), max_size=40),
    st.sampled_from([1, SMALL, 300]),
)
def test_what_happens_meanwhile_is_not_in_it(
    before: list[tuple[int, tuple[Op, int, bytes | None]]],
    meanwhile: list[tuple[int, int, tuple[Op, int, bytes | None]]],
    chunk_bytes: int,
) -> None:
    """Commands of several clients, old and new, between one chunk and the next."""
    machine = StateMachine()
    clients = {number: Client(machine, client_id=number, born=0) for number in range(1, 7)}
    for number, command in before:
        do(clients[number], command)
    expected = everything(machine)
    capture = machine.begin_capture(chunk_bytes)
    chunks, last = [], False
    for number, count, command in meanwhile:
        for _ in range(count):
            if not last:
                chunk, last = capture.next_chunk()
                chunks.append(chunk)
        do(clients[number], command)
    while not last:
        chunk, last = capture.next_chunk()
        chunks.append(chunk)
    assert everything(restored(chunks)) == expected
    assert machine.capture is None


def test_clients_forgotten_meanwhile_are_in_it() -> None:
    machine = StateMachine(SessionLimits(sessions_max=3))
    for number in range(1, 4):
        Client(machine, client_id=number, born=0).put(b"a", b"%d" % number)
    expected = everything(machine)
    capture = machine.begin_capture(1)
    chunks = [capture.next_chunk()[0]]
    for number in range(4, 9):  # 1 to 3 are forgotten, and 2 comes back as somebody new
        Client(machine, client_id=number, born=machine.applied_index).put(b"b", b"")
    Client(machine, client_id=2, born=machine.applied_index).put(b"c", b"")
    last = False
    while not last:
        chunk, last = capture.next_chunk()
        chunks.append(chunk)
    assert everything(restored(chunks)) == expected


def test_a_restored_machine_forgets_the_same_clients_next() -> None:
    machine = StateMachine()
    order = list(range(1, 30))
    random.Random(1).shuffle(order)
    for number in order:
        Client(machine, client_id=number, born=0).put(b"a", b"")
    twin = restored(chunks_of(machine))
    for each in (machine, twin):
        each.sessions.limits = SessionLimits(sessions_max=29)
        Client(each, client_id=100).put(b"b", b"")
    assert everything(twin) == everything(machine)
    assert order[0] not in twin.sessions._table


def test_no_chunk_looks_at_all_keys_even_when_all_have_changed() -> None:
    """Or one chunk of a million changed keys would hold up the node."""
    machine = StateMachine()
    client = Client(machine)
    keys = [b"k%06d" % number for number in range(3 * KEYS_A_CHUNK_MAX)]
    for first in range(0, len(keys), 1000):
        client.do(Op.MULTI_PUT, [(key, b"") for key in keys[first : first + 1000]])
    capture = machine.begin_capture()
    machine.capture = None  # so that nothing is saved: every key has changed, and none is wanted
    client.do(Op.DELETE_RANGE, b"k", b"l")
    for first in range(0, len(keys), 1000):
        client.do(Op.MULTI_PUT, [(key, b"") for key in keys[first : first + 1000]])
    machine.capture = capture
    steps, last = 0, False
    while not last:
        before = capture._cursor
        _, last = capture.next_chunk()
        walked = machine.keys.bisect_right(capture._cursor) - machine.keys.bisect_right(before)
        assert walked <= KEYS_A_CHUNK_MAX
        steps += 1
    assert steps >= 3


def test_a_capture_given_up_leaves_nothing_behind() -> None:
    machine = machine_with(b"a", b"b")
    capture = machine.begin_capture(1)
    capture.next_chunk()
    capture.abandon()
    Client(machine, client_id=1, born=0).send(9, 9, Op.PUT, b"a", b"2")
    assert machine.capture is None
    assert machine.sessions.take_captured() is None
    assert everything(restored(chunks_of(machine))) == everything(machine)


# -- what is no snapshot


def pack(*content: Any) -> bytes:
    packed: bytes = msgpack.packb(content)
    return packed


GOOD = [
    pack(HEADER, kv_snapshot.FORMAT_VERSION, 3, 2, 7, 0, 9, 0, [(5, 1)]),
    pack(ITEMS, [(b"a", b"1", 1, 1, 1, 0)]),
    pack(SESSIONS, [(5, 3, 0, 1, 1, [(1, 0, 1, None)])]),
    pack(LEASES, [(2, 1000, 2)]),
    pack(HISTORY, [(b"a", (b"1", 1, 1, 1, 0), None)]),
    pack(END, 1, 1, 1, 1),
]


def test_the_good_one_is_good() -> None:
    assert restored(GOOD).get(b"a") == KeyValue(b"1", 1, 1, 1)


@pytest.mark.parametrize(
    "chunks",
    [
        [b""],
        [b"\xc1"],
        [pack()],
        [b"\xff" * 10],
        [GOOD[1]],
        [GOOD[0], GOOD[0]],
        [pack(HEADER, kv_snapshot.FORMAT_VERSION + 1, 3, 2, 7, 0, 9, 0, [])],
        [pack(HEADER, kv_snapshot.FORMAT_VERSION, 3, 2, 7, 0)],
        [pack(HEADER, kv_snapshot.FORMAT_VERSION, 3, "2", 7, 0, 9, 0, [])],
        [pack(HEADER, kv_snapshot.FORMAT_VERSION, 3, 2, 7, 0, 9, 0, 7)],
        [pack(HEADER, kv_snapshot.FORMAT_VERSION, 3, 2, 7, 0, 9, 0, [(1,)])],
        [pack(HEADER, kv_snapshot.FORMAT_VERSION, 3, 2, 7, 0, 9, 0, [(1, "x")])],
        [GOOD[0], pack(LEASES, [(1, 2)])],
        [GOOD[0], pack(LEASES, [(1, 2, "x")])],
        [GOOD[0], pack(HISTORY, [(b"a", 7, None)])],
        [GOOD[0], pack(HISTORY, [(b"a", (b"1", 1, 1, 1, "x"), None)])],
        [GOOD[0], pack(HISTORY, [(7, (b"1", 1, 1, 1, 0), None)])],
        [GOOD[0], pack(ITEMS, [(b"a", b"1", 1, 1, 1, 4)]), pack(END, 1, 0, 0, 0)],
        [GOOD[0], pack(9, [])],
        [GOOD[0], pack(ITEMS, [(b"a", "1", 1, 1, 1, 0)])],
        [GOOD[0], pack(ITEMS, [(b"a", b"1", 1, 1, 1)])],
        [GOOD[0], pack(ITEMS, 7)],
        [GOOD[0], pack(SESSIONS, [(5, 3, 0, 1, "1", [])])],
        [GOOD[0], pack(SESSIONS, [(5, 3, 0, 1, 1, [7])])],
        [GOOD[0], pack(END, 1, 0, 0, 0)],
        [GOOD[0], GOOD[1], pack(END, 1, 1, 0, 0)],
        [*GOOD[:4], pack(END, 1, 1, 1, 1)],
        [*GOOD[:4], pack(END, 1, 1, 0, 0)],
        [GOOD[0], GOOD[1], GOOD[1], pack(END, 2, 0, 0, 0)],
    ],
)
def test_anything_else_is_refused(chunks: list[bytes]) -> None:
    restoration = Restoration(StateMachine())
    for chunk in chunks[:-1]:
        assert not restoration.feed(chunk)
    with pytest.raises(ValueError, match=r".+"):
        restoration.feed(chunks[-1])


@given(st.binary(max_size=60))
def test_random_bytes_are_refused_or_harmless(data: bytes) -> None:
    restoration = Restoration(StateMachine())
    restoration.feed(GOOD[0])
    try:
        restoration.feed(data)
    except ValueError:
        return


def test_a_header_can_be_read_by_itself() -> None:
    expected = {"format": kv_snapshot.FORMAT_VERSION, "index": 3, "revision": 2, "digest": 7}
    assert kv_snapshot.summary(GOOD[0]) == expected
    for bad in (GOOD[1], b"", b"\xc1", pack(7)):
        with pytest.raises(ValueError, match="no header"):
            kv_snapshot.summary(bad)


@pytest.mark.parametrize(
    ("chunks", "index", "error", "told"),
    [
        ([], 3, CorruptLog, "here at byte 0: it ends too early"),
        (GOOD[:-1], 3, CorruptLog, "it ends too early"),
        (GOOD, 4, CorruptLog, "of another entry"),
        ([GOOD[0], b"\xff"], 3, CorruptLog, "no chunk of a snapshot"),
        (
            [pack(HEADER, kv_snapshot.FORMAT_VERSION + 1, 3, 2, 7, 0, 9, 0, [])],
            3,
            ForeignData,
            "here: its image has format version 3, but this raftkv reads version 2: upgrade raftkv",
        ),
    ],
)
def test_a_snapshot_that_is_not_all_there_is_named(
    chunks: list[bytes], index: int, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        kv_restored(chunks, index, "here")
    assert kv_restored(GOOD, 3, "here").get(b"a") == KeyValue(b"1", 1, 1, 1)


def test_what_is_compacted_later_is_the_same_on_whoever_began_with_a_snapshot() -> None:
    """A transaction that reads the past would fail on some nodes only."""
    sequence, retention = 0, Retention(10**6, 10_000, 10**9)
    machines = [StateMachine()]

    def step(apply: Callable[[StateMachine, int], object]) -> None:
        nonlocal sequence
        sequence += 1
        for machine in machines:
            apply(machine, sequence)

    def put(machine: StateMachine, index: int) -> None:
        machine.apply(index, encode_flat((7, 0, index, index, Op.PUT, b"k", b"v")))

    def a_second(machine: StateMachine, index: int) -> None:
        machine.advance(index, ClockStep(1_000, retention, ()).encode())

    for each in (a_second, put, put, a_second):
        step(each)
    machines.append(restored(chunks_of(machines[0])))
    earliest = []
    for _ in range(15):
        step(a_second)
        one, other = (machine.history.compacted for machine in machines)
        assert one == other
        earliest.append(one)
    assert earliest[0] == 0 < earliest[-1], "or nothing was seen"
