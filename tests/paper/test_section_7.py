"""§7: log compaction, and the receiver's rules of Figure 13. A snapshot travels here in chunks that are
told by their number instead of a byte offset."""

from __future__ import annotations

import dataclasses

import pytest

from raftkv.raft import Entry, Raft, Role, SnapshotMark
from raftkv.raft.messages import AppendEntriesResponse, InstallSnapshot, InstallSnapshotResponse
from raftkv.types import LogIndex, Term
from tests.paper.support import N1, N2, N3, append, at, node, step, turn
from tests.support.raft_cluster import OPTIONS, RaftCluster, entries

OF_FIVE = SnapshotMark(LogIndex(5), Term(2), 77, 2)
FORGETFUL = dataclasses.replace(OPTIONS, retained_entries=0, lagging_entries_max=0, inflight_chunks_max=1)


def chunk(number: int, mark: SnapshotMark = OF_FIVE, term: int = 3) -> InstallSnapshot:
    return InstallSnapshot(N2, N1, Term(term), mark, number, b"chunk")


def install(raft: Raft, mark: SnapshotMark = OF_FIVE, term: int = 3) -> AppendEntriesResponse:
    """All chunks, each stored; the answer to the last."""
    for number in range(mark.chunks):
        raft.step(chunk(number, mark, term))
        turn(raft)
        raft.chunk_stored(mark.id, number)
    return turn(raft).one(AppendEntriesResponse)


def log_of(raft: Raft) -> list[tuple[int, int]]:
    return [(entry.index, entry.term) for entry in raft.log.entries]


# -- each server takes snapshots independently


def test_each_server_takes_its_own_snapshot_of_what_is_committed() -> None:
    """§7: a follower may compact what it has applied without asking the leader."""
    cluster = RaftCluster(3, options=FORGETFUL)
    cluster.elect("n1")
    cluster.propose("n1", "a", "b")
    cluster.run(2 * OPTIONS.heartbeat_ticks)
    cluster.snapshot("n2")
    cluster.run(1)
    assert [len(cluster.terms(name)) for name in ("n1", "n2", "n3")] == [3, 0, 3]
    cluster.propose("n1", "c")
    cluster.run(2 * OPTIONS.heartbeat_ticks)
    assert cluster.data("n2") == ["a", "b", "c"]


def test_the_last_included_index_and_term_stay_for_the_consistency_check() -> None:
    """§7: they serve the check of the first append after the snapshot."""
    raft = node([at(1, 1), at(2, 1), at(3, 2)], term=2, commit=3)
    raft.snapshot_taken(SnapshotMark(LogIndex(3), Term(2), 1, 1))
    raft.options = FORGETFUL
    raft.snapshots._retained = 0
    raft.tick()
    assert (raft.log.offset_index, raft.log.offset_term, log_of(raft)) == (3, 2, [])
    done = step(raft, append(3, (3, 2), at(4, 3)))
    assert done.one(AppendEntriesResponse).success
    assert raft.log.up_to_date(LogIndex(4), Term(3))


def test_a_leader_sends_its_snapshot_when_it_has_discarded_the_next_entry() -> None:
    """§7: that is the only reason for it to send one."""
    cluster = RaftCluster(3, options=FORGETFUL)
    cluster.elect("n1")
    cluster.crash("n3")
    cluster.propose("n1", "a", "b")
    cluster.settle()
    cluster.snapshot("n1", chunks=3)
    cluster.run(OPTIONS.election_ticks_max)
    cluster.restart("n3")
    cluster.run(OPTIONS.election_ticks_max)
    assert cluster.data("n3") == ["a", "b"]
    assert cluster.disks[N3].snapshot == cluster["n1"].snapshots.newest


# -- Figure 13, receiver implementation


def test_1_reply_immediately_if_the_term_is_old() -> None:
    raft = node(entries(1), term=4)
    done = step(raft, chunk(0, term=3))
    answer = done.one(AppendEntriesResponse)
    assert (answer.success, answer.term) == (False, 4)
    assert not raft.snapshots.chunks
    assert raft.snapshots.incoming is None


