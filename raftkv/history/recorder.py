"""Collects operations while they run, by the one thread that calls it.

The clock is the caller's: times are handed in, so that the simulator can record on its virtual clock.
An operation that is never completed has the result unknown, which is the truth about it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from raftkv.errors import HistoryError
from raftkv.history.operations import Key, Op, Operation, Result, Value, to_json_line

RECORDED_MAX = 5_000_000
"""Some gigabytes. Past it recording fails aloud: a history with holes would accuse the innocent."""

SPARED = 10_000
"""Operations for those who end before the bound."""


class Recorder:
    def __init__(self, *, recorded_max: int = RECORDED_MAX) -> None:
        self._recorded_max = recorded_max
        self._operations: list[Operation] = []
        self.pending = 0
        """Operations that are not completed yet."""
        self.counts: Counter[Result] = Counter()
        """Of the completed ones, by result."""

    def __len__(self) -> int:
        return len(self._operations)

    @property
    def nearly_full(self) -> bool:
        """Time to come to an end: there is room for some last words."""
        return len(self._operations) >= self._recorded_max - SPARED

    def invoke(
        self,
        client: int,
        op: Op,
        key: Key,
        *,
        value: Value = None,
        expected: Value = None,
        now_ns: int,
    ) -> int:
        """Before the request is sent. Returns the token for ``complete``."""
        if len(self._operations) >= self._recorded_max:
            raise HistoryError(f"the history has reached its bound of {self._recorded_max:,} operations")
        self._operations.append(
            Operation(client, op, key, value, expected, Result.UNKNOWN, None, now_ns, None)
        )
        self.pending += 1
        return len(self._operations) - 1

    def complete(self, token: int, result: Result, output: Value = None, *, now_ns: int) -> None:
        """After the answer came. With Result.UNKNOWN the time and the output say nothing."""
        pending = self._operations[token]
        assert pending.return_ns is None, "completed twice"
        assert now_ns >= pending.call_ns, "returned before it was called"
        self.pending -= 1
        self.counts[result] += 1
        if result is not Result.UNKNOWN:
            self._operations[token] = replace(
                pending, result=result, output=output if result is Result.OK else None, return_ns=now_ns
            )

    def operations(self) -> list[Operation]:
        """In the order of their calls; what is still pending counts as unknown."""
        return list(self._operations)

    def lines(self) -> Iterator[str]:
        """As JSON lines, without line ends."""
        return map(to_json_line, self._operations)
