"""Frames a node publishes: two parts, a topic and ``[version, map]``."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from raftkv.errors import WireError
from raftkv.observe import Event, LinkFault, LinkSnapshot, LogTail, NodeSnapshot, PeerSnapshot
from raftkv.wire.packing import REQUEST_BYTES_MAX, expect, expect_version, pack, unpack

VERSION = 1
TOPIC_SNAPSHOT = b"snapshot"
TOPIC_EVENT = b"event"
_SNAPSHOT_FIELDS = tuple(field.name for field in fields(NodeSnapshot))


def encode_snapshot(snapshot: NodeSnapshot) -> bytes:
    return pack((VERSION, snapshot_to_map(snapshot)))


def snapshot_to_map(snapshot: NodeSnapshot) -> dict[str, Any]:
    """As ``dataclasses.asdict``, which copies every number of the log's tail one by one."""
    flat = {name: getattr(snapshot, name) for name in _SNAPSHOT_FIELDS}
    flat["tail"] = {"first_index": snapshot.tail.first_index, "terms": snapshot.tail.terms}
    flat["peers"] = [asdict(peer) for peer in snapshot.peers]
    flat["links"] = [asdict(link) for link in snapshot.links]
    return flat


def encode_event(event: Event) -> bytes:
    return pack((VERSION, asdict(event)))


def decode(topic: bytes, data: bytes) -> NodeSnapshot | Event:
    content = unpack(data, REQUEST_BYTES_MAX)
    expect(type(content) is tuple and len(content) == 2, "no status frame")
    version, fields = content
    expect_version(version, VERSION, "status")
    expect(type(fields) is dict, "no status frame")
    try:
        return snapshot_from_map(fields) if topic == TOPIC_SNAPSHOT else Event(**fields)
    except (TypeError, KeyError) as error:
        raise WireError("no status frame") from error


def snapshot_from_map(fields: dict[str, Any]) -> NodeSnapshot:
    """The snapshot whose ``dataclasses.asdict`` this is. Raises TypeError or KeyError otherwise."""
    nested = dict(fields)
    nested["tail"] = LogTail(**fields["tail"])
    nested["peers"] = tuple([PeerSnapshot(**peer) for peer in fields["peers"]])
    nested["links"] = tuple([_link_from_map(link) for link in fields["links"]])
    return NodeSnapshot(**nested)


def _link_from_map(fields: dict[str, Any]) -> LinkSnapshot:
    fault = LinkFault(**fields["fault"]) if fields["fault"] else None
    return LinkSnapshot(**{**fields, "fault": fault})
