"""What one end writes the other end reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import get_args

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftkv.errors import WireError
from raftkv.observe import Event, LogEntry, NodeSnapshot, ProcessSnapshot, from_raft
from raftkv.observe.describe import describe, describe_raw
from raftkv.raft import messages, trace
from raftkv.raft.messages import AppendEntries, Entry, Message
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire import client, control, peer, status
from raftkv.wire.client import HelloDetail, Kind, Reply, Request, Response
from raftkv.wire.control import ControlRequest, ControlResponse
from raftkv.wire.packing import REQUEST_BYTES_MAX
from raftkv.wire.peer import Forward, Item, PeerFrame
from tests.wire import frames
from tests.wire.frames import MESSAGES, N1, N2
from tests.wire.support import counts, names


@pytest.mark.parametrize("kind", MESSAGES)
@given(data=st.data())
def test_a_message_of_every_type_comes_back(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(frames.messages_of(kind))
    decoded = peer.decode(peer.encode("c", N1, "i", N2, 7, [message]))
    assert decoded == PeerFrame("c", N1, "i", N2, 7, (message,))
    assert type(decoded.items[0]) is kind


@given(names, counts, st.lists(frames.peer_items, max_size=6))
def test_a_peer_frame_comes_back_whole_and_in_order(cluster: str, boot: int, items: list[Item]) -> None:
    assert peer.decode(peer.encode(cluster, N1, "i", N2, boot, items, boot)) == PeerFrame(
        cluster, N1, "i", N2, boot, tuple(items), boot
    )


def test_every_message_of_the_core_can_travel() -> None:
    """A message type without a code would be found out only when a node first sends it."""
    kinds = {kind for kind in vars(messages).values() if isinstance(kind, type) and issubclass(kind, Message)}
    assert set(MESSAGES) == kinds - {Message}


@given(st.none() | names, st.lists(frames.requests, max_size=6))
def test_requests_come_back(cluster: str | None, requests: Sequence[Request]) -> None:
    assert client.decode_requests(client.encode_requests(cluster, requests)) == (cluster, tuple(requests))


@given(st.lists(frames.replies, max_size=6))
def test_responses_come_back(replies: list[Reply]) -> None:
    decoded = client.decode_responses(client.encode_responses(replies))
    assert decoded == replies
    assert all(type(response) is Response for response in decoded)


@given(frames.hellos)
def test_a_hello_comes_back(hello: HelloDetail) -> None:
    (response,) = client.decode_responses(client.encode_responses([(1, 0, 0, hello)]))
    assert client.decode_hello(response.detail) == hello


@given(frames.control_requests)
def test_a_control_request_comes_back(request: ControlRequest) -> None:
    assert control.decode_request(control.encode_request(request)) == request


@given(frames.control_responses)
def test_a_control_response_comes_back(response: ControlResponse) -> None:
    assert control.decode_response(control.encode_response(response)) == response


@given(frames.snapshots)
def test_a_snapshot_comes_back(snapshot: NodeSnapshot) -> None:
    assert status.decode(status.TOPIC_SNAPSHOT, status.encode_snapshot(snapshot)) == snapshot


@given(frames.events)
def test_an_event_comes_back(event: Event) -> None:
    assert status.decode(status.TOPIC_EVENT, status.encode_event(event)) == event


SAMPLES: list[trace.RaftEvent] = [
    trace.RoleChanged(Term(3), "leader", trace.REASON_ELECTION_WON),
    trace.LeaderChanged(Term(3), None),
    trace.VoteAnswered(Term(3), NodeId("n2"), True, False, trace.VOTE_GRANTED),
    trace.VoteReceived(Term(3), NodeId("n2"), True, False, 2, 2),
    trace.EntriesTruncated(Term(3), LogIndex(4), LogIndex(9)),
    trace.EntriesLost(Term(3), NodeId("n2"), LogIndex(9), LogIndex(4)),
    trace.LeaderDoubted(Term(3), NodeId("n2"), LogIndex(4)),
    trace.AppendRejected(Term(3), NodeId("n2"), LogIndex(4), Term(2), LogIndex(3)),
    trace.TransferStarted(Term(3), NodeId("n2")),
    trace.TransferAbandoned(Term(3), NodeId("n2")),
    trace.SnapshotSent(Term(3), NodeId("n2"), LogIndex(9)),
    trace.SnapshotInstalled(Term(3), LogIndex(9), True),
    trace.LogCompacted(Term(3), LogIndex(9)),
    trace.ConfigurationChanged(Term(3), LogIndex(9), "voters n1 n2"),
    trace.FoundingAwaits(Term(0), "n2 n3"),
]


def test_there_is_a_sample_of_every_event_of_the_core() -> None:
    assert {type(sample) for sample in SAMPLES} == set(get_args(trace.RaftEvent))


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_event_of_the_core_comes_back(sample: trace.RaftEvent) -> None:
    event = from_raft(5, 1.5, N1, sample)
    assert status.decode(status.TOPIC_EVENT, status.encode_event(event)) == event


# -- what the nodes rely on


def test_a_request_of_the_largest_size_fits_its_frame() -> None:
    command = b"x" * REQUEST_BYTES_MAX
    data = client.encode_requests("c" * 63, [(2**63, Kind.WRITE, 2**63, 2**63, command)])
    assert client.decode_requests(data)[1][0][4] == command


def two_entries() -> list[Entry]:
    return [
        Entry(LogIndex(1), Term(1), 1, b"one"),
        Entry(LogIndex(2), Term(1), 1, b"two"),
    ]


def test_entries_come_back_as_entries_whose_fields_have_names() -> None:
    message = AppendEntries(N1, N2, Term(1), LogIndex(0), Term(0), two_entries(), LogIndex(0))
    (decoded,) = peer.decode(peer.encode("c", N1, "i", N2, 1, [message])).items
    assert isinstance(decoded, AppendEntries)
    assert decoded.entries[1].index == 2
    assert decoded.entries[1].data == b"two"


def test_what_a_follower_forwards_is_not_looked_into() -> None:
    forward = Forward((b"", b"\xc1", msgpack.packb([1])))
    assert peer.decode(peer.encode("c", N1, "i", N2, 1, [forward])).items == (forward,)


@given(frames.snapshots)
def test_a_snapshot_with_a_field_missing_or_unknown_is_refused(snapshot: NodeSnapshot) -> None:
    version, fields = msgpack.unpackb(status.encode_snapshot(replace(snapshot, peers=(), links=())))
    for spoiled in ({**fields, "unknown": 1}, {name: fields[name] for name in fields if name != "role"}):
        with pytest.raises(WireError):
            status.decode(status.TOPIC_SNAPSHOT, msgpack.packb((version, spoiled)))


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_event_of_the_core_has_words(sample: trace.RaftEvent) -> None:
    event = from_raft(5, 1.5, N1, sample)
    assert describe(event) != describe_raw(event)


@pytest.mark.parametrize("until", [None, 32.5])
def test_a_process_comes_back(until: float | None) -> None:
    process = ProcessSnapshot(N1, "exited", None, -9, 2.0, until)
    assert status.process_from_map(asdict(process)) == process


def test_an_entry_of_the_log_comes_back_or_is_refused() -> None:
    entry = LogEntry(LogIndex(7), Term(2), "command", "put color=blue")
    assert status.entry_from_map(asdict(entry)) == entry
    for wrong in ({}, None, asdict(entry) | {"text": b"put"}, asdict(entry) | {"index": "7"}):
        with pytest.raises(WireError):
            status.entry_from_map(wrong)
