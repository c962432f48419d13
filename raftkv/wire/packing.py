"""What all frames share: size limits, packing, and unpacking that fails in one way only."""

from __future__ import annotations

from typing import Any

import msgpack

from raftkv.errors import VersionMismatch, WireError

FRAME_BYTES_MAX = 16 << 20
"""Peer frames: a turn's worth of appends to one peer (see ``RaftOptions.append_bytes_max``)."""
REQUEST_BYTES_MAX = 3 << 19
"""1.5 MiB: one request of a client, and one frame of them unless a single request fills it."""


def pack(content: Any) -> bytes:
    packed: bytes = msgpack.packb(content)
    return packed


def unpack(data: bytes, bytes_max: int) -> Any:
    if len(data) > bytes_max:
        raise WireError(f"a frame of {len(data):,} bytes; the limit is {bytes_max:,}")
    try:
        # Keys of a map are text or bytes, as by default: with tuples or numbers, whose hashes everybody can
        # compute, a small frame of colliding ones takes minutes to decode.
        return msgpack.unpackb(data, use_list=False)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"no MessagePack: {type(error).__name__}") from error


def expect_version(version: Any, known: int, protocol: str) -> None:
    """What a frame holds is never put into a message as it is: it may be huge, or nested too deeply
    even to be shown."""
    if type(version) is not int or version != known:
        shown = version if type(version) is int and 0 <= version < 1 << 16 else "(none)"
        raise VersionMismatch(f"{protocol} protocol version {shown}; this side speaks version {known}")


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise WireError(what)
