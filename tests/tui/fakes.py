"""A feed that says what the test puts in, actions that only remember, a clock that stands still,
and makers of snapshots with sensible defaults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from raftkv.errors import RaftkvError
from raftkv.observe import (
    DiskFault,
    Event,
    LinkFault,
    LinkSnapshot,
    LogEntry,
    LogTail,
    Mended,
    NodeSnapshot,
    PeerSnapshot,
    ProcessSnapshot,
)
from raftkv.tui.ports import FeedItem, Narrator, Row
from raftkv.types import LogIndex, NodeId, Term

START = 1000.0
NOON = datetime(2024, 5, 6, 12, 0, 0)  # what the wall clock shows at START


class Clock:
    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class ScriptedFeed:
    """``push`` items; the next ``poll`` returns them."""

    def __init__(self, names: Sequence[str], items: Sequence[FeedItem] = ()) -> None:
        self._names = tuple(names)
        self._items = list(items)
        self.polls = 0
        self.closed = False

    def push(self, *items: FeedItem) -> None:
        self._items.extend(items)

    def names(self) -> Sequence[str]:
        return self._names

    def rename(self, names: Sequence[str]) -> None:
        """Others have joined, or some have left."""
        self._names = tuple(names)

    def poll(self) -> Sequence[FeedItem]:
        self.polls += 1
        items, self._items = self._items, []
        return items

    def close(self) -> None:
        self.closed = True


class RecordingActions:
    """``calls`` holds what was asked; ``fails`` makes every call raise; ``gate``, when given, is
    waited for by every call, to keep actions under way."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.fails: str | None = None
        self.deaf: list[str] = []
        """Who does not hear of healing."""
        self.gate: threading.Event | None = None
        self.threads: set[int] = set()

    def _did(self, *call: object) -> str:
        self.threads.add(threading.get_ident())
        if self.gate:
            assert self.gate.wait(10)
        if self.fails:
            raise RaftkvError(self.fails)
        self.calls.append(call)
        return "raftkv chaos " + " ".join(str(part) for part in call)

    def kill(self, node: str, seconds: float | None) -> str:
        return self._did("kill", node, seconds)

    def stop(self, node: str, seconds: float | None) -> str:
        return self._did("stop", node, seconds)

    def restart(self, node: str) -> str:
        return self._did("restart", node)

    def pause(self, node: str, seconds: float | None) -> str:
        return self._did("pause", node, seconds)

    def resume(self, node: str) -> str:
        return self._did("resume", node)

    def isolate(self, node: str, seconds: float | None) -> str:
        return self._did("isolate", node, seconds)

    def partition(self, groups: Sequence[Sequence[str]], seconds: float | None) -> str:
        return self._did("partition", tuple(tuple(group) for group in groups), seconds)

    def bridge(self, node: str, seconds: float | None) -> str:
        return self._did("bridge", node, seconds)

    def ring(self, seconds: float | None) -> str:
        return self._did("ring", seconds)

    def link(self, sender: str, to: str, fault: LinkFault, seconds: float | None) -> str:
        return self._did("link", sender, to, fault, seconds)

    def disk(self, node: str, fault: DiskFault, seconds: float | None) -> str:
        return self._did("disk", node, fault, seconds)

    def clock(self, node: str, rate: float, seconds: float | None) -> str:
        return self._did("clock", node, rate, seconds)

    def heal(self) -> Mended:
        return Mended(self._did("heal"), tuple(self.deaf))

    def heal_all(self) -> Mended:
        return Mended(self._did("heal_all"), tuple(self.deaf))

    def campaign(self, node: str) -> str:
        return self._did("campaign", node)

    def transfer(self, node: str) -> str:
        return self._did("transfer", node)

    def load(self, on: bool) -> str:
        return self._did("load", on)

    def put(self, key: bytes, value: bytes) -> str:
        return self._did("put", key, value)

    def compare_and_set(self, key: bytes, expected: bytes | None, value: bytes) -> str:
        return self._did("compare_and_set", key, expected, value)

    def delete(self, key: bytes) -> str:
        return self._did("delete", key)


