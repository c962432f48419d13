"""Applies committed entries to the state machine and serves reads from it."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Any

from raftkv.actors.messages import AppliedBatch, Apply, Read, ReadServed, Tick
from raftkv.actors.system import Context
from raftkv.kv import Code, StateMachine
from raftkv.kv.limits import RANGE_BYTES_MAX
from raftkv.raft import EntryKind
from raftkv.wire.client import Kind, Reply, Request

BYTES_A_TURN_MAX = 8 << 20
_ANSWER_BYTES = 1024
"""What one answer is taken for, besides a range's bytes: about eight thousand gets a turn."""


class StoreActor:
    def __init__(self, context: Context, machine: StateMachine) -> None:
        self._context = context
        self._waiting: list[tuple[int, int, Read]] = []
        self._waiting_count = 0
        self._serving: deque[tuple[bytes, Request]] = deque()
        self.machine = machine
        self.reads_total = 0

    def handle(self, message: Any) -> None:
        match message:
            case Apply():
                self._apply(message)
            case Read():
                if message.read_index <= self.machine.applied_index:
                    self._serving += message.requests
                    self._serve()
                else:
                    self._waiting_count += 1
                    heapq.heappush(self._waiting, (message.read_index, self._waiting_count, message))
            case Tick():
                self._serve()
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
        ready = bool(self._waiting) and self._waiting[0][0] <= machine.applied_index
        while self._waiting and self._waiting[0][0] <= machine.applied_index:
            self._serving += heapq.heappop(self._waiting)[2].requests
        if ready:
            self._serve()

    def _serve(self) -> None:
        """Answer what can be answered now, but only so much a turn: the rest waits for the next, so
        that no flood of large ranges keeps this node from its heartbeats."""
        replies: list[tuple[bytes, Reply]] = []
        linearizable = size = 0
        while self._serving and size < BYTES_A_TURN_MAX:
            identity, request = self._serving.popleft()
            answer = self._answer(request)
            replies.append((identity, answer))
            linearizable += not request[-1]
            size += _ANSWER_BYTES + (RANGE_BYTES_MAX if request[1] == Kind.RANGE else 0)
        self.reads_total += len(replies)
        if replies:
            self._context.send("gateway", ReadServed(replies, linearizable))
        if self._serving:
            self._context.set_timer("store", 0.0, Tick())

    def _answer(self, request: Request) -> Reply:
        machine = self.machine
        if request[1] == Kind.GET:
            return (request[0], Code.OK, machine.revision, machine.get(request[2]))
        request_id, _, start, end, limit, reverse, keys_only, count_only, _ = request
        found = machine.range(start, end, max(0, limit), reverse, keys_only, count_only)
        return (request_id, Code.OK, machine.revision, found)
