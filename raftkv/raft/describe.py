"""One line for every message and event: the same words in logs, transcripts and the dashboard."""

from __future__ import annotations

from typing import assert_never

from raftkv.raft import trace
from raftkv.raft.configuration import Configuration
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
)

_REASONS = {
    trace.REASON_ELECTION_TIMEOUT: "election timeout",
    trace.REASON_PRE_VOTE_WON: "pre-vote won",
    trace.REASON_TRANSFER: "the leader hands over",
    trace.REASON_ELECTION_WON: "election won",
    trace.REASON_ELECTION_LOST: "election lost",
    trace.REASON_HIGHER_TERM: "saw a higher term",
    trace.REASON_LEADER_FOUND: "heard the leader",
    trace.REASON_CHECK_QUORUM: "lost touch with the quorum",
    trace.REASON_DISK_STALLED: "own disk does not answer",
    trace.REASON_REMOVED: "removed from the cluster",
    trace.REASON_RESTART: "started",
    trace.VOTE_LEADER_ALIVE: "a leader is alive",
    trace.VOTE_ALREADY_CAST: "voted already",
    trace.VOTE_LOG_BEHIND: "candidate's log is behind",
    trace.VOTE_OLD_TERM: "term is old",
    trace.VOTE_DISK_STALLED: "its disk does not answer",
}


def describe_message(message: Message) -> str:
    """``n1→n2 AppendEntries term 3 prev 4/2 entries 5..7 commit 4``; positions are index/term."""
    body = _describe_body(message)
    return f"{message.sender}→{message.to} {type(message).__name__} term {message.term}" + (
        f" {body}" if body else ""
    )


def _describe_body(message: Message) -> str:
    match message:
        case PreVote() | RequestVote():
            transfer = " by transfer" if isinstance(message, RequestVote) and message.transfer else ""
            return f"last {message.last_log_index}/{message.last_log_term}{transfer}"
        case PreVoteResponse() | RequestVoteResponse():
            return "granted" if message.granted else "refused"
        case InstallSnapshot():
            mark = message.mark
            return f"snapshot {mark.index}/{mark.term} chunk {message.number + 1} of {mark.chunks}"
        case InstallSnapshotResponse():
            return f"next chunk {message.next_number + 1}"
        case FoundingCall() | FoundingAnswer():
            return f"folder {message.incarnation}"
        case FoundingEntry():
            return f"[{Configuration.decode(message.configuration).describe()}]"
        case AppendEntries():
            text = f"prev {message.prev_log_index}/{message.prev_log_term}"
            if message.entries:
                text += f" entries {message.entries[0].index}..{message.entries[-1].index}"
            return f"{text} commit {message.leader_commit}"
        case AppendEntriesResponse(success=True):
            return f"match {message.match_index}"
        case AppendEntriesResponse():
            hint = f"conflict {message.conflict_index}/{message.conflict_term}"
            return f"rejected prev {message.prev_log_index} {hint}"
        case Heartbeat():
            text = f"commit {message.leader_commit}"
            return text + (f" round {message.read_round}" if message.read_round else "")
        case HeartbeatResponse():
            words = (
                f"round {message.read_round}" if message.read_round else "",
                "behind" if message.behind else "",
                "full" if message.full else "",
            )
            return " ".join(word for word in words if word)
        case ReadIndex():
            return f"context {message.context}"
        case ReadIndexResponse():
            return f"context {message.context} index {message.read_index}"
    return ""


def describe_event(event: trace.RaftEvent) -> str:
    """``candidate, term 8: pre-vote won``"""
    match event:
        case trace.RoleChanged():
            return f"{event.role}, term {event.term}: {_REASONS[event.reason]}"
        case trace.LeaderChanged():
            return f"leader {event.leader_id or 'unknown'}, term {event.term}"
        case trace.VoteAnswered():
            kind = "pre-vote" if event.pre else "vote"
            verb = "granted" if event.granted else "refused"
            why = "" if event.granted else f": {_REASONS[event.reason]}"
            return f"{verb} {kind} to {event.candidate}, term {event.term}{why}"
        case trace.VoteReceived():
            kind = "pre-vote" if event.pre else "vote"
            verb = "granted" if event.granted else "refused"
            return f"{event.voter} {verb} {kind}, term {event.term} (votes {event.votes}/{event.needed})"
        case trace.TransferStarted():
            return f"hands leadership over to {event.to}, term {event.term}"
        case trace.TransferAbandoned():
            return f"keeps leadership, term {event.term}: {event.to} did not take over in time"
        case trace.SnapshotSent():
            return f"sends {event.to} the snapshot of entry {event.index}, term {event.term}"
        case trace.SnapshotInstalled():
            rest = "the log goes on from there" if event.kept else "the log begins anew"
            return f"installed the leader's snapshot of entry {event.index}, term {event.term}: {rest}"
        case trace.LogCompacted():
            return f"forgot entries up to {event.last_index}: the snapshot stands for them"
        case trace.FoundingAwaits():
            return f"a new cluster: it begins when all of its nodes have been heard; missing {event.missing}"
        case trace.ConfigurationChanged():
            return f"configuration of entry {event.index}, term {event.term}: {event.text}"
        case trace.EntriesTruncated():
            return f"truncated {event.first_index}..{event.last_index}, term {event.term}"
        case trace.EntriesLost():
            return (
                f"has lost entries: {event.leader} knows {event.known_index} to be here, "
                f"the log ends at {event.last_index}, term {event.term}"
            )
        case trace.LeaderDoubted():
            return (
                f"does not follow {event.leader}, term {event.term}: "
                f"it has another entry at {event.index} than the one committed here"
            )
        case trace.AppendRejected():
            return (
                f"rejected append of {event.leader} at {event.prev_log_index}: "
                f"conflict {event.conflict_index}/{event.conflict_term}"
            )
    assert_never(event)
