"""Pitfalls 10, 28 and 29: the applied state, its index, and the log beneath, through snapshots."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from raftkv.client.calls import Call
from raftkv.config import SnapshotConfig
from raftkv.raft import SnapshotMark
from raftkv.raft.messages import InstallSnapshot
from raftkv.sim.disk import PowerCut, cut_power_at, let_pass
from raftkv.storage import StoreChunk
from raftkv.storage.memory import MemoryDirectory, lose
from raftkv.types import LogIndex, Term
from tests.storage.support import N1, hard_state, reopened
from tests.storage.test_volume import append, open_volume
from tests.support.raft_cluster import OPTIONS, RaftCluster, entries
from tests.support.world import World

FORGETFUL = dataclasses.replace(OPTIONS, retained_entries=0, lagging_entries_max=0)
EVERY_TEN = SnapshotConfig(entries=10, retain_entries=0)


def write(world: World, count: int, start: int = 0) -> None:
    user = world.user()
    calls = [user.put(f"k{number % 7}", str(number)) for number in range(start, start + count)]
    await_answers(world, calls)


def await_answers(world: World, calls: list[Call]) -> None:
    world.reach(lambda: all(call.response or call.error for call in calls))
    assert not any(call.error for call in calls)


def test_pitfall_10_the_applied_index_belongs_to_the_state_it_is_stored_with() -> None:
    """Whatever operation of the disk the power fails at while snapshots are taken: the node starts with a
    state and an index that belong together. A second, obvious machine says what it must hold."""
    operation = 1
    while power_fails_at(operation):
        operation += 1
    assert operation > 20


def power_fails_at(operation: int) -> bool:
    """False when the node had nothing more to do with its disk."""
    world = World(seed=operation, snapshot=EVERY_TEN, chunk_bytes=64)
    leader = world.await_leader()
    write(world, 8)
    victim = next(name for name in world.names if name != leader)
    world.platters[victim].directory.before = cut_power_at(operation)
    try:
        for number in range(12):
            write(world, 1, start=8 + number)
        world.run(0.2)
    except PowerCut:
        world.power_loss(victim)
        world.platters[victim].directory.before = let_pass
        write(world, 3, start=20)
        world.start(victim)
        await_equal(world)
        return True
    return False


def await_equal(world: World) -> None:
    def equal() -> bool:
        last = len(world.watcher.history.committed)
        return all(node.node.store.machine.applied_index == last for node in world.machines.values())

    world.reach(equal)
    for machine in world.machines.values():
        world.watcher.twin.check_contents(machine)


def test_pitfall_28_a_conflicting_tail_goes_with_the_snapshot_and_it_is_sent_once() -> None:
    cluster = RaftCluster(3, options=FORGETFUL)
    for name, log, term in (
        ("n1", entries(1, 1, 2, 2), 2),
        ("n2", entries(1, 1, 2, 2), 2),
        ("n3", entries(1, 1, 1, 1, 1, 1, 1), 1),
    ):
        cluster.crash(name)
        cluster.start(name, log, term)
    cluster.crash("n3")
    cluster.elect("n1")
    cluster.snapshot("n1")
    cluster.run(1)
    cluster.restart("n3")
    sent: Counter[str] = Counter()
    for _ in range(5 * OPTIONS.election_ticks_max):
        cluster.tick_all()
        sent.update(str(message.to) for message in cluster.network if isinstance(message, InstallSnapshot))
        cluster.settle()
    assert cluster.terms("n3") == []
    assert cluster["n3"].log.last_index == cluster["n1"].log.last_index == 5
    assert sent["n3"] <= 2
    cluster.propose("n1", "more")
    cluster.run(2 * OPTIONS.heartbeat_ticks)
    assert cluster.data("n3")[-1] == "more"


def test_pitfall_28_a_late_snapshot_takes_nothing_back() -> None:
    """Commit and applied index never fall, also when a snapshot of long ago arrives once more."""
    cluster = RaftCluster(3, options=FORGETFUL)
    cluster.elect("n1")
    cluster.propose("n1", "a")
    cluster.run(2 * OPTIONS.heartbeat_ticks)
    mark = cluster.snapshot("n1")
    cluster.propose("n1", "b")
    cluster.run(2 * OPTIONS.heartbeat_ticks)
    late = InstallSnapshot(cluster.names[0], cluster.names[1], cluster["n1"].current_term, mark, 0, b"")
    cluster.network.append(late)
    cluster.settle()
    assert cluster["n2"].log.commit_index == cluster["n2"].log.last_applied == 3
    assert cluster.data("n2") == ["a", "b"]


def test_pitfall_29_a_crash_between_the_snapshot_and_the_new_log_is_finished_at_the_start() -> None:
    """The leader's snapshot is durable, and the word that the log begins anew after it is not."""
    directory = MemoryDirectory()
    volume, _ = open_volume(directory)
    volume.do(append(1, 12, term=3))
    mark = SnapshotMark(LogIndex(9), Term(4), 7, 1)
    volume.do(StoreChunk(mark, 0, b"state", last=True))
    directory = directory.power_loss(lose)
    volume, recovered = open_volume(directory)
    assert (recovered.snapshot, recovered.entries) == (mark, [])
    assert recovered.hard_state == hard_state(3, N1)
    volume.do(append(10, 11, term=4))
    assert [entry.index for entry in open_volume(reopened(directory))[1].entries] == [10, 11]


@pytest.mark.parametrize("seed", range(6))
def test_pitfall_29_snapshots_close_together_and_installs_under_load_lose_nothing(seed: int) -> None:
    """Every ten entries one, a follower that comes and goes, writes all the time. The world checks every
    step: digests, durability, exactly once; and the contents of all nodes at the end."""
    world = World(seed=seed, snapshot=EVERY_TEN, chunk_bytes=64)
    leader = world.await_leader()
    victim = next(name for name in world.names if name != leader)
    for round_number in range(6):
        world.power_loss(victim)
        world.run(1.0)  # for so long a leader keeps what a follower may still ask for
        write(world, 25, start=100 * round_number)
        world.run(0.1)
        world.start(victim)
        user = world.user(f"u{round_number}")
        calls = [user.put(f"k{number}", f"{round_number}.{number}") for number in range(30)]
        world.run(0.05 * (seed + 1) * (round_number % 3))
        await_answers(world, calls)
    await_equal(world)
    assert world.counts["snapshots installed"] > 0
    assert world.counts["snapshots taken"] > 5
