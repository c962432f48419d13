"""What is taken in of a client's frames, and what becomes of what is asked twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from raftkv.actors.gateway import READ_PLACES_MAX, GatewayActor, GatewayLimits
from raftkv.actors.messages import (
    AppliedBatch,
    Frames,
    ProposalRefused,
    Propose,
    ReadIndexReady,
    SendForward,
    SoftStateChanged,
)
from raftkv.actors.node import BYTES_A_TURN_MAX, CONTROL_FRAMES_A_TURN_MAX, FRAMES_A_TURN_MAX
from raftkv.actors.system import ActorName, System
from raftkv.kv import Applied, Code
from raftkv.kv.sessions import Answer
from raftkv.raft import Role, SoftState
from raftkv.types import NodeId, Term
from raftkv.wire.client import REQUESTS_PER_FRAME_MAX, Kind, decode_responses, encode_requests
from raftkv.wire.control import ControlRequest, encode_request
from tests.support.world import World

CLUSTER = "c"
KEY = (11, 1)


class _Recorder:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def handle(self, message: Any) -> None:
        self.heard.append(message)


class _Port:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def receive(self, frames_max: int, bytes_max: int = 0) -> list[list[bytes]]:
        raise NotImplementedError

    def send(self, frame: Sequence[bytes]) -> bool:
        self.sent.append(frame[-1])
        return True

    def close(self) -> None:
        raise NotImplementedError


def alone(limits: GatewayLimits) -> tuple[GatewayActor, _Port, _Recorder, Callable[[Any], None]]:
    """A gateway, its port, those it talks to, and how it is given a message in a turn of its own."""
    system, port, others = System(lambda: 0.0, random.Random(1)), _Port(), _Recorder()
    gateway = GatewayActor(system, port, CLUSTER, limits, lambda state: ())
    system.add("gateway", gateway)
    names: tuple[ActorName, ...] = ("raft", "peers", "store", "status")
    for name in names:
        system.add(name, others)

    def turn(message: Any) -> None:
        system.begin_turn()
        system.send("gateway", message)
        system.finish_turn()

    return gateway, port, others, turn


def frames(*requests: tuple[Any, ...]) -> Frames:
    return Frames([[b"w", encode_requests(CLUSTER, requests)]])


@pytest.mark.parametrize("role", [Role.LEADER, Role.FOLLOWER])
def test_what_is_asked_again_is_forwarded_again_but_not_logged_again(role: Role) -> None:
    """A leader that is slow would make itself slower: of each write there would be a copy for each second."""
    gateway, port, others, turn = alone(GatewayLimits(10, 1000))
    turn(SoftStateChanged(SoftState(role, NodeId("n1"), Term(1))))
    for request_id in (7, 8, 9):
        request = (request_id, Kind.WRITE, *KEY, b"command")
        turn(frames(request))
    logged = [message for message in others.heard if isinstance(message, Propose)]
    forwarded = [message for message in others.heard if isinstance(message, SendForward)]
    assert (len(logged), len(forwarded)) == ((1, 0) if role is Role.LEADER else (0, 3))
    assert gateway.pending_writes == 1
    if role is Role.LEADER:
        for unlogged in (
            ProposalRefused(logged[0].keys, Code.BUSY),
            SoftStateChanged(SoftState(role, NodeId("n1"), Term(3))),
        ):
            turn(unlogged)
            turn(frames((9, Kind.WRITE, *KEY, b"command")))
        assert len([message for message in others.heard if isinstance(message, Propose)]) == 3
        port.sent.clear()
    turn(AppliedBatch([Applied(*KEY, Answer(Code.OK, 5, b""))]))
    (answer,) = [decode_responses(frame) for frame in port.sent]
    assert [response[:2] for response in answer] == [(9, Code.OK)], "whoever asked last is answered"


def test_a_turn_takes_only_so_many_requests_however_they_are_packed() -> None:
    """Or somebody's small requests would keep a leader from saying that it lives."""
    world = World(3, seed=0)
    machine = world.machines[world.await_leader()]
    frame = encode_requests(world.config.name, [(1, Kind.GET, b"k", 0, False)] * REQUESTS_PER_FRAME_MAX)
    count = 3 * BYTES_A_TURN_MAX // len(frame)
    assert count < FRAMES_A_TURN_MAX
    port = machine.ports["gateway"]
    port.inbox.extend([b"w", frame] for _ in range(count))
    took = []
    while port.inbox:
        before = len(port.inbox)
        machine.node.turn(["gateway"])
        took.append(before - len(port.inbox))
    assert len(took) > 2
    assert max(took) <= BYTES_A_TURN_MAX // len(frame) + 1


