"""What a run demands: each test takes something away that a cluster owes, and the run must say so."""

from __future__ import annotations

import random
from collections import Counter
from typing import NoReturn

import pytest

from raftkv.actors import control
from raftkv.actors.control import _Refused
from raftkv.actors.gateway import GatewayActor
from raftkv.actors.system import System
from raftkv.client.types import Event
from raftkv.kv import Code
from raftkv.raft import Raft, Refusal
from raftkv.sim import nemesis as nemesis_module
from raftkv.sim.clients import SimClient
from raftkv.sim.report import Summary
from raftkv.sim.run import Outcome, run_seed
from raftkv.sim.schedule import Schedule
from raftkv.sim.swarm import Fault, draw
from raftkv.sim.tenants import TENANCY, Observer
from raftkv.sim.world import World, WorldOptions
from raftkv.types import NodeId
from raftkv.wire.client import Kind, Request


def run(seed: int = 3, faults: tuple[Fault, ...] = ()) -> Outcome:
    return run_seed(seed, nodes=3, seconds=1.0, faults=faults)


def test_a_cluster_that_never_answers_a_read_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = GatewayActor._on_request

    def deaf(self: GatewayActor, identity: bytes, request: Request) -> None:
        if request[1] != Kind.GET:
            sound(self, identity, request)

    monkeypatch.setattr(GatewayActor, "_on_request", deaf)
    assert "a request was not answered within" in str(run().violation)


def test_a_cluster_that_refuses_every_read_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = GatewayActor._on_request

    def refuse(self: GatewayActor, identity: bytes, request: Request) -> None:
        if request[1] == Kind.GET:
            self._answer(identity, (request[0], Code.INVALID, 0, "not today"))
        else:
            sound(self, identity, request)

    monkeypatch.setattr(GatewayActor, "_on_request", refuse)
    assert "a request was not answered within" in str(run().violation)


def test_a_cluster_that_commits_but_tells_nobody_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = World.send_to_client

    def lose(self: World, sender: str, client: bytes, frame: bytes) -> None:
        if self.now < 1.0:
            sound(self, sender, client, frame)

    monkeypatch.setattr(World, "send_to_client", lose)
    outcome = run()
    assert outcome.committed > 10
    assert "a request was not answered within" in str(outcome.violation)


def test_a_cluster_that_tells_no_observer_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = GatewayActor._on_request

    def deaf(self: GatewayActor, identity: bytes, request: Request) -> None:
        if request[1] != Kind.WATCH:
            sound(self, identity, request)

    monkeypatch.setattr(GatewayActor, "_on_request", deaf)
    assert "observers are at [0] of" in str(run(seed=1).violation)


def test_an_observer_that_is_told_of_half_a_transaction_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Observer._on_events

    def one_by_one(self: Observer, events: list[Event], answers: int) -> None:
        for event in events:
            sound(self, [event], 0)
        sound(self, [], answers)

    both = next(seed for seed in range(100) if draw(seed).observers and draw(seed).bookkeepers)
    assert run_seed(both, nodes=3, seconds=3.0, faults=()).violation is None
    monkeypatch.setattr(Observer, "_on_events", one_by_one)
    assert "in two parts" in str(run_seed(both, nodes=3, seconds=3.0, faults=()).violation)


def test_a_learner_that_is_known_by_a_folder_of_its_past_is_not_waited_for() -> None:
    """Frames from there were still on their way when it was added on a new one."""
    assert run_seed(804205, seconds=3.0).violation is None

    world = World(WorldOptions(nodes=3, spares=1))
    for name in world.names:
        world.start(name)
    world.run(2.0)
    leader = world.leader()
    assert leader
    address = list(world.config.node("n4").endpoints())
    world.control(leader, "change_members", change="add", name="n4", address=address)

    def bound() -> bool:
        member = world.watcher.committed.member(NodeId("n4"))
        return member is not None and bool(member.incarnation)

    assert world.run_until(bound, 5.0)
    assert "n4" in world.members()
    world.wipe("n4")
    world.start("n4")
    assert "n4" not in world.members()


