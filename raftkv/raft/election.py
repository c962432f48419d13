"""Pre-vote, vote, and the rules under which a node grants them (§5.2, §5.4.1, thesis §9.6).

A pre-vote asks "would you vote for me?" before the term is raised, so that a node which was cut
off cannot depose a working leader when it returns. It changes nothing at whoever is asked: no
term, no vote, no timer (PITFALLS 17).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftkv.raft import trace
from raftkv.raft.messages import PreVote, PreVoteResponse, RequestVote, RequestVoteResponse, TimeoutNow
from raftkv.raft.quorum import VoteResult, count_votes, tally
from raftkv.types import NodeId, Term

if TYPE_CHECKING:
    from raftkv.raft.core import Raft


TIMEOUTS_LEFT_TO_OTHERS = 4
"""Of so many in a row, a node that is behind with applying uses the last."""


class Candidacy:
    """One campaign's votes; gone as soon as the campaign is."""

    __slots__ = ("pre", "votes")

    def __init__(self, pre: bool) -> None:
        self.pre = pre
        self.votes: dict[NodeId, bool] = {}

    def record(self, raft: Raft, voter: NodeId, granted: bool, term: Term) -> VoteResult:
        """A vote that was given is never taken back. A refusal may be: before the term is raised it could
        answer an earlier campaign, and have been held up on its way."""
        self.votes[voter] = granted or self.votes.get(voter, False)
        if voter != raft.node_id:
            votes, needed = count_votes(self.votes, raft.configuration)
            raft.trace(trace.VoteReceived(term, voter, granted, self.pre, votes, needed))
        return tally(self.votes, raft.configuration)


def is_behind(raft: Raft) -> bool:
    """With so much to apply first, as after a start with a long log, that clients would have to wait."""
    return raft.log.unapplied > raft.options.unapplied_entries_max


def on_timeout(raft: Raft) -> None:
    """No leader was heard for an election timeout.

    With a hung disk no vote of ours could leave, and raising our term would make us deaf. With much to apply
    first we could lead, but serve nobody: others go first, though not for ever, as all may be like this."""
    raft.timeouts_behind = raft.timeouts_behind + 1 if is_behind(raft) else 0
    if not raft.disk_stalled and raft.timeouts_behind % TIMEOUTS_LEFT_TO_OTHERS == 0:
        campaign(raft)
    else:
        raft.forget_leader()  # whoever does campaign must not be told that the old one is alive


def campaign(raft: Raft) -> None:
    """The election timer ran out: ask whether an election could be won before disturbing anyone.

    A learner, or a node that was removed, waits to be told (PITFALLS 18)."""
    if not _may_lead(raft):
        raft.forget_leader()
        return
    raft.become_pre_candidate()
    term = Term(raft.current_term + 1)
    assert raft.candidacy is not None
    if raft.candidacy.record(raft, raft.node_id, True, term) is VoteResult.WON:
        start_election(raft, trace.REASON_PRE_VOTE_WON)
        return
    for peer in raft.voting_peers:
        raft.send(PreVote(raft.node_id, peer, term, raft.log.last_index, raft.log.last_term))


def _may_lead(raft: Raft) -> bool:
    """A voter may, and so may one that is left out by a configuration not known to be committed: it may be
    the only one that holds that entry, and nobody else could win against its log (thesis §4.2.2).

    Never one whose folder is not the one that its name stands for: it forgot its votes (PITFALLS 27)."""
    if raft.founding.pending or _is_another_folder(raft):
        return False
    if raft.configuration.votes(raft.node_id):
        return True
    _, committed = raft.log.configurations.at(raft.log.commit_index)
    return committed.votes(raft.node_id)


def _is_another_folder(raft: Raft) -> bool:
    member = raft.configuration.member(raft.node_id)
    return bool(raft.incarnation) and member is not None and not member.may_be(raft.incarnation)


def start_election(raft: Raft, reason: str) -> None:
    """Raise the term and vote for ourselves; requests leave once both are durable."""
    raft.become_candidate(reason)
    transfer = reason == trace.REASON_TRANSFER
    last_index, last_term = raft.log.last_index, raft.log.last_term
    for peer in raft.voting_peers:
        raft.send_after_append(
            RequestVote(raft.node_id, peer, raft.current_term, last_index, last_term, transfer)
        )


