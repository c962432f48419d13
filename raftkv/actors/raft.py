"""Drives the pure core: feeds it what arrived, and at the end of each turn does what ONE ``Ready``
says, in the order that safety needs: storage first, then messages, then the state machine."""

from __future__ import annotations

from typing import Any

from raftkv.actors.messages import (
    Apply,
    Campaign,
    DiskPressure,
    Persisted,
    ProposalRefused,
    Propose,
    ReadIndexReady,
    ReadIndexRequest,
    Send,
    SoftStateChanged,
    Step,
    Tick,
    Trace,
    TransferLeadership,
    Write,
)
from raftkv.actors.system import Context
from raftkv.kv import Code
from raftkv.raft import Proposal, Raft
from raftkv.raft.messages import AppendEntries

TICKS_CAUGHT_UP_MAX = 5
"""After a pause, time is not made up: what waits in the sockets is read first, and a heartbeat's
worth of ticks at most passes at once, or every pause would look like an election timeout."""

_REFUSALS = {Proposal.NOT_LEADER: Code.NO_LEADER, Proposal.BUSY: Code.BUSY}


class RaftActor:
    def __init__(self, context: Context, raft: Raft, tick_seconds: float) -> None:
        self._context = context
        self._tick_seconds = tick_seconds
        self._last_tick = context.now()
        self._backlogged = False
        self.raft = raft
        self.appends_dropped = 0
        context.set_timer("raft", tick_seconds, Tick())

    def handle(self, message: Any) -> None:
        match message:
            case Step():
                self._step(message)
            case Propose():
                self._propose(message)
            case Persisted():
                for mark in message.marks:
                    self.raft.persisted(mark)
            case ReadIndexRequest():
                self.raft.read_index(message.context)
            case Tick():
                self._tick()
            case DiskPressure():
                self._backlogged = message.backlogged
            case Campaign():
                self.raft.campaign()
            case TransferLeadership():
                self.raft.transfer_leadership(message.to)
            case _:
                raise AssertionError(f"raft got {message}")

    def end_of_turn(self) -> None:
        send = self._context.send
        while ready := self.raft.ready():
            if ready.mark or ready.messages_after_append:
                send(
                    "storage", Write(ready.mark, ready.hard_state, ready.entries, ready.messages_after_append)
                )
            if ready.messages:
                send("peers", Send(ready.messages))
            if ready.events:
                send("status", Trace(ready.events))
            if ready.soft_state:
                # Ahead of the results: they belong to whoever the gateway still holds.
                send("gateway", SoftStateChanged(ready.soft_state))
                send("node", SoftStateChanged(ready.soft_state))
            if ready.committed:
                send("store", Apply(ready.committed))
                self.raft.applied(ready.committed[-1].index)
            for context, read_index in ready.read_states:
                send("gateway", ReadIndexReady(context, read_index))
            if len(ready.committed) < self.raft.options.committed_entries_max:
                return  # nothing is left that this turn has not handed out

    def _step(self, message: Step) -> None:
        for inner in message.messages:
            if self._backlogged and isinstance(inner, AppendEntries) and inner.entries:
                # The leader's window holds it back as long as we do not answer (PITFALLS 39).
                self.appends_dropped += 1
                continue
            self.raft.step(inner)

    def _propose(self, message: Propose) -> None:
        outcome = Proposal.BUSY if self._backlogged else self.raft.propose(message.commands)
        if outcome is not Proposal.ACCEPTED and message.keys:
            self._context.send("gateway", ProposalRefused(message.keys, _REFUSALS[outcome]))

    def _tick(self) -> None:
        now = self._context.now()
        due = int((now - self._last_tick) / self._tick_seconds + 1e-6)
        if due > TICKS_CAUGHT_UP_MAX:
            due, self._last_tick = TICKS_CAUGHT_UP_MAX, now
        else:
            self._last_tick += due * self._tick_seconds
        for _ in range(due):
            self.raft.tick()
        next_tick = self._last_tick + self._tick_seconds
        self._context.set_timer("raft", max(0.0, next_tick - now), Tick())
