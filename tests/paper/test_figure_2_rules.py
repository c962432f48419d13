"""Figure 2, the box "Rules for Servers": all nodes, followers, candidates, leaders."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from raftkv.raft import Entry, Message, Proposal, Raft, Role
from raftkv.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    EntryKind,
    Heartbeat,
    HeartbeatResponse,
    PreVote,
    RequestVote,
    RequestVoteResponse,
)
from raftkv.raft.progress import ProgressState
from raftkv.types import LogIndex
from tests.paper.support import (
    LONGEST,
    N2,
    N3,
    Turn,
    accepted,
    append,
    at,
    candidate,
    elect,
    heard,
    heartbeat,
    leader,
    log_of,
    node,
    progress,
    rejected,
    request_vote,
    step,
    tick,
    turn,
    vote,
    win_pre_vote,
)
from tests.support.raft_cluster import OPTIONS, entries

# -- all nodes


def test_what_is_committed_is_applied_once_and_in_order() -> None:
    """All, 1: while commitIndex > lastApplied, the next entry is applied."""
    raft = node(entries(1, 1, 1), term=1)
    first = step(raft, append(1, (3, 1), commit=2))
    second = step(raft, append(1, (3, 1), commit=3), append(1, (3, 1), commit=3))
    assert [[entry.index for entry in done.committed] for done in (first, second)] == [[1, 2], [3]]
    assert raft.log.last_applied == 3


NEWER: list[Callable[[int], Message]] = [append, heartbeat, heard, request_vote, vote]
NEWER += [lambda term: accepted(term, 1), lambda term: rejected(term, 1)]


@pytest.mark.parametrize("message", range(len(NEWER)))
@pytest.mark.parametrize("role", [node, candidate, leader])
def test_a_higher_term_in_any_message_makes_a_follower(role: Callable[..., Raft], message: int) -> None:
    """All, 2: requests and answers alike. The one exception, a RequestVote while a leader is heard
    (a leader hears itself), is a departure."""
    raft = role(term=4)
    newer = NEWER[message](9)
    step(raft, newer)
    if isinstance(newer, RequestVote) and role is leader:
        assert (raft.role, raft.current_term) == (Role.LEADER, 5)
    else:
        assert (raft.role, raft.current_term) == (Role.FOLLOWER, 9)


# -- followers


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (append(2), AppendEntriesResponse),
        (heartbeat(2), HeartbeatResponse),
        (request_vote(2), RequestVoteResponse),
    ],
)
def test_a_follower_answers_candidates_and_leaders(request_: Message, answer: type[Message]) -> None:
    """Followers, 1."""
    assert step(node(term=2), request_).one(answer).to == N2


def test_a_follower_that_hears_nothing_tries_to_become_leader() -> None:
    """Followers, 2: after an election timeout without a leader and without a vote given. A departure:
    it asks for pre-votes before it becomes a candidate (thesis §9.6)."""
    raft = node()
    done = tick(raft, LONGEST)
    assert raft.role is Role.PRE_CANDIDATE
    assert {m.to for m in done.of(PreVote)} == {"n2", "n3"}


@pytest.mark.parametrize("message", [append(1), heartbeat(1), append(1, (9, 1))])
def test_a_leaders_message_holds_an_election_back(message: Message) -> None:
    """Followers, 2: AppendEntries of the *current* leader restart the timer."""
    raft = node(term=1)
    for _ in range(4):
        assert tick(raft, OPTIONS.election_ticks_min - 1).of(PreVote) == []
        step(raft, message)


def test_a_former_leaders_message_holds_nothing_back() -> None:
    """Followers, 2: of the current leader, and of no other."""
    raft = node(term=2)
    for _ in range(LONGEST):
        tick(raft, 1)
        step(raft, append(1), heartbeat(1))
    assert raft.role is not Role.FOLLOWER


def test_a_vote_given_holds_an_election_back() -> None:
    """Followers, 2: so does granting a vote."""
    raft = node()
    for term in range(1, 5):
        assert tick(raft, OPTIONS.election_ticks_min - 1).of(PreVote) == []
        assert step(raft, request_vote(term)).one(RequestVoteResponse).granted


def test_a_vote_refused_holds_nothing_back() -> None:
    """Followers, 2: a candidate that cannot win must not keep one that can from trying."""
    raft = node(entries(1, 1), term=1)
    asked = 0
    for term in range(2, LONGEST + 2):
        asked += len(tick(raft, 1).of(PreVote))
        step(raft, request_vote(term))
    assert asked > 0


# -- candidates


def test_a_candidate_raises_its_term_votes_for_itself_and_asks_all_others() -> None:
    """Candidates, 1. The requests leave once its own vote is durable."""
    raft = node(term=3)
    done = win_pre_vote(raft)
    assert (raft.role, raft.current_term, raft.voted_for, raft.election_elapsed) == (
        Role.CANDIDATE,
        4,
        "n1",
        0,
    )
    assert [(state.current_term, state.voted_for) for state in done.hard_states] == [(4, "n1")]
    assert [(m.to, m.term) for m in done.of(RequestVote)] == [("n2", 4), ("n3", 4)]


def test_a_candidate_with_the_votes_of_a_majority_leads() -> None:
    """Candidates, 2: its own and two of the other four."""
    raft = candidate(voters=5)
    step(raft, vote(1, sender=N2))
    assert raft.leadership is None
    step(raft, vote(1, sender=N3))
    assert raft.role is Role.LEADER


def test_the_same_vote_counts_once() -> None:
    """Candidates, 2: a majority of nodes, not of messages."""
    raft = candidate(voters=5)
    step(raft, vote(1, sender=N2), vote(1, sender=N2), vote(1, sender=N2))
    assert raft.role is Role.CANDIDATE


@pytest.mark.parametrize("message", [append(5), heartbeat(5)])
def test_a_candidate_follows_a_new_leader(message: Message) -> None:
    """Candidates, 3."""
    raft = candidate(term=4)
    step(raft, message)
    assert (raft.role, raft.leader_id, raft.voted_for) == (Role.FOLLOWER, N2, "n1")


def test_a_candidate_without_result_starts_again() -> None:
    """Candidates, 4: after another timeout, in a term of its own; here by way of a new pre-vote."""
    raft = candidate(term=4)
    tick(raft, LONGEST)
    assert (raft.role, raft.current_term) == (Role.PRE_CANDIDATE, 5)
    win_pre_vote(raft)
    assert (raft.role, raft.current_term) == (Role.CANDIDATE, 6)


# -- leaders


def test_a_leader_is_heard_at_its_election_and_in_idle_times() -> None:
    """Leaders, 1: to each, at once and again within every election timeout."""
    raft = candidate()
    assert {m.to for m in elect(raft).messages} == {"n2", "n3"}
    for _ in range(3):
        done = tick(raft, OPTIONS.election_ticks_min - 1)
        assert {m.to for m in done.of(Heartbeat)} == {"n2", "n3"}
        step(raft, heard(1))


def test_a_leader_appends_a_command_and_has_it_applied_only_when_committed() -> None:
    """Leaders, 2: to its own log at once; the client is answered when it has been applied."""
    raft = leader()
    assert raft.propose([b"a"]) is Proposal.ACCEPTED
    done = turn(raft)
    assert log_of(raft) == [(1, 1), (2, 1)]
    assert done.committed == []
    assert [entry.data for entry in step(raft, accepted(1, 2)).committed] == [b"", b"a"]


def sent_to(done: Turn, peer: str) -> list[Entry]:
    return [entry for message in done.of(AppendEntries) if message.to == peer for entry in message.entries]


def test_a_leader_sends_each_follower_what_it_lacks() -> None:
    """Leaders, 3: from nextIndex on, if its log reaches that far."""
    raft = leader(entries(1, 1, 1), term=1)
    done = step(raft, rejected(2, 3, conflict=(2, 0)), accepted(2, 4, sender=N3))
    assert [entry.index for entry in sent_to(done, "n2")] == [2, 3, 4]
    assert sent_to(done, "n3") == []


def test_success_moves_both_indexes_of_the_follower() -> None:
    """Leaders, 3, success."""
    raft = leader(entries(1, 1), term=1)
    step(raft, accepted(2, 3))
    assert (progress(raft).match_index, progress(raft).next_index) == (3, 4)


def test_a_mismatch_moves_next_index_back_and_is_tried_again() -> None:
    """Leaders, 3, failure. The figure goes back by one; raftkv by a whole term (§5.3, end)."""
    raft = leader(entries(1, 1, 3, 3, 3), term=3)
    (again,) = step(raft, rejected(4, 5, conflict=(3, 2))).of(AppendEntries)
    assert (again.prev_log_index, again.prev_log_term) == (2, 1)
    assert progress(raft).match_index == 0


def test_next_index_never_falls_to_what_is_known_to_match() -> None:
    """Leaders, 3, failure: a rejection that arrives late says nothing of what was acknowledged since."""
    raft = leader(entries(1, 1, 1), term=1)
    done = step(raft, accepted(2, 3), rejected(2, 3, conflict=(1, 0)))
    assert progress(raft).next_index > 3
    assert progress(raft).state is ProgressState.REPLICATE
    assert all(m.prev_log_index >= 3 for m in done.of(AppendEntries) if m.to == N2)


def test_a_leader_commits_what_a_majority_holds() -> None:
    """Leaders, 4: the largest N of the current term that a majority's matchIndex has reached."""
    raft = leader(voters=5)
    raft.propose([b"a", b"b", b"c"])
    turn(raft)
    step(raft, accepted(1, 4, sender=N2))
    assert raft.log.commit_index == 0
    step(raft, accepted(1, 2, sender=N3))
    assert raft.log.commit_index == 2
    step(raft, accepted(1, 3, sender=raft.peers[2]))
    assert raft.log.commit_index == 3


def test_a_leader_commits_nothing_of_an_earlier_term_by_counting() -> None:
    """Leaders, 4: log[N].term must be currentTerm (§5.4.2, PITFALLS 1)."""
    raft = leader(entries(1, 1), term=1)
    step(raft, accepted(2, 2))
    assert raft.log.commit_index == 0
    step(raft, accepted(2, 3))
    assert raft.log.commit_index == 3


def test_a_leaders_first_entry_is_its_no_op() -> None:
    """§8, at the start of every leadership."""
    raft = leader(entries(1), term=1)
    last = raft.log.entries[-1]
    assert (last.index, last.term, last.kind) == (LogIndex(2), 2, EntryKind.NO_OP)
    assert at(2, 2, b"").data == last.data