def on_timeout_now(raft: Raft, message: TimeoutNow) -> None:
    """Only of the leader that we follow; with a hung disk our vote for ourselves would never leave, and
    with much to apply first our clients would have to wait."""
    if not _may_lead(raft) or raft.disk_stalled or is_behind(raft):
        return
    if message.sender == raft.leader_id:
        start_election(raft, trace.REASON_TRANSFER)


def on_own_vote_durable(raft: Raft) -> None:
    """Our own vote counts like anyone else's: when it is on disk (PITFALLS 2, 4)."""
    candidacy = raft.candidacy
    if candidacy is None or candidacy.pre or raft.node_id in candidacy.votes:
        return
    if candidacy.record(raft, raft.node_id, True, raft.current_term) is VoteResult.WON:
        raft.become_leader()


def on_pre_vote(raft: Raft, message: PreVote) -> None:
    if message.term <= raft.current_term:
        reason = trace.VOTE_OLD_TERM
    elif raft.leader_is_fresh:
        reason = trace.VOTE_LEADER_ALIVE
    elif raft.disk_stalled:
        # The vote that this promises could not leave: the candidate would raise its term for nothing.
        reason = trace.VOTE_DISK_STALLED
    elif not raft.log.up_to_date(message.last_log_index, message.last_log_term):
        reason = trace.VOTE_LOG_BEHIND
    else:
        reason = trace.VOTE_GRANTED
    granted = reason == trace.VOTE_GRANTED
    trace_answer(raft, message, reason, pre=True)
    term = message.term if granted else raft.current_term
    raft.send(PreVoteResponse(raft.node_id, message.sender, term, granted))


def on_pre_vote_response(raft: Raft, message: PreVoteResponse) -> None:
    candidacy = raft.candidacy
    if candidacy is None or not candidacy.pre:
        return
    term = Term(raft.current_term + 1)
    if message.granted and message.term != term:
        return  # the answer to an earlier campaign
    result = candidacy.record(raft, message.sender, message.granted, term)
    if result is VoteResult.WON:
        start_election(raft, trace.REASON_PRE_VOTE_WON)
    elif result is VoteResult.LOST:
        raft.become_follower(raft.current_term, None, trace.REASON_ELECTION_LOST)


def on_request_vote(raft: Raft, message: RequestVote) -> None:
    """The term is ours by now. Granting resets the timer; being asked does not."""
    if raft.voted_for not in (None, message.sender) or (
        raft.voted_for is None and raft.leader_id not in (None, message.sender)
    ):
        reason = trace.VOTE_ALREADY_CAST
    elif raft.promised and not message.transfer:
        # Our term was raised by something else than this request, or stickiness would have met it first.
        reason = trace.VOTE_LEADER_ALIVE
    elif not raft.log.up_to_date(message.last_log_index, message.last_log_term):
        reason = trace.VOTE_LOG_BEHIND
    else:
        reason = trace.VOTE_GRANTED
    granted = reason == trace.VOTE_GRANTED
    if granted:
        raft.voted_for = message.sender
        raft.reset_election_timer()
    trace_answer(raft, message, reason, pre=False)
    raft.send_after_append(RequestVoteResponse(raft.node_id, message.sender, raft.current_term, granted))


def trace_answer(raft: Raft, message: PreVote | RequestVote, reason: str, pre: bool) -> None:
    raft.trace(
        trace.VoteAnswered(
            message.term,
            message.sender,
            reason == trace.VOTE_GRANTED,
            pre,
            reason,
            raft.voted_for,
            *(raft.log.last_index, raft.log.last_term),
            *(message.last_log_index, message.last_log_term),
        )
    )


def on_request_vote_response(raft: Raft, message: RequestVoteResponse) -> None:
    candidacy = raft.candidacy
    if candidacy is None or candidacy.pre:
        return
    result = candidacy.record(raft, message.sender, message.granted, raft.current_term)
    if result is VoteResult.WON:
        raft.become_leader()
    elif result is VoteResult.LOST:
        raft.become_follower(raft.current_term, None, trace.REASON_ELECTION_LOST)
