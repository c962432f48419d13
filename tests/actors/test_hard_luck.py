"""The second failure: what follows when something was already going wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from raftkv.actors.gateway import LOGGED_SECONDS, PENDING_SECONDS
from raftkv.actors.messages import SetClockRate
from raftkv.actors.system import System
from raftkv.client import core as client_core
from raftkv.errors import EntriesLost, SessionExpired
from raftkv.kv import Code, Op, SessionLimits, machine
from raftkv.kv.commands import Command
from raftkv.raft import RaftLog
from raftkv.raft.messages import Heartbeat
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire import peer as wire
from raftkv.wire.client import Kind, encode_requests
from tests.support.raft_cluster import entries
from tests.support.world import VirtualClient, World


def settle(world: World, client: VirtualClient, seconds: float = 20.0) -> None:
    world.reach(lambda: client.core.calls_open == 0, seconds)


def test_one_lost_request_does_not_overrun_the_session_of_a_busy_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_core, "SESSION_WINDOW", 16)
    monkeypatch.setattr(machine, "SESSION_WINDOW", 16)
    world = World()
    leader = world.await_leader()
    client = world.user()
    client.put("warm", "up")
    settle(world, client)
    world.network.cut([("c1", leader)])
    lost = client.put("lost", "1", timeout=20.0)
    world.run(0.002)
    world.network.heal()
    others = [client.put(f"k{number}", "v", timeout=20.0) for number in range(100)]
    settle(world, client)
    assert lost.response is not None
    assert all(call.response and call.response.code == Code.OK for call in others)


def test_a_client_that_was_forgotten_writes_on_under_a_new_identity() -> None:
    world = World(sessions=SessionLimits(sessions_max=4))
    world.await_leader()
    client = world.user()
    client.put("a", "1")
    settle(world, client)
    for number in range(10):
        other = world.user(f"other{number}")
        other.put("b", "1")
        settle(world, other)
    call = client.put("a", "2")
    settle(world, client)
    assert isinstance(call.error, SessionExpired)
    assert client.core.calls_open == 0
    client.session = client.core.renew()
    again = client.put("a", "2")
    settle(world, client)
    assert again.response is not None


def test_a_client_that_was_idle_for_too_long_is_told_so_on_every_node() -> None:
    """By log time: what the leaders' clocks say in the log, and nobody's own clock."""
    world = World(sessions=SessionLimits(idle_ms=3_000))
    world.await_leader()
    idle, busy = world.user("idle"), world.user("busy")
    idle.put("a", "1")
    settle(world, idle)
    for _ in range(4):
        world.run(1.2)
        busy.put("b", "1")
        settle(world, busy)
    world.run(0.2)
    call = idle.put("a", "2")
    settle(world, idle)
    assert isinstance(call.error, SessionExpired)
    assert busy.put("b", "2").error is None
    settle(world, busy)
    world.run(0.5)
    counts = {len(machine.node.store.machine.sessions) for machine in world.machines.values()}
    times = {machine.node.store.machine.sessions.now_ms for machine in world.machines.values()}
    assert counts == {1}
    assert len(times) == 1
    assert 3_000 < times.pop() <= world.now * 1000


def test_an_idle_cluster_writes_nothing_to_make_time_pass() -> None:
    world = World(sessions=SessionLimits(idle_ms=3_000))
    leader = world.await_leader()
    client = world.user()
    client.put("a", "1")
    settle(world, client)
    last = world.node(leader).raft.raft.log.last_index
    world.run(20.0)
    assert world.node(leader).raft.raft.log.last_index == last
    call = client.put("a", "2")  # time catches up in one step, and this client was idle for all of it
    settle(world, client)
    assert isinstance(call.error, SessionExpired)


def test_a_gateway_does_not_hold_for_ever_what_can_never_be_answered() -> None:
    """The frame names one request, the command inside it another: nobody will ever apply the first."""
    world = World()
    leader = world.await_leader()
    world.user("odd")
    command = Command(5, 0, 7, 1, Op.PUT, (b"k", b"v")).encode()
    for sequence in range(50):
        request = (sequence + 1, Kind.WRITE, 99, sequence, command)
        world.ask_node("odd", leader, encode_requests(None, [request]))
    world.run(0.5)
    assert world.node(leader).gateway.pending_writes == 50
    world.run(LOGGED_SECONDS + PENDING_SECONDS)
    assert world.node(leader).gateway.pending_writes == 0


def test_bytes_that_are_no_command_change_nothing_and_stop_nobody() -> None:
    world = World()
    leader = world.await_leader()
    client = world.user()
    for number, garbage in enumerate((b"\x80", b"\xc4\x05abcde", b"", b"\xc1", b"\x95\x01\x02\x03\x04\xa1x")):
        request = (number + 1, Kind.WRITE, 1, number, garbage)
        world.ask_node("odd", leader, encode_requests(None, [request]))
    call = client.put("a", "1")
    settle(world, client)
    assert call.response is not None
    assert call.response.revision == 1


def test_requests_open_at_a_node_that_is_no_longer_asked_find_their_way() -> None:
    """One request is refused, so the client turns to another node; the other one stays behind at the
    first, which then dies."""
    world = World()
    leader = world.await_leader()
    client = world.user()
    client.put("warm", "up")
    settle(world, client)
    world.machines[leader].pause()
    calls = [client.put(f"k{number}", "v", timeout=30.0) for number in range(20)]
    world.reach(lambda: world.leader() not in (None, leader))
    settle(world, client, 30.0)
    assert all(call.response for call in calls)


def test_a_leader_looks_at_no_more_of_its_log_than_one_message_holds() -> None:
    log = RaftLog(entries(*[1] * 20_000))
    part = log.slice_bytes(log.first_index, log.last_index, 1 << 30)
    assert len(part) < 10_000
    assert [entry.index for entry in log.slice_bytes(log.first_index, log.last_index, 1)] == [1]


def test_a_clock_that_runs_fast_or_slow_breaks_nothing() -> None:
    world = World()
    leader = world.await_leader()
    client = world.user()
    for name, rate in zip(world.names, (3.0, 0.5, 1.3), strict=True):
        world.node(name).faults.handle(SetClockRate(rate))
    for number in range(200):
        client.put(f"k{number}", "v", timeout=20.0)
    settle(world, client, 30.0)
    snapshots = [world.node(name).status.snapshot() for name in world.names]
    assert {snapshot.faults for snapshot in snapshots} == {("clock ×3",), ("clock ×0.5",), ("clock ×1.3",)}
    assert world.node(leader).store.machine.revision == 200


def test_timers_follow_the_clock_of_their_node() -> None:
    now = [100.0]
    system = System(lambda: now[0], random.Random(0))
    system.begin_turn()
    system.set_clock_rate(2.0)
    system.set_timer("raft", 1.0, None)
    assert system.next_timer() == 100.5
    now[0] = 100.5
    system.begin_turn()
    assert system.now() == 101.0


@pytest.mark.parametrize("of_this_life", [False, True])
def test_what_was_said_before_this_life_began_is_no_proof_of_a_loss(of_this_life: bool) -> None:
    """A heartbeat that was held up on its way tells what another folder held, or what a book said that has
    been closed; one of somebody who has heard this life tells the truth."""
    world = World()
    leader = world.await_leader()
    world.run(1.0)
    name = next(name for name in world.names if name != leader)
    machine, node = world.machine(name), world.node(leader)
    leadership = node.raft.raft.leadership
    assert leadership is not None
    book = leadership.progress[NodeId(name)].book
    term, known = node.raft.raft.current_term, LogIndex(machine.node.raft.raft.log.last_index + 40)
    claim = Heartbeat(NodeId(leader), NodeId(name), term, known, 0, book)
    hears = machine.boot if of_this_life else machine.boot - 1
    boot = world.machine(leader).boot
    frame = wire.encode("virtual", NodeId(leader), node.incarnation, NodeId(name), boot, [claim], hears)
    machine.node._ports["peers"] = Once([leader.encode(), frame])
    machine.node.turn(["peers"])
    stopped = machine.node.stopped
    if not of_this_life:
        assert stopped is None
        return
    assert stopped is not None
    assert isinstance(stopped.error, EntriesLost)
    assert f"knows it to hold entry {known}" in str(stopped.error)


def test_a_leader_says_whose_life_it_has_heard() -> None:
    world = World()
    leader = world.await_leader()
    world.run(1.0)
    roster = world.node(leader).peers._roster
    for name in world.names:
        if name != leader:
            assert roster.boot_of(NodeId(name)) == world.machine(name).boot
            world.crash(name)
            world.start(name)
    world.run(2.0)
    for name in world.names:
        if name != leader:
            assert roster.boot_of(NodeId(name)) == world.machine(name).boot


class Once:
    """A port with one frame."""

    def __init__(self, frame: list[bytes]) -> None:
        self._frames = [frame]

    def receive(self, frames_max: int, bytes_max: int = 0) -> list[list[bytes]]:
        frames, self._frames = self._frames[:frames_max], []
        return frames

    def send(self, frame: Sequence[bytes]) -> bool:
        return False

    def close(self) -> None: ...


def test_a_peer_that_looks_like_an_earlier_life_of_itself_is_heard_again() -> None:
    """A stray frame of n2's last life came to n1 before anything else did: from then on the living n2
    was the earlier one, for ever. Found by 'raftkv sim --seed 176' (docs/bugs-found.md)."""
    world = World()
    world.await_leader()
    machine = world.machine("n1")

    def rejected() -> int:
        return machine.node.status.frames_rejected

    heartbeat = Heartbeat(NodeId("n2"), NodeId("n1"), Term(0), LogIndex(0), 0)
    incarnation = world.machine("n2").node.incarnation
    stray = wire.encode("virtual", NodeId("n2"), incarnation, NodeId("n1"), 111, [heartbeat])
    machine.arrive("peers", [b"n2", stray])
    world.run(0.4)
    assert rejected() > 0
    world.reach(lambda: world.leader() is not None)
    world.run(1.0)
    before = rejected()
    world.run(2.0)
    assert rejected() == before
