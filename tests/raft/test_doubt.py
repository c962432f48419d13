"""A leader or a node that has forgotten what it acknowledged is noticed, and does not go on."""

from __future__ import annotations

import dataclasses

import pytest

from raftkv.raft import Raft, SnapshotMark, trace
from raftkv.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    Message,
    PreVote,
    PreVoteResponse,
    TimeoutNow,
)
from raftkv.types import LogIndex, Term
from tests.paper.support import N1, N2, N3, append, at, node, step, turn

HELD = [at(index, 1) for index in range(1, 7)]
"""All committed."""


def follower(term: int = 2) -> Raft:
    return node(HELD, term=term, commit=6)


def heartbeat(term: int, commit: int) -> Heartbeat:
    return Heartbeat(N2, N1, Term(term), LogIndex(commit), 1)


def events_of(raft: Raft, *messages: Message) -> list[trace.RaftEvent]:
    found: list[trace.RaftEvent] = []
    for message in messages:
        raft.step(message)
        while ready := raft.ready():
            found += ready.events
            assert not ready.messages
            assert not ready.messages_after_append
    return found


NO_OP_ELSEWHERE = append(2, (3, 1), at(4, 2), commit=0)
OLDER = {
    "its no-op stands where another entry is committed": (NO_OP_ELSEWHERE, 4),
    "what it appends to is another entry": (append(2, (5, 2), at(6, 2), commit=0), 5),
    "so is the last one that is committed": (append(2, (6, 2), at(7, 2), commit=0), 6),
}


@pytest.mark.parametrize(("message", "index"), OLDER.values(), ids=OLDER)
def test_a_leader_that_lacks_what_is_committed_is_not_followed(message: AppendEntries, index: int) -> None:
    raft = follower()
    step(raft, heartbeat(2, 0))
    assert trace.LeaderDoubted(Term(2), N2, LogIndex(index)) in events_of(raft, message)
    assert raft.leader_id is None
    assert (raft.log.entries, raft.log.commit_index) == (HELD, 6)


@pytest.mark.parametrize(("message", "index"), OLDER.values(), ids=OLDER)
def test_nothing_that_it_says_is_heard_any_more(message: AppendEntries, index: int) -> None:
    """Not for a quorum of reads, nor in the way of an election."""
    raft = follower()
    events_of(raft, message)
    mark = SnapshotMark(LogIndex(9), Term(2), 5, 1)
    sound = append(2, (6, 1), at(7, 2), commit=6)
    said = [
        heartbeat(2, 6),
        sound,
        InstallSnapshot(N2, N1, Term(2), mark, 0, b""),
        TimeoutNow(N2, N1, Term(2)),
    ]
    assert events_of(raft, *said) == []
    assert raft.leader_id is None
    asked = PreVote(N3, N1, Term(3), LogIndex(6), Term(1))
    assert step(raft, asked).one(PreVoteResponse).granted


def test_its_term_over_another_leader_is_followed() -> None:
    raft = follower()
    events_of(raft, NO_OP_ELSEWHERE)
    assert step(raft, append(3, (6, 1), at(7, 3), commit=7)).one(AppendEntriesResponse).success
    assert raft.log.commit_index == 7


def test_what_is_committed_here_and_there_is_no_cause_for_doubt() -> None:
    raft = follower()
    done = step(raft, append(2, (3, 1), *HELD[3:], at(7, 2), commit=6))
    assert done.one(AppendEntriesResponse).match_index == 6
    assert step(raft, append(2, (6, 1), at(7, 2), commit=7)).one(AppendEntriesResponse).match_index == 7


def test_what_the_log_has_forgotten_cannot_contradict() -> None:
    raft = follower()
    raft.snapshot_taken(SnapshotMark(LogIndex(4), Term(1), 1, 1))
    raft.snapshots._retained = 0
    raft.tick()
    assert raft.log.offset_index == 4
    done = step(raft, append(2, (2, 1), *HELD[2:], commit=6))
    assert done.one(AppendEntriesResponse).match_index == 6


def test_a_node_that_lacks_what_it_acknowledged_says_so_and_answers_nothing() -> None:
    raft = node(HELD[:3], term=2, commit=3)
    lost = trace.EntriesLost(Term(2), N2, LogIndex(6), LogIndex(3))
    assert lost in events_of(raft, heartbeat(2, 6))
    assert raft.doubt.lost == lost
    assert raft.log.commit_index == 3


def test_a_node_that_is_behind_has_lost_nothing() -> None:
    raft = node([*HELD[:3], at(4, 1)], term=2, commit=3)
    assert step(raft, heartbeat(2, 4)).of(HeartbeatResponse)
    assert raft.doubt.lost is None
    assert raft.log.commit_index == 4


def test_a_log_that_began_empty_may_be_told_what_another_folder_held() -> None:
    """In a heartbeat that was on its way when the leader opened a new book; not in one of that book."""
    raft = node(term=2)
    step(raft, dataclasses.replace(append(2, (0, 0), *HELD[:3], commit=0), book=9))
    assert step(raft, dataclasses.replace(heartbeat(2, 6), book=4)).of(HeartbeatResponse)
    assert raft.doubt.lost is None
    events_of(raft, dataclasses.replace(heartbeat(2, 6), book=9))
    assert raft.doubt.lost is not None


def test_a_log_that_came_by_snapshot_is_of_the_book_that_sent_it() -> None:
    raft = node(term=2)
    mark = SnapshotMark(LogIndex(5), Term(1), 77, 1)
    step(raft, InstallSnapshot(N2, N1, Term(2), mark, 0, b"all of it", 9))
    raft.chunk_stored(77, 0)
    turn(raft)
    assert raft.log.last_index == 5
    step(raft, dataclasses.replace(heartbeat(2, 100), book=4))
    assert raft.doubt.lost is None
    events_of(raft, dataclasses.replace(heartbeat(2, 100), book=9))
    assert raft.doubt.lost is not None


def test_an_empty_log_is_told_what_another_folder_held() -> None:
    raft = node(term=2)
    assert step(raft, heartbeat(2, 6)).of(HeartbeatResponse)
    assert raft.doubt.lost is None


def test_a_start_knows_that_what_is_committed_was_heard_to_be() -> None:
    assert follower().commit_heard == 6
