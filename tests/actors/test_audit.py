"""The alarm for states that have come apart."""

from __future__ import annotations

from typing import Any

from raftkv.actors import audit
from raftkv.actors.audit import CORRUPT, EVERY, REMEMBERED, AuditActor
from raftkv.actors.messages import ClearAlarms, DigestTaken, Doubted, Note, PeerDigest, SendDigest, Tick
from raftkv.sim.machine import Machine
from raftkv.sim.watch import Watcher
from raftkv.types import LogIndex, NodeId
from tests.support.world import World

N2 = NodeId("n2")


class Recorded:
    """A context that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.timers = 0

    def send(self, to: str, message: Any) -> None:
        self.sent.append((to, message))

    def set_timer(self, to: str, delay: float, message: Any) -> None:
        self.timers += 1

    def of(self, kind: type) -> list[Any]:
        return [message for _, message in self.sent if isinstance(message, kind)]


def actor() -> tuple[AuditActor, Recorded]:
    context = Recorded()
    return AuditActor(context), context  # type: ignore[arg-type]


def test_a_leader_that_contradicts_what_is_committed_raises_the_alarm_until_it_is_cleared() -> None:
    auditor, _ = actor()
    auditor.handle(Doubted(N2, LogIndex(4)))
    assert CORRUPT in auditor.alarms
    auditor.handle(ClearAlarms())
    assert not auditor.alarms


def test_equal_digests_and_unknown_indexes_raise_nothing() -> None:
    auditor, context = actor()
    auditor.handle(DigestTaken(LogIndex(64), 7))
    auditor.handle(PeerDigest(N2, LogIndex(64), 7))
    auditor.handle(PeerDigest(N2, LogIndex(128), 8))
    assert auditor.alarms == ()
    assert not context.of(Note)


def test_a_difference_is_an_alarm_that_is_told_once() -> None:
    auditor, context = actor()
    auditor.handle(DigestTaken(LogIndex(64), 7))
    for _ in range(3):
        auditor.handle(PeerDigest(N2, LogIndex(64), 8))
    assert raised(auditor)
    assert [note.fields for note in context.of(Note)] == [{"peer": N2, "index": 64}]
    auditor.handle(ClearAlarms())
    assert not raised(auditor)
    auditor.handle(PeerDigest(N2, LogIndex(64), 8))
    assert raised(auditor)


def raised(auditor: AuditActor) -> bool:
    return CORRUPT in auditor.alarms


def test_the_latest_digest_is_told_once_and_few_are_remembered() -> None:
    auditor, context = actor()
    for number in range(1, REMEMBERED + 10):
        auditor.handle(DigestTaken(LogIndex(number * EVERY), number))
    auditor.handle(Tick())
    auditor.handle(Tick())
    assert [(each.index, each.digest) for each in context.of(SendDigest)] == [
        ((REMEMBERED + 9) * EVERY, REMEMBERED + 9)
    ]
    auditor.handle(PeerDigest(N2, LogIndex(EVERY), 99))  # long forgotten here
    assert auditor.alarms == ()


class Blind(Watcher):
    """Looks on while states come apart: that is what the alarm is for."""

    def after_turn(self, machine: Machine, alive: Any) -> None:
        del machine, alive


def test_a_cluster_whose_states_come_apart_says_so_on_every_node_that_can_tell() -> None:
    world = World()
    world.watcher = Blind(world.platters, world.watcher.committed)
    leader = world.await_leader()
    odd, other = (name for name in world.names if name != leader)
    world.node(odd).store.machine.digest ^= 1
    user = world.user()
    calls = [user.put(f"k{number}", "v") for number in range(EVERY)]
    world.reach(lambda: all(call.response for call in calls))
    world.run(2 * audit.TELL_SECONDS)
    assert [world.node(name).audit.alarms for name in (leader, other, odd)] == [(CORRUPT,)] * 3
    view = world.node(odd).status.snapshot()
    assert view.alarms == (CORRUPT,)
    assert any("CORRUPT: another state than" in line for line in world.lines[leader])
    assert world.node(leader).audit._differs.keys() == {odd}
