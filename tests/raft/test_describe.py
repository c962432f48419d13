"""One line for every message: what transcripts, logs and the dashboard will show."""

from __future__ import annotations

import pytest

from raftkv.raft import messages
from raftkv.raft.describe import describe_message
from raftkv.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    FoundingAnswer,
    FoundingCall,
    FoundingEntry,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    InstallSnapshotResponse,
    Message,
    PreVote,
    PreVoteResponse,
    ReadIndex,
    ReadIndexResponse,
    RequestVote,
    RequestVoteResponse,
    SnapshotMark,
    TimeoutNow,
)
from raftkv.types import LogIndex, NodeId, Term
from tests.support.raft_cluster import entries

A, B, T = NodeId("n1"), NodeId("n2"), Term(3)
ZERO, FOUR = LogIndex(0), LogIndex(4)

LINES: list[tuple[Message, str]] = [
    (PreVote(A, B, T, FOUR, Term(2)), "n1→n2 PreVote term 3 last 4/2"),
    (PreVoteResponse(A, B, T, True), "n1→n2 PreVoteResponse term 3 granted"),
    (RequestVote(A, B, T, FOUR, Term(2)), "n1→n2 RequestVote term 3 last 4/2"),
    (RequestVoteResponse(A, B, T, False), "n1→n2 RequestVoteResponse term 3 refused"),
    (
        AppendEntries(A, B, T, ZERO, Term(0), entries(1, 2), FOUR),
        "n1→n2 AppendEntries term 3 prev 0/0 entries 1..2 commit 4",
    ),
    (AppendEntries(A, B, T, FOUR, Term(2), [], FOUR), "n1→n2 AppendEntries term 3 prev 4/2 commit 4"),
    (
        AppendEntriesResponse(A, B, T, True, FOUR, ZERO, Term(0), ZERO),
        "n1→n2 AppendEntriesResponse term 3 match 4",
    ),
    (
        AppendEntriesResponse(A, B, T, False, ZERO, FOUR, Term(2), LogIndex(1)),
        "n1→n2 AppendEntriesResponse term 3 rejected prev 4 conflict 1/2",
    ),
    (Heartbeat(A, B, T, FOUR, 0), "n1→n2 Heartbeat term 3 commit 4"),
    (Heartbeat(A, B, T, FOUR, 9), "n1→n2 Heartbeat term 3 commit 4 round 9"),
    (HeartbeatResponse(A, B, T, 0), "n1→n2 HeartbeatResponse term 3"),
    (HeartbeatResponse(A, B, T, 0, behind=True), "n1→n2 HeartbeatResponse term 3 behind"),
    (ReadIndex(A, B, T, 7), "n1→n2 ReadIndex term 3 context 7"),
    (ReadIndexResponse(A, B, T, 7, FOUR), "n1→n2 ReadIndexResponse term 3 context 7 index 4"),
    (TimeoutNow(A, B, T), "n1→n2 TimeoutNow term 3"),
    (
        InstallSnapshot(A, B, T, SnapshotMark(FOUR, Term(2), 9, 3), 0, b""),
        "n1→n2 InstallSnapshot term 3 snapshot 4/2 chunk 1 of 3",
    ),
    (FoundingCall(A, B, Term(0), "77"), "n1→n2 FoundingCall term 0 folder 77"),
    (FoundingAnswer(A, B, Term(0), "77", "88"), "n1→n2 FoundingAnswer term 0 folder 88"),
    (FoundingEntry(A, B, Term(1), b"n1 voter 77"), "n1→n2 FoundingEntry term 1 [voters n1]"),
    (InstallSnapshotResponse(A, B, T, 9, 1), "n1→n2 InstallSnapshotResponse term 3 next chunk 2"),
]


@pytest.mark.parametrize(("message", "line"), LINES, ids=[line.split()[1] for _, line in LINES])
def test_a_message_is_one_line(message: Message, line: str) -> None:
    assert describe_message(message) == line


def test_no_message_is_left_without_a_line() -> None:
    kinds = {
        kind
        for kind in vars(messages).values()
        if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
    }
    assert {type(message) for message, _ in LINES} == kinds
