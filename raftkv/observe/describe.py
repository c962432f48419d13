"""One line for an event: the same words in a node's log, the dashboard and a recording."""

from __future__ import annotations

from typing import get_args

from raftkv.errors import shown
from raftkv.observe import events
from raftkv.observe.events import Event
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
            return f"link to {fields['to']}: {_describe_fault(fields)}"
        case events.LINK_HEALED:
            return f"link to {fields['to']} healed" + (" (time is up)" if fields["expired"] else "")
        case events.SPACE_LOW:
            return f"disk full, writes refused: {fields['cause']}"
        case events.SPACE_BACK:
            return "disk has space again"
        case events.SNAPSHOT_TAKEN:
            return f"snapshot of entry {fields['index']:,} taken, {fields['bytes']:,} bytes"
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


def _describe_fault(fields: dict[str, object]) -> str:
    parts = []
    if fields["block"]:
        parts.append("blocked")
    if fields["drop"]:
        parts.append(f"drops {fields['drop']:.0%}")
    if fields["delay_ms"]:
        jitter = f"±{fields['jitter_ms']:g}" if fields["jitter_ms"] else ""
        parts.append(f"delayed by {fields['delay_ms']:g}{jitter} ms")
    lifetime = f" for {fields['seconds']:g} s" if fields["seconds"] else ""
    return ", ".join(parts) + lifetime
