"""What must not get through, one case each: versions, shapes, sizes, order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from raftkv.errors import WireError
from raftkv.wire import client, control, peer, status
from raftkv.wire.client import Kind
from raftkv.wire.packing import FRAME_BYTES_MAX, REQUEST_BYTES_MAX
from tests.wire.support import DEPTHS, nested

Decoder = Callable[[bytes], object]


def decode_snapshot(data: bytes) -> object:
    return status.decode(status.TOPIC_SNAPSHOT, data)


def decode_event(data: bytes) -> object:
    return status.decode(status.TOPIC_EVENT, data)


DECODERS: dict[str, tuple[Decoder, int, int]] = {
    "peer": (peer.decode, FRAME_BYTES_MAX, 8),
    "requests": (client.decode_requests, REQUEST_BYTES_MAX + client.FRAME_SLACK_BYTES, 3),
    "responses": (client.decode_responses, client.RESPONSE_BYTES_MAX, 2),
    "control request": (control.decode_request, REQUEST_BYTES_MAX, 4),
    "control response": (control.decode_response, FRAME_BYTES_MAX, 4),
    "snapshot": (decode_snapshot, REQUEST_BYTES_MAX, 2),
    "event": (decode_event, REQUEST_BYTES_MAX, 2),
}
every_decoder = pytest.mark.parametrize(("decode", "limit", "length"), DECODERS.values(), ids=DECODERS)


def refused(decode: Decoder, content: Any) -> str:
    """The reason, which is one short line whatever the frame held: it goes into logs and events."""
    data = content if type(content) is bytes else msgpack.packb(content)
    with pytest.raises(WireError) as caught:
        decode(data)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


@every_decoder
def test_an_oversized_frame_is_refused_before_it_is_decoded(
    decode: Decoder, limit: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(msgpack, "unpackb", None)
    reason = refused(decode, bytes(limit + 1))
    assert f"a frame of {limit + 1:,} bytes" in reason


@every_decoder
def test_a_frame_of_exactly_the_limit_is_looked_at(decode: Decoder, limit: int, length: int) -> None:
    assert "the limit is" not in refused(decode, bytes(limit))


@every_decoder
@pytest.mark.parametrize("version", [0, 2, 255, -1, "1", None, b"1", 1.5, [1], {}])
def test_another_version_is_refused(decode: Decoder, limit: int, length: int, version: Any) -> None:
    assert "version" in refused(decode, [version, *[None] * (length - 1)])


@every_decoder
@pytest.mark.parametrize("content", [None, 1, "text", b"\xc1", {}, {1: 1}, [], [1], [1] * 7, b"", b"\x91"])
def test_what_is_no_frame_is_refused(decode: Decoder, limit: int, length: int, content: Any) -> None:
    refused(decode, content)


@every_decoder
def test_bytes_behind_a_frame_are_refused(decode: Decoder, limit: int, length: int) -> None:
    refused(decode, msgpack.packb([1, *[None] * (length - 1)]) + b"\0")


@every_decoder
def test_a_container_longer_than_its_frame_is_refused(decode: Decoder, limit: int, length: int) -> None:
    for head in (
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
    ):
        refused(decode, head)
        refused(decode, bytes([0x90 + length]) + head)


@every_decoder
def test_a_deeply_nested_frame_is_refused_at_every_place(decode: Decoder, limit: int, length: int) -> None:
    for depth in DEPTHS:
        bomb = nested(depth)
        refused(decode, bomb)
        for position in range(length):
            parts = [b"\x01"] * length
            parts[position] = bomb
            refused(decode, bytes([0x90 + length]) + b"".join(parts))


@every_decoder
def test_a_huge_version_does_not_make_a_huge_reason(decode: Decoder, limit: int, length: int) -> None:
    """A reason is logged and published: a frame of a megabyte must not become an event of four."""
    refused(decode, [b"\xff" * 1_000_000, *[None] * (length - 1)])


def test_a_nested_or_huge_code_or_kind_is_refused_in_a_few_words() -> None:
    for depth in DEPTHS[:-2]:
        refused(peer.decode, b"\x98\x01\xa1c\xa1a\xa1i\xa1b\x01\x00\x91\x92" + nested(depth) + b"\x01")
        refused(client.decode_requests, b"\x93\x01\xa1c\x91\x92\x01" + nested(depth))
    refused(peer.decode, [1, "c", "a", "i", "b", 1, 0, [["x" * 1_000_000, 1]]])
    refused(client.decode_requests, [1, "c", [[1, "x" * 1_000_000]]])


# -- peer


def peer_frame(*items: Any) -> list[Any]:
    return [1, "c", "n1", "i", "n2", 1, 0, items]


def append(*rows: Any, prev: int = 4) -> list[Any]:
    return peer_frame([5, 3, prev, 2, rows, 0, 0])


ROW = (5, 3, 1, b"data")


def test_the_frames_that_are_spoiled_below_are_fine_as_they_are() -> None:
    assert peer.decode(msgpack.packb(append(ROW, (6, 3, 1, b"")))).items
    assert peer.decode(msgpack.packb(peer_frame([0, [b"command"]], [7, 1, 2, 3, 0, 0], [2, 1, True]))).items


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (1, 7),
        (1, None),
        (1, b"c"),
        (2, 1),
        (2, None),
        (2, ""),
        (2, "x" * 64),
        (2, "n 1"),
        (3, b"i"),
        (3, None),
        (4, b"n2"),
        (5, "1"),
        (5, None),
        (5, True),
        (6, "1"),
        (6, None),
        (7, 7),
        (7, None),
    ],
)
def test_a_peer_frame_whose_head_has_wrong_types_is_refused(position: int, value: Any) -> None:
    frame = peer_frame()
    frame[position] = value
    refused(peer.decode, frame)


@pytest.mark.parametrize(
    "item",
    [
        7,
        None,
        [],
        [7],
        "ab",
        {7: 1, 1: 2},
        [11, 1, 2],
        [-1, 1, 2],
        ["7", 1, 2, 3],
        [None, 1],
        [[7], 1],
        [7, 1],
        [7, 1, 2],
        [7, 1, 2, 3, 4, 5, 6],
        [7, "1", 2, 3, 0, 0],
        [7, -1, 2, 3, 0, 0],
        [7, True, 2, 3, 0, 0],
        [7, 1, 2.0, 3, 0, 0],
        [7, 1, -2, 3, 0, 0],
        [7, 1, None, 3, 0, 0],
        [2, 1, 1],
        [2, 1, None],
        [6, 1, 1, 1, 1, 1, 1, 0],
        [0, b"command"],
        [0, ["text"]],
        [0, [b"command", None]],
        [0, 7],
        [0, None],
        [5, 1, 0, 0, None, 0, 0],
        [5, 1, 0, 0, 7, 0, 0],
        [5, 1, 0, 0, b"rows", 0, 0],
        [5, 1, 0, 0, {}, 0, 0],
        [5, 1, 0, 0, [[1, 1, 3, b"n1 king -"]], 0, 0],
        [12, 1, [1, 1, 1, 1, None], 0, b"", 0],
        [12, 1, [1, 1, 1, 1, b"n1 learner -"], 0, b"", 0],
        [16, ["tcp://127.0.0.1:1"] * 3, 0],
        [16, ["tcp://127.0.0.1:1"] * 4],
        [16, ["tcp://127.0.0.1:1"] * 4, -1],
        [16, ["tcp://127.0.0.1:1"] * 3 + ["udp://x:1"], 0],
        [16, None, 0],
        [17, "i", 3],
        [17, "i", -3, "j"],
        [17, 7, 3, "j"],
        [17, "i", 3, None],
    ],
)
def test_a_peer_item_without_sense_is_refused(item: Any) -> None:
    refused(peer.decode, peer_frame(item))
    refused(peer.decode, peer_frame([7, 1, 2, 3, 0, 0], item))


@pytest.mark.parametrize(
    "rows",
    [
        [(6, 3, 1, b"")],
        [(4, 3, 1, b"")],
        [ROW, (5, 3, 1, b"")],
        [ROW, (7, 3, 1, b"")],
        [ROW, (6, 3, 1, b""), (6, 3, 1, b"")],
        [(6, 3, 1, b""), ROW],
    ],
)
def test_entries_out_of_order_are_refused(rows: list[Any]) -> None:
    refused(peer.decode, append(*rows))


@pytest.mark.parametrize("index", ["5", None, 5.0, b"5", [5], {}, float("nan"), -5, True])
def test_an_entry_whose_index_is_no_count_is_refused(index: Any) -> None:
    prev = index - 1 if type(index) in (float, bool) and index == index else 4
    refused(peer.decode, append((index, 3, 1, b""), prev=int(prev)))
    refused(peer.decode, append(ROW, (6.0 if index == 5.0 else index, 3, 1, b"")))


@pytest.mark.parametrize("term", ["3", None, 3.0, True, -1, [3]])
def test_an_entry_whose_term_is_no_count_is_refused(term: Any) -> None:
    refused(peer.decode, append((5, term, 1, b"")))


@pytest.mark.parametrize("kind", ["1", None, 1.0, True, -1, [1], {}])
def test_an_entry_whose_kind_is_no_count_is_refused(kind: Any) -> None:
    """It would be written to disk as it is, and skipped by every node that applies it."""
    refused(peer.decode, append((5, 3, kind, b"")))


@pytest.mark.parametrize("data", ["text", None, 7, [b""], True])
def test_an_entry_whose_data_is_no_bytes_is_refused(data: Any) -> None:
    refused(peer.decode, append((5, 3, 1, data)))


@pytest.mark.parametrize(
    "row", [7, None, [], [5, 3, 1], [5, 3, 1, b"", 0], "abcd", b"abcd", {1: 1, 2: 2, 3: 3, 4: 4}]
)
def test_a_row_that_is_no_entry_is_refused(row: Any) -> None:
    refused(peer.decode, append(row))
    refused(peer.decode, append(ROW, row))


# -- client


@pytest.mark.parametrize("cluster", [7, b"c", [], True, {}])
def test_a_cluster_that_is_no_name_is_refused(cluster: Any) -> None:
    refused(client.decode_requests, [1, cluster, []])


@pytest.mark.parametrize("requests", [None, 7, b"", "", {}, {1: 1}])
def test_requests_that_are_no_list_are_refused(requests: Any) -> None:
    refused(client.decode_requests, [1, "c", requests])


@pytest.mark.parametrize(
    "request_",
    [
        7,
        None,
        "ab",
        b"ab",
        [],
        [1],
        {1: 2, 3: 4},
        ["1", Kind.HELLO],
        [None, Kind.HELLO],
        [True, Kind.HELLO],
        [1, "0"],
        [1, None],
        [1, True],
        [1, 4],
        [1, -1],
        [1, [0]],
        [1, Kind.HELLO, 1],
        [1, Kind.WRITE],
        [1, Kind.WRITE, 1, 1],
        [1, Kind.WRITE, 1, 1, "text"],
        [1, Kind.WRITE, "1", 1, b""],
        [1, Kind.WRITE, 1, None, b""],
        [1, Kind.WRITE, 1, True, b""],
        [1, Kind.WRITE, 1, 1, b"", 1],
        [1, Kind.GET, b"k", False],
        [1, Kind.GET, "k", 0, False],
        [1, Kind.GET, b"k", 0, 0],
        [1, Kind.GET, b"k", 0, False, False],
        [1, Kind.RANGE, b"a", b"b", 1, False, False, False, False],
        [1, Kind.RANGE, b"a", None, 1, False, False, False, 0, False],
        [1, Kind.RANGE, b"a", b"b", 1.0, False, False, False, 0, False],
        [1, Kind.RANGE, b"a", b"b", 1, 0, 0, 0, 0, 0],
    ],
)
def test_a_request_without_sense_is_refused(request_: Any) -> None:
    refused(client.decode_requests, [1, "c", [request_]])
    refused(client.decode_requests, [1, None, [[1, Kind.HELLO], request_]])


def test_more_requests_than_a_frame_may_hold_are_refused() -> None:
    hello = [1, Kind.HELLO]
    limit = client.REQUESTS_PER_FRAME_MAX
    assert len(client.decode_requests(msgpack.packb([1, None, [hello] * limit]))[1]) == limit
    refused(client.decode_requests, [1, None, [hello] * (limit + 1)])


@pytest.mark.parametrize("responses", [None, 7, {}, [7], [None], [[]], [[1, 2, 3]], [[1, 2, 3, 4, 5]]])
def test_responses_without_sense_are_refused(responses: Any) -> None:
    refused(client.decode_responses, [1, responses])


@pytest.mark.parametrize("detail", [None, 7, (), (1,), (1,) * 6, (1,) * 8, (1,) * 9])
def test_a_hello_without_sense_is_refused(detail: Any) -> None:
    with pytest.raises(WireError):
        client.decode_hello(detail)


# -- control and status


@pytest.mark.parametrize(
    "frame",
    [[1, "1", "verb", {}], [1, None, "verb", {}], [1, 1, 7, {}], [1, 1, "verb", []], [1, 1, "verb", {1: 2}]],
)
def test_a_control_request_without_sense_is_refused(frame: Any) -> None:
    refused(control.decode_request, frame)


@pytest.mark.parametrize(
    "frame", [[1, "1", True, None], [1, 1, 1, None], [1, 1, None, None], [1, True, True, None]]
)
def test_a_control_response_without_sense_is_refused(frame: Any) -> None:
    refused(control.decode_response, frame)


@pytest.mark.parametrize("fields", [None, 7, [], "x", {}, {1: 2}, {"tail": 1}, {"tail": {}, "peers": 1}])
def test_a_status_frame_without_sense_is_refused(fields: Any) -> None:
    refused(decode_snapshot, [1, fields])
    refused(decode_event, [1, fields])


def test_an_unknown_field_of_any_length_is_refused_in_a_few_words() -> None:
    refused(decode_event, [1, {"x" * 100_000: 1}])
    refused(decode_event, [1, {"two\nlines": 1}])


@every_decoder
@pytest.mark.parametrize("key", [(1, 2), 1, 1.5], ids=["tuple", "number", "fraction"])
def test_a_map_has_no_keys_whose_hashes_anybody_can_compute(
    decode: Decoder, limit: int, length: int, key: object
) -> None:
    """A frame of some hundred kilobytes of colliding ones would be decoded for minutes."""
    del limit
    assert "MessagePack" in refused(decode, [*([1] * (length - 1)), {key: 1}])
