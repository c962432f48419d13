"""Many writes in flight from one thread: what ``raftkv load`` is made of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import TracebackType

from raftkv import clock
from raftkv.client.calls import Call
from raftkv.client.transport import Transport
from raftkv.client.writer import Writer
from raftkv.errors import ClientError
from raftkv.keys import Key
from raftkv.kv import check_key, check_value
from raftkv.kv.commands import Op

PUMP_SECONDS = 0.05
ERRORS_KEPT = 5000
"""More than can be in flight: whoever stops at the first failure loses count of none."""


class Pipeline:
    """At most ``in_flight`` writes are open; writes to one key are sent one after the other, as a
    retry after a leader change may overtake what was sent later."""

    def __init__(
        self, endpoints: Sequence[str], in_flight: int, timeout: float, key: Key | None = None
    ) -> None:
        self._transport = Transport(endpoints, key=key)
        self._writer = Writer(self._transport.core)
        self._in_flight = in_flight
        self._timeout = timeout
        self._open: dict[bytes, int] = {}
        """By key, the caller's number."""
        self.succeeded = 0
        self.errors: list[tuple[int, ClientError]] = []
        """(the caller's number, what became of it) of the first failures."""

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()

    def put(self, number: int, key: bytes, value: bytes) -> None:
        """Submit one write, waiting for room first. Raises ``InvalidRequest`` at once; what becomes
        of it later stands in ``errors`` under ``number``."""
        check_key(key)
        check_value(value)
        while key in self._open or len(self._open) >= self._in_flight:
            self._transport.pump(PUMP_SECONDS)
        self._open[key] = number
        now = clock.now()
        done = partial(self._on_done, number, key)
        self._transport.core.submit(self._writer.call((Op.PUT, key, value), now + self._timeout, done), now)

    def tend(self, seconds: float) -> bool:
        """Send what was submitted and take in what is answered, for so long at most: for whoever waits for
        something else. Whether anything is open."""
        if self._open:
            self._transport.pump(seconds)
        return bool(self._open)

    @property
    def first_undone(self) -> int | None:
        """The lowest number of those that are not known to have happened; None where all are."""
        return min([*self._open.values(), *(number for number, _ in self.errors)], default=None)

    def drain(self) -> None:
        """Wait until every write has its outcome."""
        while self._open:
            self._transport.pump(PUMP_SECONDS)

    def _on_done(self, number: int, key: bytes, call: Call) -> None:
        del self._open[key]
        if call.error is None:
            self.succeeded += 1
        elif len(self.errors) < ERRORS_KEPT:
            self.errors.append((number, call.error))
