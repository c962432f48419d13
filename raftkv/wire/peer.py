"""Frames between nodes.

``[version, cluster, sender, incarnation, to, boot, hears, [item, …]]``. ``incarnation`` is that of the
sender's data folder: a node whose folder was wiped is another node (PITFALLS 27). ``boot`` is drawn anew at
every start: it tells a frame of an earlier life (PITFALLS 40). ``hears`` is the boot of the receiver that the
sender has heard last, or 0: who has not heard this life knows nothing of what it holds. An item is
``[code, term, …fields]`` of a Raft message, or one of these:

====  ============  ============================================================================
code  name          fields
====  ============  ============================================================================
0     Forward       [command, …]: writes of a follower's clients, which only a leader can propose
15    StateDigest   index, digest: the sender's state at that index
16    Introduction  [peer, client, control, status], priority: where the sender is reached, and how
                    much it wants to lead
21    Lapsed        term, [[lease id, index of its last renewal], …]: by the sender's clock these leases
                    have ended; for the leader of that term
17    Disowned      incarnation, index, known: whoever has this incarnation is no member as of
                    that configuration entry; ``known`` is the incarnation that is, or empty
====  ============  ============================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from raftkv.config import ENDPOINTS, is_endpoint, is_name
from raftkv.errors import WireError
from raftkv.raft import Configuration, messages
from raftkv.raft.messages import AppendEntries, Entry, EntryKind, InstallSnapshot, Message, SnapshotMark
from raftkv.types import LogIndex, NodeId, Term, new
from raftkv.wire.packing import FRAME_BYTES_MAX, expect, expect_version, pack, unpack

VERSION = 1
_INCARNATION = re.compile("[0-9A-Za-z]{0,64}")
_FRAME_TYPES = (int, str, str, str, str, int, int, tuple)
SENDERS_REMEMBERED = 64
"""Of those whose names were found to be in order."""
COUNT_MAX = 1 << 62
"""No term or index comes near; beyond it the serialiser's integers end."""


class _Other(IntEnum):
    """Codes of items that are no messages of Raft's."""

    FORWARD = 0
    STATE_DIGEST = 15
    INTRODUCTION = 16
    DISOWNED = 17
    LAPSED = 21


@dataclass(frozen=True, slots=True)
class Forward:
    """Commands on their way from a follower's clients to the leader."""

    commands: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class StateDigest:
    """Of the sender's state when ``index`` was applied: the receiver's must be the same."""

    index: LogIndex
    digest: int


@dataclass(frozen=True, slots=True)
class Introduction:
    """The sender's endpoints: for peers, clients, control and status."""

    address: tuple[str, ...]
    priority: int


@dataclass(frozen=True, slots=True)
class Disowned:
    """Whoever has ``incarnation`` is no member of the cluster, as the configuration entry at ``index`` says;
    under its name the cluster knows ``known``, or nobody if that is empty."""

    incarnation: str
    index: LogIndex
    known: str


@dataclass(frozen=True, slots=True)
class Lapsed:
    """By the sender's clock nobody has renewed these in time: (lease id, index of its last renewal)."""

    term: Term
    lapses: tuple[tuple[int, int], ...]


Item = Message | Forward | StateDigest | Introduction | Disowned | Lapsed
"""All that a frame may carry."""


