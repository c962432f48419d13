"""What a transaction sees and leaves: ``test_dumb_twin`` compares many with a simple one, these say why."""

from __future__ import annotations

from typing import Any

import pytest

from raftkv.kv import Answer, Code, KeyValue, Op, StateMachine
from raftkv.kv.transactions import Relation, Step, Target
from tests.kv.support import Client, state


@pytest.fixture
def machine() -> StateMachine:
    machine = StateMachine()
    client = Client(machine)
    for key in (b"a", b"b", b"c"):
        client.put(key, b"old")
    return machine


def put(key: bytes, value: bytes) -> list[Any]:
    return [int(Step.PUT), key, value, 0]


def delete(key: bytes, end: bytes | None = None) -> list[Any]:
    return [int(Step.DELETE), key, end]


def read(key: bytes, end: bytes | None = None, count_only: bool = False) -> list[Any]:
    return [int(Step.RANGE), key, end, 0, False, False, count_only, 0]


def nested(compares: list[Any], success: list[Any], failure: list[Any]) -> list[Any]:
    return [int(Step.TXN), compares, success, failure]


def value_is(key: bytes, value: bytes) -> list[Any]:
    return [int(Target.VALUE), int(Relation.EQUAL), key, None, value]


def version_is(key: bytes, version: int) -> list[Any]:
    return [int(Target.VERSION), int(Relation.EQUAL), key, None, version]


def done(machine: StateMachine, *steps: list[Any], client_id: int = 9) -> list[Any]:
    """What the steps of one transaction answer."""
    answer = Client(machine, client_id).do(Op.TXN, [], list(steps), [])
    assert answer.code == Code.OK, answer
    held, answers = answer.detail
    assert held
    return list(answers)


def rows(found: Any) -> list[tuple[bytes, bytes]]:
    items = found[0]
    return [(key, item[0]) for key, item in items]


def test_it_reads_what_it_has_written(machine: StateMachine) -> None:
    _, one, several, count = done(
        machine, put(b"a", b"new"), read(b"a"), read(b"a", b"c"), read(b"a", b"", count_only=True)
    )
    assert rows(one) == [(b"a", b"new")]
    assert rows(several) == [(b"a", b"new"), (b"b", b"old")]
    assert count[1] == 3


def test_it_reads_neither_what_it_has_deleted_nor_what_it_has_not_added_yet(machine: StateMachine) -> None:
    before, deleted, after, _, added = done(
        machine, read(b"x"), delete(b"a"), read(b"a", b"c"), put(b"aa", b"1"), read(b"a", b"c")
    )
    assert rows(before) == []
    assert deleted == 1
    assert rows(after) == [(b"b", b"old")]
    assert rows(added) == [(b"aa", b"1"), (b"b", b"old")]


def test_a_key_of_its_own_is_deleted_once_and_counts_as_one(machine: StateMachine) -> None:
    _, first, second, rest = done(
        machine, put(b"x", b"1"), delete(b"x"), delete(b"x"), read(b"", b"", count_only=True)
    )
    assert (first, second) == (1, 0)
    assert rest[1] == 3
    assert machine.get(b"x") is None


def test_a_transaction_inside_compares_with_what_was_written_before_it(machine: StateMachine) -> None:
    _, inside = done(
        machine,
        put(b"a", b"new"),
        nested([value_is(b"a", b"new"), version_is(b"a", 2)], [put(b"b", b"seen")], [put(b"b", b"unseen")]),
    )
    assert inside[0]
    assert machine.items[b"b"].value == b"seen"


def test_it_is_one_revision_and_one_version_however_often_it_writes_a_key(machine: StateMachine) -> None:
    revision = machine.revision
    done(machine, put(b"a", b"1"), put(b"a", b"2"), put(b"new", b"1"), put(b"new", b"2"))
    assert machine.revision == revision + 1
    assert machine.get(b"a") == KeyValue(b"2", 1, revision + 1, 2)
    assert machine.get(b"new") == KeyValue(b"2", revision + 1, revision + 1, 1)


def test_one_that_only_reads_is_no_revision(machine: StateMachine) -> None:
    revision = machine.revision
    done(machine, read(b"a"))
    assert machine.revision == revision


def test_what_fails_in_the_middle_leaves_nothing(machine: StateMachine) -> None:
    twin = StateMachine()
    client = Client(twin)
    for key in (b"a", b"b", b"c"):
        client.put(key, b"old")
    lease_that_is_none = [int(Step.PUT), b"b", b"new", 77]
    answer = Client(machine, 9).do(Op.TXN, [], [put(b"a", b"new"), lease_that_is_none], [])
    assert answer == Answer(Code.LEASE_NOT_FOUND, machine.revision, 77)
    assert state(machine)[0] == state(twin)[0]
    assert state(machine)[4] == state(twin)[4]


@pytest.mark.parametrize("value", [b"old", b"other"])
def test_one_list_or_the_other(machine: StateMachine, value: bytes) -> None:
    answer = Client(machine, 9).do(
        Op.TXN, [value_is(b"a", value), value_is(b"b", b"old")], [put(b"x", b"1")], [put(b"y", b"1")]
    )
    held = value == b"old"
    assert answer.detail[0] is held
    assert (machine.get(b"x") is not None) is held
    assert (machine.get(b"y") is None) is held
