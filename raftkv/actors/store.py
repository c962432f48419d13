"""Applies committed entries to the state machine, has reads served from it, and takes and restores its
snapshots: chunk by chunk, each only when the one before is on disk, so that neither this loop nor the
disk is ever held up by a whole one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from raftkv.actors.audit import EVERY
from raftkv.actors.messages import (
    AppliedBatch,
    Apply,
    Applying,
    DigestTaken,
    Read,
    Tick,
)
from raftkv.actors.read_queue import ReadQueue
from raftkv.actors.snapshot_messages import (
    ChunkRefused,
    ChunkStored,
    Restore,
    SnapshotEnded,
    StateSwapped,
    StopRestoring,
    SwapState,
    TakeSnapshot,
    WriteChunk,
)
from raftkv.actors.system import Context
from raftkv.kv import CHUNK_BYTES, Applied, Restoration, StateMachine
from raftkv.kv.leases import LeaseView
from raftkv.raft import Entry, EntryKind, SnapshotChunk, SnapshotMark
from raftkv.storage import StoreChunk
from raftkv.types import LogIndex

APPLY_SECONDS_A_TURN = 0.05
PART = 8
"""Entries between two looks at the clock. Divides ``EVERY``."""
TIDY_SECONDS = 0.005
"""Between two steps of letting go of what was compacted."""
ID_BITS = 62


class _TidyUp:
    """A timer went off: there is more history to let go of."""


class _Incoming:
    """A leader's snapshot, as far as it has come."""

    __slots__ = ("fed", "mark", "restoration", "whole")

    def __init__(self, mark: SnapshotMark, machine: StateMachine) -> None:
        self.mark = mark
        self.restoration = Restoration(machine)
        self.fed = 0
        self.whole = False

    def feed(self, chunk: SnapshotChunk) -> None:
        """Raises ValueError for one that is no use."""
        if chunk.number != self.fed or self.whole:
            raise ValueError(f"chunk {chunk.number} where {self.fed} was expected")
        self.whole = self.restoration.feed(chunk.data)
        self.fed += 1
        if self.restoration.machine.applied_index != self.mark.index:
            raise ValueError(
                f"a state of index {self.restoration.machine.applied_index}, not {self.mark.index}"
            )
        if self.whole != (self.fed == self.mark.chunks):
            raise ValueError(f"{self.mark.chunks} chunks were promised, the end is at {self.fed}")


