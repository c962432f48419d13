"""Histories of any size that are linearizable by construction.

Clients run on a made-up clock. Every operation gets a moment between its call and its return, or for some
unknown ones at any time after the call or never; a plain dictionary executes them in the order of these
moments and gives the outputs.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from raftkv.history.model import Refused, apply
from raftkv.history.operations import Op, Operation, Result, Value

MIX = ((Op.GET, 50), (Op.PUT, 30), (Op.CAS, 10), (Op.APPEND, 0), (Op.DELETE, 3))


@dataclass(frozen=True, slots=True)
class Shape:
    operations: int
    keys: int
    clients: int
    mix: tuple[tuple[Op, int], ...] = MIX
    values: int = 0
    """How many different values; 0: every write has its own."""
    unknown_share: float = 0.005
    latency_ns: int = 1_000_000


def generate(shape: Shape, seed: int) -> list[Operation]:
    chance = random.Random(seed)
    return list(_execute(_plan(shape, chance), chance))


def _plan(shape: Shape, chance: random.Random) -> list[tuple[int, Operation]]:
    """(when it takes effect, operation without output), by that moment."""
    clients = [(chance.randrange(shape.latency_ns), client) for client in range(shape.clients)]
    heapq.heapify(clients)
    ops = [op for op, _ in shape.mix]
    weights = [weight for _, weight in shape.mix]
    planned = []
    for number in range(shape.operations):
        call_ns, client = heapq.heappop(clients)
        taken = int(chance.lognormvariate(0, 0.8) * shape.latency_ns) + 2
        op = chance.choices(ops, weights)[0]
        unknown = chance.random() < shape.unknown_share
        moment = call_ns + chance.randrange(1, taken)
        if unknown:
            # Some late by any measure, as a request that waited in a queue behind a partition.
            moment = call_ns + int(chance.expovariate(0.2) * shape.latency_ns)
            taken *= 5
        written = chance.randrange(shape.values) if shape.values else number
        value: Value = f"<{written}>" if op is Op.APPEND else written if shape.values else f"v{written}"
        planned.append(
            (
                moment,
                Operation(
                    client=client,
                    op=op,
                    key=f"k{chance.randrange(shape.keys)}",
                    value=value if op in (Op.PUT, Op.CAS, Op.APPEND) else None,
                    expected=None,
                    result=Result.UNKNOWN if unknown else Result.OK,
                    output=None,
                    call_ns=call_ns,
                    return_ns=None if unknown else call_ns + taken,
                ),
            )
        )
        heapq.heappush(clients, (call_ns + taken + chance.randrange(shape.latency_ns), client))
    planned.sort(key=lambda entry: entry[0])
    return planned


def _execute(planned: list[tuple[int, Operation]], chance: random.Random) -> Iterator[Operation]:
    states: dict[object, Value] = {}
    for _, planned_operation in planned:
        operation = planned_operation
        state = states.get(operation.key)
        if operation.op is Op.CAS:
            # Half of them expect what is there.
            expected = state if chance.random() < 0.5 else operation.value
            operation = replace(operation, expected=expected)
        if operation.result is Result.UNKNOWN:
            if operation.op is not Op.GET and chance.random() < 0.5:
                with suppress(Refused):
                    states[operation.key] = apply(state, operation)
            yield operation
            continue
        if operation.op is Op.GET:
            operation = replace(operation, output=state)
        elif operation.op is Op.CAS:
            operation = replace(operation, output=type(state) is type(expected) and state == expected)
        states[operation.key] = apply(state, operation)
        yield operation
