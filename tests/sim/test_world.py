"""The world itself: a simulator that breaks nothing, or checks nothing, would find nothing."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from raftkv.actors.patience import PATIENCE_SECONDS
from raftkv.actors.storage import DiskResult
from raftkv.client.calls import Call
from raftkv.kv.commands import Op
from raftkv.observe.shapes import Link, isolate
from raftkv.raft import Configuration, Entry, HardState, Role
from raftkv.raft.messages import AppendEntriesResponse, Heartbeat, RequestVoteResponse
from raftkv.sim import network
from raftkv.sim.disk import Contents, Platter, SimDisk, fail_once
from raftkv.sim.machine import Machine
from raftkv.sim.network import Network, Weather
from raftkv.sim.schedule import Alarm, Schedule, VirtualClock
from raftkv.sim.twin import Twin, Violation
from raftkv.sim.watch import Watcher
from raftkv.sim.world import World, WorldOptions
from raftkv.storage import Append, DiskJob, Identity, WalOptions
from raftkv.storage.memory import MemoryDirectory
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire import peer as wire

NAMES = ["n1", "n2", "n3", "n4", "n5"]
N1, N2, N3 = NodeId("n1"), NodeId("n2"), NodeId("n3")


# -- time


def test_events_at_one_moment_happen_in_the_order_in_which_they_were_planned() -> None:
    schedule, seen = Schedule(), list[str]()
    for name in ("a", "b", "c"):
        schedule.at(1.0, lambda name=name: seen.append(name))  # type: ignore[misc]
    schedule.at(0.5, lambda: seen.append("first"))
    while schedule.next_time() is not None:
        schedule.step()
    assert seen == ["first", "a", "b", "c"]


def test_an_alarm_rings_once_at_the_earliest_time_it_was_set_to() -> None:
    schedule, rings = Schedule(), list[float]()
    alarm = Alarm(schedule, lambda: rings.append(schedule.now))
    for when in (3.0, 1.0, 2.0):
        alarm.set(when)
    while schedule.next_time() is not None:
        schedule.step()
    assert rings == [1.0]


def test_a_clock_of_another_rate_never_runs_backwards() -> None:
    schedule = Schedule()
    clock = VirtualClock(schedule, 500.0)
    shown = [clock()]
    for rate in (2.0, 0.5, 1.0):
        clock.set_rate(rate)
        schedule.now += 1.0
        shown.append(clock())
    assert shown == [500.0, 502.0, 502.5, 503.5]
    assert clock.true_time(504.5) == pytest.approx(4.0, abs=1e-6)


# -- the network


def send_many(weather: Weather, count: int = 500) -> tuple[list[int], Network]:
    schedule = Schedule()
    net = Network(schedule, random.Random(1), weather)
    arrived: list[int] = []
    for number in range(count):
        schedule.now = number * 0.001
        net.send("a", "b", lambda number=number: arrived.append(number))  # type: ignore[misc]
    while schedule.next_time() is not None:
        schedule.step()
    return arrived, net


def test_in_fair_weather_everything_arrives_in_order() -> None:
    assert send_many(Weather(jitter=0.01))[0] == list(range(500))


def test_each_kind_of_weather_does_what_it_says_and_counts_it() -> None:
    lost, net = send_many(Weather(drop=0.2))
    assert len(lost) == 500 - net.counts["drop"] < 500
    twice, net = send_many(Weather(duplicate=0.2))
    assert len(twice) == 500 + net.counts["duplicate"] > 500
    shuffled, net = send_many(Weather(jitter=0.01, reorder=0.2))
    assert sorted(shuffled) == list(range(500)) != shuffled
    assert net.counts["reorder"] > 0
    late, net = send_many(Weather(delay=0.2))
    assert late == list(range(500))
    assert net.counts["delay"] > 0


def test_cuts_overlap_and_each_is_lifted_by_itself() -> None:
    net = Network(Schedule(), random.Random(1), Weather())
    one, other = [("a", "b")], [("a", "b"), ("b", "a")]
    net.cut(one)
    net.cut(other)
    net.lift(other)
    assert net.is_cut(("a", "b"))
    assert not net.is_cut(("b", "a"))
    net.lift(one)
    assert not net.is_cut(("a", "b"))


def test_a_frame_under_way_is_lost_when_its_link_is_cut() -> None:
    schedule, arrived = Schedule(), list[str]()
    net = Network(schedule, random.Random(1), Weather())
    net.send("a", "b", lambda: arrived.append("frame"))
    net.cut([("a", "b")])
    schedule.step()
    assert not arrived


def neighbours(links: list[Link]) -> Counter[int]:
    """How many nodes hear and reach how many, themselves included."""
    return Counter(
        sum((other, node) not in links and (node, other) not in links for other in NAMES) for node in NAMES
    )


@pytest.mark.parametrize("seed", range(20))
def test_partitions_have_the_shapes_they_are_named_for(seed: int) -> None:
    rng = random.Random(seed)
    assert neighbours(network.symmetric(NAMES, rng)) in ({1: 1, 4: 4}, {2: 2, 3: 3})
    assert neighbours(network.bridge(NAMES, rng)) == {3: 4, 5: 1}
    assert neighbours(network.ring(NAMES, rng)) == {3: 5}
    one_way = network.one_way(NAMES, rng)
    assert one_way
    assert not {(b, a) for a, b in one_way} & set(one_way)
    assert len(isolate("n1", NAMES)) == 8


# -- the disk


def entry(index: int, term: int = 1) -> Entry:
    return Entry(LogIndex(index), Term(term), 1, b"data")


def make_disk(platter: Platter) -> tuple[Schedule, SimDisk, list[DiskResult]]:
    schedule, results = Schedule(), list[DiskResult]()
    volume, _ = platter.open(Identity("test", N1, "life"), WalOptions(segment_bytes=4096))
    begun: list[DiskJob] = []
    disk = SimDisk(schedule, random.Random(1), platter, volume, 0.001, begun.append, results.append)
    return schedule, disk, results


def test_a_write_is_durable_when_the_disk_says_so_and_not_before() -> None:
    platter = Platter(MemoryDirectory())
    schedule, disk, results = make_disk(platter)
    disk.submit(Append(None, [entry(1)]))
    assert platter.durable.terms == []
    schedule.step()
    assert [result.error for result in results] == [None]
    assert platter.durable.terms == [1]


def test_a_disk_that_hangs_goes_on_where_it_stopped() -> None:
    platter = Platter(MemoryDirectory())
    schedule, disk, results = make_disk(platter)
    disk.submit(Append(None, [entry(1)]))
    disk.hangs = True
    schedule.step()
    assert not results
    disk.resume()
    schedule.step()
    assert len(results) == 1


def test_a_failed_sync_is_told_and_stays() -> None:
    platter = Platter(MemoryDirectory())
    schedule, disk, results = make_disk(platter)
    disk.fails_next = "sync"
    for _ in range(2):
        disk.submit(Append(None, [entry(1)]))
        schedule.step()
    assert all(result.error for result in results)


@pytest.mark.parametrize("seed", range(30))
def test_a_crash_leaves_the_last_write_whole_or_not_at_all(seed: int) -> None:
    platter = Platter(MemoryDirectory())
    schedule, disk, _ = make_disk(platter)
    disk.submit(Append(HardState(Term(1), N1, LogIndex(0)), [entry(1), entry(2)]))
    schedule.step()
    disk.submit(Append(HardState(Term(2), N2, LogIndex(0)), [entry(2, 2), entry(3, 2)]))
    rng = random.Random(seed)
    disk.die(rng)
    if rng.random() < 0.5:
        platter.lose_process()
    else:
        platter.lose_power(rng)
    make_disk(platter)  # would raise for anything but the two states below
    assert platter.durable in (
        Contents(HardState(Term(1), N1, LogIndex(0)), [Term(1), Term(1)]),
        Contents(HardState(Term(2), N2, LogIndex(0)), [Term(1), Term(2), Term(2)]),
    )


def test_a_log_that_lost_what_was_durable_is_noticed() -> None:
    platter = Platter(MemoryDirectory())
    schedule, disk, _ = make_disk(platter)
    disk.submit(Append(None, [entry(1)]))
    schedule.step()
    platter.lose_process()
    platter.durable.terms.append(Term(1))
    with pytest.raises(AssertionError, match="lost what was durable"):
        make_disk(platter)


def test_fail_once_fails_once() -> None:
    before = fail_once("sync")
    before("write")
    with pytest.raises(OSError, match="Input/output"):
        before("sync")
    before("sync")


# -- what waits for it


def turns_of_a_leader_whose_disk_hangs(waits: bool, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When it took turns, in the first tenth of a second after it had submitted a batch."""
    world = World(WorldOptions(waits_for_disk=waits, disk_seconds=0.0002))
    for name in world.names:
        world.start(name)
    assert world.run_until(world.leader, 5.0)
    world.run(0.5)
    leader = world.machines[world.leader() or ""]
    turns: list[float] = []
    on_turn = world.on_turn

    def note(machine: Machine) -> None:
        if machine is leader:
            turns.append(world.now)
        on_turn(machine)

    monkeypatch.setattr(world, "on_turn", note)
    leader.disk.hangs = True
    submitted = leader.disk.submitted
    client = world.client("c1")
    client.submit(Call((Op.PUT, b"k", b"v"), world.now + 5.0, lambda call: None, client.core.new_session()))
    assert world.run_until(lambda: leader.disk.submitted > submitted, 5.0)
    begun = world.now
    world.run(0.1)
    return [turn - begun for turn in turns if turn > begun]


