"""The lines of the dashboard's event log: what nodes told, what the user did, and what was missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from raftkv.errors import counted
from raftkv.observe import LEADER, Event, describe, describe_raw, events
from raftkv.raft import trace

LINES_MAX = 500
"""Of the event log kept: some ten stormy elections, and drawn from a tuple of this size."""
LATE_LINES_MAX = 50
"""Looked back over for the place of a line that was heard of late."""
TEXT_MAX = 400
"""Characters of one line of the event log; wider than any terminal worth drawing for."""


@dataclass(frozen=True, slots=True)
class LogLine:
    time: float
    node: str
    """Empty for what the user did."""
    mark: str
    """One symbol, so that kinds are told apart without colour."""
    style: str
    text: str
    event: Event | None = None
    """What it tells of, where a node said so: the reason can be asked of it (``why``)."""
    gap: range = range(0)
    """Numbers of the node's events that were missed before that moment."""
    number: int = 0
    """In the order in which lines were heard of, from 1; 0 of what was missed, and told later of the past."""


def fresh(lines: Sequence[LogLine], known: int) -> list[LogLine]:
    """Those heard of since there were ``known``, in that order. They need not be the last: a line stands at
    its time, and may be heard of late."""
    return sorted((line for line in lines if line.number > known), key=lambda line: line.number)


def is_election(line: LogLine) -> bool:
    """Whether it tells that somebody was elected."""
    event = line.event
    return event is not None and event.kind == "RoleChanged" and event.fields.get("role") == LEADER


@dataclass(frozen=True, slots=True)
class Row:
    """A line as it is shown: ``times`` in a row, for the first time at ``since``."""

    line: LogLine
    times: int
    since: float


def folded(lines: Sequence[LogLine]) -> tuple[Row, ...]:
    """A node that is cut off asks for pre-votes twice a second, for as long as that lasts: what it says once
    more in one such row is one row, at the moment of the last time."""
    rows: dict[object, Row] = {}
    breaks: Counter[str] = Counter()
    """How often each node has said something else."""
    for number, line in enumerate(lines):
        key: object = number
        if _of_a_pre_vote(line):
            key = (line.node, breaks[line.node], line.text)
        else:
            breaks[line.node] += 1
        before = rows.pop(key, None)
        rows[key] = Row(line, before.times + 1, before.since) if before else Row(line, 1, line.time)
    return tuple(rows.values())


def _of_a_pre_vote(line: LogLine) -> bool:
    if line.event is None:
        return False
    kind, fields = line.event.kind, line.event.fields
    if kind == "RoleChanged":
        return fields.get("role") == "pre_candidate" or fields.get("reason") == trace.REASON_ELECTION_LOST
    return kind in ("VoteAnswered", "VoteReceived") and fields.get("pre") is True


def clean(text: str) -> str:
    """One printable line: a control character from a node would wreck the screen."""
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "�" for letter in line)[:TEXT_MAX]


_MARKS = {
    events.LINK_FAULT_SET: ("✕", "bad"),
    events.LINK_HEALED: ("●", "good"),
    events.NODE_FAULT_SET: ("!", "bad"),
    events.NODE_FAULT_HEALED: ("●", "good"),
    events.STATE_DIFFERS: ("!", "bad"),
    events.SNAPSHOT_GIVEN_UP: ("!", "warn"),
    events.SNAPSHOT_REFUSED: ("!", "warn"),
    events.SPACE_LOW: ("!", "bad"),
    events.SPACE_BACK: ("●", "good"),
    events.FRAME_REJECTED: ("!", "warn"),
    events.NODE_STARTED: ("▶", "good"),
    events.NODE_STOPPING: ("■", "warn"),
    "EntriesTruncated": ("✗", "bad"),
    "AppendRejected": ("✗", "warn"),
    "EntriesLost": ("!", "bad"),
    "LeaderDoubted": ("!", "bad"),
    "TransferStarted": ("→", "leader"),
    "TransferAbandoned": ("!", "warn"),
}
_ROLE_MARKS = {LEADER: ("★", "leader"), "candidate": ("◆", "candidate"), "pre_candidate": ("◇", "candidate")}


def of_event(event: Event) -> LogLine:
    mark, style = _MARKS.get(event.kind, ("·", ""))
    if event.kind == "RoleChanged":
        mark, style = _ROLE_MARKS.get(str(event.fields.get("role")), (mark, style))
    try:
        text = describe(event)
    except (KeyError, TypeError, ValueError):  # another version's node: its fields are not ours
        text = describe_raw(event)
    text = clean(text.replace("pre_candidate", "pre-candidate"))
    return LogLine(event.time, event.node, mark, style, text, event)


def gap(time: float, node: str, missed: range) -> LogLine:
    text = f"missed {counted(len(missed), 'event')}"
    return LogLine(time, node, "…", "warn", text, gap=missed)


def with_line(lines: tuple[LogLine, ...], line: LogLine) -> tuple[LogLine, ...]:
    """In its place by time: what the launcher says, or a command under way, is heard of late."""
    place = len(lines)
    while place and len(lines) - place < LATE_LINES_MAX and lines[place - 1].time > line.time:
        place -= 1
    return (*lines[:place], line, *lines[place:])[-LINES_MAX:]


def with_past(lines: tuple[LogLine, ...], past: Sequence[Event]) -> tuple[LogLine, ...]:
    """With events that are heard of late, some of them for the second time; gaps that they fill go."""
    known = {(line.event.node, line.event.sequence, line.event.time) for line in lines if line.event}
    fresh = [event for event in past if (event.node, event.sequence, event.time) not in known]
    kept = [_filled(line, fresh) if line.gap else line for line in lines]
    added = [of_event(event) for event in fresh]
    merged = [*added, *(line for line in kept if line)]
    merged.sort(key=lambda line: (line.time, not line.gap))
    return tuple(merged[-LINES_MAX:])


def _filled(line: LogLine, fresh: Sequence[Event]) -> LogLine | None:
    """A gap is filled from its end: what a node still knows are its last events."""
    told = {
        event.sequence: event.time for event in fresh if event.node == line.node and event.time <= line.time
    }
    end = line.gap.stop
    while end > line.gap.start and end - 1 in told:
        end -= 1
    if end == line.gap.stop:
        return line
    if end == line.gap.start:
        return None
    return replace(gap(told[end], line.node, range(line.gap.start, end)), number=line.number)