def test_an_observer_that_knows_only_a_node_that_is_gone_is_no_failure() -> None:
    """Its first word was lost, and then that node lost its folder. Whoever knows one that can be reached is
    waited for."""
    assert run_seed(102905, seconds=3.0).violation is None

    class Nowhere:
        schedule = Schedule()

        def send_to_node(self, sender: str, endpoint: str, frame: bytes) -> None:
            """Lost."""

    observer = Observer(SimClient(Nowhere(), "o", ["tcp://127.0.0.1:1"], random.Random(1)))
    assert observer.is_stranded(["tcp://127.0.0.1:2"])
    assert not observer.is_stranded(["tcp://127.0.0.1:2", "tcp://127.0.0.1:1"])


def test_what_a_node_raises_is_a_violation_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: GatewayActor) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(GatewayActor, "_release_old", broken)
    outcome = run_seed(3, nodes=3, seconds=12.0, faults=[])
    assert "ZeroDivisionError: planted" in str(outcome.violation)
    assert outcome.tail


def test_an_iterator_that_ends_too_soon_is_no_end_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``next`` with nothing left, in what is tested, says what a phase says when it is over."""
    sound = GatewayActor._on_request
    asked: list[Request] = []

    def break_off(self: GatewayActor, identity: bytes, request: Request) -> None:
        asked.append(request)
        if len(asked) == 40:
            next(iter(()))
        sound(self, identity, request)

    monkeypatch.setattr(GatewayActor, "_on_request", break_off)
    assert "StopIteration" in str(run().violation)


def test_a_fault_that_nodes_do_not_do_has_not_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = (Fault.TRANSFER, Fault.CAMPAIGN, Fault.STOP, Fault.MEMBERSHIP)
    counts = _counts(asked)
    assert all(counts[fault] for fault in asked), counts
    monkeypatch.setattr(Raft, "change_membership", lambda self, change: Refusal.NOT_LEADER)
    monkeypatch.setattr(Raft, "campaign", lambda self: None)
    monkeypatch.setattr(Raft, "transfer_leadership", lambda self, to: None)
    monkeypatch.setitem(control._VERBS, "stop", _refuse)
    counts = _counts(asked)
    assert not any(counts[fault] for fault in asked), counts


def _counts(faults: tuple[Fault, ...]) -> Counter[str]:
    return sum((run_seed(seed, nodes=3, seconds=4.0, faults=faults).faults for seed in range(4)), Counter())


def _refuse(*_: object) -> NoReturn:
    raise _Refused("not today")


def test_seeds_in_which_nobody_ever_held_the_lock_prove_nothing() -> None:
    summary = Summary((), all_kinds=True)
    assert {f"no {kind}" for kind in TENANCY} < set(summary.void())
    for seed in range(4):
        summary.add(run(seed))
    assert not {f"no {kind}" for kind in TENANCY}.intersection(summary.void()), summary.tenancy


def test_time_that_does_not_pass_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(System, "next_timer", lambda self: 0.0)
    assert "and time does not pass" in str(run().violation)


def test_a_fault_that_changes_nothing_is_not_counted() -> None:
    assert Fault.RING not in run(faults=(Fault.RING,)).faults
    assert run_seed(3, nodes=5, seconds=3.0, faults=[Fault.RING]).faults[Fault.RING] > 0


def test_a_power_cut_in_a_recovery_counts_when_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = (Fault.CRASH_IN_RECOVERY,)
    assert run_seed(3, nodes=3, seconds=5.0, faults=faults).faults[Fault.CRASH_IN_RECOVERY] > 0
    monkeypatch.setattr(nemesis_module, "RECOVERY_STEPS", (1000,))
    assert Fault.CRASH_IN_RECOVERY not in run_seed(3, nodes=3, seconds=5.0, faults=faults).faults
