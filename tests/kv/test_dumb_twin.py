"""The state machine against a plain dict, and against itself: the same log is the same state."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from raftkv.kv import Applied, Code, Command, KeyValue, Op, StateMachine
from tests.kv.support import Client, contents, state

keys = st.sampled_from([b"", b"a", b"aa", b"b", b"b\xff", b"\xff"])
values = st.sampled_from([b"", b"1", b"2"])
Operation = tuple[Any, ...]
operations = st.one_of(
    st.tuples(st.just(Op.PUT), keys, values),
    st.tuples(st.just(Op.DELETE), keys),
    st.tuples(st.just(Op.DELETE_RANGE), keys, keys),
    st.tuples(st.just(Op.COMPARE_AND_SET), keys, st.none() | values, values),
    st.tuples(st.just(Op.MULTI_PUT), st.lists(st.tuples(keys, values), max_size=3)),
)


class Model:
    """A dict and a revision; written to be read, not to be fast."""

    def __init__(self) -> None:
        self.revision = 0
        self.items: dict[bytes, KeyValue] = {}

    def do(self, op: int, *arguments: Any) -> tuple[int, int, Any]:
        if op == Op.PUT:
            return self.write([arguments])
        if op == Op.MULTI_PUT:
            (pairs,) = arguments
            if not pairs or len(dict(pairs)) < len(pairs):
                return Code.INVALID, self.revision, None
            return self.write(pairs, len(pairs))
        if op == Op.DELETE:
            (key,) = arguments
            return self.remove([key] if key in self.items else []) if key else self.invalid()
        if op == Op.DELETE_RANGE:
            return self.remove(self.between(*arguments))
        key, expected, value = arguments
        item = self.items.get(key)
        if key and (item.value if item else None) != expected:
            return Code.COMPARE_FAILED, self.revision, item
        return self.write([(key, value)])

    def between(self, start: bytes, end: bytes) -> list[bytes]:
        return sorted(key for key in self.items if start <= key and (not end or key < end))

    def invalid(self) -> tuple[int, int, Any]:
        return Code.INVALID, self.revision, None

    def write(self, pairs: Any, detail: int | None = None) -> tuple[int, int, Any]:
        if not all(key for key, _ in pairs):
            return self.invalid()
        self.revision += 1
        for key, value in pairs:
            old = self.items.get(key)
            self.items[key] = KeyValue(
                value,
                old.create_revision if old else self.revision,
                self.revision,
                old.version + 1 if old else 1,
            )
        return Code.OK, self.revision, detail

    def remove(self, found: list[bytes]) -> tuple[int, int, Any]:
        if found:
            self.revision += 1
        for key in found:
            del self.items[key]
        return Code.OK, self.revision, len(found)


@given(
    st.lists(operations, max_size=40),
    st.lists(st.tuples(keys, keys, st.integers(0, 4), st.booleans()), max_size=5),
)
@settings(max_examples=250, deadline=None)
def test_the_state_machine_is_a_dict_with_revisions(log: list[Operation], reads: list[Any]) -> None:
    machine, model = StateMachine(), Model()
    client = Client(machine)
    for operation in log:
        code, revision, detail = client.do(*operation)
        expected = model.do(*operation)
        assert (code, revision) == expected[:2]
        if code != Code.INVALID:
            assert detail == expected[2]
        assert contents(machine) == sorted(model.items.items())
    for start, end, limit, reverse in reads:
        inside = [(key, model.items[key]) for key in model.between(start, end)]
        inside = inside[::-1] if reverse else inside
        page = machine.range(start, end, limit, reverse)
        assert page == (inside[: limit or None], len(inside), bool(limit) and limit < len(inside))


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


@given(entries, st.data())
@settings(max_examples=100, deadline=None)
def test_a_log_in_which_every_command_comes_twice_gives_the_same_contents(
    log: list[bytes], data: st.DataObject
) -> None:
    """Every command of a well-behaved client is applied once, however often it comes. Retries follow
    their first try at once here, and births and floors are honest."""
    operations_of = [Command.decode(entry) for entry in log if _is_command(entry)]
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


@given(st.lists(operations, max_size=20), st.lists(operations, max_size=20), st.integers(0, 255))
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
        "log = [(Op.MULTI_PUT, pairs), (Op.DELETE_RANGE, b'2', b'4'), (Op.PUT, b'x', b'y')]\n"
        "for index, (op, *arguments) in enumerate(log, 1):\n"
        "    machine.apply(index, Command(1, 0, index, 0, op, tuple(arguments)).encode())\n"
        "print(machine.revision, machine.digest, machine.range(b'', b''))\n"
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
