"""Drives the pure core: feeds it what arrived, and at the end of each turn does what ONE ``Ready``
says. What must not leave before something is on the disk goes with it to storage; all else leaves at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raftkv.actors.messages import (
    Apply,
    Applying,
    BegunAnew,
    Campaign,
    ChangeMembers,
    DiskPressure,
    Doubted,
    EndLeases,
    MembersChanging,
    MembershipChanged,
    Met,
    Note,
    Persisted,
    ProposalRefused,
    Propose,
    ReadIndexReady,
    ReadIndexRequest,
    Send,
    SoftStateChanged,
    Step,
    Stop,
    Tick,
    Trace,
    TransferLeadership,
    Write,
)
from raftkv.actors.snapshot_messages import (
    ChunkRefused,
    ChunkStored,
    Restore,
    SendChunks,
    SnapshotEnded,
    SnapshotWanted,
    StopRestoring,
    SwapState,
    TakeSnapshot,
)
from raftkv.actors.snapshot_schedule import SnapshotRule, SnapshotSchedule
from raftkv.actors.system import ActorName, Context
from raftkv.errors import EntriesLost
from raftkv.kv import Code, Retention
from raftkv.kv.clock import ClockStep
from raftkv.observe import events
from raftkv.raft import Entry, Message, Proposal, Raft, Ready, trace
from raftkv.raft.log import size_of
from raftkv.raft.messages import AppendEntries, InstallSnapshot
from raftkv.types import LogIndex, NodeId, Term

TICKS_CAUGHT_UP_MAX = 5
"""After a pause, time is not made up: a heartbeat's worth of ticks at most passes before what waits in the
sockets is read, or every pause would look like an election timeout. Nor does the node ever sleep longer by
itself."""

SAME_MOMENT = 1e-6
"""Seconds: times that were added up differently."""

STAMP_MS = 1000
"""Between two clock entries."""
_TOLD_OF_STATE: tuple[ActorName, ...] = ("gateway", "leases", "node")
_TOLD_OF_MEMBERSHIP: tuple[ActorName, ...] = ("peers", "leases", "node")
_REFUSALS = {Proposal.NOT_LEADER: Code.NO_LEADER, Proposal.BUSY: Code.BUSY}


class RaftActor:
    def __init__(
        self,
        context: Context,
        raft: Raft,
        tick_seconds: float,
        rule: SnapshotRule,
        introduction: tuple[str, tuple[str, ...]],
        retention: Retention,
    ) -> None:
        """``introduction``: this node's incarnation and its endpoints. ``retention``: of the store's history,
        as long as this node leads."""
        self._retention = retention
        self._context = context
        self._introduction = introduction
        self._tick_seconds = tick_seconds
        self._stamped_term = raft.current_term
        self._stamped_at = context.now()
        self._ending = Term(0), LogIndex(0)
        """The entry, proposed last, that ends leases."""
        self.schedule = SnapshotSchedule(rule)
        self._next_tick = context.now() + tick_seconds
        self._wakes_at = self._next_tick
        """When the earliest timer that is set goes off."""
        self._pressure = DiskPressure(False, False)
        self._restoring: int | None = None
        """The snapshot of which the store has had chunks."""
        self._postponed: list[Entry] = []
        """Committed, to be applied in the next turn."""
        self.raft = raft
        self.appends_dropped = 0
        context.set_timer("raft", tick_seconds, Tick())

    def handle(self, message: Any) -> None:
        if self._postponed:
            self._apply(self._postponed)
            self._postponed = []
        if self._context.now() + SAME_MOMENT >= self._next_tick:
            self._tick()
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
                if self.schedule.is_due(self.raft, self._context.now()):
                    self._take_snapshot()
            case ChunkStored():
                self._on_chunk_stored(message)
            case ChunkRefused():
                self.raft.chunk_refused(message.snapshot_id)
                self._context.send("status", Note(events.SNAPSHOT_REFUSED, {"cause": message.cause}))
            case SnapshotEnded():
                self._on_snapshot_ended(message)
            case SnapshotWanted():
                self._take_snapshot()
            case Met():
                self.raft.meet(message.name, message.incarnation, message.address, message.priority)
            case BegunAnew():
                self.raft.begun_anew(message.peer)
            case ChangeMembers():
                refused = self.raft.change_membership(message.change)
                index = self.raft.log.configurations.latest_index
                self._context.send("control", MembersChanging(message, refused, index))
            case EndLeases():
                if self.raft.leadership and not self._pressure.high and not self._is_ending:
                    self._stamp(message.lapses)
            case DiskPressure():
                self._pressure, self.raft.disk_full = message, message.full
            case Applying():
                self.raft.pause_delivery(message.goes_on)
            case Campaign():
                self.raft.campaign()
            case TransferLeadership():
                self.raft.transfer_leadership(message.to)
            case _:
                raise AssertionError(f"raft got {message}")

    def end_of_turn(self) -> None:
        if self.raft.options.lease_us:
            # Of this very moment: what is read now was asked before it, even if this turn was held up.
            self.raft.now_us = int(self._context.lease_now() * 1e6)
        ready = self.raft.ready()
        if ready:
            self._carry_out(ready)
        self._stop_restoring()
        if self.raft.doubt.lost:
            self._context.send("node", Stop("entries lost", _lost(self.raft.node_id, self.raft.doubt.lost)))
        if self.raft.log.unapplied:
            # First whatever has arrived: a node that starts with a long log would be deaf until all of it is
            # applied. Or it was postponed.
            self._context.set_timer("raft", 0.0, Tick())
        self._plan_waking()

    def _carry_out(self, ready: Ready) -> None:
        send = self._context.send
        if ready.mark or ready.messages_after_append:
            write = Write(
                ready.mark, ready.hard_state, ready.entries, ready.messages_after_append, ready.anew
            )
            send("storage", write)
        if ready.messages:
            self._send(ready.messages)
        if ready.events:
            send("status", Trace(ready.events))
            for event in ready.events:
                if isinstance(event, trace.LeaderDoubted):
                    send("audit", Doubted(event.leader, event.index))
        if ready.soft_state:
            # Ahead of the results: they belong to whoever the gateway still holds.
            for actor in _TOLD_OF_STATE:
                send(actor, SoftStateChanged(ready.soft_state))
        if ready.membership:
            for actor in _TOLD_OF_MEMBERSHIP:
                send(actor, MembershipChanged(ready.membership))
        if ready.chunks or ready.installed:
            self._restore(ready)
        if ready.committed:
            # Nothing is postponed twice: 'end_of_turn' sets a timer for what is, which comes before all else.
            assert not self._postponed
            if ready.entries and not self.raft.leadership:
                self._postponed = ready.committed  # the leader's answer comes first: all clients wait for it
            else:
                self._apply(ready.committed)
        for context, read_index in ready.read_states:
            send("gateway", ReadIndexReady(context, read_index))

    def _apply(self, entries: list[Entry]) -> None:
        self._context.send("store", Apply(entries))
        self.raft.applied(entries[-1].index)
        self.schedule.applied(size_of(entries))

    def _send(self, messages: list[Message]) -> None:
        chunks = [message for message in messages if isinstance(message, InstallSnapshot)]
        if chunks:
            self._context.send("storage", SendChunks(chunks))
            messages = [message for message in messages if not isinstance(message, InstallSnapshot)]
        if messages:
            self._context.send("peers", Send(messages))

    # -- snapshots

    def _restore(self, ready: Ready) -> None:
        if ready.installed:
            # First: chunks that come with it belong to the next one.
            self.schedule.installed += 1
            self._context.send("store", SwapState(ready.installed))
            self._restoring = None
        for chunk in ready.chunks:
            self._context.send("store", Restore(chunk))
            self._restoring = chunk.mark.id

    def _stop_restoring(self) -> None:
        """What the core has given up takes as much memory as the state itself."""
        incoming = self.raft.snapshots.incoming
        if self._restoring is not None and (incoming is None or incoming.mark.id != self._restoring):
            self._context.send("store", StopRestoring(self._restoring))
            self._restoring = None

    def _on_chunk_stored(self, message: ChunkStored) -> None:
        if not message.stored:
            self.raft.chunk_refused(message.snapshot_id)
            return
        if message.last:
            self.schedule.received(message.bytes_used)
        self.raft.chunk_stored(message.snapshot_id, message.number)

    def _take_snapshot(self) -> None:
        if not self.schedule.may_begin(self.raft):
            return
        index = self.raft.log.last_applied
        term = self.raft.log.term_at(index)
        assert term is not None
        self.schedule.begun()
        _, configuration = self.raft.log.configurations.at(index)
        self._context.send("store", TakeSnapshot(index, term, configuration.encode()))

    def _on_snapshot_ended(self, message: SnapshotEnded) -> None:
        if message.mark is None:
            self.schedule.given_up(self._context.now())
            return
        self.schedule.stored(message.bytes_used)
        self.raft.snapshot_taken(message.mark)
        fields = {"index": message.mark.index, "bytes": message.bytes_used}
        self._context.send("status", Note(events.SNAPSHOT_TAKEN, fields))

    def _step(self, message: Step) -> None:
        for inner in message.messages:
            if self._pressure.backlogged and isinstance(inner, AppendEntries):
                # The leader's window holds it back as long as we do not answer (PITFALLS 39). One without
                # entries, which asks where we are, would wait for the disk as well, and others after it.
                self.appends_dropped += 1
                continue
            self.raft.step(inner)

    def _propose(self, message: Propose) -> None:
        if self.raft.leadership and not self._pressure.high:
            self._stamp()
        outcome = Proposal.BUSY
        if not self._pressure.high:
            outcome = self.raft.propose(message.commands, message.forwarded_by)
        if outcome is not Proposal.ACCEPTED and message.keys:
            self._context.send("gateway", ProposalRefused(message.keys, _REFUSALS[outcome]))

    def _stamp(self, ended: Sequence[tuple[int, int]] = ()) -> None:
        """Ahead of the commands, once a second: an idle cluster writes nothing, and its time goes on in one
        step when there is something to write again. Steps of a leader that is deposed are lost: log time
        may lag behind, and never runs ahead. ``ended``: leases."""
        term, now = self.raft.current_term, self._context.now()
        if self._stamped_term != term:
            self._stamped_term, self._stamped_at = term, now
        elapsed_ms = int((now - self._stamped_at) * 1000)
        if elapsed_ms >= STAMP_MS or ended:
            retention = self._retention if elapsed_ms >= STAMP_MS else None
            step = ClockStep(elapsed_ms, retention, tuple(ended))
            if self.raft.propose_clock(step.encode()) is Proposal.ACCEPTED:
                self._stamped_at += elapsed_ms / 1000
                if ended:
                    self._ending = term, self.raft.log.last_index

    @property
    def _is_ending(self) -> bool:
        """Whether leases are about to end: until they have, all nodes go on saying that they should."""
        term, index = self._ending
        return term == self.raft.current_term and index > self.raft.log.commit_index

    # -- time

    def _tick(self) -> None:
        """Before anything else happens: all ticks that are due."""
        now, tick = self._context.now(), self._tick_seconds
        due = int((now + SAME_MOMENT - self._next_tick) / tick) + 1
        if due > TICKS_CAUGHT_UP_MAX:
            due, self._next_tick = TICKS_CAUGHT_UP_MAX, now + tick
        else:
            self._next_tick += due * tick
        for _ in range(due):
            self.raft.tick()
        self.raft.meet(self.raft.node_id, *self._introduction, self.raft.options.priority)

    def _plan_waking(self) -> None:
        """An idle node sleeps through the ticks in which nothing would happen."""
        now, asleep = self._context.now(), min(self.raft.ticks_until_due(), TICKS_CAUGHT_UP_MAX) - 1
        wanted = self._next_tick + asleep * self._tick_seconds
        if wanted < self._wakes_at or self._wakes_at <= now + SAME_MOMENT:
            self._wakes_at = wanted
            self._context.set_timer("raft", max(0.0, wanted - now), Tick())


def _lost(name: NodeId, lost: trace.EntriesLost) -> EntriesLost:
    return EntriesLost(
        f"node {name} has lost entries: {lost.leader} knows it to hold entry {lost.known_index}, and its log "
        f"ends at {lost.last_index}. Its data folder is an older copy, or its disk forgot what it synced; "
        f"nothing was changed. Let another node take its place: 'raftkv members replace {name}'"
    )
