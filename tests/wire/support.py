"""What the tests of the frames share: values of every shape, and frames spoiled in every way."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import strategies as st

counts = st.integers(0, 2**62)
small_counts = st.integers(0, 10**6)
names = st.text(max_size=12)
finite = st.floats(allow_nan=False)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=12)
    | st.text(max_size=8)
    | st.sampled_from([msgpack.Timestamp(1, 2), msgpack.ExtType(5, b"data")])
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(scalars, inner, max_size=4)
        | st.text(min_size=4, max_size=4)
    ),
    max_leaves=10,
)


def nested(depth: int, core: bytes = b"\xc0") -> bytes:
    """An array in an array in an array …"""
    return b"\x91" * depth + core


DEPTHS = [50, 500, *range(900, 1030, 3), 2000, 100_000]
"""Around the depths at which a decoder, or whoever shows what it decoded, may give up."""


@st.composite
def spoiled_bytes(draw: st.DrawFn, frames: st.SearchStrategy[bytes]) -> bytes:
    """A valid frame of which some bytes were changed, taken out, doubled or put in."""
    data = bytearray(draw(frames))
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 3)):
            case 0 if data:
                data[position] = draw(st.integers(0, 255))
            case 1:
                del data[position : position + draw(st.integers(1, 8))]
            case 2:
                data[position:position] = data[position : position + draw(st.integers(1, 8))]
            case _:
                data[position:position] = draw(st.binary(max_size=8))
    return bytes(data)


@st.composite
def spoiled_shapes(draw: st.DrawFn, frames: st.SearchStrategy[bytes]) -> bytes:
    """A valid frame in which one part, at any depth, became something else altogether."""
    content = msgpack.unpackb(draw(frames), strict_map_key=False)
    packed: bytes = msgpack.packb(_spoil(draw, content))
    return packed


def _spoil(draw: st.DrawFn, content: Any) -> Any:
    if not isinstance(content, list | dict) or not content or draw(st.integers(0, 5)) == 0:
        return draw(anything)
    if isinstance(content, dict):
        key = draw(st.sampled_from(sorted(content, key=repr)))
        if draw(st.integers(0, 4)) == 0:
            return {other: value for other, value in content.items() if other != key}
        return {**content, key: _spoil(draw, content[key])}
    position = draw(st.integers(0, len(content) - 1))
    match draw(st.integers(0, 8)):
        case 0:
            return content[:position] + content[position + 1 :]
        case 1:
            return [*content, draw(anything)]
        case _:
            return [*content[:position], _spoil(draw, content[position]), *content[position + 1 :]]
