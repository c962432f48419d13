"""Logical users for tests against failures: each asks, waits for the answer, rests, and asks again.

Everything asked and answered goes into a history; a request whose outcome is unknown stays open
there for ever. The same users work in a simulated world and against real processes: the stage they
stand on gives them time and a way to ask.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from raftkv.client.calls import Call
from raftkv.client.core import ClientCore
from raftkv.errors import OutcomeUnknown, SessionExpired
from raftkv.history import Op as Did
from raftkv.history import Recorder, Result
from raftkv.kv import KeyValue
from raftkv.kv.commands import Code, Op
from raftkv.wire.client import Kind

NANOSECONDS = 1_000_000_000
DELETE_SHARE = 0.1
CAS_SHARE = 0.2
"""Of all requests; what is neither these nor a read is a put."""


BURST_MAX = 30


class Stage(Protocol):
    """Where a user stands. Times in seconds of one clock."""

    core: ClientCore

    def now(self) -> float: ...
    def later(self, delay: float, action: Callable[[], None]) -> None: ...
    def submit(self, call: Call) -> None: ...


class Habits(Protocol):
    @property
    def keys(self) -> int: ...
    @property
    def rest_seconds(self) -> float:
        """Mean time between an answer and the next request."""
        ...

    @property
    def request_timeout(self) -> float: ...
    @property
    def read_share(self) -> float: ...
    @property
    def burst_share(self) -> float:
        """Of a user's turns: many writes at once, all open together."""
        ...

    @property
    def pinned_share(self) -> float:
        """Of reads, that ask one node whether it leads or not."""
        ...


class Listener(Protocol):
    """Hears of every write that was answered."""

    def __call__(self, client_id: int, sequence: int, code: int, revision: int) -> None: ...


class User:
    """One request at a time, or a burst of them; each write has a value that nobody else writes."""

    def __init__(
        self,
        number: int,
        stage: Stage,
        habits: Habits,
        rng: random.Random,
        history: Recorder,
        on_write: Listener,
        endpoints: Sequence[str],
    ) -> None:
        """``endpoints``: of all nodes, for reads that ask one of them."""
        self.number = number
        self._stage = stage
        self._habits = habits
        self._rng = rng
        self._history = history
        self._prefix = ""
        self._on_write = on_write
        self._endpoints = endpoints
        self._session = stage.core.new_session()
        self._seen: dict[str, str | None] = {}
        """What this user last knew of each key, so that comparisons succeed now and then."""
        self._writes = 0
        self._open = 0
        self.last: Result | None = None
        """How the last request ended."""
        self.resting = False
        """While set, nothing new is asked."""

    @property
    def busy(self) -> bool:
        return self._open > 0

    def begin(self) -> None:
        self._stage.later(self._rng.expovariate(1 / self._habits.rest_seconds), self._go_on)

    def turn_to(self, history: Recorder, prefix: str) -> None:
        """From now on ask for other keys, and write that down elsewhere. What is open ends where it began."""
        self._history, self._prefix = history, prefix
        self._seen.clear()

    def believe(self, key: str, value: str | None) -> None:
        """As if this had been read: the next comparison expects it."""
        self._seen[key] = value

    def ask(self, op: Did, key: str, value: str | None = None, target: str | None = None) -> None:
        """One request now; the user goes on by itself afterwards. ``target``: the node to be read from."""
        now, history = self._stage.now(), self._history
        expected = self._seen.get(key) if op is Did.CAS else None
        token = history.invoke(
            self.number, op, key, value=value, expected=expected, now_ns=int(now * NANOSECONDS)
        )
        session = None if op is Did.GET else self._session
        name = key.encode()
        fields: tuple[Any, ...]
        if op is Did.GET:
            fields = (Kind.GET, name, 0, False)
            if target is None and self._rng.random() < self._habits.pinned_share:
                target = self._rng.choice(self._endpoints)
        else:
            fields = {
                Did.PUT: (Op.PUT, name, _bytes(value)),
                Did.DELETE: (Op.DELETE, name),
                Did.CAS: (Op.COMPARE_AND_SET, name, _bytes(expected), _bytes(value)),
            }[op]
        self._open += 1
        deadline = now + self._habits.request_timeout
        self._stage.submit(
            Call(
                fields,
                deadline,
                lambda call: self._on_done(history, token, op, key, value, call),
                session,
                target,
            )
        )

    def _go_on(self) -> None:
        if self.resting:
            return
        rng, reads = self._rng, self._habits.read_share
        if rng.random() < self._habits.burst_share:
            for _ in range(rng.randint(2, BURST_MAX)):
                self.ask(Did.PUT, self._draw_key(), self._draw_value())
            return
        draw, key, value = rng.random(), self._draw_key(), self._draw_value()
        if draw < reads:
            self.ask(Did.GET, key)
        elif draw < reads + DELETE_SHARE:
            self.ask(Did.DELETE, key)
        elif draw < reads + DELETE_SHARE + CAS_SHARE:
            self.ask(Did.CAS, key, value)
        else:
            self.ask(Did.PUT, key, value)

    def _draw_key(self) -> str:
        return f"{self._prefix}k{self._rng.randrange(self._habits.keys)}"

    def _draw_value(self) -> str:
        self._writes += 1
        return f"{self.number}.{self._writes}"

    def _on_done(
        self, history: Recorder, token: int, op: Did, key: str, value: str | None, call: Call
    ) -> None:
        now_ns = int(self._stage.now() * NANOSECONDS)
        self._open -= 1
        if not self._open:
            self.begin()
        response = call.response
        if response is None:
            unknown = isinstance(call.error, OutcomeUnknown)
            self.last = Result.UNKNOWN if unknown else Result.FAIL
            history.complete(token, self.last, now_ns=now_ns)
            if isinstance(call.error, SessionExpired):
                self._session = self._stage.core.renew()
            return
        output: Any = None
        found = KeyValue(*response.detail).value.decode() if type(response.detail) is tuple else None
        if op is Did.GET:
            output = self._seen[key] = found
        else:
            assert call.session is not None
            self._on_write(call.session.client_id, call.sequence, response.code, response.revision)
            self._seen[key] = None if op is Did.DELETE else value
            if op is Did.CAS:
                output = response.code == Code.OK
                if not output:
                    self._seen[key] = found
        self.last = Result.OK
        history.complete(token, Result.OK, output, now_ns=now_ns)


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else value.encode()
