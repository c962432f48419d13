"""What fuzzing has found, as small as it got. Each of these once got past a decoder."""

from __future__ import annotations

import msgpack
import pytest

from tests.fuzz import seeds
from tests.fuzz.inputs import packed
from tests.fuzz.targets import TARGETS
from tests.wire.support import nested

HOLE = "a hole in a frame"
DEEP = [nested(depth) for depth in (985, 1000, 1012)]
"""Near the depth at which MessagePack gives up, Python has given up showing it."""
JSON_DEPTHS = range(880, 1000)
"""Somewhere in between lies a depth that can be read and not be shown; where, depends on the caller."""


def filled(content: object, fillings: list[bytes]) -> list[bytes]:
    """The frame, with each of the fillings in the place of the hole."""
    return [packed(content).replace(packed(HOLE), filling, 1) for filling in fillings]


def asked(verb: str, argument: str) -> list[bytes]:
    return filled([1, 1, verb, {argument: HOLE}], DEEP)


def answered(body: object) -> bytes:
    return packed([1, 1, True, body])


def event(**changed: object) -> bytes:
    fields = {"sequence": 4, "time": 1.0, "node": "n1", "kind": "LinkHealed", "fields": {}}
    return packed([1, {**fields, **changed}])


def snapshot(**changed: object) -> bytes:
    version, fields = msgpack.unpackb(seeds.snapshot_frames()[0])
    return packed([version, {**fields, **changed}])


def process(**changed: object) -> bytes:
    fields = {"name": "n1", "state": "running", "pid": 7, "exit_code": None, "since": 1.0}
    return answered([{**fields, **changed}])


def configured(line: str) -> bytes:
    key = line.partition(".")[0].partition(" ")[0]
    lines = seeds.CONFIGURATION.splitlines()
    position = next(place for place, old in enumerate(lines) if old.startswith(key))
    return "\n".join([*lines[:position], line, *lines[position + 1 :]]).encode()


NO_SNAPSHOTS: list[object] = [None, {}, [], "ab", [[]], {"tail": {}}, 1]
HUGE = "0x" + "f" * 4000
FOUND: dict[str, tuple[str, list[bytes]]] = {
    "a refusal that shows a deep 'to'": ("node-control", asked("link", "to")),
    "a refusal that shows a deep rate": ("node-control", asked("clock", "rate")),
    "a refusal that shows a deep slow_ms": ("node-control", asked("disk", "slow_ms")),
    "a launcher that shows a deep node name": ("launcher", asked("kill", "node")),
    "a launcher's refusal longer than a frame": (
        "launcher",
        [packed([1, 1, "kill", {"node": "\0" * 1_000_000}])],
    ),
    "an INVALID answer with a deep reason": ("client", filled([1, [[1, 2, 0, HOLE]]], DEEP)),
    "a name that is a deep table": ("config", [configured("name" + ".a" * 3000 + " = 1")]),
    "a number too long to be shown": ("config", [configured(f"chaos = {HUGE}")]),
    "a number too long to be written": ("config", [configured(f"pending_writes = {HUGE}")]),
    "a time too long to be written": ("config", [configured(f"election_timeout_max_ms = {HUGE}")]),
    "a call_ns too deep to be shown": (
        "history",
        [seeds.HISTORY.replace(b": 1,", b": %b," % (b"[" * d + b"]" * d)) for d in JSON_DEPTHS],
    ),
    "a run state that is no object": ("run-state", [b"1", b'"x"', b"null", b"[]"]),
    "a run state with a name that is no text": (
        "run-state",
        [b'{"cluster": "c", "launcher_pid": 7, "launcher": "x", "nodes": [{"\\ud800": "x"}]}'],
    ),
    "a run state with a name of two lines": (
        "run-state",
        [b'{"cluster": "c", "launcher_pid": 7, "launcher": "x", "nodes": [{"a\\nb": "x"}]}'],
    ),
    "a run state too deep to be read": ("run-state", [b"[" * 100_000]),
    "a run state of the wrong types": (
        "run-state",
        [b'{"nodes": [], "cluster": 1, "launcher_pid": "x", "launcher": []}'],
    ),
    "a status answer that is no snapshot": (
        "status-answer",
        [answered(body) for body in NO_SNAPSHOTS],
    ),
    "a process of no time": ("feed-process", [process(since=None), process(since={})]),
    "a snapshot of no time": ("feed-snapshot", [snapshot(time=None), snapshot(time=[])]),
    "a snapshot of wrong types": (
        "feed-snapshot",
        [snapshot(tail={"first_index": None, "terms": 1}), snapshot(writes_total="x"), snapshot(term=[])],
    ),
    "an event of no time": ("feed-event", [event(time=None)]),
    "an event of no number": ("feed-event", [event(sequence=None), event(sequence="x"), event(sequence={})]),
    "an event of no kind": ("feed-event", [event(kind={})]),
    "an event without fields": ("feed-event", [event(kind="EntriesTruncated", fields=[])]),
    "an event of odd fields": (
        "feed-event",
        [event(kind="EntriesTruncated", fields={"first_index": "x"})],
    ),
    "an event of deep fields": (
        "feed-event",
        filled([1, {"sequence": 4, "time": 1.0, "node": "n1", "kind": "X", "fields": {"a": HOLE}}], DEEP),
    ),
    "a hard state of wrong types": (
        "log-write",
        [packed([[2, None, []], []]), packed([[[], None, 0], []]), packed([[1, 5, 0], []])],
    ),
    "an entry of wrong types": (
        "log-write",
        [packed([None, [row]]) for row in ([1, 1, 1, "text"], [1, "x", 1, b""], [True, 1, 1, b""])],
    ),
    "a segment of a node with a name of two lines": (
        "log-header",
        [packed([1, "test", "\n1", "first-life", 1, 1, 0, [0, None, 0]])],
    ),
    "a segment of a node with a deep name": (
        "log-header",
        filled([1, "test", HOLE, "first-life", 1, 1, 0, [0, None, 0]], DEEP),
    ),
}


@pytest.mark.parametrize(("target", "found"), FOUND.values(), ids=FOUND)
def test_what_was_found_is_taken_or_refused_now(target: str, found: list[bytes]) -> None:
    for data in found:
        TARGETS[target](data)