def test_a_machine_is_deaf_while_it_waits_for_its_disk_but_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = turns_of_a_leader_whose_disk_hangs(True, monkeypatch)
    assert PATIENCE_SECONDS <= turns[0] <= 2 * PATIENCE_SECONDS + 0.001
    assert len(turns) > 1, "the disk still hangs, and it goes on"
    assert turns_of_a_leader_whose_disk_hangs(False, monkeypatch)[0] < PATIENCE_SECONDS


# -- what is watched


def frame(*messages: Heartbeat | AppendEntriesResponse | RequestVoteResponse) -> bytes:
    return wire.encode("virtual", N1, "", N2, 1, messages)


def watcher(term: int, vote: NodeId | None, entries: int) -> Watcher:
    platters = {name: Platter(MemoryDirectory()) for name in NAMES}
    platters["n1"].durable = Contents(HardState(Term(term), vote, LogIndex(0)), [Term(1)] * entries)
    return Watcher(platters, Configuration.of([N1, N2, N3]))


def test_a_term_that_is_not_durable_must_not_leave() -> None:
    beat = frame(Heartbeat(N1, N2, Term(3), LogIndex(0), 0))
    watcher(3, None, 0).check_frame("n1", beat)
    with pytest.raises(Violation, match="durable term is 2"):
        watcher(2, None, 0).check_frame("n1", beat)


