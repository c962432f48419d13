"""Everything in raftkv that reads bytes it did not write itself, one callable a decoder.

A target takes any bytes. It returns when the decoder behaved: took them, or refused them with an error
that its docstring names. It raises on anything else, and on a broken property of what was let
through. Shared by the hypothesis tests and ``run_atheris``; ``seeds`` holds valid inputs for each.
"""

from __future__ import annotations

import random
import tempfile
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import zmq

from raftkv import config
from raftkv.actors.beginning import raft_options
from raftkv.actors.system import ActorName
from raftkv.client.calls import ANY_NODE, Call
from raftkv.client.core import ClientCore
from raftkv.cluster import local, run_state
from raftkv.cluster.backlog import Backlog
from raftkv.cluster.control import ControlClient, snapshots
from raftkv.cluster.launcher import Launcher
from raftkv.cluster.live import LiveFeed
from raftkv.errors import ConfigError, HistoryError, LaunchError, RaftkvError, RecordingError, WireError
from raftkv.history.operations import read_history, to_json_line
from raftkv.kv import StateMachine
from raftkv.kv.commands import Command, Op
from raftkv.storage import records
from raftkv.storage.records import Verdict
from raftkv.tui import model
from raftkv.tui.playback.chronicle import chronicle
from raftkv.tui.playback.codec import decode_block, encode_block
from raftkv.tui.playback.files import read_recording
from raftkv.tui.playback.tape import Playhead, Tape
from raftkv.wire import client, control, peer, status
from raftkv.wire.client import Kind
from tests.fuzz import folders, nodes, seeds
from tests.fuzz.refusals import refused_with

Target = Callable[[bytes], None]


# -- frames


def peer_frame(data: bytes) -> None:
    """WireError. What is let through goes to the log and on to followers, so it can be sent again."""
    with refused_with(WireError):
        frame = peer.decode(data)
        again = peer.encode(
            frame.cluster, frame.sender, frame.incarnation, frame.to, frame.boot, frame.items, frame.hears
        )
        assert peer.decode(again) == frame


def requests(data: bytes) -> None:
    """WireError."""
    with refused_with(WireError):
        cluster, found = client.decode_requests(data)
        assert client.decode_requests(client.encode_requests(cluster, found)) == (cluster, found)


def responses(data: bytes) -> None:
    """WireError, from the frame or from a hello in it."""
    with refused_with(WireError):
        for response in client.decode_responses(data):
            client.decode_hello(response.detail)


def client_core(data: bytes) -> None:
    """Nothing: a client takes what it cannot read for silence, and ends each call once, in time."""
    core = ClientCore([seeds.ENDPOINT], random.Random(1))
    core.on_frame(seeds.ENDPOINT, seeds.RESPONSE_FRAMES[0], 0.0)
    done: list[Call] = []
    session = core.new_session()
    calls = [
        Call((Op.PUT, b"key", b"value"), 5.0, done.append, session),
        Call((Op.COMPARE_AND_SET, b"key", None, b"value"), 5.0, done.append, session),
        Call((Kind.GET, b"key", 0, False), 5.0, done.append),
        Call((Kind.GET, b"key", 0, True), 5.0, done.append, None, ANY_NODE),
        Call((Kind.RANGE, b"", b"", 9, False, False, False, 0, True), 5.0, done.append, None, seeds.ENDPOINT),
    ]
    for call in calls:
        core.submit(call, 0.1)
    for step in range(4):
        now = 0.2 + step
        for endpoint, _ in core.take_frames():
            core.on_frame(endpoint, data, now)
        core.on_time(now + 0.5)
    core.on_time(5.0)
    assert len(done) == len(calls), "a call without an end, or with two"
    assert all(call.error or call.response for call in calls)


def control_request(data: bytes) -> None:
    """WireError."""
    with refused_with(WireError):
        request = control.decode_request(data)
        assert isinstance(request.verb, str)


def control_response(data: bytes) -> None:
    """WireError."""
    with refused_with(WireError):
        control.decode_response(data)


def status_frame(topic: bytes, data: bytes) -> None:
    """WireError."""
    with refused_with(WireError):
        status.decode(topic, data)


