"""The state machine against an obvious twin, and against itself: the same log is the same state.

The twin keeps a whole dict for every revision there ever was. It knows no index, no history and no draft:
what it does is what the words of ``docs/architecture.md`` say.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgpack
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raftkv.kv import Applied, Code, Command, KeyValue, Op, SessionLimits, StateMachine
from raftkv.kv.transactions import Relation, Step, Target
from tests.kv.support import Client, contents, copied, state

keys = st.sampled_from([b"", b"a", b"aa", b"b", b"b\xff", b"\xff"])
values = st.sampled_from([b"", b"1", b"2"])
Operation = tuple[Any, ...]

ends = st.none() | keys
"""None: that key alone."""
lease_numbers = st.integers(0, 3)
"""The how many-th lease that was granted, 0: none; the last may not exist."""
revisions = st.integers(0, 30)

compares = st.one_of(
    st.tuples(
        st.just(Target.VALUE), st.sampled_from(list(Relation)), keys.filter(bool), ends, st.binary(max_size=1)
    ),
    st.tuples(
        st.sampled_from([Target.VERSION, Target.CREATE_REVISION, Target.MOD_REVISION]),
        st.sampled_from(list(Relation)),
        keys.filter(bool),
        ends,
        st.integers(0, 4),
    ),
)
steps = st.one_of(
    st.tuples(st.just(Step.PUT), keys.filter(bool), values, lease_numbers),
    st.tuples(
        st.just(Step.RANGE),
        keys.filter(bool),
        ends,
        st.integers(0, 3),
        st.booleans(),
        st.just(False),
        st.booleans(),
        st.just(0) | revisions,
    ),
    st.tuples(st.just(Step.DELETE), keys.filter(bool), ends),
)
branches = st.recursive(
    st.lists(steps, max_size=4),
    lambda inner: st.lists(
        steps | st.tuples(st.just(Step.TXN), st.lists(compares, max_size=2), inner, inner), max_size=4
    ),
    max_leaves=6,
)
plain_operations = st.one_of(
    st.tuples(st.just(Op.PUT), keys, values),
    st.tuples(st.just(Op.DELETE), keys),
    st.tuples(st.just(Op.DELETE_RANGE), keys, keys),
    st.tuples(st.just(Op.COMPARE_AND_SET), keys, st.none() | values, values),
    st.tuples(st.just(Op.MULTI_PUT), st.lists(st.tuples(keys, values), max_size=3)),
)
operations = st.one_of(
    plain_operations,
    st.tuples(st.just(Op.PUT), keys, values, lease_numbers),
    st.tuples(st.just(Op.TXN), st.lists(compares, max_size=2), branches, branches),
    st.tuples(st.just(Op.LEASE_GRANT), st.integers(99, 2000)),
    st.tuples(st.just(Op.LEASE_REVOKE), lease_numbers),
    st.tuples(st.just(Op.LEASE_KEEP_ALIVE), st.lists(lease_numbers, max_size=2)),
    st.tuples(st.just(Op.COMPACT), revisions),
)

_ABSENT = KeyValue(b"", 0, 0, 0, 0)
_RELATIONS: dict[int, Callable[[Any, Any], bool]] = {
    Relation.EQUAL: lambda one, other: one == other,
    Relation.NOT_EQUAL: lambda one, other: one != other,
    Relation.LESS: lambda one, other: one < other,
    Relation.GREATER: lambda one, other: one > other,
}


class Refused(Exception):
    """With the code of the answer."""


Items = dict[bytes, KeyValue]


def between(items: Items, start: bytes, end: bytes | None) -> list[bytes]:
    if end is None:
        return [start] if start in items else []
    return sorted(key for key in items if start <= key and (not end or key < end))


class Model:
    """Every store there ever was, by revision; written to be read, not to be fast."""

    def __init__(self) -> None:
        self.past: list[Items] = [{}]
        self.compacted = 0
        self.leases: list[int] = [0]
        """By how many-th: its id, or 0 when it has ended."""
        self.index = 0

    @property
    def revision(self) -> int:
        return len(self.past) - 1

    @property
    def items(self) -> Items:
        return self.past[-1]

    def do(self, op: int, *arguments: Any) -> tuple[int, int, Any]:
        self.index += 1
        items = dict(self.items)
        try:
            detail, writes = self.apply(items, op, *arguments)
        except Refused as refused:
            code, detail = refused.args
            return code, self.revision, detail
        if writes or items != self.items:
            self.past.append(items)
        return Code.OK, self.revision, detail

    def apply(self, items: Items, op: int, *arguments: Any) -> tuple[Any, bool]:
        """(detail, whether the revision grows even if nothing differs)."""
        match op, arguments:
            case Op.PUT, (b"", *_):
                raise Refused(Code.INVALID, None)
            case Op.PUT, (key, value, *lease):
                self.put(items, key, value, self.lease(*lease) if lease else 0)
                return None, True
            case Op.MULTI_PUT, (pairs,):
                if not pairs or len(dict(pairs)) < len(pairs):
                    raise Refused(Code.INVALID, None)
                for key, value in pairs:
                    self.put(items, key, value, 0)
                return len(pairs), True
            case Op.DELETE, (key,):
                if not key:
                    raise Refused(Code.INVALID, None)
                return self.delete(items, key, None), False
            case Op.DELETE_RANGE, (start, end):
                return self.delete(items, start, end), False
            case Op.COMPARE_AND_SET, (key, expected, value):
                held = items.get(key)
                if key and (held.value if held else None) != expected:
                    raise Refused(Code.COMPARE_FAILED, held)
                self.put(items, key, value, 0)
                return None, True
            case Op.TXN, (tests, success, failure):
                answer = self.transact(items, tests, success, failure)
                # Something was written that was not taken back.
                return answer, any(item.mod_revision > self.revision for item in items.values())
            case Op.LEASE_GRANT, (ttl_ms,):
                if ttl_ms < 100:
                    raise Refused(Code.INVALID, None)
                self.leases.append(self.index)
                return (self.index, ttl_ms), False
            case Op.LEASE_REVOKE, (number,):
                revoked = self.lease(number, needed=True)
                hanging = [key for key in items if items[key].lease == revoked]
                for key in hanging:
                    del items[key]
                self.leases[number] = 0
                return len(hanging), False
            case Op.LEASE_KEEP_ALIVE, (numbers,):
                if not numbers:
                    raise Refused(Code.INVALID, None)
                return tuple(bool(self.find(number)) for number in numbers), False
            case Op.COMPACT, (revision,):
                if not revision:
                    raise Refused(Code.INVALID, None)
                self.at(revision)
                self.compacted = revision
                return None, False
        raise AssertionError(op)

    def find(self, number: int) -> int:
        return self.leases[number] if number < len(self.leases) else 0

    def lease(self, number: int, needed: bool = False) -> int:
        found = self.find(number)
        if not found and (number or needed):
            raise Refused(Code.LEASE_NOT_FOUND, None)
        return found

    def at(self, revision: int) -> Items:
        if revision > self.revision:
            raise Refused(Code.FUTURE_REVISION, self.revision)
        if revision < self.compacted:
            raise Refused(Code.COMPACTED, self.compacted)
        return self.past[revision]

    def put(self, items: Items, key: bytes, value: bytes, lease: int) -> None:
        if not key:
            raise Refused(Code.INVALID, None)
        revision, old = self.revision + 1, items.get(key)
        if old is None:
            items[key] = KeyValue(value, revision, revision, 1, lease)
        else:
            once = old.mod_revision != revision
            items[key] = KeyValue(value, old.create_revision, revision, old.version + once, lease)

    @staticmethod
    def delete(items: Items, start: bytes, end: bytes | None) -> int:
        found = between(items, start, end)
        for key in found:
            del items[key]
        return len(found)

    def transact(self, items: Items, tests: Any, success: Any, failure: Any) -> tuple[bool, list[Any]]:
        holds = all(self.holds(items, *test) for test in tests)
        return holds, [self.step(items, *step) for step in (success if holds else failure)]

    @staticmethod
    def holds(items: Items, target: int, relation: int, start: bytes, end: bytes | None, value: Any) -> bool:
        found = [items[key] for key in between(items, start, end)]
        if not found and target == Target.VALUE:
            return False
        field = ("value", "version", "create_revision", "mod_revision", "lease")[target]
        return all(_RELATIONS[relation](getattr(item, field), value) for item in found or [_ABSENT])

    def step(self, items: Items, step: int, *arguments: Any) -> Any:
        match step, arguments:
            case Step.PUT, (key, value, number):
                return self.put(items, key, value, self.lease(number))
            case Step.DELETE, (start, end):
                return self.delete(items, start, end)
            case Step.RANGE, (start, end, limit, reverse, _, count_only, revision):
                seen = self.at(revision) if revision else items
                found = between(seen, start, end)
                found = found[::-1] if reverse else found
                shown = [] if count_only else found[: limit or None]
                return (
                    [(key, seen[key]) for key in shown],
                    len(found),
                    not count_only and len(shown) < len(found),
                )
        return self.transact(items, *arguments)


def translate(arguments: Any, model: Model) -> Any:
    """What stands for the how many-th lease becomes its id, or one that there never was."""

    def real(number: int) -> int:
        return model.find(number) or (10**6 if number else 0)

    match arguments:
        case (Op.PUT, key, value, number):
            return (Op.PUT, key, value, real(number))
        case (Op.LEASE_REVOKE, number):
            return (Op.LEASE_REVOKE, real(number) or 10**6)
        case (Op.LEASE_KEEP_ALIVE, numbers):
            return (Op.LEASE_KEEP_ALIVE, [real(number) or 10**6 for number in numbers])
        case (Op.TXN, tests, success, failure):
            return (Op.TXN, tests, _steps(success, real), _steps(failure, real))
    return arguments


def _steps(branch: Any, real: Callable[[int], int]) -> list[Any]:
    found = []
    for step in branch:
        if step[0] == Step.PUT:
            found.append((*step[:3], real(step[3])))
        elif step[0] == Step.TXN:
            found.append((Step.TXN, step[1], _steps(step[2], real), _steps(step[3], real)))
        else:
            found.append(step)
    return found


def plain(value: Any) -> Any:
    """As it travels."""
    return msgpack.unpackb(msgpack.packb(value), use_list=False)


def agree(machine: StateMachine, model: Model) -> None:
    """On every revision that either can read, and on every event since."""
    assert contents(machine) == sorted(model.items.items())
    assert machine.revision == model.revision
    assert machine.history.compacted == model.compacted
    for revision in range(max(1, model.compacted), model.revision + 1):
        seen = model.past[revision]
        for reverse in (False, True):
            found = machine.range(b"", b"", 0, reverse, revision=revision)
            assert found == (sorted(seen.items(), reverse=reverse), len(seen), False)
        for key in {*seen, *model.items, b"a"}:
            assert machine.get(key, revision) == seen.get(key)
    expected = []
    for revision in range(model.compacted + 1, model.revision + 1):
        before, after = model.past[revision - 1], model.past[revision]
        expected += [
            (key, after.get(key, KeyValue(b"", 0, revision, 0, 0)), before.get(key))
            for key in sorted({*before, *after})
            if before.get(key) != after.get(key)
        ]
    history = machine.history
    events = history.replay(history.number_after(model.compacted), 10_000)
    assert sorted(events, key=lambda event: (event[1].mod_revision, event[0])) == expected
    assert [event[1].mod_revision for event in events] == sorted(event[1].mod_revision for event in events)
    assert {view.id: view.keys for view in machine.leases.views()} == {
        lease: sum(item.lease == lease for item in model.items.values()) for lease in model.leases if lease
    }


@given(
    st.lists(operations, max_size=40),
    st.lists(st.tuples(keys, keys, st.integers(0, 4), st.booleans(), st.integers(0, 40)), max_size=5),
    st.integers(1, 3),
)
@settings(max_examples=2000, deadline=None)
def test_the_state_machine_is_a_dict_for_every_revision(
    log: list[Operation], reads: list[Any], tidiness: int
) -> None:
    machine, model = StateMachine(), Model()
    client = Client(machine)
    for operation in log:
        command = translate(operation, model)
        code, revision, detail = client.do(*command)
        expected = model.do(*operation)
        assert (code, revision) == expected[:2], command
        if operation[0] == Op.LEASE_KEEP_ALIVE and code == Code.OK:
            assert tuple(map(bool, detail)) == expected[2]
        elif code not in (Code.INVALID, Code.LEASE_NOT_FOUND):
            assert plain(detail) == plain(expected[2])
        machine.history.tidy(tidiness, 0)
    agree(machine, model)
    for start, end, limit, reverse, revision in reads:
        if model.compacted <= revision <= model.revision and revision:
            seen = model.past[revision]
            inside = [(key, seen[key]) for key in between(seen, start, end)]
            inside = inside[::-1] if reverse else inside
            page = machine.range(start, end, limit, reverse, revision=revision)
            assert page == (inside[: limit or None], len(inside), bool(limit) and limit < len(inside))
    other = copied(machine)
    agree(other, model)
    assert (state(other), other.history.kept_bytes) == (state(machine), machine.history.kept_bytes)
    while machine.history.tidy(1000, 0):
        pass
    agree(machine, model)
    assert len(machine.history.events) == len(machine.history), "nothing but what is kept"


entries = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.builds(
            lambda client_id, born, sequence, floor, operation: Command(
                client_id, born, sequence, floor, operation[0], operation[1:]
            ).encode(),
            st.integers(1, 4),
            st.integers(0, 5),
            st.integers(0, 6),
            st.integers(0, 4),
            operations,
        ),
    ),
    max_size=50,
)


def run(log: list[bytes]) -> tuple[StateMachine, list[Applied | None]]:
    machine = StateMachine()
    return machine, [machine.apply(index, data) for index, data in enumerate(log, start=1)]


@given(entries)
@settings(max_examples=150, deadline=None)
def test_two_machines_with_the_same_log_agree_in_everything(log: list[bytes]) -> None:
    (one, answers), (two, again) = run(log), run(log)
    assert state(one) == state(two)
    assert answers == again
    assert (len(one.sessions), one.sessions.horizon) == (len(two.sessions), two.sessions.horizon)


@given(entries, entries, st.sampled_from([20, 100, 1 << 20]), st.sampled_from([20, 100, 1 << 20]))
@settings(max_examples=600, deadline=None)
def test_a_restored_machine_goes_on_as_the_one_it_was_taken_of(
    log: list[bytes], rest: list[bytes], answers_bytes: int, total_bytes: int
) -> None:
    """Whatever decides an answer must be in the snapshot, or follow from what is: with bounds so small that
    answers which nobody has fetched stand in the way of others."""
    limits = SessionLimits(answers_bytes_max=answers_bytes, answers_total_bytes_max=total_bytes)
    machine = StateMachine(limits)
    for index, data in enumerate(log, start=1):
        machine.apply(index, data)
    other = copied(machine)
    for index, data in enumerate(rest, start=len(log) + 1):
        assert plain(machine.apply(index, data)) == plain(other.apply(index, data))
    assert state(machine) == state(other)
    assert machine.sessions.weight == other.sessions.weight
    assert (len(machine.sessions), machine.sessions.horizon) == (len(other.sessions), other.sessions.horizon)


TWICE = [
    Command(1, 0, 3, 0, Op.TXN, ((), (), ())).encode(),
    Command(1, 0, 3, 0, Op.PUT, (b"k", b"v")).encode(),
]


@given(entries, st.integers(0, 50), st.integers(0, 20))
@example(TWICE, 1, 0)
@settings(max_examples=150, deadline=None)
def test_a_machine_that_comes_from_a_snapshot_half_way_goes_on_like_the_others(
    log: list[bytes], taken_at: int, tidied: int
) -> None:
    """Whether a transaction that reads the past fails must not depend on who was restored (PITFALLS 38)."""
    one = StateMachine()
    for index, data in enumerate(log[:taken_at], start=1):
        one.apply(index, data)
    two = copied(one)
    one.history.tidy(tidied, 0)
    for index, data in enumerate(log[taken_at:], start=one.applied_index + 1):
        assert plain(one.apply(index, data)) == plain(two.apply(index, data))
    assert state(one) == state(two)
    assert one.history.kept_bytes == two.history.kept_bytes


@given(entries, st.data())
@settings(max_examples=100, deadline=None)
def test_a_log_in_which_every_command_comes_twice_gives_the_same_contents(
    log: list[bytes], data: st.DataObject
) -> None:
    """Every command of a well-behaved client is applied once, however often it comes. Retries follow
    their first try at once here, and births and floors are honest."""
    # The id of a lease is the index of its entry, which is another one here.
    operations_of = [
        command
        for command in (Command.decode(entry) for entry in log if _is_command(entry))
        if command.op <= Op.MULTI_PUT and len(command.arguments) < 3
    ]
    once = [
        Command(7, 0, number, 0, command.op, command.arguments).encode()
        for number, command in enumerate(operations_of, start=1)
    ]
    copies = [data.draw(st.integers(1, 3)) for _ in once]
    often = [entry for entry, count in zip(once, copies, strict=True) for _ in range(count)]
    one, two = run(once)[0], run(often)[0]
    assert (one.revision, one.digest, contents(one)) == (two.revision, two.digest, contents(two))


def _is_command(data: bytes) -> bool:
    try:
        Command.decode(data)
    except ValueError:
        return False
    return True


@given(st.lists(plain_operations, max_size=20), st.lists(plain_operations, max_size=20), st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_a_single_different_byte_shows_in_the_digest_for_good(
    before: list[Operation], after: list[Operation], byte: int
) -> None:
    digests = []
    for value in (bytes([byte]), bytes([byte ^ 1])):
        client = Client(StateMachine())
        for operation in before:
            client.do(*operation)
        client.put(b"different", value)
        for operation in after:
            if operation[0] != Op.DELETE_RANGE:  # may remove it, and then there is one change less to see
                client.do(*operation)
        digests.append(client.machine.digest)
    assert digests[0] != digests[1]


def test_the_digest_does_not_depend_on_the_order_of_a_hash_table() -> None:
    """The same log in processes whose hashes of bytes and text differ."""
    script = (
        "from raftkv.kv import Command, Op, StateMachine\n"
        "machine = StateMachine()\n"
        "pairs = [(b'%d' % number, b'%d' % (number * 7)) for number in range(50)]\n"
        "puts = [[1, key, value, 4] for key, value in pairs]\n"
        "log = [(Op.MULTI_PUT, pairs), (Op.DELETE_RANGE, b'2', b'4'), (Op.PUT, b'x', b'y'),\n"
        "       (Op.LEASE_GRANT, 1000), (Op.TXN, [], puts, []), (Op.LEASE_REVOKE, 4)]\n"
        "for index, (op, *arguments) in enumerate(log, 1):\n"
        "    machine.apply(index, Command(1, 0, index, 0, op, tuple(arguments)).encode())\n"
        "print(machine.revision, machine.digest, machine.range(b'', b''))\n"
        "print(machine.history.events)\n"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=30,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1