class StoreActor:
    def __init__(
        self,
        context: Context,
        machine: StateMachine,
        lease_ms_left: Callable[[LeaseView], int],
        chunk_bytes: int = CHUNK_BYTES,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """``lease_ms_left``: of a lease's time, as this node's clock has it. ``clock``: by which it is seen
        how long applying takes; None: by this node's own."""
        self._context = context
        self._chunk_bytes = chunk_bytes
        self._clock = clock or context.fresh_now
        self._work: deque[list[Entry] | Any] = deque()
        """Committed entries, to be applied when the turn ends, as what others wait for has left by then; and
        what was asked of the state behind them, where they were too much for one turn."""
        self._goes_on = False
        """There is more of it than one turn can do, and raft hands out no more meanwhile."""
        self._seconds = 0.0
        """That this turn has spent on entries."""
        self._reads = ReadQueue(lease_ms_left)
        self._taking: SnapshotMark | None = None
        self._incoming: _Incoming | None = None
        self._tidying = False
        self.machine = machine
        self.reads_total = 0

    def handle(self, message: Any) -> None:
        match message:
            case Apply():
                if self._work and type(self._work[-1]) is list:
                    self._work[-1] += message.entries
                else:
                    self._work.append(list(message.entries))
            case Read():
                self._reads.add(message)
            case Tick():
                pass  # there is more to serve, which the end of this turn sees to
            case _:
                self._work.append(message)
                self._do()

    def end_of_turn(self) -> None:
        self._do()
        self._seconds = 0.0
        served = self._reads.serve(self.machine)
        if served.replies:
            self.reads_total += len(served.replies)
            self._context.send("gateway", served)
        if self._work or self._reads:
            self._context.set_timer("store", 0.0, Tick())
        if bool(self._work) is not self._goes_on:
            self._goes_on = bool(self._work)
            self._context.send("raft", Applying(self._goes_on))

    def _do(self) -> None:
        """In order, until this turn has been long enough. All nodes apply the same: what makes one deaf makes
        all deaf, and a transaction of fifty bytes may take twenty milliseconds."""
        work = self._work
        while work and self._seconds < APPLY_SECONDS_A_TURN:
            if type(work[0]) is list:
                self._apply(work[0])
                if work[0]:
                    return
                work.popleft()
            else:
                self._on_request(work.popleft())

    def _on_request(self, message: Any) -> None:
        match message:
            case _TidyUp():
                self._tidying = False
                self._tidy()
            case TakeSnapshot():
                self._take_snapshot(message)
            case ChunkStored():
                self._on_chunk_stored(message)
            case Restore():
                self._restore(message.chunk)
            case SwapState():
                self._swap(message.mark)
            case StopRestoring():
                if self._incoming and self._incoming.mark.id == message.snapshot_id:
                    self._incoming = None
            case _:
                raise AssertionError(f"store got {message}")

    def _apply(self, entries: list[Entry]) -> None:
        """As many as there is time for; those are gone from ``entries`` then."""
        machine, clock = self.machine, self._clock
        assert entries[0].index == machine.applied_index + 1, "committed entries without gaps"
        self._tidy()  # before, not after: who watches has not seen yet what is applied now
        results: list[Applied] = []
        first, count, left = 0, len(entries), APPLY_SECONDS_A_TURN - self._seconds
        begun = now = clock() if count > PART else 0.0
        while first < count and now - begun < left:
            # In parts that end where nodes compare their states.
            until = first + PART - machine.applied_index % PART
            results += apply_entries(machine, entries[first:until])
            if machine.applied_index % EVERY == 0:
                self._context.send("audit", DigestTaken(LogIndex(machine.applied_index), machine.digest))
            first = until
            if count > PART:  # a single part is not cut, so how long it takes does not matter
                now = clock()
        del entries[:first]
        self._seconds += now - begun
        if results:
            self._context.send("gateway", AppliedBatch(results))

    def _tidy(self) -> None:
        if self.machine.history.tidy() and not self._tidying:
            self._tidying = True
            self._context.set_timer("store", TIDY_SECONDS, _TidyUp())

    # -- snapshots of our own

    def _take_snapshot(self, message: TakeSnapshot) -> None:
        assert message.index == self.machine.applied_index, "a snapshot of what is applied"
        assert self._taking is None, "one at a time"
        snapshot_id = self._context.random.getrandbits(ID_BITS)
        self._taking = SnapshotMark(
            LogIndex(message.index), message.term, snapshot_id, 0, message.configuration
        )
        self.machine.begin_capture(self._chunk_bytes)
        self._write_next_chunk(0)

    def _write_next_chunk(self, number: int) -> None:
        assert self._taking
        assert self.machine.capture
        data, last = self.machine.capture.next_chunk()
        self._context.send("storage", WriteChunk(StoreChunk(self._taking, number, data, last), "store"))

    def _on_chunk_stored(self, message: ChunkStored) -> None:
        taking = self._taking
        if taking is None or taking.id != message.snapshot_id:
            return
        if not message.stored:
            self._give_up()
        elif message.last:
            self._taking = None
            mark = taking._replace(chunks=message.number + 1)
            self._context.send("raft", SnapshotEnded(mark, message.bytes_used))
        else:
            self._write_next_chunk(message.number + 1)

    def _give_up(self) -> None:
        if self._taking:
            self._taking = None
            if self.machine.capture:
                self.machine.capture.abandon()
            self._context.send("raft", SnapshotEnded(None, 0))

    # -- a leader's snapshot

    def _restore(self, chunk: SnapshotChunk) -> None:
        """What is not understood never reaches the disk: the next start would have to make do with it."""
        if chunk.number == 0:
            if self.machine.capture:
                self._give_up()  # but not one whose end is on its way to the disk, and will be there
            self._incoming = _Incoming(chunk.mark, StateMachine(self.machine.sessions.limits))
        incoming = self._incoming
        try:
            if incoming is None or incoming.mark.id != chunk.mark.id:
                raise ValueError("a chunk of a snapshot that was given up")
            incoming.feed(chunk)
        except ValueError as error:
            self._incoming = None
            self._context.send("raft", ChunkRefused(chunk.mark.id, str(error)))
            return
        job = StoreChunk(chunk.mark, chunk.number, chunk.data, incoming.whole)
        self._context.send("storage", WriteChunk(job, "raft"))

    def _swap(self, mark: SnapshotMark) -> None:
        incoming, self._incoming = self._incoming, None
        assert incoming, "what is installed was restored"
        assert incoming.whole, "all of it"
        assert incoming.mark.id == mark.id, "and nothing else"
        self.machine = incoming.restoration.machine
        for actor in ("gateway", "watches", "leases"):
            self._context.send(actor, StateSwapped())


def apply_entries(machine: StateMachine, entries: list[Entry]) -> list[Applied]:
    """What each kind of entry does to a state, and what is to be told of the commands among them."""
    results: list[Applied] = []
    command = EntryKind.COMMAND
    for index, _, kind, data in entries:
        if kind == command:
            applied = machine.apply(index, data)
            if applied is not None:
                results.append(applied)
        elif kind == EntryKind.CLOCK:
            machine.advance(index, data)
        else:
            machine.skip(index)
    return results
