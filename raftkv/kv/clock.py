"""A leader's clock entry: what the state machine's time is made of, and what the leader decides by it.

MessagePack array ``[elapsed ms, retention or nil, [[lease id, index of its last renewal], ...]]``.
"""

from __future__ import annotations

from typing import NamedTuple

import msgpack

from raftkv.kv.commands import NOT_MESSAGEPACK
from raftkv.kv.history import Retention


class ClockStep(NamedTuple):
    """``ended``: leases, each by its id and the index of the renewal that was waited for in vain."""

    elapsed_ms: int
    retention: Retention | None = None
    ended: tuple[tuple[int, int], ...] = ()

    def encode(self) -> bytes:
        packed: bytes = msgpack.packb(self)
        return packed

    @staticmethod
    def decode(data: bytes) -> ClockStep:
        """Raises ValueError for anything else."""
        try:
            elapsed_ms, retention, ended = msgpack.unpackb(data, use_list=False)
            numbers = (elapsed_ms, *(retention or ()), *(number for pair in ended for number in pair))
            pairs = tuple([(lease_id, renewed_index) for lease_id, renewed_index in ended])
            kept = Retention(*retention) if retention else None
        except NOT_MESSAGEPACK as error:
            raise ValueError(f"no clock entry: {type(error).__name__}") from error
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError("a clock entry with fields that are no numbers")
        return ClockStep(elapsed_ms, kept, pairs)
