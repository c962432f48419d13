"""A mutating command as it travels from the client through the log to the state machine.

MessagePack array ``[client_id, born, sequence, floor, op, …arguments]``, encoded once by the
client. ``client_id`` is random (63 bits); ``born`` a committed index the client saw before it first
wrote; ``sequence`` counts its writes from 1; ``floor`` is the lowest sequence it still waits for.
What they are for stands in ``sessions``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import msgpack


class Op(IntEnum):
    """Numbers are part of the log's format: never reuse one."""

    PUT = 1
    """key, value, and the lease it hangs on if there is one"""
    DELETE = 2
    """key"""
    DELETE_RANGE = 3
    """start, end"""
    COMPARE_AND_SET = 4
    """key, expected value or nil for "absent", new value"""
    MULTI_PUT = 5
    """[[key, value], …], all in one revision; no key twice"""
    TXN = 6
    """compares, operations if all hold, operations if not: see ``kv.transactions``"""
    LEASE_GRANT = 7
    """time to live in ms"""
    LEASE_REVOKE = 8
    """lease id"""
    LEASE_KEEP_ALIVE = 9
    """[lease id, …]"""
    COMPACT = 10
    """revision: the earliest that is to stay readable"""


class Code(IntEnum):
    """How a request ended. Those up to 9 are answers of the state machine, though a node that sees at once
    what it would say (``INVALID``, ``COMPACTED``) says it too; those from 10 on are a node's (``BUSY`` both
    say). Two leave open whether the request may still be applied: ``LEADER_CHANGED``, and the state machine's
    ``BUSY``, whose detail is ``WAS_IN_LOG``, as a link may have brought the leader a second copy."""

    OK = 0
    COMPARE_FAILED = 1
    INVALID = 2
    SESSION_EXPIRED = 3
    LEASE_NOT_FOUND = 4
    COMPACTED = 5
    """The revision asked for is forgotten; the detail is the earliest that is not."""
    FUTURE_REVISION = 6
    NO_LEADER = 10
    BUSY = 11
    NO_SPACE = 12
    LEADER_CHANGED = 13


WAS_IN_LOG = "it was in the log"
_HEAD_FIELDS = 5


class Command(NamedTuple):
    """The decoded form."""

    client_id: int
    born: int
    sequence: int
    floor: int
    op: int
    arguments: tuple[Any, ...]

    def encode(self) -> bytes:
        return encode_flat((*self[:5], *self.arguments))

    @staticmethod
    def decode(data: bytes) -> Command:
        """Raises ValueError for anything that is no command."""
        client_id, born, sequence, floor, op, *arguments = decode_flat(data)
        return Command(client_id, born, sequence, floor, op, tuple(arguments))


def encode_flat(fields: tuple[Any, ...]) -> bytes:
    """``(client_id, born, sequence, floor, op, *arguments)``"""
    packed: bytes = msgpack.packb(fields)
    return packed


NOT_MESSAGEPACK = (TypeError, ValueError, RecursionError, msgpack.UnpackException)
"""What ``unpackb`` may raise for bytes from anywhere."""


def decode_flat(data: bytes) -> tuple[Any, ...]:
    """The inverse. Raises ValueError for anything that is no command."""
    try:
        fields: tuple[Any, ...] = msgpack.unpackb(data, use_list=False)
    except NOT_MESSAGEPACK as error:
        raise ValueError(f"no command: {type(error).__name__}") from error
    if not has_head(fields):
        raise ValueError("no command: its head is not five numbers")
    return fields


def has_head(fields: Any) -> bool:
    """Whether it begins as a command does. A map or a byte string has items of its own."""
    return (
        type(fields) is tuple
        and len(fields) >= _HEAD_FIELDS
        and type(fields[0]) is type(fields[1]) is type(fields[2]) is type(fields[3]) is type(fields[4]) is int
    )
