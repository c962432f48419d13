"""One line for an event: the same words in a node's log, the dashboard and a recording."""

from __future__ import annotations

from dataclasses import fields as dataclass_fields
from typing import Any, get_args

from raftkv.errors import shown
from raftkv.observe import events
from raftkv.observe.events import Event
from raftkv.observe.snapshot import DiskFault, LinkFault
from raftkv.raft import trace
from raftkv.raft.describe import describe_event

_RAFT_EVENTS: dict[str, type] = {kind.__name__: kind for kind in get_args(trace.RaftEvent)}


def describe(event: Event) -> str:
    """``candidate, term 8: pre-vote won``; the node and the time stand beside it."""
    raft_event = _RAFT_EVENTS.get(event.kind)
    fields = event.fields
    if raft_event:
        return describe_event(raft_event(**fields))
    match event.kind:
        case events.NODE_STARTED:
            cut = f"; {fields['cut']}" if fields["cut"] else ""
            after = f" after a snapshot of entry {fields['snapshot']:,}" if fields["snapshot"] else ""
            return f"started with {fields['entries']:,} log entries{after}{cut}"
        case events.NODE_STOPPING:
            return f"stopping: {fields['reason']}"
        case events.LINK_FAULT_SET:
            return f"link to {fields['to']}: {_link_fault(fields)}{_lifetime(fields)}"
        case events.LINK_HEALED:
            return f"link to {fields['to']} healed{_time_is_up(fields)}"
        case events.NODE_FAULT_SET:
            return f"{_node_fault(fields)}{_lifetime(fields)}"
        case events.NODE_FAULT_HEALED:
            return f"{fields['part']} healed{_time_is_up(fields)}"
        case events.SPACE_LOW:
            return f"disk full, writes refused: {fields['cause']}"
        case events.SPACE_BACK:
            return "disk has space again"
        case events.SNAPSHOT_TAKEN:
            return f"snapshot of entry {fields['index']:,} taken, {fields['bytes']:,} bytes"
        case events.SNAPSHOT_GIVEN_UP:
            return f"no room for a snapshot, tried again and again: {fields['cause']}"
        case events.SNAPSHOT_REFUSED:
            return f"the leader's snapshot cannot be used: {fields['cause']}"
        case events.STATE_DIFFERS:
            return f"CORRUPT: another state than {fields['peer']} at entry {fields['index']:,}"
        case events.FRAME_REJECTED:
            return f"dropped a frame on the {fields['socket']} socket: {fields['cause']}"
        case _:  # a newer node's event
            return describe_raw(event)


def describe_raw(event: Event) -> str:
    """An event of another version, whatever it holds: its own words as they are."""
    return " ".join([event.kind, *(f"{name}={shown(value)}" for name, value in event.fields.items())])


def describe_link_fault(fault: LinkFault) -> str:
    """``drops 20%, delayed by 80±20 ms``"""
    parts = []
    if fault.block:
        parts.append("blocked")
    if fault.drop:
        parts.append(f"drops {fault.drop:.0%}")
    if fault.delay_ms:
        jitter = f"±{fault.jitter_ms:g}" if fault.jitter_ms else ""
        parts.append(f"delayed by {fault.delay_ms:g}{jitter} ms")
    if fault.duplicate:
        parts.append(f"duplicates {fault.duplicate:.0%}")
    if fault.reorder:
        parts.append(f"reorders {fault.reorder:.0%}")
    return ", ".join(parts)


def describe_disk_fault(fault: DiskFault) -> str:
    """``disk slower by 50 ms``"""
    if fault.fail:
        return "disk fails"
    if fault.full:
        return "disk full"
    return f"disk slower by {fault.slow_ms:g} ms"


def describe_clock_rate(rate: float) -> str:
    """``clock ×1.2``"""
    return f"clock ×{rate:g}"


def _link_fault(fields: dict[str, Any]) -> str:
    known = {field.name: fields[field.name] for field in dataclass_fields(LinkFault) if field.name in fields}
    return describe_link_fault(LinkFault(**known))


def _node_fault(fields: dict[str, Any]) -> str:
    if fields["part"] == "clock":
        return describe_clock_rate(fields["rate"])
    return describe_disk_fault(DiskFault(fields["slow_ms"], fields["full"], fields["fail"]))


def _lifetime(fields: dict[str, Any]) -> str:
    return f" for {fields['seconds']:g} s" if fields["seconds"] else ""


def _time_is_up(fields: dict[str, Any]) -> str:
    return " (time is up)" if fields["expired"] else ""