class PeerFrame(NamedTuple):
    cluster: str
    sender: NodeId
    incarnation: str
    to: NodeId
    boot: int
    items: tuple[Item, ...]
    hears: int = 0
    """The receiver's boot that the sender has heard last; 0: none."""


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
    messages.TimeoutNow: 11,
    messages.InstallSnapshot: 12,
    messages.InstallSnapshotResponse: 13,
    messages.FoundingCall: 18,
    messages.FoundingAnswer: 19,
    messages.FoundingEntry: 20,
}
_CONFIGURATION = EntryKind.CONFIGURATION.value
_FOUNDING = (messages.FoundingCall, messages.FoundingAnswer, messages.FoundingEntry)
_CLASSES = {code: kind for kind, code in _CODES.items()}
_FIELDS = {kind: tuple(field.name for field in fields(kind))[3:] for kind in _CODES}
"""Beyond sender, to (both in the frame's head) and term (always second in an item)."""
_OTHER_TYPES: dict[str, type] = {
    "behind": bool,
    "called": str,
    "configuration": bytes,
    "data": bytes,
    "entries": tuple,
    "full": bool,
    "granted": bool,
    "incarnation": str,
    "mark": tuple,
    "success": bool,
    "transfer": bool,
}
"""Of the fields that are no numbers."""
_TYPES = {
    kind: tuple(_OTHER_TYPES.get(name, int) for name in ("term", *names)) for kind, names in _FIELDS.items()
}
_GETTERS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    kind: attrgetter("term", *names) if names else lambda message: (message.term,)
    for kind, names in _FIELDS.items()
}


def encode(
    cluster: str,
    sender: NodeId,
    incarnation: str,
    to: NodeId,
    boot: int,
    items: Sequence[Item],
    hears: int = 0,
) -> bytes:
    packed = [_encode_item(item) for item in items]
    return pack((VERSION, cluster, sender, incarnation, to, boot, hears, packed))


def decode(data: bytes) -> PeerFrame:
    content = unpack(data, FRAME_BYTES_MAX)
    if type(content) is not tuple or not content:
        raise WireError("no peer frame")
    expect_version(content[0], VERSION, "peer")
    if tuple(map(type, content)) != _FRAME_TYPES:
        raise WireError("no peer frame")
    _, cluster, sender, incarnation, to, boot, hears, items = content
    _check_sender(sender, incarnation)
    decoded = tuple([_decode_item(sender, to, item) for item in items])
    return PeerFrame(cluster, sender, incarnation, to, boot, decoded, hears)


@lru_cache(maxsize=SENDERS_REMEMBERED)
def _check_sender(sender: str, incarnation: str) -> None:
    """What a node calls itself is the same in all its frames."""
    expect(_INCARNATION.fullmatch(incarnation) is not None, "no incarnation")
    expect(is_name(sender), "a sender whose name is none")


def _encode_item(item: Item) -> tuple[Any, ...]:
    kind = type(item)
    code = _CODES.get(kind)  # type: ignore[arg-type]
    if code is not None:
        return (code, *_GETTERS[kind](item))
    if isinstance(item, Forward):
        return (_Other.FORWARD.value, item.commands)
    if isinstance(item, StateDigest):
        return (_Other.STATE_DIGEST.value, item.index, item.digest)
    if isinstance(item, Introduction):
        return (_Other.INTRODUCTION.value, item.address, item.priority)
    if isinstance(item, Disowned):
        return (_Other.DISOWNED.value, item.incarnation, item.index, item.known)
    assert isinstance(item, Lapsed)
    return (_Other.LAPSED.value, item.term, item.lapses)


def _decode_item(sender: NodeId, to: NodeId, item: Any) -> Item:
    if type(item) is not tuple or len(item) < 2:
        raise WireError("no peer item")
    code = item[0]
    kind = _CLASSES.get(code) if type(code) is int else None
    if kind is None:
        return _decode_other(item)
    values = item[1:]
    if tuple(map(type, values)) != _TYPES[kind]:
        raise WireError("a peer message of the wrong shape")
    if kind is AppendEntries:
        return _decode_append(sender, to, values)
    if kind is InstallSnapshot:
        return _decode_snapshot(sender, to, *values)
    if kind in _FOUNDING:
        _check_founding(values)
    elif min(values) < 0 or max(values) > COUNT_MAX:
        raise WireError("a peer message with a count out of range")
    return kind(sender, to, *values)


