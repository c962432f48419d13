"""Blocks of a recording: whatever was heard survives, and what is no block is refused in one way."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftkv.errors import WireError
from raftkv.observe import Earlier, LoadReport
from raftkv.tui.model import (
    TIME_MAX,
    CommandDone,
    CommandFailed,
    Item,
    RosterChanged,
    Stroke,
    Violated,
    initial,
    reduce_all,
)
from raftkv.tui.playback.codec import decode_block, encode_block
from raftkv.wire.packing import pack
from tests.tui.fakes import event, process
from tests.tui.scenes import NAMES, busy, election
from tests.wire import frames as wire_frames

ITEMS: list[Item] = [
    *busy()[:6],
    *election()[-12:],
    process("n1", "exited", exit_code=-9, until=12.0),
    LoadReport(1.0, True, 5, 6, 7, 8, 9, "key a", 1),
    CommandDone(1.0, "raftkv chaos kill n1"),
    CommandFailed(2.0, "no"),
    RosterChanged(("n1", "n4")),
    Earlier(
        (event(1, "n1", "LeaderChanged", term=7, leader_id="n2"), event(2, "n1", "Strange", deep=((1,),)))
    ),
    Stroke(2, "kill n1", bad=False),
    Violated(2.5, 3, "n1 leads term 3 without entry 9"),
]
LETTERS = "sepcflrkvb"
ODD: tuple[Any, ...] = ((), (1,), {}, None, 7, "x")


def test_items_of_every_kind_survive() -> None:
    frames = [(1.0, ITEMS[:3]), (1.5, []), (2.0, ITEMS[3:])]
    assert decode_block(encode_block(frames)) == frames
    assert {type(item).__name__ for item in ITEMS} == {
        *("NodeSnapshot", "Event", "ProcessSnapshot", "LoadReport"),
        *("CommandDone", "CommandFailed", "RosterChanged", "Stroke", "Violated", "Earlier"),
    }


@given(st.lists(wire_frames.snapshots | wire_frames.events, max_size=4), st.floats(-TIME_MAX, TIME_MAX))
@settings(max_examples=30, deadline=None)
def test_whatever_a_node_says_survives(items: list[Any], now: float) -> None:
    again = decode_block(encode_block([(now, items)]))
    assert encode_block(again) == encode_block([(now, items)])


def test_what_cannot_be_packed_keeps_its_number() -> None:
    deep: Any = None
    for _ in range(2000):
        deep = (deep,)
    strange = replace(event(5, "n1", "Strange"), fields={"deep": deep})
    items: list[Item] = [strange, CommandFailed(1.0, "no \udcff"), Earlier((strange,))]
    [(_, [kept, command, earlier])] = decode_block(encode_block([(1.0, items)]))
    assert kept == replace(strange, fields={})
    assert earlier == Earlier((replace(strange, fields={}),))
    assert command == CommandFailed(1.0, "no �")


STRANGE: list[Any] = [
    *(5, None, "text", {}, [5], [[1.0]], [[1.0, 5]], [["1", []]], [[True, []]]),
    *([[float("nan"), []]], [[float("inf"), []]], [[1e300, []]], [[2**63, []]]),
    *([[1.0, [5]]], [[1.0, [["s"]]]], [[1.0, [["?", {}]]]], [[1.0, [[["s"], {}]]]]),
    *([[1.0, [[letter, found]]]] for letter in LETTERS for found in ODD),
    *([[1.0, [[letter, (found, 0, "x")]]]] for letter in "kv" for found in ("1", float("nan"))),
    [[1.0, [["v", (1.0, 99, "x")]]]],
    [[1.0, [["c", (float("inf"), "x")]]]],
    [[1.0, [["r", [5]]]]],
]


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"raftkv", zlib.compress(b""), zlib.compress(b"\xc1")),
        *(zlib.compress(pack([]))[:-1], zlib.compress(pack([])) + b"x"),
        *(zlib.compress(pack(content)) for content in STRANGE),
    ],
)
def test_what_is_no_block_is_refused(content: bytes) -> None:
    with pytest.raises(WireError):
        decode_block(content)


def test_a_block_that_would_not_end_is_refused() -> None:
    bomb = zlib.compress(bytes(65 << 20))
    with pytest.raises(WireError):
        decode_block(bomb)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_block_is_refused_or_taken(data: st.DataObject) -> None:
    """What stands in it may be damaged beneath a sound compression; zlib sees the rest."""
    content = bytearray(zlib.decompress(encode_block([(1.0, ITEMS)])))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        frames = decode_block(zlib.compress(bytes(content)))
    except WireError:
        return
    reduce_all(initial(NAMES), [item for _, items in frames for item in items])
    encode_block(frames)
