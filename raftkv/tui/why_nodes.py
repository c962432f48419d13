"""Reasons of what a node tells besides Raft's own events: faults, its start and end, its disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from raftkv.observe import events

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reason:
    text: str
    section: str
    """Empty where it is no matter of the paper."""


Explain = Callable[[str, Fields], Reason | None]
"""(node, the event's fields); raises KeyError, TypeError or ValueError where those are not ours."""


def _link_set(node: str, fields: Fields) -> Reason:
    return Reason(
        f"A fault on the way from {node} to {fields['to']} alone; the way back is another link. Raft is safe "
        "whatever the network drops, duplicates, delays or reorders.",
        "§5.5",
    )


def _link_healed(node: str, fields: Fields) -> Reason:
    how = "Its time was up" if fields["expired"] else "Somebody healed it"
    return Reason(
        f"{how}: frames from {node} reach {fields['to']} again; what was lost is sent anew.", "§5.5"
    )


def _fault_set(node: str, fields: Fields) -> Reason | None:
    if fields["part"] == "clock":
        return Reason(
            f"The clock of {node} runs {fields['rate']:g} times as fast as it should. Raft's safety rests on "
            "no clock; only timeouts, and with them elections, come too early or too late.",
            "§5.6",
        )
    if fields["part"] != "disk":
        return None
    return Reason(
        f"The disk of {node} was made slower, full or faulty. What is not on a disk is not acknowledged, so "
        "the others go on without it.",
        "",
    )


def _fault_healed(node: str, fields: Fields) -> Reason:
    how = "Its time was up" if fields["expired"] else "Somebody healed it"
    return Reason(f"{how}: the {fields['part']} of {node} is as it should be again.", "")


def _stopping(node: str, _: Fields) -> Reason:
    return Reason(
        f"{node} ends in good order. To the others that is no different from a crash: they notice when it "
        "stays silent.",
        "§5.5",
    )


def _snapshot_taken(node: str, fields: Fields) -> Reason:
    return Reason(
        f"{node} has written down its state up to entry {fields['index']:,} by itself, without a word to "
        "others: what is committed never changes.",
        "§7",
    )


def _snapshot_given_up(node: str, _: Fields) -> Reason:
    return Reason(
        f"The disk of {node} had no room for a snapshot, its own or the leader's. It is tried again and "
        "again; until there is room, the log only grows, or the node stays behind.",
        "§7",
    )


def _snapshot_refused(node: str, _: Fields) -> Reason:
    return Reason(
        f"{node} takes no part of a snapshot that it cannot understand, and goes on with the state it has.",
        "§7",
    )


def _state_differs(node: str, fields: Fields) -> Reason:
    return Reason(
        f"{node} and {fields['peer']} have applied the same entries up to {fields['index']:,} and still "
        "differ: one of them is broken, its disk or its memory.",
        "§5.4.3",
    )


def _frame_rejected(node: str, _: Fields) -> Reason:
    return Reason(
        f"{node} dropped something that no node or client of this version would send. A lost message costs "
        "time, but is never unsafe.",
        "§5.5",
    )


def _space_back(node: str, _: Fields) -> Reason:
    return Reason(f"The disk of {node} took what had waited for it, so writes go on.", "")


def _started(node: str, fields: Fields) -> Reason:
    return Reason(
        f"{node} read {fields['entries']:,} entries, its term and vote from the disk; the leader tells it "
        "what is committed.",
        "§5.1",
    )


def _space_low(node: str, _: Fields) -> Reason:
    return Reason(
        f"The disk of {node} takes no more. What cannot be made durable is not acknowledged; reads go on.", ""
    )


OF_NODES: Mapping[str, Explain] = {
    events.LINK_FAULT_SET: _link_set,
    events.LINK_HEALED: _link_healed,
    events.NODE_STARTED: _started,
    events.NODE_FAULT_SET: _fault_set,
    events.NODE_FAULT_HEALED: _fault_healed,
    events.NODE_STOPPING: _stopping,
    events.SNAPSHOT_TAKEN: _snapshot_taken,
    events.SNAPSHOT_GIVEN_UP: _snapshot_given_up,
    events.SNAPSHOT_REFUSED: _snapshot_refused,
    events.STATE_DIFFERS: _state_differs,
    events.FRAME_REJECTED: _frame_rejected,
    events.SPACE_LOW: _space_low,
    events.SPACE_BACK: _space_back,
}