def _decode_other(item: tuple[Any, ...]) -> Item:
    """What is no message of Raft's."""
    if type(item[0]) is int:
        match item:
            case (_Other.FORWARD, tuple() as commands) if _all_are(bytes, commands):
                return Forward(commands)
            case (_Other.STATE_DIGEST, index, digest) if _is_count(index) and _is_count(digest):
                return StateDigest(index, digest)
            case (_Other.INTRODUCTION, tuple() as address, priority) if (
                len(address) == ENDPOINTS and all(map(_is_endpoint, address)) and _is_count(priority)
            ):
                return Introduction(address, priority)
            case (_Other.LAPSED, term, tuple() as lapses) if _is_count(term) and all(map(_is_lapse, lapses)):
                return Lapsed(term, lapses)
            case (_Other.DISOWNED, str() as incarnation, index, str() as known) if _is_count(index):
                return Disowned(incarnation, index, known)
    raise WireError("unknown peer message")


def _is_lapse(value: Any) -> bool:
    return type(value) is tuple and len(value) == 2 and all(map(_is_count, value))


def _all_are(kind: type, values: tuple[Any, ...]) -> bool:
    return all(type(value) is kind for value in values)


def _is_endpoint(value: Any) -> bool:
    return type(value) is str and is_endpoint(value)


def _decode_append(sender: NodeId, to: NodeId, values: tuple[Any, ...]) -> AppendEntries:
    term, prev_log_index, prev_log_term, rows, leader_commit, book = values
    counts = (term, prev_log_index, prev_log_term, leader_commit, book)
    if min(counts) < 0 or max(counts) > COUNT_MAX or prev_log_term > (term if prev_log_index else 0):
        raise WireError("a peer message with a count out of range")
    entries = _decode_entries(rows, prev_log_term, term)
    if entries and entries[0].index != prev_log_index + 1:
        raise WireError("entries do not follow prev_log_index")
    return AppendEntries(sender, to, term, prev_log_index, prev_log_term, entries, leader_commit, book)


def _decode_snapshot(
    sender: NodeId, to: NodeId, term: int, row: tuple[Any, ...], number: int, data: bytes, book: int
) -> InstallSnapshot:
    counts = (term, number, book, *row[:-1])
    if len(row) != len(SnapshotMark._fields) or not all(map(_is_count, counts)) or max(counts) > COUNT_MAX:
        raise WireError("no mark of a snapshot")
    _expect_configuration(row[-1])
    mark = SnapshotMark(*row)
    if not 0 < mark.term <= term or not number < mark.chunks or not mark.index:
        raise WireError("a chunk of no snapshot")
    return InstallSnapshot(sender, to, Term(term), mark, number, data, book)


def _decode_entries(rows: tuple[Any, ...], term_min: int, term_max: int) -> list[Entry]:
    """Indexes without a gap, terms that never fall and never exceed the sender's. No row becomes an entry
    before it was looked at."""
    expected = None
    for row in rows:
        if type(row) is not tuple or len(row) != len(Entry._fields):
            raise WireError("no entry")
        index, term, kind, data = row
        if expected is None:
            expect(_is_count(index), "no entry")
            expected = index
        if (
            not (type(index) is int and type(term) is int and type(kind) is int)
            or type(data) is not bytes
            or index != expected
            or not term_min <= term <= term_max
            or kind < 0
        ):
            raise WireError("entries out of order, or a field that is none")
        if kind == _CONFIGURATION:
            _expect_configuration(data)
        term_min = term
        expected += 1
    return [new(Entry, row) for row in rows]


def _check_founding(values: tuple[Any, ...]) -> None:
    for value in values:
        if type(value) is int:
            expect(0 <= value <= 1, "a cluster is not founded in that term")
        elif type(value) is str:
            expect(_INCARNATION.fullmatch(value) is not None, "no incarnation")
        else:
            _expect_configuration(value)


def _expect_configuration(data: Any) -> None:
    try:
        expect(type(data) is bytes, "no configuration")
        Configuration.decode(data)
    except ValueError as error:
        raise WireError("no configuration") from error


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0
