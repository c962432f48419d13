"""Figure 2, the box "AppendEntries RPC" (§5.3)."""

from __future__ import annotations

import pytest

from raftkv.raft import Role
from raftkv.raft.messages import AppendEntries, AppendEntriesResponse, Heartbeat, HeartbeatResponse
from tests.paper.support import (
    LONGEST,
    N2,
    N3,
    accepted,
    append,
    at,
    candidate,
    elect,
    heartbeat,
    leader,
    log_of,
    node,
    rejected,
    step,
    tick,
    turn,
)
from tests.support.raft_cluster import OPTIONS, entries

# -- arguments and results


def test_an_append_carries_term_leader_position_entries_and_commit() -> None:
    """Arguments: term, leaderId, prevLogIndex, prevLogTerm, entries[], leaderCommit."""
    raft = leader(entries(1, 3), term=4, commit=1)
    step(raft, accepted(5, 2))
    raft.propose([b"a"])
    (message,) = [m for m in turn(raft).of(AppendEntries) if m.to == N2]
    assert (message.sender, message.term, message.prev_log_index, message.prev_log_term) == ("n1", 5, 3, 5)
    assert [(entry.index, entry.term, entry.data) for entry in message.entries] == [(4, 5, b"a")]
    assert message.leader_commit == 1


def test_a_follower_knows_the_leader_and_can_tell_its_clients() -> None:
    """Arguments: leaderId, so that a follower can send clients there."""
    raft = node(term=1)
    assert raft.leader_id is None
    step(raft, append(1, sender=N3))
    assert raft.status().leader_id == N3


def test_a_heartbeat_is_a_message_of_its_own() -> None:
    """A departure: where the figure has an append without entries, raftkv has a smaller message that
    also carries the round of the reads that wait. It proves a leader all the same."""
    raft = leader()
    done = tick(raft, OPTIONS.heartbeat_ticks)
    assert {m.to for m in done.of(Heartbeat)} == {"n2", "n3"}
    follower = node(term=1)
    tick(follower, OPTIONS.election_ticks_min - 1)
    assert step(follower, heartbeat(1)).one(HeartbeatResponse).term == 1
    assert (follower.election_elapsed, follower.leader_id) == (0, N2)


def test_a_heartbeat_commits_nothing_that_the_follower_is_not_known_to_hold() -> None:
    """A departure's condition: a heartbeat has no prevLogIndex to check, so the commit index in it
    must not exceed what the receiver has acknowledged."""
    raft = leader(voters=5)
    raft.propose([b"a"])
    turn(raft)
    for voter, match in ((N2, 1), (N3, 2)):
        step(raft, accepted(1, match, sender=voter))
    step(raft, accepted(1, 2, sender=raft.peers[2]))
    assert raft.log.commit_index == 2
    commits = {m.to: m.leader_commit for m in tick(raft, OPTIONS.heartbeat_ticks).of(Heartbeat)}
    assert (commits[N2], commits[N3], commits[raft.peers[3]]) == (1, 2, 0)


def test_an_answer_carries_the_term_for_the_leader_to_update_itself() -> None:
    """Results: a leader that sees a higher term there leads no more (PITFALLS 21)."""
    raft = leader(term=2)
    step(raft, rejected(9, 0))
    assert (raft.role, raft.current_term) == (Role.FOLLOWER, 9)


def test_success_says_how_far_the_follower_matches() -> None:
    """Results: success if the entry at prevLogIndex matched. Appends are pipelined, so the answer
    says up to where: the last entry of *this* message, not of the log."""
    raft = node(entries(1, 1, 1, 1), term=1)
    answer = step(raft, append(1, (1, 1), at(2, 1, b"2@1"))).one(AppendEntriesResponse)
    assert (answer.success, answer.match_index) == (True, 2)


# -- receiver, 1


def test_an_append_of_an_earlier_term_is_rejected_and_changes_nothing() -> None:
    """Receiver, 1: false if the leader's term is lower than the current one."""
    raft = node(entries(1, 1), term=3)
    answer = step(raft, append(2, (1, 1), at(2, 2), commit=2)).one(AppendEntriesResponse)
    assert (answer.success, answer.term) == (False, 3)
    assert (log_of(raft), raft.log.commit_index, raft.leader_id) == ([(1, 1), (2, 1)], 0, None)


def test_a_heartbeat_of_an_earlier_term_is_answered_with_the_current_one() -> None:
    """Receiver, 1, for the message that stands for the empty append: the old leader must learn of it."""
    answer = step(node(term=3), heartbeat(2)).one(AppendEntriesResponse)
    assert (answer.success, answer.term) == (False, 3)


# -- receiver, 2


@pytest.mark.parametrize("prev", [(3, 1), (3, 2), (9, 2)])
def test_an_append_beyond_the_end_of_the_log_is_rejected(prev: tuple[int, int]) -> None:
    """Receiver, 2: false if the log has no entry at prevLogIndex."""
    raft = node(entries(1, 2), term=2)
    answer = step(raft, append(2, prev, at(prev[0] + 1, 2))).one(AppendEntriesResponse)
    assert not answer.success
    assert log_of(raft) == [(1, 1), (2, 2)]


