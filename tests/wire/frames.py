"""Valid frames of every protocol, as hypothesis draws them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hypothesis import strategies as st

from raftkv.observe import (
    Event,
    LinkFault,
    LinkSnapshot,
    LogTail,
    MemberSnapshot,
    NodeSnapshot,
    PeerSnapshot,
)
from raftkv.raft import Configuration, Member, Part, messages
from raftkv.raft.messages import AppendEntries, Entry, EntryKind, InstallSnapshot, Message, SnapshotMark
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire import client, control, peer, status
from raftkv.wire.client import HelloDetail, Kind, Reply, Request
from raftkv.wire.peer import Disowned, Forward, Introduction, Item, Lapsed, StateDigest
from tests.wire.support import counts, finite, names, small_counts

N1, N2 = NodeId("n1"), NodeId("n2")
positive = counts.filter(bool)
MESSAGES: tuple[type[Message], ...] = (
    messages.PreVote,
    messages.PreVoteResponse,
    messages.RequestVote,
    messages.RequestVoteResponse,
    messages.AppendEntries,
    messages.AppendEntriesResponse,
    messages.Heartbeat,
    messages.HeartbeatResponse,
    messages.ReadIndex,
    messages.ReadIndexResponse,
    messages.TimeoutNow,
    messages.InstallSnapshot,
    messages.InstallSnapshotResponse,
    messages.FoundingCall,
    messages.FoundingAnswer,
    messages.FoundingEntry,
)


addresses = st.lists(st.builds("tcp://127.0.0.1:{}".format, st.integers(1, 65535)), min_size=4, max_size=4)
configurations = (
    st.lists(
        st.builds(
            Member,
            name=st.sampled_from([N1, N2, NodeId("n3"), NodeId("n4")]),
            part=st.sampled_from(Part),
            incarnation=st.sampled_from(["", "0123456789abcdef"]),
            address=st.just(()) | addresses.map(tuple),
        ),
        unique_by=lambda member: member.name,
    )
    .map(lambda members: Configuration(tuple(members)))
    .filter(lambda found: bool(found.voters) or not found.members)
    .map(Configuration.encode)
)
contents = st.one_of(
    st.tuples(st.integers(0, 2), st.binary(max_size=20)),
    st.tuples(st.just(int(EntryKind.CONFIGURATION)), configurations),
)


@st.composite
def append_entries(draw: st.DrawFn, sender: NodeId = N1, to: NodeId = N2) -> AppendEntries:
    prev = draw(small_counts)
    prev_term, *terms, term = sorted(draw(st.lists(counts, min_size=2, max_size=7)))
    entries = [
        Entry(LogIndex(prev + position), Term(at), *draw(contents))
        for position, at in enumerate(terms, start=1)
    ]
    return AppendEntries(
        sender,
        to,
        Term(term),
        LogIndex(prev),
        Term(prev_term if prev else 0),
        entries,
        LogIndex(draw(counts)),
        draw(counts),
    )


@st.composite
def install_snapshots(draw: st.DrawFn) -> InstallSnapshot:
    mark_term, term = sorted(draw(st.tuples(positive, positive)))
    number, chunks = sorted(draw(st.sets(small_counts, min_size=2, max_size=2)))
    index, configuration = LogIndex(draw(positive)), draw(configurations)
    mark = SnapshotMark(index, Term(mark_term), draw(counts), chunks, configuration)
    return InstallSnapshot(N1, N2, Term(term), mark, number, draw(st.binary(max_size=20)), draw(counts))


def messages_of(kind: type[Message]) -> st.SearchStrategy[Message]:
    if kind is AppendEntries:
        return append_entries()
    if kind is InstallSnapshot:
        return install_snapshots()
    if kind is messages.FoundingEntry:
        return configurations.map(lambda data: messages.FoundingEntry(N1, N2, Term(1), data))
    if kind is messages.FoundingCall:
        return st.just(messages.FoundingCall(N1, N2, Term(0), "0123"))
    if kind is messages.FoundingAnswer:
        return st.just(messages.FoundingAnswer(N1, N2, Term(0), "0123", "4567"))
    rest = [st.booleans() if spec.type == "bool" else counts for spec in fields(kind)[3:]]
    return st.tuples(counts, *rest).map(lambda values: kind(N1, N2, *values))


peer_items: st.SearchStrategy[Item] = st.one_of(
    *[messages_of(kind) for kind in MESSAGES],
    st.lists(st.binary(max_size=20), max_size=4).map(lambda commands: Forward(tuple(commands))),
    st.tuples(counts, counts).map(lambda pair: StateDigest(LogIndex(pair[0]), pair[1])),
    st.builds(Introduction, address=addresses.map(tuple), priority=counts),
    st.builds(Disowned, incarnation=names, index=counts, known=names),
    st.builds(Lapsed, term=counts, lapses=st.lists(st.tuples(counts, counts), max_size=3).map(tuple)),
)
peer_frames = st.builds(
    lambda cluster, boot, items: peer.encode(cluster, N1, "i", N2, boot, items),
    names,
    counts,
    st.lists(peer_items, max_size=4),
)

requests: st.SearchStrategy[Request] = st.one_of(
    st.tuples(counts, st.just(int(Kind.HELLO))),
    st.tuples(counts, st.just(int(Kind.WRITE)), counts, counts, st.binary(max_size=30)),
    st.tuples(counts, st.just(int(Kind.GET)), st.binary(max_size=9), counts, st.booleans()),
    st.tuples(
        counts,
        st.just(int(Kind.RANGE)),
        st.binary(max_size=9),
        st.binary(max_size=9),
        st.integers(-(2**63), 2**63),
        *[st.booleans()] * 3,
        counts,
        st.booleans(),
    ),
    st.tuples(
        counts,
        st.just(int(Kind.WATCH)),
        st.binary(max_size=9),
        st.binary(max_size=9),
        *[st.integers(-(2**63), 2**63)] * 3,
    ),
    st.tuples(counts, st.just(int(Kind.UNWATCH)), counts),
    st.tuples(counts, st.just(int(Kind.LEASES)), counts, st.booleans()),
)
request_frames = st.builds(client.encode_requests, st.none() | names, st.lists(requests, max_size=5))

plain = st.none() | st.booleans() | counts | st.binary(max_size=9) | st.text(max_size=9)
details = st.recursive(plain, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=6)
endpoints = st.builds("tcp://127.0.0.1:{}".format, st.integers(1, 65535))
replies: st.SearchStrategy[Reply] = st.tuples(counts, st.integers(0, 20), counts, details)
response_frames = st.builds(client.encode_responses, st.lists(replies, max_size=5))

hellos = st.builds(
    HelloDetail,
    cluster=names,
    node=names,
    role=names,
    term=counts,
    leader=st.none() | names,
    commit_index=counts,
    nodes=st.lists(st.tuples(names, endpoints, endpoints, endpoints), max_size=4).map(tuple),
    boot=counts,
)

control_requests = st.builds(
    control.ControlRequest, counts, names, st.dictionaries(names, details, max_size=4)
)
control_request_frames = control_requests.map(control.encode_request)
control_responses = st.builds(
    control.ControlResponse, counts, st.booleans(), details | st.dictionaries(names, details)
)
control_response_frames = control_responses.map(control.encode_response)

faults = st.builds(
    LinkFault,
    block=st.booleans(),
    **dict.fromkeys(("drop", "delay_ms", "jitter_ms", "duplicate", "reorder"), finite),
)
tails = st.builds(LogTail, first_index=counts, terms=st.lists(counts, max_size=5).map(tuple))
peers = st.lists(
    st.builds(
        PeerSnapshot,
        name=names,
        state=names,
        match_index=counts,
        next_index=counts,
        inflights=counts,
        active=st.booleans(),
    ),
    max_size=3,
).map(tuple)
links = st.lists(
    st.builds(
        LinkSnapshot,
        to=names,
        fault=st.none() | faults,
        seconds_left=st.none() | finite,
        frames_sent=counts,
        frames_dropped=counts,
    ),
    max_size=3,
).map(tuple)
members = st.lists(
    st.builds(
        MemberSnapshot,
        name=names,
        part=names,
        incarnation=names,
        address=st.lists(names, max_size=4).map(tuple),
    ),
    max_size=3,
).map(tuple)
_BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    "str": names,
    "int": counts,
    "float": finite,
    "bool": st.booleans(),
    "NodeId": names,
    "Term": counts,
    "LogIndex": counts,
    "NodeId | None": st.none() | names,
    "dict[str, int]": st.dictionaries(names, counts, max_size=4),
    "tuple[str, ...]": st.lists(names, max_size=3).map(tuple),
    "LogTail": tails,
    "tuple[MemberSnapshot, ...]": members,
    "tuple[PeerSnapshot, ...]": peers,
    "tuple[LinkSnapshot, ...]": links,
}
snapshots: st.SearchStrategy[NodeSnapshot] = st.fixed_dictionaries(
    {spec.name: _BY_TYPE[spec.type] for spec in fields(NodeSnapshot)}
).map(lambda values: NodeSnapshot(**values))
snapshot_frames = snapshots.map(status.encode_snapshot)

events = st.builds(
    Event,
    sequence=counts,
    time=finite,
    node=names,
    kind=names,
    fields=st.dictionaries(names, plain, max_size=4),
)
event_frames = events.map(status.encode_event)