def test_a_turn_takes_few_questions_of_an_operator() -> None:
    """Each may look through thousands of entries."""
    world = World(3, seed=0)
    machine = world.machines[world.await_leader()]
    port = machine.ports["control"]
    frame = encode_request(ControlRequest(1, "search", {"text": "nothing", "first": 1}))
    port.inbox.extend([b"o", frame] for _ in range(3 * CONTROL_FRAMES_A_TURN_MAX))
    machine.node.turn(["control"])
    assert len(port.inbox) == 2 * CONTROL_FRAMES_A_TURN_MAX


def test_no_two_writes_that_wait_have_one_hash_though_a_client_chose_them_so() -> None:
    """Thousands of those would take a turn of seconds, and a leader its place."""
    writes = [(client_id, _sequence_like_the_others(client_id)) for client_id in range(1, 400)]
    writes = [(client_id, sequence) for client_id, sequence in writes if sequence < 1 << 61]
    assert len(writes) > 20
    assert len({hash(write) for write in writes}) == 1, "as tuples they have"
    _, _, others, turn = alone(GatewayLimits(1000, 100_000))
    turn(SoftStateChanged(SoftState(Role.LEADER, NodeId("n1"), Term(1))))
    turn(frames(*[(number, Kind.WRITE, *write, b"x") for number, write in enumerate(writes)]))
    (proposed,) = [message for message in others.heard if isinstance(message, Propose)]
    assert len({hash(key) for key in proposed.keys}) == len(set(proposed.keys)) == len(writes)


def _sequence_like_the_others(client_id: int) -> int:
    """So that ``hash((client_id, sequence))`` is the same for every client: CPython hashes tuples by a
    round of xxHash for each item, which can be solved for the last one."""
    full, prime_1, prime_2, prime_5 = 1 << 64, 11400714785074694791, 14029467366897019727, 2870177450012600261
    after_first = (prime_5 + client_id * prime_2) % full
    after_first = (after_first << 31 | after_first >> 33) % full * prime_1 % full
    return -after_first * pow(prime_2, -1, full) % full


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ((Kind.GET, bytes(4096), 0, False), Code.NO_LEADER),
        ((Kind.GET, bytes(100_000), 0, False), Code.INVALID),
        ((Kind.RANGE, b"a", bytes(100_000), 0, False, False, False, 0, False), Code.INVALID),
    ],
)
def test_no_read_waits_that_names_what_can_be_no_key(request_: tuple[Any, ...], code: Code) -> None:
    """Thousands may wait, of all clients; a megabyte each would be all there is."""
    gateway, port, others, turn = alone(GatewayLimits(10, 1000))
    turn(frames((7, *request_)))
    for asked in list(others.heard):
        turn(ReadIndexReady(asked.context, None))
    (answer,) = [decode_responses(frame) for frame in port.sent]
    assert [response[:2] for response in answer] == [(7, code)]
    assert gateway._read_places == 0


def test_long_names_take_more_of_the_room_for_reads() -> None:
    gateway, port, _, turn = alone(GatewayLimits(10, 1000))
    gateway._read_places = READ_PLACES_MAX - 4
    lengths = enumerate((4096, 9, 9))
    turn(frames(*[(number, Kind.GET, bytes(length), 0, False) for number, length in lengths]))
    (answer,) = [decode_responses(frame) for frame in port.sent]
    assert [response[:2] for response in answer] == [(0, Code.BUSY)]
    assert gateway._read_places == READ_PLACES_MAX - 2