def status_answer(data: bytes) -> None:
    """A node's answer to "status", as commands read it: a RaftkvError or a WireError."""
    with refused_with(RaftkvError):
        response = control.decode_response(data)
        answers = {seeds.ENDPOINT: (response.ok, response.body)}

        class Answered:
            def ask_all(self, endpoints: Sequence[str], verb: str, timeout: float, until_absent: bool) -> Any:
                return answers

        snapshots(cast(ControlClient, Answered()), {"n1": seeds.ENDPOINT}, 1.0)


class _Socket:
    """Has received these messages and nothing more."""

    def __init__(self, *received: list[bytes]) -> None:
        self._received = list(received)

    def recv_multipart(self, flags: int = 0) -> list[bytes]:
        if not self._received:
            raise zmq.Again
        return self._received.pop(0)

    def recv(self, flags: int = 0) -> bytes:
        return self.recv_multipart()[0]

    def send(self, data: bytes, flags: int = 0) -> None:
        pass

    def connect(self, endpoint: str) -> None:
        pass

    def setsockopt(self, option: int, value: object) -> None:
        pass

    def close(self) -> None:
        pass


class _Port:
    def send(self, parts: Sequence[bytes]) -> None:
        control.decode_response(parts[-1])  # or its receiver would hang up


def feed(topic: bytes | None, data: bytes) -> None:
    """Nothing: the dashboard shows what it can of whatever a node (``topic``) or the launcher (None)
    says, once between the words of a sound node and once again."""
    live = LiveFeed.__new__(LiveFeed)  # its real sockets would only cost time
    said = [] if topic is None else [[topic, data]]
    launcher = [[data]] if topic is None else []
    sound = [[status.TOPIC_SNAPSHOT, frame] for frame in seeds.snapshot_frames()]
    made = {
        "_status": _Socket(*sound, *said, [status.TOPIC_EVENT, seeds.EVENT_FRAMES[0]], *said),
        "_launcher": _Socket(*launcher, seeds.process_answers()[:1], *launcher),
        "_asked_at": 0.0,
        "_request_id": 0,
        "_names": ("n1", "n2", "n3"),
        "_controls": {},
        "_backlog": Backlog(cast(Any, None)),
        "_connected": set(),
        "_statuses": {},
        "_said": {},
        "_left": {},
        "_heard_at": {},
        "_key": None,
        "_met": lambda _: None,
        "_load": None,
    }
    for name, value in made.items():
        setattr(live, name, value)
    model.reduce_all(model.initial(["n1", "n2", "n3"]), live.poll())


def past(data: bytes) -> None:
    """Nothing: what a node says of its past is shown, or it has none."""

    class Context:
        def socket(self, kind: int) -> _Socket:
            return _Socket([data])

    backlog = Backlog(cast(Any, Context()))
    backlog.hear(replace(seeds.snapshots()[0], event_sequence=1 << 40), seeds.ENDPOINT)
    model.reduce_all(model.initial(["n1", "n2", "n3"]), backlog.poll())


def launcher(data: bytes) -> None:
    """Nothing: the launcher drops what it cannot read and answers the rest, or every node would end
    with it. It has no nodes here: nothing is to be killed."""
    launched = Launcher.__new__(Launcher)  # a real one starts its nodes
    vars(launched).update(_processes={}, _outages={}, _stop=threading.Event())
    launched._on_frame(cast(Any, _Port()), [nodes.STRANGER, data])


# -- commands, files


def command(data: bytes) -> None:
    """ValueError from ``decode``; nothing from ``apply``, on which all nodes agree to the last answer."""
    with refused_with(ValueError):
        Command.decode(data)
    machines = [StateMachine(), StateMachine()]
    log = [seeds.COMMANDS[0], data, data, Command(8, 0, 1, 1, Op.PUT, (b"last", b"")).encode()]
    for index, entry in enumerate(log, start=1):
        before = machines[0].revision
        answers = [machine.apply(index, entry) for machine in machines]
        assert answers[0] == answers[1]
        assert machines[0].revision <= before + 1
        if answers[0]:
            client.decode_responses(client.encode_responses([(1, *answers[0].answer)]))
    one, other = machines
    assert (one.digest, one.revision) == (other.digest, other.revision)
    assert one.range(b"", b"") == other.range(b"", b"")
    assert one.applied_index == len(log)