def test_an_append_behind_an_entry_of_another_term_is_rejected() -> None:
    """Receiver, 2: false if the entry at prevLogIndex has another term than prevLogTerm."""
    raft = node(entries(1, 1), term=2)
    answer = step(raft, append(2, (2, 2), at(3, 2))).one(AppendEntriesResponse)
    assert not answer.success
    assert log_of(raft) == [(1, 1), (2, 1)]


def test_a_rejection_names_the_conflicting_term_and_where_it_begins() -> None:
    """§5.3, end: term of the conflicting entry and the first index of that term; no term if the log
    just ends before."""
    raft = node(entries(1, 2, 2, 2), term=3)
    answer = step(raft, append(3, (4, 3))).one(AppendEntriesResponse)
    assert (answer.prev_log_index, answer.conflict_term, answer.conflict_index) == (4, 2, 2)
    answer = step(raft, append(3, (8, 3))).one(AppendEntriesResponse)
    assert (answer.prev_log_index, answer.conflict_term, answer.conflict_index) == (8, 0, 5)


def test_below_the_commit_index_nothing_is_compared() -> None:
    """A departure: what is committed is known to match, so the answer says so in place of a check
    which a compacted log could not make."""
    log = entries(1, 1, 1)
    raft = node(log, term=1, commit=2)
    answer = step(raft, append(1, (0, 0), log[0])).one(AppendEntriesResponse)
    assert (answer.success, answer.match_index) == (True, 2)


# -- receiver, 3


def test_a_conflicting_entry_goes_and_all_that_follow_it() -> None:
    """Receiver, 3: same index, another term: it and everything behind it is deleted."""
    raft = node(entries(1, 2, 2, 2), term=3)
    done = step(raft, append(3, (1, 1), at(2, 3)))
    assert done.one(AppendEntriesResponse).success
    assert log_of(raft) == [(1, 1), (2, 3)]
    assert done.written == [at(2, 3)]


def test_without_conflict_nothing_is_deleted() -> None:
    """Receiver, 3, read the other way: an append that arrives late, or again, and is shorter than the
    log must not cut off what was acknowledged since (PITFALLS 11)."""
    log = entries(1, 1, 1, 1)
    raft = node(log, term=1)
    done = step(raft, append(1, (0, 0), *log[:2]), append(1, (1, 1)))
    assert log_of(raft) == [(1, 1), (2, 1), (3, 1), (4, 1)]
    assert done.written == []


# -- receiver, 4


def test_entries_that_are_new_are_appended() -> None:
    """Receiver, 4."""
    raft = node(entries(1), term=1)
    done = step(raft, append(1, (1, 1), at(2, 1), at(3, 1)))
    assert done.written == [at(2, 1), at(3, 1)]
    assert done.one(AppendEntriesResponse).match_index == 3


def test_entries_already_there_are_not_appended_twice() -> None:
    """Receiver, 4: only those that the log lacks."""
    log = entries(1, 1)
    raft = node(log, term=1)
    done = step(raft, append(1, (0, 0), *log, at(3, 1)))
    assert log_of(raft) == [(1, 1), (2, 1), (3, 1)]
    assert done.written == [at(3, 1)]


# -- receiver, 5


def test_commit_index_follows_the_leaders() -> None:
    """Receiver, 5: leaderCommit, where the entries of the message reach further."""
    raft = node(term=1)
    done = step(raft, append(1, (0, 0), at(1, 1), at(2, 1), at(3, 1), commit=2))
    assert raft.log.commit_index == 2
    assert [entry.index for entry in done.committed] == [1, 2]


def test_commit_index_stops_at_the_last_new_entry() -> None:
    """Receiver, 5: the index of the last new entry, where leaderCommit reaches further."""
    raft = node(term=1)
    step(raft, append(1, (0, 0), at(1, 1), commit=7))
    assert raft.log.commit_index == 1


def test_commit_index_does_not_cover_what_this_message_did_not_verify() -> None:
    """Receiver, 5: the *new* entry's index counts, not the log's last, whose tail may be of a dead
    leader (PITFALLS 12)."""
    raft = node(entries(1, 2, 2), term=2)
    step(raft, append(3, (1, 1), commit=3))
    assert raft.log.commit_index == 1


def test_a_new_leaders_first_message_makes_every_candidate_a_follower() -> None:
    """§5.2, on this RPC: a candidate follows a leader whose term is at least its own."""
    raft = candidate(term=4)
    step(raft, append(5))
    assert (raft.role, raft.leader_id, raft.current_term) == (Role.FOLLOWER, N2, 5)


def test_a_rejected_append_still_proves_a_leader() -> None:
    """The timer is reset by any AppendEntries of the current leader, not just by one that matches
    (PITFALLS 19): a follower far behind must not disturb who is bringing it up to date."""
    raft = node(term=1)
    tick(raft, OPTIONS.election_ticks_min - 1)
    step(raft, append(1, (5, 1)))
    tick(raft, OPTIONS.election_ticks_min - 1)
    assert raft.role is Role.FOLLOWER
    tick(raft, LONGEST)
    assert raft.role is not Role.FOLLOWER


def test_a_new_leader_makes_itself_known_at_once() -> None:
    """§5.2: it sends to all others before anything else, so that nobody starts another election."""
    sent = elect(candidate()).of(AppendEntries)
    assert {m.to for m in sent} == {"n2", "n3"}
