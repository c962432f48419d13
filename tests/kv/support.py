"""What the tests of the state machine share: commands of one client, and whole contents."""

from __future__ import annotations

from typing import Any

from raftkv.kv import Answer, Code, Command, KeyValue, Op, Restoration, StateMachine
from raftkv.kv.snapshot import Capture


class Client:
    """Encodes commands as a client does and applies them at the next index."""

    def __init__(self, machine: StateMachine, client_id: int = 1, born: int | None = None) -> None:
        self.machine = machine
        self.client_id = client_id
        self.born = machine.applied_index if born is None else born
        self.sequence = 0

    def do(self, op: int, *arguments: Any) -> Answer:
        """The next command, as one that waits for nothing else."""
        self.sequence += 1
        return self.send(self.sequence, self.sequence, op, *arguments)

    def send(self, sequence: int, floor: int, op: int, *arguments: Any) -> Answer:
        command = Command(self.client_id, self.born, sequence, floor, op, arguments)
        applied = self.machine.apply(self.machine.applied_index + 1, command.encode())
        assert applied is not None
        assert applied[:2] == (self.client_id, sequence)
        return applied.answer

    def put(self, key: bytes, value: bytes) -> Answer:
        return self.do(Op.PUT, key, value)


def contents(machine: StateMachine) -> list[tuple[bytes, KeyValue]]:
    """Everything, page by page."""
    found: list[tuple[bytes, KeyValue]] = []
    start = b""
    while True:
        page = machine.range(start, b"")
        found += page.items
        if not page.more:
            return found
        start = page.items[-1][0] + b"\0"


def state(machine: StateMachine) -> tuple[int, int, int, int, list[tuple[bytes, KeyValue]]]:
    """All that two machines with the same log must agree on."""
    return machine.revision, machine.digest, machine.applied_index, len(machine), contents(machine)


def machine_with(*keys: bytes, value: bytes = b"value") -> StateMachine:
    machine = StateMachine()
    client = Client(machine)
    for key in keys:
        assert client.put(key, value).code == Code.OK
    return machine


def copied(machine: StateMachine) -> StateMachine:
    """By way of a snapshot."""
    capture, other, last = machine.begin_capture(100), StateMachine(machine.sessions.limits), False
    restoration = Restoration(other)
    while not last:
        chunk, last = capture.next_chunk()
        assert restoration.feed(chunk) == last
    return other


def chunks_left(capture: Capture) -> list[bytes]:
    found = []
    last = False
    while not last:
        chunk, last = capture.next_chunk()
        found.append(chunk)
    return found
