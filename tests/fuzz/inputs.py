"""Inputs that get further than random bytes: valid ones, changed with an understanding of their shape."""

from __future__ import annotations

import re
from typing import Any

import msgpack
from hypothesis import strategies as st

from raftkv.actors.system import ActorName
from tests.fuzz.seeds import seeds
from tests.wire import frames
from tests.wire.support import DEPTHS, anything, nested, spoiled_bytes, spoiled_shapes

TEXTS = ("config", "history", "run-state")
RAW = ("record", "segment", "folder", "recording")
"""Neither MessagePack nor text."""
NODE_PORTS: dict[str, ActorName] = {
    "node-gateway": "gateway",
    "node-control": "control",
    "node-peers": "peers",
}

_DRAWN: dict[str, st.SearchStrategy[bytes]] = {
    "peer": frames.peer_frames,
    "requests": frames.request_frames,
    "responses": frames.response_frames,
    "client": frames.response_frames,
    "control-request": frames.control_request_frames,
    "control-response": frames.control_response_frames,
    "snapshot": frames.snapshot_frames,
    "event": frames.event_frames,
    "status-answer": frames.control_response_frames,
    "feed-snapshot": frames.snapshot_frames,
    "feed-event": frames.event_frames,
    "launcher": frames.control_request_frames,
    "node-gateway": frames.request_frames,
    "node-control": frames.control_request_frames,
    "node-peers": frames.peer_frames,
}
"""Of some targets, hypothesis draws valid frames of every kind; of the others there are the seeds."""


def valid(target: str) -> st.SearchStrategy[bytes]:
    found = st.sampled_from(seeds()[target])
    return found | _DRAWN[target] if target in _DRAWN else found


def inputs(target: str) -> st.SearchStrategy[bytes]:
    whole = valid(target)
    if target in TEXTS:
        return st.binary(max_size=80) | spoiled_bytes(whole) | respelled(whole)
    if target in RAW:
        return st.binary(max_size=200) | spoiled_bytes(whole)
    random_frame = st.lists(anything, max_size=7).map(lambda parts: packed([1, *parts]))
    bare = st.binary(max_size=80)
    return bare | random_frame | spoiled_bytes(whole) | spoiled_shapes(whole) | refilled(whole)


def packed(content: Any) -> bytes:
    packed: bytes = msgpack.packb(content)
    return packed


# -- frames

_HOLE = b"a hole in a frame"

_fillings = (
    anything.map(packed)
    | st.sampled_from(DEPTHS).map(nested)
    | st.sampled_from([2**64 - 1, -(2**63), 2**63, 2**62 + 1, 0, -1]).map(packed)
    | st.sampled_from([bytes(70_000), "ä" * 70_000, [0] * 5_000, {}, [], "", float("nan")]).map(packed)
    | st.sampled_from([b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc1"])
)
"""MessagePack that no frame of ours holds: deep, long, at the edge of a number's range, or announcing
what does not come."""


@st.composite
def refilled(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A valid frame in which one part, at any depth, gave way to a filling. The filling goes into the
    packed bytes: some could not be packed by a library."""
    content = msgpack.unpackb(draw(whole), strict_map_key=False)
    return packed(_with_hole(draw, content)).replace(packed(_HOLE), draw(_fillings), 1)


def _with_hole(draw: st.DrawFn, content: Any) -> Any:
    if not isinstance(content, list | dict) or not content or draw(st.integers(0, 6)) == 0:
        return _HOLE
    keys = sorted(content, key=repr) if isinstance(content, dict) else range(len(content))
    chosen = draw(st.sampled_from(keys))
    parts = dict(content) if isinstance(content, dict) else list(content)
    parts[chosen] = _with_hole(draw, parts[chosen])
    return parts


# -- text

_WORDS = re.compile(r'"[^"\n]*"|\w+|\s+|.', re.DOTALL)
_STRANGE_WORDS = [
    "0x" + "f" * 4000,
    "9" * 4300,
    "9" * 4301,
    "-1",
    "1e999",
    "NaN",
    "nan",
    "true",
    "null",
    '""',
    '"',
    '"\\ud800"',
    '"\\u0000"',
    '"a\\nb"',
    '{"base64": "/w=="}',
    '{"base64": "?"}',
    "[]",
    "{}",
    "{",
    "]",
    "=",
    "\n",
    "\0",
    "\u2028",
    ".a" * 2000,
    "1979-05-27T07:32:00Z",
    "[[nodes]]",
    *("[" * depth for depth in (300, 480, 2000, 100_000)),
    *("[" * depth + "]" * depth for depth in (300, 480, *range(940, 1000, 4))),
    *('{"a":' * depth + "1" + "}" * depth for depth in (300, *range(940, 1000, 4))),
]
"""Numbers that Python will not print, nesting that it will not follow, and what only looks harmless."""


@st.composite
def respelled(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A valid text in which some words gave way to strange ones, or to words from elsewhere in it."""
    words = _WORDS.findall(draw(whole).decode())
    for _ in range(draw(st.integers(1, 3))):
        position = draw(st.integers(0, len(words) - 1))
        words[position] = draw(st.sampled_from(_STRANGE_WORDS) | st.sampled_from(words) | st.just(""))
    return "".join(words).encode("utf-8", "surrogatepass")
