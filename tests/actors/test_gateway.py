"""What is taken in of a client's frames, and what becomes of what is asked twice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from raftkv.actors.gateway import GatewayActor, GatewayLimits
from raftkv.actors.messages import (
    AppliedBatch,
    Frames,
    ProposalRefused,
    Propose,
    SendForward,
    SoftStateChanged,
)
from raftkv.actors.node import BYTES_A_TURN_MAX, FRAMES_A_TURN_MAX
from raftkv.actors.system import System
from raftkv.kv import Applied, Code
from raftkv.kv.sessions import Answer
from raftkv.raft import Role, SoftState
from raftkv.types import NodeId, Term
from raftkv.wire.client import REQUESTS_PER_FRAME_MAX, Kind, decode_responses, encode_requests
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


@pytest.mark.parametrize("role", [Role.LEADER, Role.FOLLOWER])
def test_what_is_asked_again_is_forwarded_again_but_not_logged_again(role: Role) -> None:
    """A leader that is slow would make itself slower: of each write there would be a copy for each second."""
    system, port, others = System(lambda: 0.0, random.Random(1)), _Port(), _Recorder()
    gateway = GatewayActor(system, port, CLUSTER, GatewayLimits(10, 1000), lambda state: ())
    system.add("gateway", gateway)
    for name in ("raft", "peers", "store", "status"):
        system.add(name, others)

    def turn(message: Any) -> None:
        system.begin_turn()
        system.send("gateway", message)
        system.finish_turn()

    turn(SoftStateChanged(SoftState(role, NodeId("n1"), Term(1))))
    for request_id in (7, 8, 9):
        request = (request_id, Kind.WRITE, *KEY, b"command")
        turn(Frames([[b"w", encode_requests(CLUSTER, [request])]]))
    logged = [message for message in others.heard if isinstance(message, Propose)]
    forwarded = [message for message in others.heard if isinstance(message, SendForward)]
    assert (len(logged), len(forwarded)) == ((1, 0) if role is Role.LEADER else (0, 3))
    assert gateway.pending_writes == 1
    if role is Role.LEADER:
        for unlogged in (
            ProposalRefused([KEY], Code.BUSY),
            SoftStateChanged(SoftState(role, NodeId("n1"), Term(3))),
        ):
            turn(unlogged)
            turn(Frames([[b"w", encode_requests(CLUSTER, [(9, Kind.WRITE, *KEY, b"command")])]]))
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