def test_a_vote_that_is_not_durable_or_is_given_twice_must_not_leave() -> None:
    vote = frame(RequestVoteResponse(N1, N2, Term(3), True))
    watcher(3, N2, 0).check_frame("n1", vote)
    with pytest.raises(Violation, match="durable vote is for None"):
        watcher(3, None, 0).check_frame("n1", vote)
    twice = watcher(4, N2, 0)
    twice.check_frame("n1", vote)
    other = wire.encode("virtual", N1, "", N3, 1, [RequestVoteResponse(N1, N3, Term(3), True)])
    with pytest.raises(Violation, match="votes for n2 and for n3 in term 3"):
        twice.check_frame("n1", other)


def test_an_acknowledgement_needs_its_entries_on_disk() -> None:
    zero = LogIndex(0)
    answer = frame(AppendEntriesResponse(N1, N2, Term(1), True, LogIndex(2), zero, Term(0), zero))
    watcher(1, None, 2).check_frame("n1", answer)
    with pytest.raises(Violation, match="acknowledges 2, but 1 entries"):
        watcher(1, None, 1).check_frame("n1", answer)


def test_an_answer_that_nothing_committed_explains_is_a_violation() -> None:
    with pytest.raises(Violation, match="says None"):
        Twin().check_answer(7, 1, 0, 1)


def serving_world(seed: int = 0) -> World:
    world = World(WorldOptions(), seed)
    for name in world.names:
        world.start(name)
    assert world.run_until(lambda: world.watcher.history.committed, 5.0)
    return world


def test_a_commit_without_a_quorum_of_disks_is_a_violation() -> None:
    world = serving_world()
    committed = world.watcher.history.committed[0]
    world.watcher.history.committed.clear()
    for name in ("n1", "n2"):
        world.platters[name].durable.terms.clear()
    fresh = Watcher(world.platters, Configuration.of([N1, N2, N3]))
    with pytest.raises(Violation, match=f"entry {committed.index} is committed, but durable only on n3"):
        fresh.after_turn(world.machines[world.leader() or ""], world.machines.values())


def test_another_state_at_the_same_index_is_a_violation() -> None:
    world = serving_world()
    world.machines["n2"].node.store.machine.digest += 1
    with pytest.raises(Violation, match="n2: another state"):
        world.run(1.0)


def test_a_second_leader_in_one_term_is_a_violation() -> None:
    world = serving_world()
    world.run(2.0)  # until all logs are equal
    leader = world.leader()
    follower = next(name for name in world.names if name != leader)
    raft = world.machines[follower].node.raft.raft
    raft.become_leader()
    raft.voted_for = raft.node_id
    assert raft.role is Role.LEADER
    with pytest.raises(Violation, match="two leaders in term"):
        world.run(1.0)
