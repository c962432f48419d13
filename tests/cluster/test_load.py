"""The load that is judged while it runs: on a simulated stage, where reads can be made to lie, and really."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raftkv.client import Client
from raftkv.client.calls import Call
from raftkv.cluster import load as module
from raftkv.cluster.discovery import find
from raftkv.cluster.load import CLIENTS, ROUND_SECONDS, BackgroundLoad, Rounds, Tally
from raftkv.sim.clients import SimClient
from raftkv.sim.world import World, WorldOptions
from raftkv.wire.client import Kind, Response
from tests.support.processes import LocalCluster, await_condition, local_cluster


class Playground:
    """Rounds over a simulated cluster, in virtual time."""

    def __init__(self) -> None:
        self.world = World(WorldOptions(), "load")
        for name in self.world.names:
            self.world.start(name)
        assert self.world.run_until(lambda: self.world.watcher.history.committed, 5.0)
        self.stage: SimClient = self.world.client("load")
        self.tally = Tally()
        self.rounds = self.begin("one")

    def begin(self, run: str) -> Rounds:
        endpoints = [node.client for node in self.world.config.nodes]
        self.rounds = Rounds(self.stage, endpoints, run, self.tally, random.Random(1))
        self.rounds.begin()
        return self.rounds

    def work(self, seconds: float) -> None:
        until = self.world.now + seconds
        while self.world.now < until:
            self.world.run(0.1)
            self.rounds.tend()

    def end(self) -> None:
        self.rounds.rest()
        self.work(3.0)
        self.rounds.conclude()
        assert self.world.run_until(lambda: not self.rounds.cleaning, 3.0)

    def written(self) -> set[str]:
        return {key.decode() for key in self.world.watcher.twin.items}


@pytest.fixture
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUND_SECONDS", 1.0)


def lie(stage: SimClient) -> None:
    """Reads are answered with what the key held when it was first read."""
    sound, first = stage.submit, dict[bytes, Response]()

    def submit(call: Call) -> None:
        done = call.done
        if call.fields[0] == Kind.GET and call.session is None:

            def stale(call: Call) -> None:
                if call.response:
                    call.response = first.setdefault(call.fields[1], call.response)
                done(call)

            call.done = stale
        sound(call)

    stage.submit = submit  # type: ignore[method-assign]


@pytest.mark.usefixtures("short_rounds")
def test_an_honest_cluster_holds_in_every_round() -> None:
    ground = Playground()
    ground.work(4.5)
    report = ground.rounds.report(True)
    assert report.running
    assert (report.problem, report.undecided) == (None, 0)
    assert report.rounds >= 3
    assert 0 < report.checked < report.ok + report.failed + report.unknown
    ground.end()
    report = ground.rounds.report(False)
    assert report.checked == report.ok + report.failed + report.unknown
    assert report.ok > 100 * CLIENTS / 8


@pytest.mark.usefixtures("short_rounds")
def test_a_stale_read_is_found_while_the_load_runs_and_stays_the_problem() -> None:
    ground = Playground()
    lie(ground.stage)
    ground.work(3.0)
    problem = ground.rounds.report(True).problem
    assert problem
    assert problem.startswith("NOT linearizable: key load/one/1/k")
    assert "\n" not in problem
    del ground.stage.submit
    ground.work(3.0)
    ground.end()
    ground.begin("two")
    assert ground.rounds.report(True).problem == problem


@pytest.mark.usefixtures("short_rounds")
def test_each_round_has_keys_of_its_own_which_are_deleted() -> None:
    ground = Playground()
    ground.work(5.4)
    rounds = {key.rsplit("/", 1)[0] for key in ground.written()}
    assert rounds <= {"load/one/3", "load/one/4", "load/one/5", "load/one/6"}
    assert "load/one/6" in rounds
    ground.end()
    assert not ground.written()


@pytest.mark.usefixtures("short_rounds")
def test_requests_without_an_answer_hold_no_round_up_for_ever() -> None:
    ground = Playground()
    ground.work(0.5)
    for name in ground.world.names[:2]:
        ground.world.kill(name)
    ground.work(5.0)
    report = ground.rounds.report(True)
    assert report.rounds >= 2
    assert report.failed + report.unknown > 0
    assert len(ground.rounds._ended) <= 3
    for name in ground.world.names:
        ground.world.start(name)
    ok = report.ok
    ground.work(5.0)
    report = ground.rounds.report(True)
    assert report.ok > ok
    assert (report.problem, report.undecided) == (None, 0)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.mark.cluster
def test_the_load_of_a_real_cluster_is_judged_and_cleans_up(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROUND_SECONDS", 0.5)
    endpoints = find(None, None, Path(cluster.folder) / ".raftkv").clients
    load = BackgroundLoad(endpoints)
    assert not load.report().running
    load.start()
    load.start()
    report: Any = await_condition(lambda: (found := load.report()).rounds >= 3 and found, "three rounds")
    assert report.running
    load.stop()
    load.stop()
    report = load.report()
    assert not report.running
    assert (report.problem, report.undecided) == (None, 0)
    assert report.checked == report.ok + report.failed + report.unknown > 0
    with Client(endpoints) as client:
        await_condition(lambda: not list(client.prefix("load/")), "no keys")
    # And on again: it goes on counting.
    load.start()
    await_condition(lambda: load.report().rounds > report.rounds, "one more round")
    load.stop()


def test_a_load_that_fails_by_itself_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Rounds) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Rounds, "tend", broken)
    load = BackgroundLoad(["tcp://127.0.0.1:9"])
    load.start()
    await_condition(lambda: load.report().problem, "a problem")
    load.stop()
    assert "the load itself has failed: ZeroDivisionError" in str(load.report().problem)


def test_a_round_is_small_enough_to_be_judged_at_once() -> None:
    assert CLIENTS * ROUND_SECONDS / module.HABITS.rest_seconds <= 4000
