"""Figure 2, the box "State": what every node keeps, on disk and in memory."""

from __future__ import annotations

import random

from raftkv.raft import Configuration, HardState, Raft, Role
from raftkv.raft.messages import AppendEntriesResponse, EntryKind, PreVote, RequestVoteResponse
from raftkv.types import LogIndex, Term
from tests.paper.support import (
    N1,
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
    progress,
    request_vote,
    step,
    turn,
    win_pre_vote,
)
from tests.support.raft_cluster import OPTIONS, entries

# -- persistent, on every node


def test_current_term_begins_at_zero() -> None:
    """Figure 2, currentTerm: 0 when a node boots for the first time."""
    raft = Raft(N1, Configuration.of([N1, N2, N3]), OPTIONS, random.Random(0))
    assert (raft.current_term, raft.voted_for, raft.role) == (0, None, Role.FOLLOWER)


def test_current_term_only_grows() -> None:
    """Figure 2, currentTerm: increases monotonically."""
    raft = node(term=4)
    terms = []
    for term in (3, 5, 2, 7, 6):
        step(raft, heartbeat(term))
        terms.append(raft.current_term)
    assert terms == [4, 5, 5, 7, 7]


def test_a_term_is_on_disk_before_the_answer_that_carries_it_leaves() -> None:
    """Figure 2, persistent state: on stable storage before an RPC is answered; here, before any
    message with the new term leaves, not just an answer that speaks of a vote."""
    raft = node(term=1)
    raft.step(heartbeat(5))
    ready = raft.ready()
    assert ready is not None
    assert ready.hard_state == HardState(Term(5), None, LogIndex(0))
    assert ready.messages == []
    assert len(ready.messages_after_append) == 1


def test_a_vote_is_on_disk_before_it_is_given() -> None:
    """Figure 2, votedFor: on stable storage before the answer."""
    raft = node(term=1)  # durable already: it is the vote itself that has to wait
    raft.step(request_vote(1))
    ready = raft.ready()
    assert ready is not None
    assert ready.hard_state is not None
    assert ready.hard_state.voted_for == N2
    assert ready.messages == []
    (answer,) = ready.messages_after_append
    assert isinstance(answer, RequestVoteResponse)


def test_voted_for_is_of_the_current_term_or_nobody() -> None:
    """Figure 2, votedFor: who got the vote in the *current* term, null if none did."""
    raft = node(term=3, voted_for=N3)
    done = step(raft, heartbeat(4))
    assert raft.voted_for is None
    assert done.hard_states == [HardState(Term(4), None, LogIndex(0))]


def test_a_vote_survives_a_restart() -> None:
    """Figure 2, votedFor, persistent: a second vote in one term is refused by the next life too."""
    before = node()
    done = step(before, request_vote(6, sender=N2))
    after = Raft(N1, Configuration.of([N1, N2, N3]), OPTIONS, random.Random(1), done.hard_states[-1], [])
    turn(after)
    assert not step(after, request_vote(6, sender=N3)).one(RequestVoteResponse).granted
    assert step(after, request_vote(6, sender=N2)).one(RequestVoteResponse).granted


def test_an_entry_holds_its_command_and_the_term_in_which_the_leader_took_it() -> None:
    """Figure 2, log[]: a command and the term when the leader received it; the first index is 1."""
    raft = leader(term=6)
    raft.propose([b"a", b"b"])
    written = turn(raft).written
    assert log_of(raft) == [(1, 7), (2, 7), (3, 7)]
    assert [(entry.kind, entry.data) for entry in written] == [
        (EntryKind.COMMAND, b"a"),
        (EntryKind.COMMAND, b"b"),
    ]


def test_entries_are_on_disk_before_they_are_acknowledged() -> None:
    """Figure 2, log[], persistent."""
    raft = node(term=1)
    raft.step(append(1, (0, 0), at(1, 1)))
    ready = raft.ready()
    assert ready is not None
    assert ready.entries == [at(1, 1)]
    assert not [m for m in ready.messages if isinstance(m, AppendEntriesResponse)]
    assert [type(m) for m in ready.messages_after_append] == [AppendEntriesResponse]


def test_the_log_survives_a_restart() -> None:
    """Figure 2, log[], persistent: the next life knows its last entry, and asks for votes with it."""
    raft = node(entries(1, 2, 2), term=2)
    raft.campaign()
    (request, _) = turn(raft).of(PreVote)
    assert (request.last_log_index, request.last_log_term) == (3, 2)


# -- volatile, on every node


def test_commit_index_begins_at_zero() -> None:
    """Figure 2, commitIndex: starts at 0. raftkv keeps a hint of it on disk, which may lag but never
    lead: a node that has one starts from there, which only spares it some waiting."""
    assert node(entries(1, 1), term=1).log.commit_index == 0
    assert node(entries(1, 1), term=1, commit=1).log.commit_index == 1


def test_commit_index_only_grows() -> None:
    """Figure 2, commitIndex: increases monotonically, however late an old message arrives."""
    raft = node(entries(1, 1, 1), term=1)
    step(raft, append(1, (3, 1), commit=3))
    step(raft, append(1, (3, 1), commit=1), heartbeat(1, commit=2))
    assert raft.log.commit_index == 3


def test_last_applied_begins_at_zero_and_every_entry_is_applied_again_by_the_next_life() -> None:
    """Figure 2, lastApplied: volatile, as the state that it describes is."""
    raft = Raft(
        N1,
        Configuration.of([N1, N2, N3]),
        OPTIONS,
        random.Random(0),
        HardState(Term(1), None, LogIndex(2)),
        entries(1, 1),
    )
    assert raft.log.last_applied == 0
    assert [entry.index for entry in turn(raft).committed] == [1, 2]
    assert raft.log.last_applied == 2


# -- volatile, on leaders


def test_next_index_begins_behind_the_leaders_last_entry() -> None:
    """Figure 2, nextIndex[]: the leader's last index + 1, the no-op of the new term not yet counted."""
    raft = candidate(entries(1, 1, 1), term=1)
    sent = elect(raft).messages
    assert {m.prev_log_index for m in sent if hasattr(m, "prev_log_index")} == {3}


def test_match_index_begins_at_zero() -> None:
    """Figure 2, matchIndex[]: 0, for a new leader knows nothing of anybody."""
    raft = leader(entries(1, 1, 1), term=1)
    assert [progress(raft, peer).match_index for peer in raft.peers] == [0, 0]


def test_match_index_only_grows() -> None:
    """Figure 2, matchIndex[]: increases monotonically; a late acknowledgement takes nothing back."""
    raft = leader(entries(1, 1, 1), term=1)
    step(raft, accepted(2, 4), accepted(2, 2))
    assert (progress(raft).match_index, progress(raft).next_index) == (4, 5)


def test_a_leaders_books_are_made_anew_with_every_leadership() -> None:
    """Figure 2, volatile state on leaders: initialised again after each election."""
    raft = leader()
    step(raft, accepted(1, 1))
    assert progress(raft).match_index == 1
    step(raft, heartbeat(2))
    win_pre_vote(raft)
    elect(raft)
    assert (progress(raft).match_index, progress(raft).next_index) == (0, 2)