def configuration(data: bytes) -> None:
    """ConfigError. What is let through can be written down and read again, and a core made of it."""
    source = Path("cluster.toml")
    with refused_with(ConfigError):
        found = config.parse(data.decode("utf-8", "replace"), source)
        assert config.parse(local.render(found), source) == found
        raft_options(found)


def history(data: bytes) -> None:
    """HistoryError. What is let through can be written down and read again."""
    with refused_with(HistoryError):
        found = read_history(data.split(b"\n"), "history.jsonl")
        assert read_history(map(to_json_line, found), "again") == found


def run_file(data: bytes) -> None:
    """LaunchError."""
    with tempfile.TemporaryDirectory() as folder:
        lock = local.FolderLock(Path(folder))
        try:
            (Path(folder) / "run.json").write_bytes(data)
            with refused_with(LaunchError):
                run_state.load(Path(folder))
        finally:
            lock.release()


def record(data: bytes) -> None:
    """Nothing: there is a record, or a judgement of why there is none."""
    for offset in (0, records.ALIGNMENT, records.SECTOR_BYTES, len(data)):
        found = records.decode(1, data, offset)
        if found:
            assert offset + records.HEADER_BYTES < found.end
        judgement = records.judge(1, data, offset)
        assert judgement.dirty_end <= max(offset, len(data))
        assert (judgement.verdict is Verdict.END) == (not any(data[offset:]))


def segment(data: bytes) -> None:
    """StorageError. Any bytes as the only segment of a log."""
    folders.open_or_refuse({folders.FIRST_SEGMENT: bytearray(data)})


def log_write(data: bytes) -> None:
    """StorageError. Any content of a record whose checksums hold."""
    folders.open_or_refuse(folders.segment_of(folders.good_header(), data))


def log_header(data: bytes) -> None:
    """StorageError. Any content of a segment's header whose checksums hold."""
    folders.open_or_refuse(folders.segment_of(folders.header_of(data), seeds.LOG_WRITES[0]))


# -- recordings


def block(data: bytes) -> None:
    """WireError. What is let through can be played, and written again. Any content of a block, and any bytes
    in its place."""
    for content in (zlib.compress(data), data):
        with refused_with(WireError):
            tape = Tape(["n1", "n2", "n3"], bytes_max=None)
            after = tape.append(content, model.initial(tape.names))
            head = Playhead(tape)
            head.seek(tape.end)
            assert head.state.lines_total <= after.lines_total
            again = encode_block(decode_block(content))
            assert encode_block(decode_block(again)) == again


def _recording(data: bytes) -> None:
    with refused_with(RecordingError):
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            found = read_recording(Path(file.name))
        chronicle(found.about.names, found.tape.blocks())


def recording(data: bytes) -> None:
    """RecordingError. Any bytes as a file, and any after the beginning of a good one."""
    _recording(data)
    _recording(seeds.RECORDING_HEAD + data)


def recording_about(data: bytes) -> None:
    """RecordingError. Any content of the document about the cluster whose checksums hold."""
    _recording(seeds.recording_of(data))


# -- whole nodes


def node(port: ActorName, data: bytes) -> None:
    """Nothing: frames are counted and dropped, or answered, and the cluster goes on serving."""
    nodes.feed(port, [[nodes.STRANGER, data]])


TARGETS: dict[str, Target] = {
    "peer": peer_frame,
    "requests": requests,
    "responses": responses,
    "client": client_core,
    "control-request": control_request,
    "control-response": control_response,
    "snapshot": partial(status_frame, status.TOPIC_SNAPSHOT),
    "event": partial(status_frame, status.TOPIC_EVENT),
    "status-answer": status_answer,
    "feed-snapshot": partial(feed, status.TOPIC_SNAPSHOT),
    "feed-event": partial(feed, status.TOPIC_EVENT),
    "feed-process": partial(feed, None),
    "feed-past": past,
    "launcher": launcher,
    "command": command,
    "config": configuration,
    "history": history,
    "run-state": run_file,
    "record": record,
    "segment": segment,
    "log-write": log_write,
    "log-header": log_header,
    "folder": folders.check_damaged,
    "block": block,
    "recording": recording,
    "recording-about": recording_about,
    "node-gateway": partial(node, "gateway"),
    "node-control": partial(node, "control"),
    "node-peers": partial(node, "peers"),
}
