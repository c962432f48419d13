"""Snapshots between the actors of one node."""

from __future__ import annotations

import errno
import random
from collections import Counter
from itertools import pairwise

import pytest

from raftkv.actors.messages import (
    Apply,
    Note,
    Step,
    Tick,
    Write,
)
from raftkv.actors.raft import RaftActor
from raftkv.actors.snapshot_messages import (
    ChunkStored,
    Restore,
    SnapshotEnded,
    SnapshotWanted,
    SwapState,
    TakeSnapshot,
    WriteChunk,
)
from raftkv.actors.snapshot_schedule import SnapshotRule, SnapshotSchedule
from raftkv.actors.storage import DiskResult, StorageActor
from raftkv.actors.store import StoreActor
from raftkv.client.calls import Call
from raftkv.config import SnapshotConfig
from raftkv.errors import DiskFull
from raftkv.kv import Command, Op, Retention, StateMachine
from raftkv.observe import DiskFault
from raftkv.raft import (
    Configuration,
    Entry,
    HardState,
    PersistMark,
    Raft,
    RaftOptions,
    SnapshotChunk,
    SnapshotMark,
)
from raftkv.raft.messages import InstallSnapshot
from raftkv.storage import DiskJob, StoreChunk
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire import peer
from tests.actors.recorded import Recorded
from tests.pitfalls.test_store import end_of, hold
from tests.support.raft_cluster import RaftCluster
from tests.support.world import World

N1, N2, N3 = (NodeId(f"n{number}") for number in (1, 2, 3))
RULE = SnapshotRule(1000, 1 << 20)


def chunks_of(index: int) -> list[bytes]:
    """A state of that index."""
    machine = StateMachine()
    for number in range(1, index + 1):
        machine.apply(number, Command(1, 0, number, number, Op.PUT, (b"k", b"v")).encode())
    capture = machine.begin_capture()
    found, last = [], False
    while not last:
        chunk, last = capture.next_chunk()
        found.append(chunk)
    return found


def test_a_snapshot_installed_goes_before_the_first_chunk_of_the_next() -> None:
    """Both in one turn: the disk's word comes first, then the frame."""
    context = Recorded()
    raft = Raft(
        N1,
        Configuration.of([N1, N2, N3]),
        RaftOptions(),
        random.Random(1),
        HardState(Term(3), None, LogIndex(0)),
    )
    actor = RaftActor(context, raft, 0.01, RULE, ("i", ()), Retention(100, 1000, 1 << 20))
    first, second = (SnapshotMark(LogIndex(index), Term(2), index, 1) for index in (5, 9))

    def frame(mark: SnapshotMark) -> Step:
        return Step([InstallSnapshot(N2, N1, Term(3), mark, 0, b"")])

    actor.handle(frame(first))
    actor.end_of_turn()
    context.sent.clear()
    actor.handle(ChunkStored(first.id, 0, True, True, 100))
    actor.handle(frame(second))
    actor.end_of_turn()
    order = [type(message) for to, message in context.sent if to == "store"]
    assert order == [SwapState, Restore]


def taken(name: NodeId, until: int, every: int) -> list[int]:
    """The entries at which a voter that is small takes its snapshots."""
    context = Recorded()
    founders = Configuration.of([N1, N2, N3])
    raft = Raft(name, founders, RaftOptions(), random.Random(1), HardState(Term(3), None, LogIndex(0)))
    rule = SnapshotRule(every, 1 << 20)
    actor = RaftActor(context, raft, 0.01, rule, ("i", ()), Retention(100, 1000, 1 << 20))
    found: list[int] = []
    for index in range(1, until + 1):
        raft.log.append_no_op(Term(3))
        raft.log.commit_to(LogIndex(index))
        raft.log.take_committed(1, 1 << 20)
        raft.applied(LogIndex(index))
        actor.handle(Tick())
        for message in context.of(TakeSnapshot):
            found.append(message.index)
            actor.handle(SnapshotEnded(SnapshotMark(message.index, Term(3), index, 1), 0))
        context.sent.clear()
    return found


def test_voters_take_their_snapshots_at_different_entries() -> None:
    assert taken(N1, 2000, 900) == [900, 1800]
    assert taken(N2, 2000, 900) == [300, 1200]
    assert taken(N3, 2000, 900) == [600, 1500]
    assert taken(NodeId("n4"), 2000, 900) == [900, 1800]


def apply(store: StoreActor, first: int, last: int) -> None:
    store.handle(Apply([Entry(LogIndex(index), Term(1), 0, b"") for index in range(first, last + 1)]))


def restore(store: StoreActor, mark: SnapshotMark, number: int, data: bytes) -> None:
    store.handle(Restore(SnapshotChunk(mark, number, data)))


