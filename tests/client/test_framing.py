"""Requests leave in their order, each once, in frames that a node takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raftkv.client.framing import FRAME_REQUESTS_MAX, Outbox, bytes_in
from raftkv.wire.client import (
    FRAME_SLACK_BYTES,
    Kind,
    Request,
    decode_requests,
)
from raftkv.wire.packing import REQUEST_BYTES_MAX


def request(number: int, size: int) -> Request:
    kinds: list[Request] = [
        (number, Kind.WRITE.value, 1, number, bytes(size)),
        (number, Kind.GET.value, bytes(size), 0, False),
        (
            number,
            Kind.RANGE.value,
            bytes(size // 2),
            bytes(size - size // 2),
            0,
            False,
            False,
            False,
            0,
            False,
        ),
    ]
    return kinds[number % len(kinds)]


sizes = st.lists(
    st.one_of(st.integers(0, 300), st.integers(REQUEST_BYTES_MAX // 3, REQUEST_BYTES_MAX)), max_size=12
)


@given(st.lists(st.tuples(sizes, st.integers(0, 3)), max_size=4))
def test_whatever_is_put_and_taken_between(rounds: list[tuple[list[int], int]]) -> None:
    outbox, put = Outbox(), 0
    taken: list[Request] = []

    def take() -> None:
        frame = outbox.take_frame("c")
        assert len(frame) <= REQUEST_BYTES_MAX + FRAME_SLACK_BYTES
        taken.extend(decode_requests(frame)[1])

    for added, frames in rounds:
        for size in added:
            item = request(put, size)
            assert bytes_in(item) == size
            outbox.put(item, size)
            put += 1
        for _ in range(frames):
            if outbox:
                take()
    while outbox:
        take()
    assert [each[0] for each in taken] == list(range(put))
    assert outbox._bytes == 0


def test_a_frame_has_no_more_requests_than_a_node_takes() -> None:
    outbox = Outbox()
    for number in range(2 * FRAME_REQUESTS_MAX + 1):
        outbox.put((number, Kind.UNWATCH.value, 7), 0)
    counts = []
    while outbox:
        counts.append(len(decode_requests(outbox.take_frame(None))[1]))
    assert counts == [FRAME_REQUESTS_MAX, FRAME_REQUESTS_MAX, 1]
