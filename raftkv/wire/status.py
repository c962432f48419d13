"""Frames a node publishes: two parts, a topic and ``[version, map]``."""

from __future__ import annotations

from dataclasses import asdict, fields
from types import NoneType
from typing import Any, TypeVar

from raftkv.errors import WireError, shown
from raftkv.observe import (
    Event,
    LinkFault,
    LinkSnapshot,
    LoadReport,
    LogEntry,
    LogTail,
    MemberSnapshot,
    NodeSnapshot,
    PeerSnapshot,
    ProcessSnapshot,
)
from raftkv.wire.packing import REQUEST_BYTES_MAX, expect, expect_version, pack, unpack

VERSION = 1
TOPIC_SNAPSHOT = b"snapshot"
TOPIC_EVENT = b"event"
_SNAPSHOT_FIELDS = tuple(field.name for field in fields(NodeSnapshot))
_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind))
    for kind in (MemberSnapshot, PeerSnapshot, LinkSnapshot, LinkFault)
}


def encode_snapshot(snapshot: NodeSnapshot) -> bytes:
    return pack((VERSION, snapshot_to_map(snapshot)))


def snapshot_to_map(snapshot: NodeSnapshot) -> dict[str, Any]:
    """As ``dataclasses.asdict``, which copies every number of the log's tail and every name one by one: a
    tenth of what an idle node does."""
    flat = {name: getattr(snapshot, name) for name in _SNAPSHOT_FIELDS}
    flat["tail"] = {"first_index": snapshot.tail.first_index, "terms": snapshot.tail.terms}
    flat["members"] = [_flat(member) for member in snapshot.members]
    flat["peers"] = [_flat(peer) for peer in snapshot.peers]
    flat["links"] = [
        {**_flat(link), "fault": None if link.fault is None else _flat(link.fault)} for link in snapshot.links
    ]
    return flat


def _flat(item: MemberSnapshot | PeerSnapshot | LinkSnapshot | LinkFault) -> dict[str, Any]:
    return {name: getattr(item, name) for name in _FIELDS[type(item)]}


def encode_event(event: Event) -> bytes:
    return pack((VERSION, asdict(event)))


def decode(topic: bytes, data: bytes) -> NodeSnapshot | Event:
    content = unpack(data, REQUEST_BYTES_MAX)
    expect(type(content) is tuple and len(content) == 2, "no status frame")
    version, fields = content
    expect_version(version, VERSION, "status")
    return snapshot_from_map(fields) if topic == TOPIC_SNAPSHOT else event_from_map(fields)


def event_from_map(fields: Any) -> Event:
    """As ``snapshot_from_map``, of an event."""
    return _make(Event, fields)


def snapshot_from_map(fields: Any) -> NodeSnapshot:
    """The snapshot whose ``dataclasses.asdict`` this is. Raises WireError for anything else, such as
    what a node of another version sends."""
    expect(type(fields) is dict and fields.keys() >= _NESTED, "no snapshot")
    peers, links, members = fields["peers"], fields["links"], fields["members"]
    expect(all(isinstance(found, tuple | list) for found in (peers, links, members)), "no snapshot")
    nested = {
        "tail": _make(LogTail, fields["tail"]),
        "members": tuple([_make(MemberSnapshot, member) for member in members]),
        "peers": tuple([_make(PeerSnapshot, peer) for peer in peers]),
        "links": tuple([_link_from_map(link) for link in links]),
    }
    return _make(NodeSnapshot, {**fields, **nested})


def process_from_map(fields: Any) -> ProcessSnapshot:
    """As ``snapshot_from_map``, of what a launcher says."""
    return _make(ProcessSnapshot, fields)


def load_from_map(fields: Any) -> LoadReport:
    return _make(LoadReport, fields)


def entry_from_map(fields: Any) -> LogEntry:
    """As ``snapshot_from_map``, of an entry of a node's log."""
    return _make(LogEntry, fields)


def _link_from_map(fields: Any) -> LinkSnapshot:
    expect(type(fields) is dict and "fault" in fields, "no snapshot of a link")
    fault = None if fields["fault"] is None else _make(LinkFault, fields["fault"])
    return _make(LinkSnapshot, {**fields, "fault": fault})


_NESTED = {"tail", "members", "peers", "links"}
_NUMBER = (int, float)
_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "int | None": (int, NoneType),
    "LogIndex": (int,),
    "Term": (int,),
    "float": _NUMBER,
    "float | None": (*_NUMBER, NoneType),
    "str": (str,),
    "str | None": (str, NoneType),
    "NodeId": (str,),
    "NodeId | None": (str, NoneType),
    "dict[str, Any]": (dict,),
    "dict[str, int]": (dict,),
    "LinkFault | None": (LinkFault, NoneType),
    "LogTail": (LogTail,),
    "tuple[str, ...]": (tuple, list),
    "tuple[Term, ...]": (tuple, list),
    "tuple[MemberSnapshot, ...]": (tuple,),
    "tuple[PeerSnapshot, ...]": (tuple,),
    "tuple[LinkSnapshot, ...]": (tuple,),
}
"""What a field of an annotation may hold after decoding."""
_ITEMS: dict[str, type] = {"tuple[str, ...]": str, "tuple[Term, ...]": int, "dict[str, int]": int}
Made = TypeVar(
    "Made",
    Event,
    LinkFault,
    LinkSnapshot,
    LoadReport,
    LogEntry,
    LogTail,
    MemberSnapshot,
    NodeSnapshot,
    PeerSnapshot,
    ProcessSnapshot,
)


def _make(kind: type[Made], found: Any) -> Made:
    """The dataclass of these fields, each checked against its annotation."""
    expect(type(found) is dict and all(type(name) is str for name in found), "no status frame")
    try:
        made: Made = kind(**found)
    except TypeError as error:
        raise WireError(f"no {kind.__name__}") from error
    for field in fields(made):
        value = getattr(made, field.name)
        annotation = str(field.type)
        item = _ITEMS.get(annotation)
        held = value.values() if type(value) is dict else value
        if type(value) not in _TYPES[annotation] or (item and any(type(each) is not item for each in held)):
            raise WireError(f"no {kind.__name__}: its {field.name} is {shown(value)}")
    return made
