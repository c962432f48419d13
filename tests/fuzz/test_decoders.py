"""No bytes whatever make a decoder do anything but take them or refuse them (``targets``)."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftkv.errors import WireError
from raftkv.kv.commands import Command
from raftkv.wire import client, control, peer, status
from tests.fuzz import nodes
from tests.fuzz.bounds import examples, unhurried
from tests.fuzz.inputs import NODE_PORTS, inputs, packed
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS
from tests.wire.support import anything

pytestmark = unhurried

ANNOUNCED_BYTES_MAX = 128 << 20
"""What the serialiser sets aside for announcements, at a thousand levels; it must not grow with them."""
DECODERS = [name for name in TARGETS if name not in NODE_PORTS]
MESSAGE_PACK = (
    peer.decode,
    client.decode_requests,
    client.decode_responses,
    control.decode_request,
    status.decode,
    Command.decode,
)


def test_every_target_has_seeds_and_takes_them() -> None:
    assert list(seeds()) == list(TARGETS)
    for name, valid in seeds().items():
        assert valid, name
        for seed in valid:
            TARGETS[name](seed)


@pytest.mark.parametrize("target", DECODERS)
@given(data=st.data())
@examples(100)
def test_any_bytes_are_taken_or_refused(target: str, data: st.DataObject) -> None:
    TARGETS[target](data.draw(inputs(target)))


@given(st.integers(1, 3), st.integers(0, 2), st.integers(0, 3), anything)
@examples(100)
def test_an_entry_with_a_spoiled_field_is_taken_or_refused(
    count: int, position: int, field: int, value: object
) -> None:
    rows: list[object] = [[index, 3, 1, b"data"] for index in range(5, 5 + count)]
    row: list[object] = [5 + position % count, 3, 1, b"data"]
    row[field] = value
    rows[position % count] = row
    TARGETS["peer"](packed([1, "c", "n1", "n2", 1, [[5, 3, 4, 2, rows, 0]]]))


@given(anything)
@examples(100)
def test_a_hello_of_any_shape_is_taken_or_refused(detail: object) -> None:
    with suppress(WireError):
        client.decode_hello(detail)


@pytest.mark.parametrize("decode", MESSAGE_PACK, ids=lambda decode: decode.__qualname__)
def test_a_frame_that_announces_much_takes_no_memory_for_it(decode: object) -> None:
    """An array within an array a thousand times, each of which says that it fills the frame."""
    assert callable(decode)
    size = 1 << 16
    announced = b"\xdd" + (size - 16).to_bytes(4, "big")
    data = (announced * 1000).ljust(size, b"\0")
    arguments = (status.TOPIC_EVENT, data) if decode is status.decode else (data,)
    tracemalloc.start()
    try:
        with suppress(WireError, ValueError):
            decode(*arguments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < ANNOUNCED_BYTES_MAX, f"{peak:,} bytes for a frame of {size:,}"


@pytest.mark.parametrize("target", NODE_PORTS)
@given(data=st.data())
@examples(20)
def test_no_frames_keep_a_node_from_serving(target: str, data: st.DataObject) -> None:
    frame = inputs(target)
    parts = frame.map(lambda content: [nodes.STRANGER, content]) | st.lists(
        frame, min_size=2, max_size=3
    ).map(lambda contents: [nodes.STRANGER, *contents])
    nodes.feed(NODE_PORTS[target], data.draw(st.lists(parts | st.just([nodes.STRANGER]), max_size=8)))
