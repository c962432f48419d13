"""A node's log as people read it: some entries, or where a text stands next. Pure, and read-only.

Both look at no more in one turn than the bounds say, as the node does nothing else meanwhile, and tell where
to go on. Entries that were compacted are left out: the answer begins later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from raftkv.kv.describe import describe_clock, describe_command
from raftkv.observe import LogEntry
from raftkv.observe.snapshot import ENTRY_TEXT_MAX
from raftkv.raft import Configuration, Entry, EntryKind, RaftLog
from raftkv.types import LogIndex

READ_ENTRIES_MAX = 500
"""More than the tallest screen has lines."""
SEARCH_ENTRIES_MAX = 5_000
"""Some twenty milliseconds: less than a heartbeat."""
LOOK_BYTES_MAX = 2 << 20
"""Of the entries looked at in one turn: to decode is to copy. One that is larger is looked at alone."""

_KINDS: dict[int, str] = {
    EntryKind.NO_OP: "no-op",
    EntryKind.COMMAND: "command",
    EntryKind.CLOCK: "clock",
    EntryKind.CONFIGURATION: "configuration",
}


def read(log: RaftLog, first: int, count: int) -> dict[str, Any]:
    """``entries``: those of ``count`` from ``first`` on that are there, each the fields of a ``LogEntry``;
    ``next``: the index to go on from, None at the end of the log."""
    start = max(first, log.first_index)
    entries = list(_look(log, start, min(first + count - start, READ_ENTRIES_MAX)))
    found = [asdict(show(entry)) for entry in entries]
    return {"entries": found, "next": _after(log, entries[-1].index) if entries else None}


def search(log: RaftLog, text: str, first: int) -> dict[str, Any]:
    """``index`` of the first entry whose text contains ``text``, or None; then ``next`` as in ``read``."""
    index = None
    for entry in _look(log, max(first, log.first_index), SEARCH_ENTRIES_MAX):
        index = entry.index
        if text in _text(entry):
            return {"index": index, "next": None}
    return {"index": None, "next": None if index is None else _after(log, index)}


def show(entry: Entry) -> LogEntry:
    return LogEntry(entry.index, entry.term, _KINDS.get(entry.kind, "unknown"), _text(entry))


def _look(log: RaftLog, first: int, count: int) -> Iterator[Entry]:
    last = min(log.last_index, first + count - 1)
    size = 0
    for entry in log.slice(LogIndex(first), LogIndex(last)) if first <= last else ():
        size += len(entry.data)
        if size > LOOK_BYTES_MAX and entry.index > first:
            return
        yield entry


def _after(log: RaftLog, index: LogIndex) -> int | None:
    return index + 1 if index < log.last_index else None


def _text(entry: Entry) -> str:
    text = _describe(entry)
    return text if len(text) <= ENTRY_TEXT_MAX else text[: ENTRY_TEXT_MAX - 1] + "…"


def _describe(entry: Entry) -> str:
    match entry.kind:
        case EntryKind.COMMAND:
            return describe_command(entry.data)
        case EntryKind.CLOCK:
            return describe_clock(entry.data)
        case EntryKind.CONFIGURATION:
            return Configuration.decode(entry.data).describe()
    return "a leader's first entry"
