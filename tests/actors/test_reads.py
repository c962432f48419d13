"""How many reads a store answers in one turn: the rest waits for the next, behind the heartbeats."""

from __future__ import annotations

import random
from typing import Any

import pytest

from raftkv.actors.messages import Read, ReadServed, Tick
from raftkv.actors.store import BYTES_A_TURN_MAX, PAST_BYTES, StoreActor
from raftkv.actors.system import System
from raftkv.kv import StateMachine
from raftkv.types import LogIndex
from raftkv.wire.client import Kind, Request
from tests.kv.support import Client

READS = 100


class _Gateway:
    def __init__(self) -> None:
        self.turns: list[int] = []
        """How many answers came in each."""

    def handle(self, message: Any) -> None:
        assert isinstance(message, ReadServed)
        self.turns.append(len(message.replies))


def served(request: Request) -> list[int]:
    machine = StateMachine()
    client = Client(machine)
    for _ in range(3):
        client.put(b"k", b"v")
    system, gateway = System(lambda: 0.0, random.Random(1)), _Gateway()
    store = StoreActor(system, machine, lambda lease_id: 0)
    system.add("store", store)
    system.add("gateway", gateway)
    system.send("store", Read(LogIndex(0), [(b"c", request)] * READS))
    while sum(gateway.turns) < READS:
        system.begin_turn()
        system.finish_turn()
        system.send("store", Tick())
    return gateway.turns


def test_reads_of_the_present_fit_into_one_turn() -> None:
    assert served((1, Kind.GET, b"k", 0, False)) == [READS]


@pytest.mark.parametrize("kind", [Kind.GET, Kind.RANGE])
def test_of_the_past_only_a_few_are_read_in_a_turn(kind: Kind) -> None:
    request: Request = (
        (1, Kind.GET, b"k", 1, False)
        if kind is Kind.GET
        else (1, Kind.RANGE, b"", b"", 0, False, False, False, 1, False)
    )
    turns = served(request)
    assert max(turns) <= BYTES_A_TURN_MAX // PAST_BYTES + 1
    assert sum(turns) == READS
