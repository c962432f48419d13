"""No bytes whatever make a decoder raise anything but ``WireError``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raftkv.errors import WireError
from raftkv.wire import client, control, peer
from tests.wire import frames
from tests.wire.support import anything, spoiled_bytes, spoiled_shapes
from tests.wire.test_refusals import decode_event, decode_snapshot

CASES: dict[str, tuple[Callable[[bytes], object], st.SearchStrategy[bytes]]] = {
    "peer": (peer.decode, frames.peer_frames),
    "requests": (client.decode_requests, frames.request_frames),
    "responses": (client.decode_responses, frames.response_frames),
    "control request": (control.decode_request, frames.control_request_frames),
    "control response": (control.decode_response, frames.control_response_frames),
    "snapshot": (decode_snapshot, frames.snapshot_frames),
    "event": (decode_event, frames.event_frames),
}
every_decoder = pytest.mark.parametrize(("decode", "valid"), CASES.values(), ids=CASES)
thorough = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


@every_decoder
@given(data=st.data())
@thorough
def test_random_bytes_raise_nothing_else(
    decode: Callable[[bytes], object], valid: st.SearchStrategy[bytes], data: st.DataObject
) -> None:
    with suppress(WireError):
        decode(data.draw(st.binary(max_size=80)))


@every_decoder
@given(data=st.data())
@thorough
def test_random_content_raises_nothing_else(
    decode: Callable[[bytes], object], valid: st.SearchStrategy[bytes], data: st.DataObject
) -> None:
    with suppress(WireError):
        decode(msgpack.packb([1, *data.draw(st.lists(anything, max_size=6))]))


@every_decoder
@given(data=st.data())
@thorough
def test_a_valid_frame_with_spoiled_bytes_raises_nothing_else(
    decode: Callable[[bytes], object], valid: st.SearchStrategy[bytes], data: st.DataObject
) -> None:
    with suppress(WireError):
        decode(data.draw(spoiled_bytes(valid)))


@every_decoder
@given(data=st.data())
@thorough
def test_a_valid_frame_with_a_spoiled_part_raises_nothing_else(
    decode: Callable[[bytes], object], valid: st.SearchStrategy[bytes], data: st.DataObject
) -> None:
    with suppress(WireError):
        decode(data.draw(spoiled_shapes(valid)))


@given(st.integers(1, 3), st.integers(0, 2), st.integers(0, 3), anything)
@thorough
def test_an_entry_with_a_spoiled_field_raises_nothing_else(
    count: int, position: int, field: int, value: object
) -> None:
    rows: list[object] = [[index, 3, 1, b"data"] for index in range(5, 5 + count)]
    row: list[object] = [5 + position % count, 3, 1, b"data"]
    row[field] = value
    rows[position % count] = row
    with suppress(WireError):
        peer.decode(msgpack.packb([1, "c", "n1", "n2", 1, [[5, 3, 4, 2, rows, 0]]]))


@given(anything)
@thorough
def test_a_hello_of_any_shape_raises_nothing_else(detail: object) -> None:
    with suppress(WireError):
        client.decode_hello(detail)


@given(spoiled_shapes(frames.peer_frames))
@thorough
def test_what_a_peer_frame_lets_through_can_be_sent_on(data: bytes) -> None:
    """A leader's entries go to its log and to its followers as they came in."""
    try:
        frame = peer.decode(data)
    except WireError:
        return
    again = peer.encode(frame.cluster, frame.sender, frame.to, frame.boot, frame.items)
    assert peer.decode(again) == frame