def test_a_leaders_snapshot_that_nobody_waits_for_does_not_keep_the_node_from_its_own() -> None:
    context = Recorded()
    store = StoreActor(context, StateMachine(), lambda _: 0)
    apply(store, 1, 3)
    chunks = chunks_of(9)
    restore(store, SnapshotMark(LogIndex(9), Term(1), 7, len(chunks)), 0, chunks[0])
    store.handle(TakeSnapshot(LogIndex(3), Term(1), b""))
    assert context.of(SnapshotEnded) == []
    assert [message.job.mark.index for message in context.of(WriteChunk)] == [9, 3]


def without_its_snapshot() -> tuple[World, str, str]:
    """A world, who leads in it, and a node that is down and will need the leader's snapshot."""
    world = World(3, seed=5, snapshot=SnapshotConfig(entries=200, retain_entries=0), chunk_bytes=4096)
    leader = world.await_leader()
    late = next(name for name in world.names if name != leader)
    world.crash(late)
    user = world.user()
    for number in range(600):
        user.put(f"k{number}", "v" * 500)
    world.reach(lambda: user.core.calls_open == 0)
    world.run(2.0)
    return world, leader, late


def test_a_leaders_snapshot_that_the_core_gives_up_is_forgotten_by_the_store() -> None:
    """It takes as much memory as the state itself, and on a quiet cluster nothing else would end it."""
    world, _, late = without_its_snapshot()
    world.start(late)
    world.machine(late).disk.slow_seconds = 0.05
    node = world.node(late)
    world.reach(lambda: node.store._incoming is not None)

    def full(operation: str) -> None:
        if operation in ("write", "allocate"):
            raise OSError(errno.ENOSPC, "No space left on device")

    world.machine(late).platter.directory.before = full
    world.reach(lambda: node.raft.raft.snapshots.incoming is None)
    assert node.store._incoming is None
    before = node.raft.schedule.installed
    world.machine(late).platter.directory.before = lambda operation: None
    world.reach(lambda: node.raft.schedule.installed > before)


def test_one_for_which_there_is_no_room_is_tried_less_and_less_often() -> None:
    """Each time it writes as much as there is room for."""
    cluster = RaftCluster(1)
    cluster.elect("n1")
    cluster.propose("n1", "a")
    schedule, now, tried = SnapshotSchedule(SnapshotRule(entries=1, bytes_min=1)), 0.0, list[float]()
    while len(tried) < 8:
        if schedule.is_due(cluster["n1"], now):
            tried.append(now)
            schedule.begun()
            schedule.given_up(now)
        now += 1.0
    assert [after - before for before, after in pairwise(tried)] == [2, 4, 8, 16, 32, 64, 64]
    schedule.begun()
    schedule.stored(1)
    schedule.applied(1)
    schedule.given_up(now)
    assert schedule.is_due(cluster["n1"], now + 2.0), "once there was room for one it begins anew"


def test_a_snapshot_whose_end_is_on_its_way_to_the_disk_is_not_given_up() -> None:
    """It will be the one that is there: the core has to know of it."""
    context = Recorded()
    store = StoreActor(context, StateMachine(), lambda _: 0)
    apply(store, 1, 3)
    store.handle(TakeSnapshot(LogIndex(3), Term(1), b""))
    while not (job := context.of(WriteChunk)[-1].job).last:
        store.handle(ChunkStored(job.mark.id, job.number, True, False, 0))
    chunks = chunks_of(9)
    restore(store, SnapshotMark(LogIndex(9), Term(1), 7, len(chunks)), 0, chunks[0])
    assert context.of(SnapshotEnded) == []
    store.handle(ChunkStored(job.mark.id, job.number, True, True, 100))
    (ended,) = context.of(SnapshotEnded)
    assert ended.mark == job.mark._replace(chunks=job.number + 1)


def test_one_in_the_middle_is_given_up_for_a_leaders() -> None:
    context = Recorded()
    store = StoreActor(context, StateMachine(), lambda _: 0)
    apply(store, 1, 3)
    store.handle(TakeSnapshot(LogIndex(3), Term(1), b""))
    chunks = chunks_of(9)
    restore(store, SnapshotMark(LogIndex(9), Term(1), 7, len(chunks)), 0, chunks[0])
    (ended,) = context.of(SnapshotEnded)
    assert ended.mark is None
    assert store.machine.capture is None


