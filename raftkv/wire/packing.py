"""What all frames share: size limits, packing, and unpacking that fails in one way only."""

from __future__ import annotations

from typing import Any

import msgpack

from raftkv.errors import WireError

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
        return msgpack.unpackb(data, use_list=False, strict_map_key=False)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"no MessagePack: {error}") from error


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise WireError(what)
