"""A second, obvious state machine, which applies what is committed in a simulated world.

It keeps everything: every answer, every event. What users are told is held against it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack

from raftkv.kv import KeyValue, SessionLimits
from raftkv.kv.commands import Code, Op, decode_flat
from raftkv.kv.machine import DEFAULT_LIMITS
from raftkv.kv.transactions import Relation, Step, Target
from raftkv.raft import Entry, EntryKind
from raftkv.sim.machine import Machine


class Violation(Exception):
    """An invariant does not hold; its text says which, one a line."""


class _Client:
    def __init__(self) -> None:
        self.floor = 0
        self.last_index = 0
        self.last_ms = 0
        self.answered: set[int] = set()


class Twin:
    """The state machine the obvious way: never forgets an answer, knows one key at a time.

    It forgets *clients* by the same rule as the real one, since who is refused is part of the state; but
    what was ever applied for a client it remembers for ever, and nothing may be applied twice."""

    def __init__(self, limits: SessionLimits = DEFAULT_LIMITS) -> None:
        self.items: dict[bytes, KeyValue] = {}
        self.revision = 0
        self.events: list[tuple[int, bytes, bytes | None]] = []
        """(revision, key, value or None for a deletion), of all changes there ever were."""
        self.leases: dict[int, int] = {}
        """Id -> index of the last renewal."""
        self.on_lease_ended: Callable[[int], None] = lambda _: None
        """Hears of every lease that was not revoked."""
        self.applied = 0
        self.now_ms = 0
        self._limits = limits
        self._horizon = 0
        self._clients: dict[int, _Client] = {}
        self._answers: dict[tuple[int, int], tuple[int, int]] = {}
        """(client, sequence) -> (code, revision), of all that was ever applied."""

    def apply(self, entry: Entry) -> None:
        self.applied = entry.index
        if entry.kind == EntryKind.CLOCK:
            self._keep_house(entry.data)
            return
        if entry.kind != EntryKind.COMMAND:
            return
        try:
            client_id, born, sequence, floor, op, *arguments = decode_flat(entry.data)
        except ValueError:
            return  # nobody waits for it, and nothing follows from it
        client = self._enter(client_id, born, entry.index)
        if client is None:
            return
        client.floor = max(client.floor, floor)
        if sequence in client.answered or sequence < client.floor:
            return
        client.answered.add(sequence)
        if (client_id, sequence) in self._answers:
            raise Violation(f"write {sequence} of client {client_id:x} is applied twice")
        self._answers[client_id, sequence] = (self._do(op, arguments), self.revision)

    def _enter(self, client_id: int, born: int, index: int) -> _Client | None:
        client = self._clients.get(client_id)
        if client is None:
            if born < self._horizon or born >= index:
                return None
            client = self._clients[client_id] = _Client()
        client.last_index, client.last_ms = index, self.now_ms
        if len(self._clients) > self._limits.sessions_max:
            self._forget(min(self._clients, key=lambda each: self._clients[each].last_index))
        return client

    def _keep_house(self, data: bytes) -> None:
        """What is compacted is no part of this: nobody here reads the past through the store."""
        elapsed_ms, _, ended = msgpack.unpackb(data)
        self.now_ms += elapsed_ms
        for lease_id, renewed_index in ended:
            if self.leases.get(lease_id) == renewed_index:
                self.on_lease_ended(lease_id)
                self._become(self._without_lease(lease_id), False)
        for client_id, client in list(self._clients.items()):
            if client.last_ms < self.now_ms - self._limits.idle_ms:
                self._forget(client_id)

    def _forget(self, client_id: int) -> None:
        self._horizon = max(self._horizon, self._clients.pop(client_id).last_index)

    def _do(self, op: int, arguments: list[Any]) -> int:
        items, writes = dict(self.items), False
        match op, arguments:
            case Op.PUT, [key, value, *lease]:
                if lease and lease[0] not in self.leases:
                    return Code.LEASE_NOT_FOUND
                self._put(items, key, value, *lease)
                writes = True
            case Op.DELETE, [key]:
                items.pop(key, None)
            case Op.DELETE_RANGE, [start, end]:
                items = {key: items[key] for key in items if not (start <= key and (key < end or not end))}
            case Op.COMPARE_AND_SET, [key, expected, value]:
                if (items[key].value if key in items else None) != expected:
                    return Code.COMPARE_FAILED
                self._put(items, key, value)
                writes = True
            case Op.MULTI_PUT, [pairs]:
                for key, value in pairs:
                    self._put(items, key, value)
                writes = True
            case Op.TXN, [compares, success, failure]:
                chosen = success if all(self._holds(*compare) for compare in compares) else failure
                for step in chosen:
                    if step[0] == Step.PUT:
                        if step[3] and step[3] not in self.leases:
                            return Code.LEASE_NOT_FOUND
                        self._put(items, *step[1:])
                    elif step[0] == Step.DELETE:
                        items.pop(step[1], None)
                writes = any(item.mod_revision > self.revision for item in items.values())
            case Op.LEASE_GRANT, [_]:
                self.leases[self.applied] = self.applied
            case Op.LEASE_KEEP_ALIVE, [lease_ids]:
                self.leases.update((known, self.applied) for known in lease_ids if known in self.leases)
            case Op.LEASE_REVOKE, [lease_id]:
                if lease_id not in self.leases:
                    return Code.LEASE_NOT_FOUND
                items = self._without_lease(lease_id)
            case _:
                return Code.INVALID
        self._become(items, writes)
        return Code.OK

    def _put(self, items: dict[bytes, KeyValue], key: bytes, value: bytes, lease: int = 0) -> None:
        revision, old = self.revision + 1, items.get(key)
        if old is None:
            items[key] = KeyValue(value, revision, revision, 1, lease)
        else:
            version = old.version + (old.mod_revision != revision)
            items[key] = KeyValue(value, old.create_revision, revision, version, lease)

    def _holds(self, target: int, relation: int, key: bytes, end: bytes | None, value: Any) -> bool:
        """Of single keys, for equality: what users here ask."""
        assert (relation, end) == (Relation.EQUAL, None)
        item = self.items.get(key)
        if item is None:
            return target != Target.VALUE and value == 0
        held: Any = getattr(item, Target(target).name.lower())
        return bool(held == value)

    def _without_lease(self, lease_id: int) -> dict[bytes, KeyValue]:
        del self.leases[lease_id]
        return {key: item for key, item in self.items.items() if item.lease != lease_id}

    def _become(self, items: dict[bytes, KeyValue], writes: bool) -> None:
        """Whatever writes counts, also when it writes what was there; a deletion only if it deleted."""
        if not writes and len(items) == len(self.items):
            return
        self.revision += 1
        for key in sorted({*self.items, *items}):
            if self.items.get(key) != items.get(key):
                item = items.get(key)
                self.events.append((self.revision, key, item.value if item else None))
        self.items = items

    def check_answer(self, client_id: int, sequence: int, code: int, revision: int) -> None:
        known = self._answers.get((client_id, sequence))
        if known != (code, revision):
            raise Violation(
                f"write {sequence} of client {client_id:x} was answered with code {code} at revision "
                f"{revision}; what is committed says {known}"
            )

    def check_contents(self, machine: Machine) -> None:
        """To be called when the node has applied everything that is committed."""
        store = machine.node.store.machine
        items = dict(store.range(b"", b"").items)
        if items != self.items:
            raise Violation(f"{machine.name} holds {len(items)} keys, not the {len(self.items)} it should")
        if store.revision != self.revision:
            raise Violation(f"{machine.name} is at revision {store.revision}, not at {self.revision}")
