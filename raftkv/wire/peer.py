"""Frames between nodes.

``[version, cluster, sender, to, boot, [item, …]]`` where an item is ``[code, term, …fields]`` of a
Raft message, or ``[0, [command, …]]``: writes that a follower's clients asked for and only a
leader can propose. ``boot`` is drawn anew at every start of a node: it tells a frame of an
earlier life (PITFALLS 40).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import starmap
from typing import Any

from raftkv.errors import WireError
from raftkv.raft import messages
from raftkv.raft.messages import AppendEntries, Entry, Message
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire.packing import FRAME_BYTES_MAX, expect, expect_version, pack, unpack

VERSION = 1
_FORWARD = 0


@dataclass(frozen=True, slots=True)
class Forward:
    """Commands on their way from a follower's clients to the leader."""

    commands: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PeerFrame:
    cluster: str
    sender: NodeId
    to: NodeId
    boot: int
    items: tuple[Message | Forward, ...]


_CODES: dict[type[Message], int] = {
    messages.PreVote: 1,
    messages.PreVoteResponse: 2,
    messages.RequestVote: 3,
    messages.RequestVoteResponse: 4,
    messages.AppendEntries: 5,
    messages.AppendEntriesResponse: 6,
    messages.Heartbeat: 7,
    messages.HeartbeatResponse: 8,
    messages.ReadIndex: 9,
    messages.ReadIndexResponse: 10,
}
_CLASSES = {code: kind for kind, code in _CODES.items()}
_FIELDS = {kind: tuple(field.name for field in fields(kind))[3:] for kind in _CODES}
"""Beyond sender, to (both in the frame's head) and term (always second in an item)."""
_BOOLEANS = frozenset({"granted", "success"})


def encode(cluster: str, sender: NodeId, to: NodeId, boot: int, items: Sequence[Message | Forward]) -> bytes:
    return pack((VERSION, cluster, sender, to, boot, [_encode_item(item) for item in items]))


def decode(data: bytes) -> PeerFrame:
    content = unpack(data, FRAME_BYTES_MAX)
    expect(type(content) is tuple and len(content) == 6, "no peer frame")
    version, cluster, sender, to, boot, items = content
    expect_version(version, VERSION, "peer")
    expect(type(cluster) is str and type(sender) is str and type(to) is str, "no peer frame")
    expect(type(boot) is int and type(items) is tuple, "no peer frame")
    decoded = tuple([_decode_item(NodeId(sender), NodeId(to), item) for item in items])
    return PeerFrame(cluster, NodeId(sender), NodeId(to), boot, decoded)


def _encode_item(item: Message | Forward) -> tuple[Any, ...]:
    if isinstance(item, Forward):
        return (_FORWARD, item.commands)
    kind = type(item)
    return (_CODES[kind], item.term, *[getattr(item, name) for name in _FIELDS[kind]])


def _decode_item(sender: NodeId, to: NodeId, item: Any) -> Message | Forward:
    expect(type(item) is tuple and len(item) >= 2, "no peer item")
    code, second, *rest = item
    if code == _FORWARD:
        expect(type(second) is tuple and all(type(c) is bytes for c in second), "no forwarded commands")
        return Forward(second)
    kind = _CLASSES.get(code) if type(code) is int else None
    if kind is None:
        raise WireError("unknown peer message")
    names = _FIELDS[kind]
    expect(_is_count(second) and len(rest) == len(names), "a peer message of the wrong shape")
    for position, name in enumerate(names):
        value = rest[position]
        if name == "entries":
            rest[position] = _decode_entries(value)
        elif name in _BOOLEANS:
            expect(type(value) is bool, "a field is no truth value")
        else:
            expect(_is_count(value), "a field is no count")
    message = kind(sender, to, Term(second), *rest)
    if isinstance(message, AppendEntries) and message.entries:
        first = message.entries[0].index
        expect(first == message.prev_log_index + 1, "entries do not follow prev_log_index")
    return message


def _decode_entries(rows: Any) -> list[Entry]:
    expect(type(rows) is tuple, "no entries")
    try:
        entries = list(starmap(Entry, rows))
    except TypeError as error:
        raise WireError("no entry") from error
    if entries:
        expected = entries[0].index
        if not _is_count(expected):
            raise WireError("no entry")
        for index, term, kind, data in entries:
            if (
                not (type(index) is int and type(term) is int and type(kind) is int)
                or type(data) is not bytes
                or index != expected
                or term < 0
                or kind < 0
            ):
                raise WireError("entries out of order, or a field that is none")
            expected = LogIndex(expected + 1)
    return entries


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0
