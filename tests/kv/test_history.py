"""What is kept of the past without being asked, and what is let go of."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from raftkv.kv import Code, KeyValue, Op, Refused, StateMachine
from raftkv.kv.history import EVENT_BYTES, MARKS_MAX, SPARE_BYTES, SPARE_EVENTS, History
from tests.kv.support import Client

FOR_EVER = (1 << 30, 1 << 40, 1 << 40)


def pass_time(machine: StateMachine, elapsed_ms: int, retention: Any = FOR_EVER) -> None:
    machine.advance(machine.applied_index + 1, msgpack.packb((elapsed_ms, retention, ())))


def written(count: int, value: bytes = b"v") -> tuple[StateMachine, Client]:
    machine = StateMachine()
    client = Client(machine)
    for _ in range(count):
        client.put(b"k", value)
    return machine, client


def test_so_many_revisions_are_kept() -> None:
    machine, _ = written(20)
    pass_time(machine, 1000, (5, 1 << 40, 1 << 40))
    assert machine.history.compacted == 15
    assert len(machine.history) == 5
    found = machine.get(b"k", 15)
    assert found
    assert found.version == 15
    with pytest.raises(Refused) as refused:
        machine.get(b"k", 14)
    assert (refused.value.code, refused.value.detail) == (Code.COMPACTED, 15)
    pass_time(machine, 1000, (0, 1 << 40, 1 << 40))
    assert machine.history.compacted == 20
    assert machine.get(b"k", 20)


def test_none_is_kept_for_longer_than_its_time() -> None:
    machine, client = written(3)
    pass_time(machine, 1000)
    client.put(b"k", b"later")
    pass_time(machine, 1000, (1 << 30, 1500, 1 << 40))
    assert machine.history.compacted == 0, "the present of a second ago is not yet old"
    pass_time(machine, 1000, (1 << 30, 1500, 1 << 40))
    assert machine.history.compacted == 3
    pass_time(machine, 1000, (1 << 30, 1500, 1 << 40))
    assert machine.history.compacted == 4


def test_no_more_than_so_many_bytes_are_kept() -> None:
    machine, _ = written(10, bytes(1000))
    one = EVENT_BYTES + len(b"k") + 1000
    pass_time(machine, 1000, (1 << 30, 1 << 40, 3 * one))
    assert machine.history.compacted == 7
    assert machine.history.kept_bytes <= 3 * one


def test_what_is_not_kept_is_let_go_of_step_by_step() -> None:
    machine, client = written(10)
    client.do(Op.DELETE, b"k")
    client.put(b"other", b"v")
    client.do(Op.COMPACT, 12)
    steps = 0
    while machine.history.tidy(3, 0):
        steps += 1
    assert steps == 3
    assert not machine.history.events
    assert machine.history.kept_bytes == 0


def test_where_an_event_stands_in_its_revision_does_not_depend_on_what_was_let_go_of() -> None:
    """A watcher that is inside a large revision tells by it whether something was lost on the way."""
    histories = [History(), History()]
    before = KeyValue(b"v", 1, 1, 1, 0)
    for history in histories:
        history.record(b"earlier", before, None)
        for revision in (2, 3):
            keys = [b"%d" % number for number in range(10)]
            history.record_deleted(keys, KeyValue(b"", 0, revision, 0, 0), [before] * len(keys))
        history.record(b"later", KeyValue(b"v", 4, 4, 1, 0), None)
        history.compact(4)
    whole, tidied = histories
    while True:
        goes_on = tidied.tidy(3, 0)
        for number in range(tidied.first_number, tidied.next_number):
            assert tidied.offset_in_revision(number) == whole.offset_in_revision(number)
        if not goes_on:
            break
    assert tidied.first_number == tidied.next_number == 22
    tidied.record(b"next", KeyValue(b"v", 5, 5, 1, 0), None)
    assert tidied.offset_in_revision(22) == 0


def test_what_is_spared_for_watchers_is_bounded_in_number_and_in_bytes() -> None:
    for value, most in ((b"v", SPARE_EVENTS), (bytes(1 << 20), SPARE_BYTES >> 20)):
        history = History()
        item = KeyValue(value, 1, 1, 1, 0)
        for revision in range(1, SPARE_EVENTS + 100):
            history.record(b"k", KeyValue(value, 1, revision, revision, 0), item)
        history.compact(SPARE_EVENTS + 99)
        while history.tidy():
            pass
        assert len(history) == 0
        assert most - 2 <= len(history.events) <= most
        newest = history.replay(history.next_number - 1, 2)
        assert [event[1].mod_revision for event in newest] == [SPARE_EVENTS + 99]


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",
        msgpack.packb(1000),
        msgpack.packb((1000, None)),
        msgpack.packb((-1, None, ())),
        msgpack.packb(("1", None, ())),
        msgpack.packb((1000, (1, 2), ())),
        msgpack.packb((1000, (1, 2, "3"), ())),
        msgpack.packb((1000, None, ((1,),))),
        msgpack.packb((1000, None, (1,))),
        msgpack.packb((1000, 7, ())),
    ],
)
def test_a_clock_entry_without_sense_changes_nothing(data: bytes) -> None:
    machine, _ = written(3)
    before = (machine.sessions.now_ms, machine.digest, machine.history.compacted)
    machine.advance(machine.applied_index + 1, data)
    assert (machine.sessions.now_ms, machine.digest, machine.history.compacted) == before


def test_the_marks_of_time_are_bounded() -> None:
    history = History()
    for number in range(3 * MARKS_MAX):
        history.mark(number, number)
    assert len(history.marks) <= MARKS_MAX
    assert list(history.marks) == sorted(history.marks)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_range_of_the_past_has_what_was_deleted_since_in_its_place(reverse: bool) -> None:
    machine, client = written(1)
    for key in (b"a", b"z"):
        client.put(key, b"v")
    client.do(Op.DELETE, b"k")
    client.put(b"b", b"later")
    found = machine.range(b"", b"", reverse=reverse, revision=3)
    assert [key for key, _ in found.items] == sorted([b"a", b"k", b"z"], reverse=reverse)
    assert (found.total, found.more) == (3, False)
    assert [key for key, _ in machine.range(b"", b"", 2, revision=3).items] == [b"a", b"k"]


def test_a_key_reads_as_of_the_very_revision_that_wrote_it_and_of_the_earliest_that_is_kept() -> None:
    machine, client = written(9)
    client.do(Op.COMPACT, 4)
    for revision in range(4, 10):
        item = machine.get(b"k", revision)
        assert item
        assert item.mod_revision == revision
    while machine.history.tidy(1, 0):
        pass
    earliest = machine.get(b"k", 4)
    assert earliest
    assert earliest.mod_revision == 4
