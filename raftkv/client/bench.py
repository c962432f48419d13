"""The load generator behind ``raftkv bench``: N logical clients, one request outstanding each.

Every logical client has its own identity and sequence of writes. All of them share one connection
a node, as the threads of a program that share a ``Client`` do; what they ask in the same instant
travels in one frame.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from raftkv import clock
from raftkv.client.calls import Call, Session
from raftkv.client.transport import Transport
from raftkv.errors import ClientError
from raftkv.keys import Key
from raftkv.kv.commands import Op
from raftkv.wire.client import Kind

READ_SHARE_OF_MIXED = 0.9
PUMP_SECONDS = 0.05
FLUSH_REQUESTS = 64
"""Sent as soon as so many have gathered: the cluster works on them while the next are encoded."""


@dataclass(slots=True)
class BenchResult:
    operation: str
    clients: int
    total: int
    value_size: int
    seconds: float = 0.0
    errors: int = 0
    latencies: list[float] = field(default_factory=list)
    """Seconds, of each request that succeeded."""

    def summary(self) -> dict[str, Any]:
        """The JSON shape of ``raftkv bench --json``."""
        ordered = sorted(self.latencies)

        def quantile(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 3)

        latency = dict.fromkeys(("mean", "p50", "p90", "p99", "p999", "max"), 0.0)
        if ordered:
            latency = {
                "mean": round(sum(ordered) / len(ordered) * 1000, 3),
                "p50": quantile(0.5),
                "p90": quantile(0.9),
                "p99": quantile(0.99),
                "p999": quantile(0.999),
                "max": round(ordered[-1] * 1000, 3),
            }
        return {
            "operation": self.operation,
            "clients": self.clients,
            "total": self.total,
            "value_size": self.value_size,
            "seconds": round(self.seconds, 3),
            "ops_per_second": round(len(ordered) / self.seconds, 1) if self.seconds else 0.0,
            "latency_ms": latency,
            "errors": self.errors,
        }


class Bench:
    """``operation``: put, get or mixed (nine reads to a write), over keys drawn from ``key_space``."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        operation: str,
        clients: int,
        total: int,
        value_size: int,
        key_space: int,
        timeout: float,
        progress: Callable[[int], None] = lambda _: None,
        key: Key | None = None,
    ) -> None:
        self._transport = Transport(endpoints, key=key)
        self._result = BenchResult(operation, clients, total, value_size)
        self._key_space = key_space
        self._timeout = timeout
        self._progress = progress
        self._random = random.Random(0)
        self._value = self._random.randbytes(value_size)
        self._write_share = {"put": 1.0, "get": 0.0, "mixed": 1 - READ_SHARE_OF_MIXED}[operation]
        self._started = 0
        self._finished = 0

    def run(self) -> BenchResult:
        """Raises what keeps the keys from being written beforehand; errors of the run itself are counted."""
        transport, result = self._transport, self._result
        try:
            self._prepare()
            begin = clock.now()
            for _ in range(min(result.clients, result.total)):
                session = transport.core.new_session()
                self._ask(session, partial(self._on_done, session))
            while self._finished < result.total:
                transport.pump(PUMP_SECONDS)
                self._progress(self._finished)
            result.seconds = clock.now() - begin
        finally:
            transport.close()
        return result

    def _prepare(self) -> None:
        """Write every key that reads may ask for, and find the leader on the way."""
        count = self._key_space if self._write_share < 1 else 1
        errors: list[ClientError] = []
        done = 0

        def on_done(call: Call) -> None:
            nonlocal done
            done += 1
            if call.error:
                errors.append(call.error)

        session = self._transport.core.new_session()
        for number in range(count):
            now = clock.now()
            call = Call((Op.PUT, _key(number), self._value), now + self._timeout, on_done, session)
            self._transport.core.submit(call, now)
            while number + 1 - done >= self._result.clients:
                self._transport.pump(PUMP_SECONDS)
            if errors:  # or every key would wait its whole time
                raise errors[0]
        while done < count:
            self._transport.pump(PUMP_SECONDS)
        if errors:
            raise errors[0]

    def _ask(self, session: Session, done: Callable[[Call], None]) -> None:
        """The next request of one logical client, if there are any left."""
        if self._started == self._result.total:
            return
        self._started += 1
        now = clock.now()
        key = _key(int(self._random.random() * self._key_space))  # a third of what randrange takes
        share = self._write_share
        if share == 1.0 or (share and self._random.random() < share):
            call = Call((Op.PUT, key, self._value), now + self._timeout, done, session)
        else:
            call = Call((Kind.GET, key, 0, False), now + self._timeout, done)
        self._transport.core.submit(call, now)
        if self._started % FLUSH_REQUESTS == 0:
            self._transport.flush()

    def _on_done(self, session: Session, call: Call) -> None:
        self._finished += 1
        if call.error:
            self._result.errors += 1
        else:
            self._result.latencies.append(clock.now() - call.started)
        self._ask(session, call.done)


def _key(number: int) -> bytes:
    return b"bench/%012d" % number