def test_2_the_first_chunk_begins_a_new_snapshot_file() -> None:
    raft = node(entries(1), term=3)
    raft.step(chunk(0))
    ready = raft.ready()
    assert ready
    assert [(each.mark, each.number) for each in ready.chunks] == [(OF_FIVE, 0)]


def test_2_a_later_chunk_without_the_first_begins_nothing() -> None:
    raft = node(entries(1), term=3)
    done = step(raft, chunk(1))
    assert done.one(InstallSnapshotResponse).next_number == 0
    assert raft.snapshots.incoming is None


def test_3_chunks_are_stored_in_their_order_each_once() -> None:
    raft = node(entries(1), term=3)
    for number in (0, 0, 1):
        raft.step(chunk(number))
    ready = raft.ready()
    assert ready
    assert [each.number for each in ready.chunks] == [0, 1]


def test_4_every_chunk_but_the_last_is_answered_when_it_is_stored() -> None:
    raft = node(entries(1), term=3)
    assert step(raft, chunk(0)).of(InstallSnapshotResponse) == []
    raft.chunk_stored(OF_FIVE.id, 0)
    assert turn(raft).one(InstallSnapshotResponse).next_number == 1


def test_5_a_newer_snapshot_discards_a_partial_one() -> None:
    raft = node(entries(1), term=3)
    step(raft, chunk(0))
    newer = SnapshotMark(LogIndex(7), Term(3), 78, 1)
    assert install(raft, newer).match_index == 7
    raft.chunk_stored(OF_FIVE.id, 0)  # of the one that was given up: it says nothing any more
    assert turn(raft).messages == []
    assert raft.snapshots.newest == newer


def test_6_entries_that_follow_the_snapshots_last_entry_are_kept() -> None:
    raft = node([at(index, 2) for index in range(1, 8)], term=3)
    answer = step(raft, chunk(0)).one(AppendEntriesResponse)
    assert (answer.success, answer.match_index) == (True, 5)
    assert raft.log.last_index == 7


def test_6_also_when_they_came_while_the_snapshot_was_on_its_way() -> None:
    raft = node(entries(1), term=3)
    raft.step(chunk(0))
    turn(raft)
    rest = [Entry(LogIndex(index), Term(2), 1, b"x") for index in range(2, 8)]
    step(raft, append(3, (1, 1), *rest))
    raft.chunk_stored(OF_FIVE.id, 0)
    raft.step(chunk(1))
    turn(raft)
    assert raft.log.last_index == 7
    assert raft.log.commit_index == 5


@pytest.mark.parametrize("log", [entries(1), [at(index, 1) for index in range(1, 10)]])
def test_7_any_other_log_is_discarded_whole(log: list[Entry]) -> None:
    """Shorter, or of other terms there (PITFALLS 28)."""
    raft = node(log, term=3)
    assert install(raft).match_index == 5
    assert (raft.log.offset_index, raft.log.offset_term, log_of(raft)) == (5, 2, [])


def test_8_the_state_machine_becomes_the_snapshots() -> None:
    raft = node(entries(1), term=3)
    for number in range(2):
        raft.step(chunk(number))
        turn(raft)
        raft.chunk_stored(OF_FIVE.id, number)
    ready = raft.ready()
    assert ready
    assert (ready.installed, ready.anew) == (OF_FIVE, OF_FIVE)
    assert (raft.log.last_applied, raft.log.commit_index) == (5, 5)


def test_a_snapshot_of_what_is_committed_here_is_only_answered() -> None:
    """§7: normally a snapshot holds what the receiver lacks; one that does not changes nothing."""
    raft = node([at(index, 2) for index in range(1, 8)], term=3, commit=6)
    answer = step(raft, chunk(0)).one(AppendEntriesResponse)
    assert (answer.success, answer.match_index) == (True, 6)
    assert raft.snapshots.newest is None
    assert raft.log.commit_index == 6


def test_a_snapshot_proves_that_its_sender_leads() -> None:
    """Figure 13 with §5.2: it keeps followers from campaigning, like any word of the leader's."""
    raft = node(entries(1), term=3)
    raft.election_elapsed = OPTIONS.election_ticks_min
    step(raft, chunk(0))
    assert (raft.leader_id, raft.election_elapsed, raft.role) == (N2, 0, Role.FOLLOWER)
