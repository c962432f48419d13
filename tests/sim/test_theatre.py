"""A seed that is watched is the same seed, and one that is taken part in is another, again and again."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from raftkv.errors import RaftkvError
from raftkv.observe import DiskFault, Event, LinkFault, LoadReport, NodeSnapshot, ProcessSnapshot
from raftkv.sim.links import REORDER_SECONDS, LinkFaults
from raftkv.sim.run import run_seed
from raftkv.sim.schedule import Schedule
from raftkv.sim.swarm import Fault, draw
from raftkv.sim.theatre import SPEED_MAX, SPEED_MIN, STEPS_A_CALL_MAX, Theatre
from raftkv.tui import model
from raftkv.tui.ports import Actions, Feed, Lookups

CALLS_MAX = 50_000


def quiet(seed: int = 3, seconds: float = 4.0, nodes: int = 3, **options: Any) -> Theatre:
    return Theatre(seed, nodes=nodes, seconds=seconds, faults=[], **options)


def play_until(theatre: Theatre, condition: Callable[[], object], real_seconds: float = 0.1) -> None:
    for _ in range(CALLS_MAX):
        if condition():
            return
        theatre.advance(real_seconds)
    raise AssertionError("never")


def reach(theatre: Theatre, moment: float) -> None:
    theatre.seek(moment)
    play_until(theatre, lambda: not theatre.busy)


def play_out(theatre: Theatre) -> None:
    theatre.speed = SPEED_MAX
    play_until(theatre, lambda: theatre.finished)


def drain(theatre: Theatre) -> list[Any]:
    items: list[Any] = []
    while found := theatre.poll():
        items += found
    return items


# -- the seed stays what it is


@pytest.mark.parametrize("seed", [1, 7, 8])
def test_a_seed_that_is_watched_ends_with_the_digest_of_the_command(seed: int) -> None:
    theatre, rng = Theatre(seed, seconds=3.0), random.Random(seed)
    while not theatre.finished:
        theatre.speed = rng.choice((0.05, 1.0, 10.0))
        if rng.random() < 0.1:
            theatre.step()
        theatre.playing = True
        theatre.advance(rng.random() * 0.2)
        theatre.poll()
    assert theatre.digest == run_seed(seed, seconds=3.0).digest
    assert theatre.verdict == f"every invariant held; digest {theatre.digest}"


def test_going_back_and_playing_on_ends_with_the_same_digest() -> None:
    theatre = Theatre(1, seconds=3.0)
    reach(theatre, 2.5)
    digest = theatre.digest
    reach(theatre, 0.7)
    assert theatre.now == 0.7
    assert theatre.generation == 2
    reach(theatre, 2.5)
    assert theatre.digest == digest
    play_out(theatre)
    assert theatre.digest == run_seed(1, seconds=3.0).digest


# -- the feed


def test_a_theatre_is_what_the_dashboard_asks_for() -> None:
    """mypy checks it."""
    theatre = quiet()
    feed: Feed = theatre
    actions: Actions = theatre
    lookups: Lookups = theatre
    assert lookups.scan("", 5) == ([], 0)
    assert feed.names() == ("n1", "n2", "n3")
    assert actions.heal().command == "sim --seed 3, at 0.000 s: heal"


def test_its_items_make_a_model_that_has_missed_nothing() -> None:
    theatre = Theatre(0, nodes=5, seconds=4.0, faults=[Fault.KILL, Fault.PAUSE, Fault.SYMMETRIC])
    state = model.initial(theatre.names())
    theatre.speed = SPEED_MAX
    while not theatre.finished:
        theatre.advance(0.05)
        state = model.reduce_all(state, [item for item in theatre.poll() if not isinstance(item, LoadReport)])
    assert [node.missed for node in state.nodes] == [0] * 5
    assert all(node.snapshot and node.process for node in state.nodes)


def test_the_feed_tells_what_a_real_one_tells_in_true_time() -> None:
    theatre = Theatre(0, nodes=5, seconds=4.0, faults=[Fault.CLOCK_RATE, Fault.KILL, Fault.PAUSE])
    reach(theatre, 4.0)
    items = drain(theatre)
    assert theatre.names() == ("n1", "n2", "n3", "n4", "n5")
    kinds = {type(item) for item in items}
    assert kinds == {NodeSnapshot, Event, ProcessSnapshot, LoadReport}
    times = [item.since if isinstance(item, ProcessSnapshot) else item.time for item in items]
    assert times == sorted(times)
    assert 0.0 <= times[0] <= times[-1] <= 4.0
    states = {item.state for item in items if isinstance(item, ProcessSnapshot)}
    assert states == {"running", "exited", "paused"}
    assert any(
        "clock ×" in fault for item in items if isinstance(item, NodeSnapshot) for fault in item.faults
    )
    assert {kind.partition(" ")[0] for _, kind in theatre.strokes} >= {"clock-rate", "kill", "pause"}


def test_events_are_numbered_without_a_gap_in_each_life() -> None:
    theatre = Theatre(2, nodes=3, seconds=3.0, faults=[Fault.CRASH])
    reach(theatre, 3.0)
    last: dict[str, int] = {}
    for item in drain(theatre):
        if isinstance(item, Event):
            assert item.sequence in (1, last.get(item.node, 0) + 1)
            last[item.node] = item.sequence


def test_who_joins_later_is_named_later_and_told_of_then() -> None:
    def joins(seed: int) -> tuple[Theatre, list[str]]:
        theatre = Theatre(seed, nodes=3, seconds=6.0, faults=[Fault.MEMBERSHIP])
        founders = list(theatre.names())
        reach(theatre, 6.0)
        return theatre, [name for name in theatre.names() if name not in founders]

    theatre, joined = next(found for found in map(joins, range(20)) if found[1])
    items = drain(theatre)
    assert {str(item.name) for item in items if isinstance(item, ProcessSnapshot)} >= set(joined)
    assert {str(item.name) for item in items if isinstance(item, NodeSnapshot)} <= set(theatre.names())
    reach(theatre, 0.1)
    assert not set(joined) & set(theatre.names())


def test_the_matrix_shows_what_the_nemesis_has_cut() -> None:
    theatre = Theatre(4, nodes=3, seconds=4.0, faults=[Fault.SYMMETRIC])
    reach(theatre, 4.0)
    cut = [
        link
        for item in drain(theatre)
        if isinstance(item, NodeSnapshot)
        for link in item.links
        if link.fault and link.fault.block
    ]
    assert cut


# -- time


def test_speed_is_virtual_seconds_in_a_real_one() -> None:
    theatre = quiet()
    theatre.speed = 0.25
    for _ in range(4):
        theatre.advance(0.1)
    assert theatre.now == pytest.approx(0.1)
    theatre.playing = False
    theatre.advance(0.1)
    assert theatre.now == pytest.approx(0.1)
    theatre.speed = 1e9
    assert theatre.speed == SPEED_MAX
    theatre.speed = 0.0
    assert theatre.speed == SPEED_MIN


def test_a_call_takes_no_more_steps_than_it_may() -> None:
    theatre = quiet()
    schedule = theatre._world.schedule
    theatre.speed = SPEED_MAX
    theatre.advance(1000.0)
    assert 0 < schedule.steps <= STEPS_A_CALL_MAX
    assert theatre.now == schedule.now < 10.0


def test_a_step_ends_at_the_next_thing_worth_showing() -> None:
    theatre = quiet()
    reach(theatre, 0.001)
    drain(theatre)
    for _ in range(20):
        strokes = len(theatre.strokes)
        theatre.step()
        play_until(theatre, lambda: not theatre.busy)
        items = [item for item in drain(theatre) if not isinstance(item, NodeSnapshot | LoadReport)]
        assert items or len(theatre.strokes) > strokes or theatre.finished
        assert not theatre.playing
        if not items:
            continue
        assert {item.time if isinstance(item, Event) else item.since for item in items} == {theatre.now}


def test_a_moment_before_the_beginning_is_refused() -> None:
    for moment in (-1.0, float("nan")):
        with pytest.raises(RaftkvError, match="begins at 0 s"):
            quiet().seek(moment)


# -- forks


def test_an_action_names_its_moment_and_makes_another_history() -> None:
    theatre = quiet()
    reach(theatre, 2.0)
    leader = theatre._world.leader()
    assert leader
    assert theatre.kill(leader, 0.5) == f"sim --seed 3, at 2.000 s: kill {leader} --for 0.5"
    exits = [item for item in drain(theatre) if isinstance(item, ProcessSnapshot) and item.state == "exited"]
    assert [(item.name, item.exit_code, item.since) for item in exits] == [(leader, -9, 2.0)]
    reach(theatre, 3.5)
    digest = theatre.digest
    assert leader in theatre._world.machines
    reach(theatre, 1.0)
    assert [fork.text for fork in theatre.forks] == [f"kill {leader} --for 0.5"]
    reach(theatre, 3.5)
    assert theatre.digest == digest
    play_out(theatre)
    assert theatre.verdict == "every invariant held, with 1 actions by hand"
    assert theatre.violation is None


def test_every_action_is_done_again_the_same_way() -> None:
    theatre = quiet(seed=5, seconds=8.0, nodes=5)
    raft = draw(5, 5, []).world.raft
    reach(theatre, 2.0)
    follower, other = [name for name in theatre.names() if name != theatre._world.leader()][:2]
    acts: list[Callable[[], str]] = [
        lambda: theatre.pause(follower, 0.3),
        lambda: theatre.resume(follower),
        lambda: theatre.isolate(follower, 0.4),
        lambda: theatre.partition([["n1", "n2"], ["n3"]], 0.3),
        lambda: theatre.bridge("n3", 0.2),
        lambda: theatre.ring(0.2),
        lambda: theatre.link("n1", "n2", LinkFault(drop=0.3, delay_ms=20, jitter_ms=5), 0.5),
        lambda: theatre.link("n2", "n1", LinkFault(duplicate=0.5, reorder=0.3), None),
        lambda: theatre.disk(follower, DiskFault(slow_ms=30), 0.2),
        lambda: theatre.disk(other, DiskFault(full=True), 0.2),
        lambda: theatre.put(b"color", b"blue"),
        lambda: theatre.compare_and_set(b"color", b"blue", b"red"),
        lambda: theatre.delete(b"color"),
        lambda: theatre.campaign(follower),
        lambda: theatre.transfer(other),
        lambda: theatre.stop(follower, 0.2),
        lambda: theatre.restart(other),
        lambda: theatre.heal().command,
        lambda: theatre.disk(other, DiskFault(fail=True), None),
        lambda: theatre.heal_all().command,
    ]
    if not raft.lease_reads:
        acts.append(lambda: theatre.clock("n4", 2.0, 0.3))
    for number, act in enumerate(acts):
        reach(theatre, 2.0 + number * 0.2)
        if "leads already" in (refused := _refusal(act)):
            continue
        assert not refused, refused
    reach(theatre, 7.0)
    assert theatre.violation is None
    digest, count = theatre.digest, len(theatre.forks)
    reach(theatre, 0.0)
    reach(theatre, 7.0)
    assert (theatre.digest, len(theatre.forks)) == (digest, count)
    play_out(theatre)
    assert theatre.violation is None, theatre.violation


def _refusal(act: Callable[[], object]) -> str:
    try:
        act()
    except RaftkvError as error:
        return str(error)
    return ""


def test_what_is_put_by_hand_is_committed() -> None:
    theatre = quiet()
    reach(theatre, 2.0)
    theatre.put(b"color", b"blue")
    reach(theatre, 3.0)
    assert theatre._world.watcher.twin.items[b"color"].value == b"blue"


def test_keys_and_logs_can_be_looked_up_without_a_trace() -> None:
    theatre = quiet()
    reach(theatre, 2.0)
    theatre.put(b"color", b"blue")
    reach(theatre, 3.0)
    digest, leader = theatre.digest, theatre._world.leader()
    assert leader
    rows, count = theatre.scan("col", 10)
    assert [row[:3] for row in rows] == [(b"color", b"blue", 1)]
    assert count == 1
    rows, count = theatre.scan("", 1)
    assert len(rows) == 1 < count
    index = theatre.search(leader, "color", 1)
    assert index
    assert [(entry.index, entry.kind) for entry in theatre.entries(leader, index, 1)] == [(index, "command")]
    assert theatre.search(leader, "no such text", 1) is None
    assert len(theatre.entries(leader, 1, 10_000)) == theatre.entries(leader, 1, 10_000)[-1].index
    assert theatre.digest == digest
    theatre.kill("n1", None)
    with pytest.raises(RaftkvError, match="n1 is not running"):
        theatre.entries("n1", 1, 1)


def test_an_action_in_the_past_ends_what_was_done_later() -> None:
    theatre = quiet()
    for moment in (1.0, 2.0):
        reach(theatre, moment)
        theatre.isolate("n1", 0.1)
    reach(theatre, 1.5)
    theatre.isolate("n2", 0.1)
    assert [(fork.time, fork.text) for fork in theatre.forks] == [
        (1.0, "isolate n1 --for 0.1"),
        (1.5, "isolate n2 --for 0.1"),
    ]
    assert theatre.undo() == "sim --seed 3, at 1.500 s: undone: isolate n2 --for 0.1"
    play_until(theatre, lambda: not theatre.busy)
    assert theatre.now == 1.5
    theatre.undo()
    play_out(theatre)
    assert theatre.digest == run_seed(3, nodes=3, seconds=4.0, faults=[]).digest


def test_what_a_healed_cluster_owes_is_not_held_against_one_broken_by_hand() -> None:
    theatre = quiet(seconds=1.0)
    reach(theatre, 1.05)
    for name in theatre.names():
        theatre.disk(name, DiskFault(slow_ms=50_000), None)
    play_out(theatre)
    assert theatre.violation is None
    assert "not seen to its end: a request was not answered" in theatre.verdict


def test_an_invariant_is_held_against_a_fork_as_well() -> None:
    theatre = quiet()
    reach(theatre, 2.0)
    theatre.put(b"color", b"blue")
    theatre._world.machines["n2"].node.store.machine.digest += 1
    play_out(theatre)
    assert "n2: another state" in str(theatre.violation)
    reports = [item for item in drain(theatre) if isinstance(item, LoadReport)]
    assert "another state" in str(reports[-1].problem)
    with pytest.raises(RaftkvError, match="the run is over"):
        theatre.heal()


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda theatre: theatre.kill("n9", None), "no node named 'n9'"),
        (lambda theatre: theatre.resume("n1"), "n1 is not paused"),
        (lambda theatre: theatre.link("n1", "n1", LinkFault(block=True), None), "two different ends"),
        (lambda theatre: theatre.link("n1", "n2", LinkFault(drop=2.0), None), "expected 0 to 1, found 2"),
        (lambda theatre: theatre.partition([], None), "two sides"),
        (lambda theatre: theatre.partition([["n1"], ["n1"]], None), "two groups"),
        (lambda theatre: theatre.ring(None), "cuts nothing"),
        (lambda theatre: theatre.clock("n1", 100.0, None), "expected 0.1 to 10"),
        (lambda theatre: theatre.isolate("n1", -1.0), "seconds: expected"),
        (lambda theatre: theatre.put(b"", b"x"), "the key is empty"),
        (lambda theatre: theatre.put(b"\xff", b"x"), "not valid UTF-8"),
        (lambda theatre: theatre.load(True), "users of its own"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_no_trace(
    act: Callable[[Theatre], str], reason: str
) -> None:
    theatre = quiet(seconds=1.0)
    reach(theatre, 0.5)
    with pytest.raises(RaftkvError, match=reason):
        act(theatre)
    assert not theatre.forks
    play_out(theatre)
    assert theatre.digest == run_seed(3, nodes=3, seconds=1.0, faults=[]).digest


def test_clocks_stay_true_where_reads_rely_on_them() -> None:
    seed = next(seed for seed in range(50) if draw(seed, 3, []).world.raft.lease_reads)
    theatre = quiet(seed)
    reach(theatre, 0.5)
    with pytest.raises(RaftkvError, match="relies on true clocks"):
        theatre.clock("n1", 2.0, None)


def test_nothing_is_done_while_a_moment_is_sought() -> None:
    theatre = quiet()
    theatre.seek(3.0)
    with pytest.raises(RaftkvError, match="still on the way"):
        theatre.kill("n1", None)
    assert theatre.poll() == ()


def test_actions_of_other_threads_wait_for_their_turn() -> None:
    theatre = quiet(lock=threading.Lock())
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: texts.append(theatre.isolate("n1", 0.01 * n)))
        for n in range(1, 9)
    ]
    for thread in threads:
        thread.start()
    play_until(theatre, lambda: len(texts) == 8, 0.001)
    for thread in threads:
        thread.join()
    assert sorted(fork.text for fork in theatre.forks) == sorted(text.split(": ")[-1] for text in texts)
    reach(theatre, 2.0)
    digest = theatre.digest
    reach(theatre, 0.0)
    reach(theatre, 2.0)
    assert theatre.digest == digest


# -- faults of links


def copies(fault: LinkFault, count: int = 400) -> list[list[float]]:
    schedule = Schedule()
    links = LinkFaults(schedule, random.Random(1))
    links.set(("a", "b"), fault, None)
    found = []
    for number in range(count):
        schedule.now = float(number)
        found.append(links.copies(("a", "b")))
    return found


def test_each_fault_of_a_link_does_what_it_says() -> None:
    assert copies(LinkFault(block=True), 1) == [[]]
    assert 40 < copies(LinkFault(drop=0.2)).count([]) < 120
    delays = [delay for each in copies(LinkFault(delay_ms=50, jitter_ms=20)) for delay in each]
    assert 0.03 <= min(delays) < 0.035
    assert 0.065 < max(delays) <= 0.07
    assert 40 < sum(len(each) == 2 for each in copies(LinkFault(duplicate=0.2))) < 120
    assert 40 < sum(each == [REORDER_SECONDS] for each in copies(LinkFault(reorder=0.2))) < 120


def test_a_fault_ends_with_its_lifetime_and_delayed_frames_stay_in_order() -> None:
    schedule = Schedule()
    links = LinkFaults(schedule, random.Random(1))
    links.set(("a", "b"), LinkFault(delay_ms=1000), 0.5)
    assert links.copies(("a", "b")) == [1.0]
    assert links.copies(("b", "a")) == [0.0]
    schedule.now = 0.4
    fault, left = links.get(("a", "b")) or (None, None)
    assert fault == LinkFault(delay_ms=1000)
    assert left == pytest.approx(0.1)
    schedule.now = 0.75
    assert links.get(("a", "b")) is None
    assert links.copies(("a", "b")) == [pytest.approx(0.25)], "what is still held back is not overtaken"
    links.set(("a", "b"), LinkFault(block=True), None)
    assert links.blocks(("a", "b"))
    links.set(("a", "b"), LinkFault(), None)
    assert not links.any
