"""Valid inputs of every target: what a fuzzer starts from.

Plain lists, without hypothesis: the coverage-guided runner writes them into its corpus.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import msgpack

from raftkv.cluster.run_state import RunNode, RunState
from raftkv.history.operations import Op as HistoryOp
from raftkv.history.operations import Operation, Result, to_json_line
from raftkv.kv.commands import Command, Op
from raftkv.observe import Event, LoadReport, NodeSnapshot, ProcessSnapshot, events
from raftkv.raft import Entry, HardState, messages
from raftkv.sim.world import World, WorldOptions
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire import client, control, peer, status
from raftkv.wire.client import HelloDetail, Kind
from raftkv.wire.control import ControlRequest, ControlResponse
from raftkv.wire.peer import Disowned, Forward, Introduction, Item, StateDigest
from tests.fuzz import folders

CLUSTER = "virtual"
N1, N2 = NodeId("n1"), NodeId("n2")
ENDPOINT = "tcp://127.0.0.1:7400"

HEAD = (7, 0, 1, 1)
"""client id, born, sequence, floor"""
COMMANDS = [
    Command(*HEAD, Op.PUT, (b"key", b"value")).encode(),
    Command(*HEAD, Op.DELETE, (b"key",)).encode(),
    Command(*HEAD, Op.DELETE_RANGE, (b"a", b"z")).encode(),
    Command(*HEAD, Op.COMPARE_AND_SET, (b"key", None, b"value")).encode(),
    Command(*HEAD, Op.COMPARE_AND_SET, (b"key", b"other", b"value")).encode(),
    Command(*HEAD, Op.MULTI_PUT, (((b"a", b"1"), (b"b", b"2")),)).encode(),
    Command(*HEAD, Op.PUT, (b"key", b"value", 1)).encode(),
    Command(*HEAD, Op.LEASE_GRANT, (1000,)).encode(),
    Command(*HEAD, Op.LEASE_REVOKE, (1,)).encode(),
    Command(*HEAD, Op.LEASE_KEEP_ALIVE, ((1, 2),)).encode(),
    Command(*HEAD, Op.COMPACT, (1,)).encode(),
    Command(
        *HEAD,
        Op.TXN,
        (
            ((0, 0, b"key", None, b"value"), (1, 3, b"a", b"z", 0)),
            ((1, b"key", b"value", 0), (2, b"a", b"", 3, True, False, False, 1), (3, b"a", None)),
            ((4, (), ((1, b"a", b"b", 0),), ()),),
        ),
    ).encode(),
]

REQUESTS = [
    (1, int(Kind.HELLO)),
    (2, int(Kind.WRITE), 7, 1, COMMANDS[0]),
    (3, int(Kind.GET), b"key", 0, False),
    (4, int(Kind.GET), b"key", 0, True),
    (5, int(Kind.RANGE), b"a", b"z", 10, False, False, False, 0, False),
    (6, int(Kind.RANGE), b"", b"", 0, True, True, True, 9, True),
    (7, int(Kind.WATCH), b"a", b"z", 3, 1, 9),
    (8, int(Kind.UNWATCH), 7),
    (9, int(Kind.LEASES), 0, False),
    (10, int(Kind.LEASES), 1, True),
]
REQUEST_FRAMES = [client.encode_requests(name, REQUESTS) for name in (None, CLUSTER)] + [
    client.encode_requests(CLUSTER, [request]) for request in REQUESTS
]

HELLO = HelloDetail(
    "c", "n1", "leader", 3, "n1", 9, (("n1", ENDPOINT, "tcp://127.0.0.1:7420", "tcp://127.0.0.1:7430"),)
)
RESPONSE_FRAMES = [
    client.encode_responses([(0, 0, 0, HELLO)]),
    client.encode_responses([(1, 0, 5, None), (2, 1, 5, (b"value", 1, 2, 3))]),
    client.encode_responses([(3, 0, 5, ([(b"key", (b"value", 1, 2, 3))], 1, False))]),
    *[client.encode_responses([(1, code, 5, "why")]) for code in (2, 3, 10, 11, 12, 13)],
]

CONTROL_REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("ping", {}),
    ("status", {}),
    ("stop", {}),
    ("link", {"to": "n2", "block": True, "drop": 0.5, "delay_ms": 5, "jitter_ms": 1.5, "seconds": 3}),
    ("link", {"to": "n3", "delay_ms": 40}),
    ("heal", {}),
    ("disk", {"slow_ms": 20, "full": True, "fail": False}),
    ("clock", {"rate": 2.0}),
    ("campaign", {}),
    ("link", {"to": "n2", "duplicate": 0.2, "reorder": 0.3}),
    ("disk", {"slow_ms": 20, "seconds": 2}),
    ("clock", {"rate": 2.0, "seconds": 2}),
    ("log", {"first": 1, "count": 10}),
    ("search", {"text": "put", "first": 1}),
    ("processes", {}),
]
CONTROL_REQUEST_FRAMES = [
    control.encode_request(ControlRequest(number, verb, arguments))
    for number, (verb, arguments) in enumerate(CONTROL_REQUESTS)
]

LAUNCHER_REQUEST = control.encode_request(ControlRequest(1, "pause", {"node": "n1", "seconds": 5}))

PROCESSES = [
    ProcessSnapshot(NodeId("n1"), "running", 7, None, 1.0),
    ProcessSnapshot(NodeId("n2"), "exited", None, -9, 2.0, 32.0),
]
EVENTS = [
    Event(4, 1.0, N1, "RoleChanged", {"term": 1, "role": "leader", "reason": "election-won"}),
    Event(5, 1.5, N1, "EntriesTruncated", {"term": 1, "first_index": 2, "last_index": 3}),
    Event(1, 2.0, N2, events.NODE_STARTED, {"boot": 3, "entries": 5, "cut": None}),
    Event(
        6,
        2.0,
        N1,
        events.LINK_FAULT_SET,
        {"to": "n2", "block": False, "drop": 0.5, "delay_ms": 5.0, "jitter_ms": 1.0, "seconds": 3.0},
    ),
    Event(7, 2.5, N1, events.LINK_HEALED, {"to": "n2", "expired": True}),
    Event(8, 3.0, N1, events.NODE_FAULT_SET, {"part": "clock", "rate": 1.5, "seconds": None}),
    Event(9, 3.5, N1, events.NODE_FAULT_HEALED, {"part": "clock", "expired": False}),
]
EVENT_FRAMES = [status.encode_event(event) for event in EVENTS]

CONFIGURATION = """\
[cluster]
name = "c"
chaos = true
[raft]
tick_ms = 10
heartbeat_ms = 50
election_timeout_min_ms = 300
election_timeout_max_ms = 600
[storage]
data = "da\\u00e4ta"
segment_mib = 64
[limits]
pending_writes = 1000
pending_mib = 16
[[nodes]]
name = "n1"
peer = "tcp://127.0.0.1:1"
client = "tcp://localhost:2"
control = "tcp://[::1]:3"
status = "tcp://127.0.0.1:4"
"""

OPERATIONS = [
    Operation(0, HistoryOp.PUT, "key", "value", None, Result.OK, None, 1, 2),
    Operation(1, HistoryOp.GET, "key", None, None, Result.OK, b"\xff", 2, 3),
    Operation(2, HistoryOp.CAS, "key", 1, None, Result.OK, True, 3, 4),
    Operation(3, HistoryOp.APPEND, b"\xfe", "more", None, Result.UNKNOWN, None, 5, None),
    Operation(4, HistoryOp.DELETE, "key", None, None, Result.FAIL, None, 5, 6),
]
HISTORY = "\n".join(map(to_json_line, OPERATIONS)).encode()

RUN_STATE = RunState("c", 7, ENDPOINT, (RunNode("n1", ENDPOINT, ENDPOINT, ENDPOINT),))

DAMAGE_SCRIPTS = [
    bytes([history, damage, *((37 * step) % 251 for step in range(1, 20))])
    for history in range(len(folders.HISTORIES))
    for damage in range(len(folders.DAMAGES))
]
LOG_WRITES: list[bytes] = [
    msgpack.packb((HardState(Term(1), N1, LogIndex(0)), [Entry(LogIndex(1), Term(1), 1, b"data")])),
    msgpack.packb((None, [Entry(LogIndex(1), Term(1), 0, b""), Entry(LogIndex(2), Term(3), 1, b"data")])),
    msgpack.packb((HardState(Term(2), None, LogIndex(0)), [])),
]
LOG_HEADERS: list[bytes] = [
    msgpack.packb((1, "test", "n1", "first-life", 1, 1, 0, HardState(Term(0), None, LogIndex(0))))
]


@cache
def peer_frames(sender: str = N2, to: str = N1, cluster: str = CLUSTER) -> list[bytes]:
    head = (NodeId(sender), NodeId(to), Term(3))
    i = LogIndex
    entries = [Entry(i(5), Term(2), 0, b""), Entry(i(6), Term(3), 1, COMMANDS[0])]
    items: list[Item] = [
        messages.PreVote(*head, i(4), Term(2)),
        messages.PreVoteResponse(*head, True),
        messages.RequestVote(*head, i(4), Term(2)),
        messages.RequestVoteResponse(*head, False),
        messages.AppendEntries(*head, i(4), Term(2), entries, i(4)),
        messages.AppendEntries(*head, i(0), Term(0), [], i(0)),
        messages.AppendEntriesResponse(*head, False, i(0), i(4), Term(2), i(3)),
        messages.Heartbeat(*head, i(4), 2),
        messages.HeartbeatResponse(*head, 2),
        messages.ReadIndex(*head, 77),
        messages.ReadIndexResponse(*head, 77, i(4)),
        Forward(tuple(COMMANDS[:2])),
        StateDigest(i(1024), 77),
        Introduction(("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3", "tcp://127.0.0.1:4"), 3),
        Disowned("0123456789abcdef", i(9), ""),
        messages.AppendEntries(
            *head, i(4), Term(2), [Entry(i(5), Term(2), 3, b"n1 voter -\nn4 incoming 77")], i(4), 7
        ),
    ]
    one_by_one = [peer.encode(cluster, head[0], "i", head[1], 5, [item]) for item in items]
    return [peer.encode(cluster, head[0], "i", head[1], 5, items), *one_by_one]


@cache
def snapshots() -> list[NodeSnapshot]:
    """Of a leader and a follower that live in a simulated world."""
    world = World(WorldOptions())
    for name in world.names:
        world.start(name)
    assert world.run_until(world.leader, 10.0)
    world.control(world.names[0], "link", to=world.names[1], delay_ms=5, seconds=9)
    world.run(0.5)
    return [world.machines[name].node.status.snapshot() for name in world.names]


def snapshot_frames() -> list[bytes]:
    return [status.encode_snapshot(snapshot) for snapshot in snapshots()]


def status_answers() -> list[bytes]:
    """What a node answers to "status", and one that cannot."""
    answers = [ControlResponse(1, True, asdict(snapshot)) for snapshot in snapshots()]
    return [*map(control.encode_response, answers), control.encode_response(ControlResponse(1, False, "no"))]


def process_answers() -> list[bytes]:
    """What the launcher answers to "processes"."""
    body = [asdict(process) for process in PROCESSES]
    return [control.encode_response(ControlResponse(1, True, content)) for content in (body, [], None)]


def past_answers() -> list[bytes]:
    """What a node answers to "events"."""
    body = [asdict(event) for event in EVENTS]
    return [control.encode_response(ControlResponse(1, True, content)) for content in (body, [], None)]


def configurations() -> list[bytes]:
    example = Path(__file__).parents[2] / "cluster.toml"
    found = [CONFIGURATION.encode()]
    return [*found, example.read_bytes()] if example.exists() else found


ABOUT = {
    "format": 1,
    "version": "0.1",
    "names": ("n1", "n2"),
    "started": 1.7e9,
    "origin": 1.6e9,
    "source": "cluster.toml",
}


def framed(block: bytes) -> bytes:
    """As it stands in a recording."""
    head = struct.pack("<II", len(block), zlib.crc32(block))
    return head + struct.pack("<I", zlib.crc32(head)) + block


RECORDING_HEAD = b"raftkv recording\n" + framed(msgpack.packb(ABOUT))


def recording_of(about: bytes) -> bytes:
    return b"raftkv recording\n" + framed(about) + framed(zlib.compress(msgpack.packb([(1.0, [])])))


@cache
def block_contents() -> list[bytes]:
    """Of blocks of a recording, not compressed."""
    items: list[Any] = [
        *(("e", asdict(event)) for event in EVENTS),
        *(("p", asdict(process)) for process in PROCESSES),
        ("l", asdict(LoadReport(1.0, True, 1, 2, 3, 4, 5, None, 0))),
        ("c", (1.0, "raftkv chaos kill n1")),
        ("f", (1.0, "no")),
        ("r", ("n1", "n2", "n3")),
        ("k", (1.0, "kill n1", True)),
        ("v", (1.0, 2, "n1 went back")),
    ]
    shown = [("s", asdict(snapshot)) for snapshot in snapshots()]
    return [msgpack.packb([(1.0, [*shown, *items])]), *(msgpack.packb([(2.0, [item])]) for item in items)]


def recordings() -> list[bytes]:
    return [RECORDING_HEAD + b"".join(framed(zlib.compress(content)) for content in block_contents()[1:])]


@cache
def seeds() -> dict[str, list[bytes]]:
    """By target."""
    return {
        "peer": peer_frames(),
        "requests": REQUEST_FRAMES,
        "responses": RESPONSE_FRAMES,
        "client": RESPONSE_FRAMES,
        "control-request": CONTROL_REQUEST_FRAMES,
        "control-response": [*process_answers(), *status_answers()],
        "snapshot": snapshot_frames(),
        "event": EVENT_FRAMES,
        "status-answer": status_answers(),
        "feed-snapshot": snapshot_frames(),
        "feed-event": EVENT_FRAMES,
        "feed-process": process_answers(),
        "feed-past": past_answers(),
        "launcher": [*CONTROL_REQUEST_FRAMES, LAUNCHER_REQUEST],
        "command": COMMANDS,
        "config": configurations(),
        "history": [HISTORY],
        "run-state": [json.dumps(asdict(RUN_STATE)).encode()],
        "record": [bytes(folders.good_files(0)[folders.FIRST_SEGMENT])],
        "segment": [bytes(folders.good_files(0)[folders.FIRST_SEGMENT])],
        "log-write": LOG_WRITES,
        "log-header": LOG_HEADERS,
        "folder": DAMAGE_SCRIPTS,
        "block": block_contents(),
        "recording": recordings(),
        "recording-about": [msgpack.packb(ABOUT)],
        "node-gateway": REQUEST_FRAMES,
        "node-control": CONTROL_REQUEST_FRAMES,
        "node-peers": [
            *peer_frames("n9"),
            *peer_frames(cluster="other"),
            *peer_frames(to="n3"),
            peer_frames()[-1],
        ],
    }
