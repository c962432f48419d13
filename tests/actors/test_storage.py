"""The actor that keeps the disk busy: what waits for it is counted, and let go of."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from raftkv.actors.messages import DiskPressure, Step, Tick, Write
from raftkv.actors.raft import RaftActor
from raftkv.actors.snapshot_messages import WriteChunk
from raftkv.actors.snapshot_schedule import SnapshotRule
from raftkv.actors.storage import BACKLOG_BYTES_MAX, WRITE_OVERHEAD_BYTES, DiskResult, StorageActor
from raftkv.actors.system import ActorName
from raftkv.errors import DiskFull
from raftkv.kv import Retention
from raftkv.observe import DiskFault
from raftkv.raft import Configuration, Entry, EntryKind, HardState, Raft, RaftOptions, SnapshotMark
from raftkv.raft.messages import AppendEntries, Heartbeat, PersistMark
from raftkv.storage import DiskJob, StoreChunk
from raftkv.types import LogIndex, NodeId, Term
from tests.actors.recorded import Recorded

DONE = DiskResult(True, None, 0.001, 0, 0)
TERM = Term(1)
NOWHERE = LogIndex(0)


class Idle:
    """A disk that takes jobs, and does nothing."""

    def __init__(self) -> None:
        self.jobs: list[DiskJob] = []

    def submit(self, job: DiskJob) -> None:
        self.jobs.append(job)

    def set_fault(self, fault: DiskFault | None) -> None:
        raise NotImplementedError


def write(index: int, size: int = 1) -> Write:
    entry = Entry(LogIndex(index), TERM, EntryKind.COMMAND, b"x" * size)
    mark = PersistMark(LogIndex(index), TERM, TERM)
    return Write(mark, HardState(TERM, None, LogIndex(0)), [entry], [])


def answer() -> Write:
    """What an empty append is answered with: it only waits for the writes before it."""
    return Write(None, None, [], [])


def test_what_has_left_the_queue_is_no_backlog() -> None:
    """For however long it goes on, in whatever order writes and answers without one come."""
    context, disk, rng = Recorded(), Idle(), random.Random(1)
    actor = StorageActor(context, disk, 0)
    index = 0
    for _ in range(2000):
        for _ in range(rng.randint(1, 4)):
            if rng.random() < 0.5:
                index += 1
                actor.handle(write(index, rng.choice((1, 5000))))
            else:
                actor.handle(answer())
            actor.end_of_turn()
        if disk.jobs and rng.random() < 0.9:
            disk.jobs.clear()
            actor.handle(DONE)
            actor.end_of_turn()
    while disk.jobs:
        disk.jobs.clear()
        actor.handle(DONE)
        actor.end_of_turn()
    assert actor.backlog_bytes == 0
    assert not context.of(DiskPressure)


def test_what_only_waits_for_others_becomes_a_backlog_as_well() -> None:
    """A leader asks a follower that does not answer where it is, twenty times a second and for days."""
    context, disk = Recorded(), Idle()
    actor = StorageActor(context, disk, 0)
    actor.handle(write(1))
    actor.end_of_turn()
    for _ in range(BACKLOG_BYTES_MAX // WRITE_OVERHEAD_BYTES + 1):
        actor.handle(answer())
    actor.end_of_turn()
    (pressure,) = [message for to, message in context.sent if to == "raft"]
    assert pressure == DiskPressure(False, True)
    before = actor.backlog_bytes
    for _ in range(1000):
        actor.handle(Write(None, None, [], [Heartbeat(NodeId("n1"), NodeId("n2"), TERM, NOWHERE, 0)]))
    assert actor.backlog_bytes == before
    assert actor.messages_lost == 1000, "as a network may lose them"
    actor.handle(write(2))
    assert actor.backlog_bytes > before, "what is to be written is never lost"


@pytest.mark.parametrize("entries", [0, 1])
def test_a_backlogged_node_takes_no_appends_also_not_those_that_only_ask_where_it_is(entries: int) -> None:
    context = Recorded()
    n1, n2, n3 = (NodeId(f"n{number}") for number in (1, 2, 3))
    raft = Raft(
        n1, Configuration.of([n1, n2, n3]), RaftOptions(), random.Random(1), HardState(TERM, None, NOWHERE)
    )
    actor = RaftActor(
        context, raft, 0.01, SnapshotRule(1000, 1 << 20), ("i", ()), Retention(100, 1000, 1 << 20)
    )
    sent = [Entry(LogIndex(1), TERM, EntryKind.COMMAND, b"x")] * entries
    asked = Step([AppendEntries(n2, n1, TERM, NOWHERE, Term(0), sent, NOWHERE)])
    for backlogged in (True, False):
        actor.handle(DiskPressure(False, backlogged))
        actor.handle(asked)
        actor.end_of_turn()
        assert bool(context.of(Write)) is not backlogged


def test_a_backlog_is_told_when_it_is_one_and_when_it_is_none_any_more() -> None:
    context, disk = Recorded(), Idle()
    actor = StorageActor(context, disk, 0)
    for index in range(1, 40):
        actor.handle(write(index, BACKLOG_BYTES_MAX // 32))
        actor.end_of_turn()
    while disk.jobs:
        disk.jobs.clear()
        actor.handle(DONE)
        actor.end_of_turn()
    told = [
        message.backlogged for to, message in context.sent if to == "raft" and type(message) is DiskPressure
    ]
    assert told == [True, False]
    assert actor.backlog_bytes == 0


@pytest.mark.parametrize(
    ("index", "reply_to", "queued", "goes"),
    [
        (2, "store", (), True),
        (3, "store", (), False),  # applied, as the others have it, and not on this disk
        (2, "raft", (), False),  # a leader's: it may be ahead of all that is here
        (2, "store", (2, 3), False),  # to be overwritten
    ],
)
def test_while_the_log_finds_no_room_a_snapshot_goes_ahead_if_nothing_of_it_waits(
    index: int, reply_to: ActorName, queued: Sequence[int], goes: bool
) -> None:
    disk = Idle()
    actor = StorageActor(Recorded(), disk, 0)
    actor.handle(write(3))
    actor.end_of_turn()
    actor.handle(DiskResult(None, DiskFull("no space left"), 0.0, 0, 0))
    for other in queued:
        actor.handle(write(other))
    chunk = StoreChunk(SnapshotMark(LogIndex(index), TERM, 7, 1), 0, b"", True)
    actor.handle(WriteChunk(chunk, reply_to))
    actor.end_of_turn()
    assert (disk.jobs[1:] == [chunk]) is goes
    if goes:
        actor.handle(DONE)
    actor.handle(Tick())
    actor.end_of_turn()
    assert disk.jobs[-1] == disk.jobs[0], "the batch is tried again in any case"