def test_want_of_room_for_a_snapshot_is_told_once_until_one_has_been_written() -> None:
    """Without a word the log would only grow, until writes are refused."""
    context, disk = Recorded(), Jobs()
    storage = StorageActor(context, disk, 0)

    def written(error: Exception | None, last: bool = True) -> list[str]:
        context.sent.clear()
        job = StoreChunk(SnapshotMark(LogIndex(9), Term(1), 7, 1), 0, b"", last)
        storage.handle(WriteChunk(job, "store"))
        storage.end_of_turn()
        storage.handle(DiskResult(None if error else True, error, 0.0, 0, 0))
        (stored,) = context.of(ChunkStored)
        assert stored.stored is (error is None)
        return [f"{note.kind}: {note.fields['cause']}" for note in context.of(Note)]

    full = DiskFull("no space left")
    assert written(None) == []
    assert written(full) == ["SnapshotGivenUp: no space left"]
    assert written(full) == []
    assert written(None, last=False) == []
    assert written(full) == [], "its beginning had room, and no more"
    assert written(None) == []
    assert written(full) == ["SnapshotGivenUp: no space left"]
    assert written(None) == []
    # The log meets the full disk, and what there is of the snapshot makes way for it.
    storage.handle(Write(PersistMark(LogIndex(1), Term(1), Term(1)), None, [], []))
    storage.end_of_turn()
    storage.handle(DiskResult(None, full, 0.0, 0, 0))
    storage.handle(Tick())
    storage.end_of_turn()
    storage.handle(DiskResult(True, None, 0.0, 0, 0))
    context.sent.clear()
    storage.handle(WriteChunk(StoreChunk(SnapshotMark(LogIndex(9), Term(1), 7, 1), 1, b"", False), "store"))
    storage.end_of_turn()
    storage.handle(DiskResult(False, None, 0.0, 0, 0))
    assert [note.kind for note in context.of(Note)] == ["SnapshotGivenUp"]


class Jobs:
    """A disk whose results the test says."""

    def submit(self, job: DiskJob) -> None:
        del job

    def set_fault(self, fault: DiskFault | None) -> None:
        del fault


@pytest.mark.parametrize("needed", [False, True], ids=["beside a quorum", "for the quorum"])
def test_reads_do_not_make_a_leader_send_chunks_again_that_are_on_their_way(
    needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each round of reads is answered at once, by a node whose disk is still at the first chunk."""
    world, leader, late = without_its_snapshot()
    other = next(name for name in world.names if name not in (leader, late))
    sent: Counter[int] = Counter()
    deliver = world.send_to_peer

    def noted(sender: str, to: str, frame: bytes) -> None:
        if (sender, to) == (leader, late):
            sent.update(item.number for item in peer.decode(frame).items if isinstance(item, InstallSnapshot))
        deliver(sender, to, frame)

    monkeypatch.setattr(world, "send_to_peer", noted)
    world.start(late)
    world.machine(late).disk.slow_seconds = 0.02
    if needed:
        world.crash(other)
    reader = world.user("reader", [leader])
    reads: list[Call] = []
    while not world.node(late).raft.schedule.installed:
        reads = [read for read in reads if not (read.response or read.error)]
        reads += [reader.get("k1") for _ in range(4 - len(reads))]
        world.run(0.0005)
        assert world.now < 60.0
    assert set(sent.values()) == {1}
    newest = world.node(leader).raft.raft.snapshots.newest
    assert newest
    assert len(sent) == newest.chunks


def test_a_snapshot_has_the_members_of_its_entry_and_not_those_that_may_never_be() -> None:
    """A change that was not committed is overwritten, but a snapshot would keep it for good."""
    world = World(spares=1, snapshot=SnapshotConfig(entries=100_000, retain_entries=0))
    for name in world.names:
        if name not in world.machines:
            world.start(name)
    leader = world.await_leader()
    world.run(1.0)
    user = world.user("w")
    user.put("a", "1")
    world.reach(lambda: user.core.calls_open == 0)
    world.cut_off(leader)
    address = list(world.config.node("n4").endpoints())
    world.control(leader, "change_members", change="add", name="n4", address=address)
    world.run(0.03)
    raft = world.node(leader).raft.raft
    assert raft.log.configurations.latest_index > raft.log.commit_index
    world.node(leader).raft.handle(SnapshotWanted())
    world.reach(lambda: raft.snapshots.newest)
    assert raft.snapshots.newest
    assert "n4" not in Configuration.decode(raft.snapshots.newest.configuration).names


def test_leases_end_after_a_leaders_snapshot_as_well() -> None:
    """Whoever got it has to count them anew: with another node away it takes its word to end one."""
    world = World(snapshot=SnapshotConfig(entries=20, retain_entries=2))
    leader = world.await_leader()
    world.run(1.0)
    away, third = (name for name in world.names if name != leader)
    world.cut_off(away)
    lease = hold(world, world.client("holder"), 3.0)
    user = world.user("w")
    for number in range(60):
        user.put(f"k{number}", "1")
        world.reach(lambda: user.core.calls_open == 0)
    world.heal(world.names)
    world.reach(lambda: world.node(away).raft.schedule.installed > 0, 20.0)
    lease.abandon()
    world.run(0.05)
    world.crash(third)
    assert end_of(world, world.now) < 20.0
