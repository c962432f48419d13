"""How many reads a store answers in one turn: the rest waits for the next, behind the heartbeats."""

from __future__ import annotations

import random
from typing import Any

import pytest

from raftkv.actors.gateway import READ_PLACES_MAX, RESPONSE_BYTES_SOFT_MAX
from raftkv.actors.messages import Apply, Read, ReadServed, Tick
from raftkv.actors.read_queue import BYTES_A_TURN_MAX, PAST_BYTES
from raftkv.actors.store import StoreActor
from raftkv.actors.system import System
from raftkv.client.calls import Call
from raftkv.kv import Op, StateMachine
from raftkv.raft import Entry, EntryKind
from raftkv.types import LogIndex, Term
from raftkv.wire.client import Kind, Request
from tests.kv.support import Client
from tests.support.world import World

READS = 100


class _Gateway:
    def __init__(self) -> None:
        self.turns: list[int] = []
        """How many answers came in each."""

    def handle(self, message: Any) -> None:
        assert isinstance(message, ReadServed)
        self.turns.append(len(message.replies))


def served(request: Request, messages: int = 1) -> list[int]:
    """``messages``: in so many parts they reach the store."""
    machine = StateMachine()
    client = Client(machine)
    for _ in range(3):
        client.put(b"k", b"v")
    system, gateway = System(lambda: 0.0, random.Random(1)), _Gateway()
    store = StoreActor(system, machine, lambda lease: 0)
    system.add("store", store)
    system.add("gateway", gateway)
    for _ in range(messages):
        system.send("store", Read(LogIndex(0), [(b"c", request)] * (READS // messages)))
    while sum(gateway.turns) < READS:
        system.begin_turn()
        system.finish_turn()
        system.send("store", Tick())
    return gateway.turns


def test_all_leases_are_shown_to_one_a_turn() -> None:
    """There may be twenty thousand, looked at one by one."""
    assert served((1, Kind.LEASES, 0, False)) == [1] * READS
    assert served((1, Kind.LEASES, 5, False))[0] > 1


def test_a_lease_is_never_shown_without_time_left_because_it_is_new() -> None:
    """A grant and the read that shows it are often of one turn, and time is counted at its end."""
    world = World(3, seed=0)
    leader = world.await_leader()
    follower = next(name for name in world.names if name != leader)
    writer, reader = world.user("writer", [leader]), world.user("reader", [follower])
    left: list[int] = []
    for _ in range(20):
        grant, reads = writer.write(Op.LEASE_GRANT, 60_000), list[Call]()
        while not grant.response:
            reads.append(reader.leases())
            world.run(0.0002)
        world.reach(lambda: reader.core.calls_open == 0)
        left += [row[2] for read in reads if read.response for row in read.response.detail[0]]
    assert len(left) > 20
    assert min(left) > 50_000


def test_reads_of_the_present_fit_into_one_turn() -> None:
    assert served((1, Kind.GET, b"k", 0, False)) == [READS]


@pytest.mark.parametrize("messages", [1, READS])
@pytest.mark.parametrize("kind", [Kind.GET, Kind.RANGE])
def test_of_the_past_only_a_few_are_read_in_a_turn(kind: Kind, messages: int) -> None:
    """However many rounds of heartbeats, or requests of one client each, they come from."""
    request: Request = (
        (1, Kind.GET, b"k", 1, False)
        if kind is Kind.GET
        else (1, Kind.RANGE, b"", b"", 0, False, False, False, 1, False)
    )
    turns = served(request, messages)
    assert max(turns) <= BYTES_A_TURN_MAX // PAST_BYTES + 1
    assert sum(turns) == READS


@pytest.mark.parametrize("what", ["read", "local read", "failed compare"])
def test_large_answers_leave_in_frames_that_a_client_takes(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred megabytes of them, asked for at once; a client takes 64 in one frame."""
    world = World(1)
    world.await_leader()
    user = world.user()
    user.put("k", "x" * 500_000)
    world.reach(lambda: user.core.calls_open == 0)
    sizes: list[int] = []
    send = world.send_to_client

    def noted(sender: str, client: bytes, frame: bytes) -> None:
        sizes.append(len(frame))
        send(sender, client, frame)

    def ask() -> Call:
        if what == "failed compare":
            return user.write(Op.COMPARE_AND_SET, b"k", b"other", b"y")
        return user.get("k", stale=what == "local read", timeout=5.0)

    monkeypatch.setattr(world, "send_to_client", noted)
    calls = [ask() for _ in range(200)]
    world.reach(lambda: user.core.calls_open == 0)
    assert all(call.response and len(call.response.detail[0]) == 500_000 for call in calls)
    assert max(sizes) < 2 * RESPONSE_BYTES_SOFT_MAX


def test_local_reads_are_bounded_like_others() -> None:
    """They wait, too, for a node that has more to do."""
    world = World(1)
    node = world.node(world.await_leader())
    node.gateway._read_places = READ_PLACES_MAX
    user = world.user()
    call = user.get("k", stale=True, timeout=1.0)
    world.reach(lambda: call.error is not None)
    assert "overloaded" in str(call.error)


def test_a_read_waits_until_its_index_is_applied() -> None:
    system, gateway = System(lambda: 0.0, random.Random(1)), _Gateway()
    system.add("store", StoreActor(system, StateMachine(), lambda lease: 0))
    system.add("gateway", gateway)
    system.send("store", Read(LogIndex(1), [(b"c", (1, Kind.GET, b"k", 0, False))]))
    for _ in range(2):
        system.begin_turn()
        system.finish_turn()
    assert gateway.turns == []
    system.send("store", Apply([Entry(LogIndex(1), Term(1), EntryKind.NO_OP, b"")]))
    system.begin_turn()
    system.finish_turn()
    assert gateway.turns == [1]


def test_whoever_asks_for_thousands_of_ranges_keeps_nobody_else_waiting_for_them() -> None:
    """Single keys go first, and ranges of others after one each."""
    machine = StateMachine()
    Client(machine).put(b"k", b"v")
    system, told = System(lambda: 0.0, random.Random(1)), list[bytes]()

    class Gateway:
        def handle(self, message: Any) -> None:
            told.extend(identity for identity, _, _ in message.replies)

    store = StoreActor(system, machine, lambda lease: 0)
    system.add("store", store)
    system.add("gateway", Gateway())
    ranges: Request = (1, Kind.RANGE, b"", b"\xff", 0, False, False, False, 0, False)
    system.send("store", Read(LogIndex(0), [(b"flood", ranges)] * 1000))
    system.send("store", Read(LogIndex(0), [(b"getter", (2, Kind.GET, b"k", 0, False)), (b"ranger", ranges)]))
    system.begin_turn()
    system.finish_turn()
    assert told[:3] == [b"getter", b"flood", b"ranger"]
    while len(told) < 1002:
        system.send("store", Tick())
        system.begin_turn()
        system.finish_turn()
    assert told.count(b"flood") == 1000
