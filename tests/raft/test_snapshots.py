"""Snapshots in the core: what a reading of the code found, and what must not come back."""

from __future__ import annotations

import dataclasses
import random
from collections import deque

import pytest

from raftkv.raft import Entry, HardState, Raft, SnapshotMark
from raftkv.raft.invariants import check_basic
from raftkv.raft.log import size_of
from raftkv.raft.messages import (
    AppendEntriesResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    InstallSnapshotResponse,
)
from raftkv.raft.progress import Progress, Stream
from raftkv.raft.snapshot import REFUSING_TICKS
from raftkv.types import LogIndex, Term
from tests.paper.support import N1, N2, append, at, elect, node, step, turn, win_pre_vote
from tests.support.raft_cluster import OPTIONS, RaftCluster

MARK = SnapshotMark(LogIndex(5), Term(2), 77, 2)
NEWER = SnapshotMark(LogIndex(9), Term(3), 78, 1)


def chunk(number: int, mark: SnapshotMark = MARK) -> InstallSnapshot:
    return InstallSnapshot(N2, N1, Term(3), mark, number, b"chunk")


def test_a_snapshot_that_was_on_the_disk_before_its_term_is_of_a_term_that_was_seen() -> None:
    """Or its leader's predecessors would be listened to again, who lack what is applied here."""
    mark = SnapshotMark(LogIndex(5), Term(3), 77, 1, node([]).configuration.encode())
    older = HardState(Term(1), N2, LogIndex(1))
    raft = Raft(N1, node([]).configuration, OPTIONS, random.Random(1), older, (), mark)
    assert (raft.current_term, raft.voted_for) == (3, None)
    assert check_basic(raft) == []
    refused = step(raft, append(2, (5, 2), at(6, 2)))
    assert raft.log.last_index == 5
    assert refused.hard_states == [HardState(Term(3), None, LogIndex(5))], "it becomes durable at once"


def test_a_snapshot_that_the_log_has_overtaken_is_waited_for_no_longer() -> None:
    """Its leader died half-way, the next one still had the entries: this node must take its own again."""
    raft = node([at(1, 1)], term=3)
    step(raft, chunk(0))
    assert raft.streams
    step(raft, append(3, (1, 1), *[at(index, 2) for index in range(2, 8)], commit=6))
    raft.tick()
    assert raft.snapshots.incoming is None
    assert not raft.streams


def test_a_snapshot_whose_last_chunk_is_being_stored_is_not_given_up_for_another() -> None:
    """Or the disk would end with one that the core knows nothing of."""
    raft = node([at(1, 1)], term=3)
    step(raft, chunk(0))
    raft.chunk_stored(MARK.id, 0)
    step(raft, chunk(1))
    assert step(raft, chunk(0, NEWER)).messages == []
    raft.chunk_stored(MARK.id, 1)
    assert turn(raft).one(AppendEntriesResponse).match_index == 5
    assert raft.snapshots.newest == MARK
    step(raft, chunk(0, NEWER))
    raft.chunk_stored(NEWER.id, 0)
    assert turn(raft).one(AppendEntriesResponse).match_index == 9
    assert raft.snapshots.newest == NEWER


def test_a_snapshot_whose_last_chunk_is_being_stored_is_a_new_leaders_own() -> None:
    """On the disk it takes the place of the one before, which could be sent to nobody any more."""
    raft = node([at(index, 1) for index in range(1, 4)], term=3, commit=3)
    raft.snapshot_taken(SnapshotMark(LogIndex(2), Term(1), 11, 1))
    step(raft, chunk(0))
    raft.chunk_stored(MARK.id, 0)
    step(raft, chunk(1), append(4, (3, 1), at(4, 2), at(5, 2), at(6, 4), commit=3))
    win_pre_vote(raft)
    elect(raft)
    assert raft.leadership is not None
    waiting = raft.leadership.uncommitted_bytes
    raft.chunk_stored(MARK.id, 1)
    assert turn(raft).messages == [], "a leader accepts nothing, and answers nobody"
    assert raft.snapshots.newest == MARK
    assert raft.snapshots.incoming is None
    assert waiting - raft.leadership.uncommitted_bytes == size_of(raft.log.slice(LogIndex(4), LogIndex(5)))


def test_a_new_leader_waits_for_no_snapshot() -> None:
    raft = node([at(1, 1)], term=3)
    step(raft, chunk(0))
    win_pre_vote(raft)
    elect(raft)
    assert raft.snapshots.incoming is None


def test_a_refused_last_chunk_lets_the_next_snapshot_in_after_a_while() -> None:
    """At once, and a leader would fill the disk of a follower without room again and again."""
    raft = node([at(1, 1)], term=3)
    step(raft, chunk(0))
    raft.chunk_stored(MARK.id, 0)
    step(raft, chunk(1))
    raft.chunk_refused(MARK.id)
    for _ in range(REFUSING_TICKS - 1):
        heartbeat = Heartbeat(N2, N1, Term(3), LogIndex(0), 0)  # or the node would campaign
        (answer,) = step(raft, chunk(0, NEWER), chunk(1, NEWER), heartbeat).messages
        assert isinstance(answer, HeartbeatResponse)
        assert raft.snapshots.incoming is None
        raft.tick()
    assert step(raft, chunk(0, NEWER)).messages == []
    raft.tick()
    step(raft, chunk(0, NEWER))
    assert raft.snapshots.incoming is not None
    assert raft.snapshots.incoming.mark == NEWER


