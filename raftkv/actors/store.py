"""Applies committed entries to the state machine and serves reads from it."""

from __future__ import annotations

import heapq
from typing import Any

from raftkv.actors.messages import AppliedBatch, Apply, Read, ReadServed
from raftkv.actors.system import Context
from raftkv.kv import Code, StateMachine
from raftkv.raft import EntryKind
from raftkv.wire.client import Kind, Reply, Request


class StoreActor:
    def __init__(self, context: Context, machine: StateMachine) -> None:
        self._context = context
        self._waiting: list[tuple[int, int, Read]] = []
        self._waiting_count = 0
        self.machine = machine
        self.reads_total = 0

    def handle(self, message: Any) -> None:
        match message:
            case Apply():
                self._apply(message)
            case Read():
                if message.read_index <= self.machine.applied_index:
                    self._serve(message)
                else:
                    self._waiting_count += 1
                    heapq.heappush(self._waiting, (message.read_index, self._waiting_count, message))
            case _:
                raise AssertionError(f"store got {message}")

    def _apply(self, message: Apply) -> None:
        machine = self.machine
        assert message.entries[0].index == machine.applied_index + 1, "committed entries without gaps"
        results = []
        for index, _, kind, data in message.entries:
            if kind == EntryKind.COMMAND:
                applied = machine.apply(index, data)
                if applied is not None:
                    results.append(applied)
            else:
                machine.skip(index)
        if results:
            self._context.send("gateway", AppliedBatch(results))
        while self._waiting and self._waiting[0][0] <= machine.applied_index:
            self._serve(heapq.heappop(self._waiting)[2])

    def _serve(self, read: Read) -> None:
        self.reads_total += len(read.requests)
        replies = [(identity, self._answer(request)) for identity, request in read.requests]
        self._context.send("gateway", ReadServed(replies))

    def _answer(self, request: Request) -> Reply:
        machine = self.machine
        if request[1] == Kind.GET:
            return (request[0], Code.OK, machine.revision, machine.get(request[2]))
        request_id, _, start, end, limit, reverse, keys_only, count_only, _ = request
        found = machine.range(start, end, max(0, limit), reverse, keys_only, count_only)
        return (request_id, Code.OK, machine.revision, found)