class ScriptedLookups:
    """Rows and logs that the test puts in."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.logs: dict[str, list[LogEntry]] = {}
        self.fails: str | None = None

    def scan(self, prefix: str, limit: int) -> tuple[Sequence[Row], int]:
        if self.fails:
            raise RaftkvError(self.fails)
        found = [row for row in self.rows if row[0].startswith(prefix.encode())]
        return found[:limit], len(found)

    def entries(self, node: str, first: int, count: int) -> Sequence[LogEntry]:
        if self.fails:
            raise RaftkvError(self.fails)
        return [entry for entry in self.logs.get(node, []) if first <= entry.index < first + count]

    def search(self, node: str, text: str, first: int) -> int | None:
        if self.fails:
            raise RaftkvError(self.fails)
        found = (entry for entry in self.logs.get(node, []) if entry.index >= first and text in entry.text)
        entry = next(found, None)
        return entry.index if entry else None


@dataclass(frozen=True)
class ScriptedLesson:
    name: str
    title: str
    section: str = "§5.2"
    summary: str = "What is to be seen here."
    nodes: int = 3


class ScriptedLessons:
    """Two lessons; the second fails."""

    def __init__(self) -> None:
        self.played: list[str] = []
        self.stopped: list[str] = []
        self.words: list[str] = []
        """Of which the story has more."""

    def listed(self) -> Sequence[ScriptedLesson]:
        return (ScriptedLesson("split-vote", "A split vote"), ScriptedLesson("broken", "A broken promise"))

    def play(self, name: str, narrator: Narrator, cancelled: Callable[[], bool]) -> None:
        self.played.append(name)
        for word in self.words:
            narrator.say(word)
        narrator.say("Two nodes campaign at once.")
        narrator.command("raftkv chaos campaign n1")
        narrator.ask("Who will lead?", ("n1", "nobody, at first"), 1, "Each votes for itself.")
        if cancelled():
            self.stopped.append(name)
            raise RaftkvError("stopped")
        narrator.checked("one leader in the end", "n3")
        if name == "broken":
            raise RaftkvError("the promise did not hold: two leaders")


def link_snapshot(to: str, fault: LinkFault | None = None, left: float | None = None) -> LinkSnapshot:
    return LinkSnapshot(NodeId(to), fault, left, frames_sent=4711, frames_dropped=12 if fault else 0)


def peer_snapshot(name: str, match: int, *, state: str = "replicate", active: bool = True) -> PeerSnapshot:
    return PeerSnapshot(NodeId(name), state, LogIndex(match), LogIndex(match + 1), 2 if active else 0, active)


def tail(first_index: int, *terms: int) -> LogTail:
    return LogTail(LogIndex(first_index), tuple(Term(term) for term in terms))


def snapshot(name: str, names: Sequence[str] = ("n1", "n2", "n3"), **changes: Any) -> NodeSnapshot:
    """A healthy follower in term 7 whose last 30 entries up to 1042 are of that term. ``terms``
    gives other last terms; ``faults`` maps a peer to (fault, seconds left)."""
    terms: Sequence[int] = changes.pop("terms", (7,) * 30)
    last = changes.pop("last_index", 1042)
    faults: dict[str, tuple[LinkFault, float | None]] = changes.pop("faults", {})
    others = [other for other in names if other != name]
    fields: dict[str, Any] = {
        "cluster": "demo",
        "name": NodeId(name),
        "boot": 1,
        "event_sequence": 0,
        "time": START,
        "pid": 4242,
        "uptime": 754.0,
        "role": "follower",
        "term": Term(7),
        "voted_for": None,
        "votes": 0,
        "leader": None,
        "first_index": LogIndex(1),
        "last_index": LogIndex(last),
        "persisted_index": LogIndex(last),
        "commit_index": LogIndex(min(last, 1042)),
        "applied_index": LogIndex(min(last, 1042)),
        "election_elapsed": 12,
        "election_timeout": 40,
        "revision": 988,
        "keys": 512,
        "sessions": 3,
        "state_digest": "9f3a61c0d2b7e845aa10",
        "log_bytes": 5_242_880,
        "client_endpoint": "tcp://127.0.0.1:7401",
        "peer_endpoint": "tcp://127.0.0.1:7301",
        "writes_total": 0,
        "reads_total": 0,
        "write_ms_p50": 2.4,
        "write_ms_p99": 11.2,
        "sync_ms_p50": 0.4,
        "sync_ms_p99": 1.8,
        "syncs_total": 31_337,
        "pending_writes": 4,
        "frames_rejected": 0,
        "disk_stalled": False,
        "transferee": None,
        "alarms": (),
        "tail": tail(last - len(terms) + 1, *terms),
        "peers": (),
        "links": tuple(link_snapshot(other, *faults.get(other, (None, None))) for other in others),
    }
    return NodeSnapshot(**{**fields, **changes})


def leader_snapshot(name: str, names: Sequence[str] = ("n1", "n2", "n3"), **changes: Any) -> NodeSnapshot:
    last = changes.get("last_index", 1042)
    others = [other for other in names if other != name]
    fields: dict[str, Any] = {
        "role": "leader",
        "voted_for": NodeId(name),
        "leader": NodeId(name),
        "peers": tuple(peer_snapshot(other, last) for other in others),
    }
    return snapshot(name, names, **{**fields, **changes})


def process(
    name: str, state: str = "running", *, since: float = START - 60, **changes: Any
) -> ProcessSnapshot:
    fields: dict[str, Any] = {"pid": None if state == "exited" else 4242, "exit_code": None}
    return ProcessSnapshot(NodeId(name), state, since=since, **{**fields, **changes})


def event(sequence: int, node: str, kind: str, time: float = START, **fields: Any) -> Event:
    return Event(sequence, time, NodeId(node), kind, fields)
