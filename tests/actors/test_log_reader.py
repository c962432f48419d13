"""A node's log as people read it: what is there, what is not, and never too much at a time."""

from __future__ import annotations

from typing import Any

import pytest

from raftkv.actors import log_reader
from raftkv.actors.messages import Note
from raftkv.actors.status import EVENTS_KEPT
from raftkv.config import SnapshotConfig
from raftkv.kv.commands import Command, Op
from raftkv.observe import events
from raftkv.observe.snapshot import ENTRY_TEXT_MAX
from raftkv.raft import Configuration, Entry, EntryKind, RaftLog
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire.control import decode_response
from raftkv.wire.status import event_from_map
from tests.actors.test_faults import Wire, refusal
from tests.support.world import World


def log_of(count: int, size: int = 1) -> RaftLog:
    """Puts of k1, k2, … at the indexes 1, 2, …"""
    return RaftLog([entry(index, put(b"k%d" % index, b"v" * size)) for index in range(1, count + 1)])


def entry(index: int, data: bytes, kind: EntryKind = EntryKind.COMMAND) -> Entry:
    return Entry(LogIndex(index), Term(1), kind, data)


def put(key: bytes, value: bytes) -> bytes:
    return Command(5, 0, 1, 1, Op.PUT, (key, value)).encode()


def indexes(log: RaftLog, first: int, count: int) -> list[int]:
    return [each["index"] for each in log_reader.read(log, first, count)["entries"]]


def test_entries_are_those_asked_for_that_are_there() -> None:
    log = log_of(10)
    assert log_reader.read(log, 3, 1) == {
        "entries": [{"index": 3, "term": 1, "kind": "command", "text": "put k3=v"}],
        "next": 4,
    }
    assert log_reader.read(log, 9, 5)["next"] is None
    assert indexes(log, 9, 5) == [9, 10]
    assert indexes(log, 11, 5) == []
    assert indexes(log, 0, 3) == [1, 2]
    assert indexes(log, 5, 0) == []
    assert indexes(RaftLog([]), 0, 10) == []


def test_what_was_compacted_is_left_out() -> None:
    log = log_of(10)
    log.commit_index = log.delivered_index = log.last_applied = LogIndex(6)
    log.compact(LogIndex(6))
    assert indexes(log, 1, 8) == [7, 8]
    assert indexes(log, 1, 3) == []
    assert log_reader.search(log, "k5=", 1) == {"index": None, "next": None}
    assert log_reader.search(log, "k7=", 1) == {"index": 7, "next": None}


def test_a_search_finds_the_first_from_where_it_begins() -> None:
    log = log_of(30)
    assert log_reader.search(log, "k1", 1)["index"] == 1
    assert log_reader.search(log, "k1", 2)["index"] == 10
    assert log_reader.search(log, "put k2=v", 1)["index"] == 2
    assert log_reader.search(log, "k31", 1) == {"index": None, "next": None}
    assert log_reader.search(log, "k1", 31) == {"index": None, "next": None}


def test_no_turn_looks_at_more_than_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "READ_ENTRIES_MAX", 4)
    monkeypatch.setattr(log_reader, "SEARCH_ENTRIES_MAX", 4)
    log = log_of(10)
    assert indexes(log, 1, 10) == [1, 2, 3, 4]
    assert log_reader.read(log, 1, 10)["next"] == 5
    assert log_reader.search(log, "k9=", 1) == {"index": None, "next": 5}
    assert log_reader.search(log, "k9=", 6) == {"index": 9, "next": None}
    monkeypatch.setattr(log_reader, "LOOK_BYTES_MAX", 250)
    assert indexes(log_of(10, 100), 1, 10) == [1, 2]
    assert indexes(log_of(10, 1000), 3, 10) == [3]  # alone, but not never


def test_every_kind_of_entry_has_a_name_and_a_short_text() -> None:
    configuration = Configuration.of([NodeId("n1"), NodeId("n2")])
    shown = [
        log_reader.show(entry(1, data, kind))
        for kind, data in (
            (EntryKind.NO_OP, b""),
            (EntryKind.CLOCK, b"\x93\xcd\x03\xe8\xc0\x90"),
            (EntryKind.CONFIGURATION, configuration.encode()),
            (EntryKind.COMMAND, b"rubbish"),
        )
    ]
    assert [(each.kind, each.text) for each in shown] == [
        ("no-op", "a leader's first entry"),
        ("clock", "1,000 ms pass"),
        ("configuration", "voters n1 n2"),
        ("command", "no command: 7 bytes"),
    ]
    pairs = tuple((b"k" * 30, b"v") for _ in range(9))
    text = log_reader.show(entry(1, Command(5, 0, 1, 1, Op.MULTI_PUT, (pairs,)).encode())).text
    assert len(text) == ENTRY_TEXT_MAX
    assert text.endswith("…")


def test_the_node_answers_without_leave_for_chaos_and_after_a_snapshot() -> None:
    world = World(snapshot=SnapshotConfig(entries=20, retain_entries=5))
    leader = world.await_leader()
    client = world.user()
    for number in range(100):
        client.put(f"k{number}", "v")
        world.reach(lambda: client.core.calls_open == 0)
    node = world.node(leader)
    node.control._chaos = False
    wire = node.control._port = Wire()

    def ask(verb: str, **arguments: Any) -> dict[str, Any]:
        world.control(leader, verb, **arguments)
        world.run(0.1)
        response = decode_response(wire.frames[-1])
        assert response.ok
        body: dict[str, Any] = response.body
        return body

    log = node.raft.raft.log
    assert log.first_index > 20
    (last,) = ask("log", first=log.last_index, count=10)["entries"]
    assert last["text"] == "put k99=v"
    assert ask("log", first=1, count=1) == {"entries": (), "next": None}
    assert ask("search", text="put k99", first=0) == {"index": log.last_index, "next": None}


def test_the_node_still_knows_its_last_events() -> None:
    world = World()
    leader = world.await_leader()
    node = world.node(leader)
    node.control._chaos = False
    wire = node.control._port = Wire()
    for _ in range(EVENTS_KEPT):
        node.status.handle(Note(events.SPACE_LOW, {"cause": "full"}))
    world.control(leader, "events")
    world.run(0.1)
    found = [event_from_map(fields) for fields in decode_response(wire.frames[-1]).body]
    last = node.status.snapshot().event_sequence
    assert [event.sequence for event in found] == list(range(last - EVENTS_KEPT + 1, last + 1))
    assert found[-1].kind == events.SPACE_LOW


def test_what_makes_no_sense_is_refused() -> None:
    world = World()
    world.await_leader()
    for verb, arguments, cause in (
        ("log", {"first": -1, "count": 1}, "first: expected a whole number from 0, found -1"),
        ("log", {"first": 1}, "count: expected a whole number from 0, found nothing"),
        ("log", {"first": 1.5, "count": 1}, "first: expected"),
        ("search", {"text": "", "first": 1}, "text: expected some to look for"),
        ("search", {"text": "a", "first": True}, "first: expected"),
    ):
        assert cause in refusal(world, verb, **arguments)