def test_a_stream_of_which_nothing_came_back_goes_on_with_one_chunk_at_a_time() -> None:
    stream = Stream(MARK._replace(chunks=9))
    assert list(stream.take(4)) == [0, 1, 2, 3]
    stream.acknowledged(1)
    stream.check()
    assert list(stream.take(4)) == [4]
    sent = []
    for _ in range(7):
        stream.check()
        sent.append(list(stream.take(4)))
    assert sent == [[1], [], [1], [], [], [], [1]], "twice as long between them, each time"
    resent = 0
    for _ in range(1000):
        stream.check()
        resent += len(stream.take(4))
    assert resent < 10
    stream.acknowledged(2)
    assert list(stream.take(4)) == [2, 3, 4, 5]


def test_a_probe_that_is_long_under_way_is_asked_after_and_not_sent_again() -> None:
    """Heartbeats overtake it, and it may carry a mebibyte."""
    progress = Progress(LogIndex(5))
    progress.sent(LogIndex(9), 1 << 20)
    for _ in range(400):
        assert not progress.judge_silence(), "once for each regular heartbeat"
        progress.check_due = True
        assert progress.judge_silence()
        assert not progress.can_send(4, 1 << 20)
    progress.acknowledged(LogIndex(4))
    assert progress.can_send(4, 1 << 20), "the question was answered: the probe is lost"
    progress.become_probe(LogIndex(3))
    assert progress.can_send(4, 1 << 20)


@pytest.mark.parametrize("checks", [1, 2, 4, 10, 33, 100])
def test_chunks_that_take_long_to_be_acknowledged_are_not_sent_again_and_again(checks: int) -> None:
    """Over a way that is longer than a heartbeat, or to a disk that is slower: each is acknowledged so many
    checks after it was sent."""
    chunks = 200
    stream = Stream(MARK._replace(chunks=chunks))
    arriving: deque[tuple[int, int]] = deque()
    sent = acked = now = 0
    while acked < chunks:
        for number in stream.take(4):
            sent += 1
            arriving.append((now + checks, number))
        now += 1
        while arriving and arriving[0][0] <= now:
            acked = max(acked, arriving.popleft()[1] + 1)
            stream.acknowledged(acked)
        stream.check()
        assert now < 10_000
    assert sent < 1.1 * chunks + 10


def test_a_chunk_of_another_snapshot_of_the_same_index_is_no_part_of_this_one() -> None:
    """Two nodes took them, and their bytes need not be the same: the other one has to come from its start."""
    other = SnapshotMark(MARK.index, MARK.term, MARK.id + 1, MARK.chunks)
    raft = node([at(1, 1)], term=3)
    step(raft, chunk(0))
    raft.chunk_stored(MARK.id, 0)
    turn(raft)
    answer = step(raft, chunk(1, other)).one(InstallSnapshotResponse)
    assert raft.snapshots.incoming is not None
    assert (raft.snapshots.incoming.mark, raft.snapshots.incoming.handed) == (MARK, 1)
    assert (answer.snapshot_id, answer.next_number) == (other.id, 0)


def test_a_peer_that_answers_counts_as_alive_at_every_tick() -> None:
    """Also at the one that checks the quorum: a snapshot begun there would undo the one on its way."""
    options = dataclasses.replace(OPTIONS, retained_entries=0, lagging_entries_max=0, inflight_chunks_max=1)
    cluster = RaftCluster(3, options=options)
    cluster.elect("n1")
    cluster.crash("n3")
    cluster.propose("n1", "a", "b")
    cluster.run(2 * OPTIONS.election_ticks_max)
    cluster.snapshot("n1", chunks=100)
    cluster.run(1)
    cluster.restart("n3")
    leader = cluster["n1"]
    begun = False
    for _ in range(4 * OPTIONS.election_ticks_min):
        cluster.tick_all()
        begun = begun or leader.streams
        if begun and leader.leadership and leader.leadership.progress[cluster.names[2]].stream:
            assert leader.streams
        cluster.deliver()
        cluster.deliver()
    assert begun


def test_an_append_that_contradicts_what_is_committed_is_dropped() -> None:
    """No leader sends one. The entry before the log's first has no neighbours to make a hint of."""
    raft = node([at(1, 1), at(2, 1)], term=3, commit=2)
    raft.snapshot_taken(SnapshotMark(LogIndex(2), Term(1), 1, 1))
    raft.snapshots._retained = 0
    raft.tick()
    assert raft.log.entries == []
    assert step(raft, append(3, (2, 3))).messages == []


def test_what_is_kept_for_a_slow_follower_is_bounded_by_its_size_too() -> None:
    options = dataclasses.replace(
        OPTIONS, retained_entries=0, lagging_entries_max=1000, lagging_bytes_max=10_000
    )
    cluster = RaftCluster(3, options=options)
    cluster.elect("n1")
    cluster.settle()
    for number in range(50):
        cluster.propose("n1", f"{number}" + "x" * 1000)
        # n3 hears the leader, and acknowledges nothing.
        cluster.deliver(lambda message: message.to != "n3")
        cluster.drop(lambda message: message.to == "n3")
        cluster.deliver(lambda message: message.to != "n3")
    progress = cluster["n1"].leadership.progress[cluster.names[2]]  # type: ignore[union-attr]
    progress.recent_active = True
    last = cluster["n1"].log.last_applied
    assert last > 40
    cluster.snapshot("n1")
    cluster.tick("n1")
    kept = [entry for entry in cluster["n1"].log.entries if entry.index <= last]
    assert sum(len(entry.data) for entry in kept) <= 10_000
    assert isinstance(cluster["n1"].log.entries[-1], Entry)
