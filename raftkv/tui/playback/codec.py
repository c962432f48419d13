"""Blocks of a recording: what was heard within about a second, packed and compressed.

A block is a list of frames, a frame is ``[now, items]`` as one poll of the feed brought them, and an
item is a letter and its fields. What a later raftkv adds to an item is refused, not guessed at.

Whatever was heard can be encoded: of an event whose fields cannot be packed, its number, node and kind are
kept, or one strange node would end the recording of all.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from raftkv.errors import WireError
from raftkv.observe import Earlier, Event, LoadReport, NodeSnapshot, ProcessSnapshot
from raftkv.tui.checks import INVARIANTS
from raftkv.tui.model import CommandDone, CommandFailed, Item, RosterChanged, Stroke, Violated, timely
from raftkv.wire import status
from raftkv.wire.packing import expect, pack, unpack

BLOCK_BYTES_MAX = 64 << 20
"""Unpacked. Some hundred times what a second of nine nodes under load comes to."""
LEVEL = 1
"""Of zlib: a twentieth of the size already, for a tenth of the time of the highest."""

Frame = tuple[float, Sequence[Item]]
"""When a poll of the feed was made, and what it brought."""


def encode_block(frames: Sequence[Frame]) -> bytes:
    try:
        content = pack([(now, [_to_plain(item) for item in items]) for now, items in frames])
    except _UNPACKABLE:
        content = pack([(now, [_to_plain(_packable(item)) for item in items]) for now, items in frames])
    return zlib.compress(content, LEVEL)


_UNPACKABLE = (ValueError, TypeError, OverflowError, RecursionError)
"""What the serialiser says to nesting beyond its limit."""


def _packable(item: Item) -> Item:
    if isinstance(item, Earlier):
        return Earlier(tuple([_packable_event(event) for event in item.events]))
    return _packable_event(item) if isinstance(item, Event) else item


def _packable_event(event: Event) -> Event:
    try:
        # Within as many levels as in a block: what fits alone may be too deep there.
        pack((((((_event_to_plain(event),),),),),))
    except _UNPACKABLE:
        return replace(event, fields={})
    return event


def decode_block(data: bytes) -> list[Frame]:
    """Raises ``WireError`` for anything that is no block."""
    machine = zlib.decompressobj()
    try:
        content = machine.decompress(data, BLOCK_BYTES_MAX)
    except zlib.error as error:
        raise WireError(f"no block of a recording: {error}") from None
    expect(machine.eof and not machine.unused_data, "no block of a recording")
    found = unpack(content, BLOCK_BYTES_MAX)
    expect(isinstance(found, tuple | list), "no block of a recording")
    return [_frame(each) for each in found]


def _frame(found: Any) -> Frame:
    expect(isinstance(found, tuple | list) and len(found) == 2, "no frame of a recording")
    now, items = found
    expect(isinstance(items, tuple | list), "no frame of a recording")
    return _moment(now), [_from_plain(item) for item in items]


def _moment(found: Any) -> float:
    expect(type(found) in (int, float) and timely(found), "no moment of a recording")
    return float(found)


def _text(text: str) -> str:
    """Half a character, as a file's name may hold, cannot be encoded."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _to_plain(item: Item) -> tuple[str, Any]:
    match item:
        case NodeSnapshot():
            return "s", status.snapshot_to_map(item)
        case Event():
            return "e", _event_to_plain(item)
        case Earlier():
            return "b", [_event_to_plain(event) for event in item.events]
        case ProcessSnapshot():
            return "p", asdict(item)
        case LoadReport():
            return "l", asdict(item)
        case CommandDone():
            return "c", (item.time, _text(item.command))
        case CommandFailed():
            return "f", (item.time, _text(item.text))
        case RosterChanged():
            return "r", item.names
        case Stroke():
            return "k", (item.time, _text(item.text), item.bad)
        case Violated():
            return "v", (item.time, item.invariant, _text(item.text))


def _event_to_plain(event: Event) -> dict[str, Any]:
    return {**asdict(replace(event, fields={})), "fields": event.fields}  # which may be deep


def _from_plain(found: Any) -> Item:
    expect(isinstance(found, tuple | list) and len(found) == 2, "no item of a recording")
    kind, fields = found
    match kind:
        case "s":
            return status.snapshot_from_map(fields)
        case "e":
            return status.event_from_map(fields)
        case "b":
            expect(isinstance(fields, tuple | list) and bool(fields), "no events of a recording")
            return Earlier(tuple([status.event_from_map(each) for each in fields]))
        case "p":
            return status.process_from_map(fields)
        case "l":
            return status.load_from_map(fields)
        case "c" | "f":
            expect(isinstance(fields, tuple | list) and len(fields) == 2, "no command of a recording")
            time, text = fields
            expect(type(text) is str, "no command of a recording")
            return CommandDone(_moment(time), text) if kind == "c" else CommandFailed(_moment(time), text)
        case "k":
            expect(isinstance(fields, tuple | list) and len(fields) == 3, "no stroke of a recording")
            time, text, bad = fields
            expect(type(text) is str and type(bad) is bool, "no stroke of a recording")
            return Stroke(_moment(time), text, bad)
        case "v":
            expect(isinstance(fields, tuple | list) and len(fields) == 3, "no violation of a recording")
            time, invariant, text = fields
            known = type(invariant) is int and 0 <= invariant < len(INVARIANTS)
            expect(known and type(text) is str, "no violation of a recording")
            return Violated(_moment(time), invariant, text)
        case "r":
            expect(isinstance(fields, tuple | list) and bool(fields), "no roster of a recording")
            expect(all(type(name) is str for name in fields), "no roster of a recording")
            return RosterChanged(tuple(fields))
    raise WireError("an item of a kind this version does not know")
