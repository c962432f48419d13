"""Deleting thousands of keys at once: the same as one by one, whatever is going on meanwhile."""

from __future__ import annotations

import pytest

from raftkv.kv import Code, Op, StateMachine, restored
from raftkv.kv.machine import DROP_BLOCK, REMOVE_SHARE
from tests.kv.support import Client, chunks_left, contents

MANY = 2 * DROP_BLOCK + 1


def filled(count: int, lease: int = 0) -> Client:
    client = Client(StateMachine())
    if lease:
        assert client.do(Op.LEASE_GRANT, 60_000).detail == (lease, 60_000)
    for number in range(count):
        assert client.do(Op.PUT, b"%05d" % number, b"value %d" % number, lease).code == Code.OK
    return client


def changes(machine: StateMachine) -> list[tuple[bytes, int, bytes | None]]:
    """Of the whole history: key, version, what was replaced."""
    events = machine.history.replay(machine.history.first_number, 10**6)
    return [(key, item.version, before and before.value) for key, item, before in events]


def test_a_range_of_many_blocks_leaves_what_single_deletions_leave() -> None:
    at_once, one_by_one = filled(MANY + 2), filled(MANY + 2)
    assert at_once.do(Op.DELETE_RANGE, b"00001", b"%05d" % (MANY + 1)).detail == MANY
    for number in range(1, MANY + 1):
        assert one_by_one.do(Op.DELETE, b"%05d" % number).detail == 1
    mine, other = at_once.machine, one_by_one.machine
    assert mine.digest == other.digest
    assert contents(mine) == contents(other)
    assert [key for key, _ in contents(mine)] == [b"00000", b"%05d" % (MANY + 1)]
    assert changes(mine) == changes(other)
    assert mine.history.kept_bytes == other.history.kept_bytes
    assert mine.history.first_number + len(mine.history.events) == 2 * MANY + 2


def test_all_of_them_are_one_revision_and_can_be_read_as_of_before() -> None:
    client = filled(MANY)
    machine = client.machine
    revision = machine.revision
    before = contents(machine)
    assert client.do(Op.DELETE_RANGE, b"", b"")[1:] == (revision + 1, MANY)
    assert contents(machine) == []
    assert machine.range(b"", b"", revision=revision).total == MANY
    assert machine.get(b"00007", revision) == dict(before)[b"00007"]


@pytest.mark.parametrize("others", [0, 5, MANY * (REMOVE_SHARE - 1), MANY * REMOVE_SHARE + 1])
def test_a_lease_with_many_keys_takes_them_and_no_others(others: int) -> None:
    client = filled(MANY, lease=1)
    machine = client.machine
    for number in range(others):
        client.put(b"%05d other" % number, b"stays")
    lease_id = machine.leases.views()[0].id
    assert client.do(Op.LEASE_REVOKE, lease_id).detail == MANY
    left = [b"%05d other" % number for number in range(others)]
    assert list(machine.keys) == sorted(left) == sorted(machine.items)
    assert machine.range(b"", b"").total == others
    assert client.put(b"00000", b"again").code == Code.OK
    assert machine.keys[0] == b"00000"


def test_a_snapshot_that_is_being_taken_holds_what_a_range_deleted() -> None:
    client = filled(MANY)
    machine = client.machine
    before = machine.applied_index
    capture = machine.begin_capture()
    client.do(Op.DELETE_RANGE, b"", b"")
    client.put(b"later", b"is not in it")
    copy = restored(chunks_left(capture), before, "here")
    assert len(copy) == MANY
    assert copy.get(b"00042") is not None
    assert copy.get(b"later") is None
