"""What a node does with a leader's messages. Appends and heartbeats prove that a leader lives, so each
resets the election timer, rejections included (PITFALLS 19)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftkv.raft import trace
from raftkv.raft.doubt import contradiction, disbelieve, lacks_what_it_acknowledged
from raftkv.raft.election import is_behind
from raftkv.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    Message,
    ReadIndex,
    ReadIndexResponse,
    ReadState,
    RequestVote,
    RequestVoteResponse,
)
from raftkv.types import LogIndex, Term

if TYPE_CHECKING:
    from raftkv.raft.core import Raft


def on_append_entries(raft: Raft, message: AppendEntries) -> None:
    raft.follow(message.sender)
    log = raft.log
    raft.commit_heard = max(raft.commit_heard, message.leader_commit)
    if message.prev_log_index < log.commit_index:
        # What is committed matches, or is forgotten, or nobody could lead who says otherwise.
        index = contradiction(log, message)
        if index is None:
            _accept(raft, message, log.commit_index)
        else:
            disbelieve(raft, message.sender, index)
        return
    if not log.matches(message.prev_log_index, message.prev_log_term):
        if message.prev_log_index > log.commit_index:
            _reject(raft, message)
        else:
            disbelieve(raft, message.sender, message.prev_log_index)
        return
    conflict = log.first_conflict(message.entries)
    if conflict is not None:
        raft.doubt.book = message.book
        entries = message.entries[conflict:] if conflict else message.entries
        last_index = log.last_index
        if log.overwrite(entries):
            first = entries[0].index
            raft.trace(trace.EntriesTruncated(raft.current_term, first, last_index))
    # Not log.last_index: beyond this message our entries are unverified (PITFALLS 11, 12).
    verified = LogIndex(message.prev_log_index + len(message.entries))
    commit = min(message.leader_commit, verified)
    if commit > log.commit_index:
        log.commit_to(commit)
    _accept(raft, message, verified)


def _accept(raft: Raft, message: AppendEntries, match_index: LogIndex) -> None:
    """After append: earlier entries may still be on their way to the disk (PITFALLS 5)."""
    raft.send_after_append(
        AppendEntriesResponse(
            raft.node_id,
            message.sender,
            raft.current_term,
            True,
            match_index,
            message.prev_log_index,
            book=message.book,
        )
    )


def _reject(raft: Raft, message: AppendEntries) -> None:
    log = raft.log
    if message.prev_log_index > log.last_index:
        conflict_term, conflict_index = Term(0), LogIndex(log.last_index + 1)
    else:
        found = log.term_at(message.prev_log_index)
        assert found is not None, "prev_log_index is above commit_index, so it is not compacted"
        conflict_term, conflict_index = found, log.first_index_of_term_at(message.prev_log_index)
    raft.trace(
        trace.AppendRejected(
            raft.current_term, message.sender, message.prev_log_index, conflict_term, conflict_index
        )
    )
    raft.send(
        AppendEntriesResponse(
            raft.node_id,
            message.sender,
            raft.current_term,
            False,
            prev_log_index=message.prev_log_index,
            conflict_term=conflict_term,
            conflict_index=conflict_index,
            book=message.book,
        )
    )


def on_heartbeat(raft: Raft, message: Heartbeat) -> None:
    raft.follow(message.sender)
    raft.commit_heard = max(raft.commit_heard, message.leader_commit)
    if lacks_what_it_acknowledged(raft, message):
        return
    # The leader never states more than it knows we hold, so this is verified (PITFALLS 12).
    commit = min(message.leader_commit, raft.log.last_index)
    if commit > raft.log.commit_index:
        raft.log.commit_to(commit)
    term, read_round, book = raft.current_term, message.read_round, message.book
    sent_us = message.sent_us if raft.options.lease_us else 0
    to, behind, full = message.sender, is_behind(raft), raft.disk_full
    raft.send(HeartbeatResponse(raft.node_id, to, term, read_round, book, sent_us, behind, full))


def on_read_index_response(raft: Raft, message: ReadIndexResponse) -> None:
    if raft.forwarded_reads.pop(message.context, None) is not None:
        raft.read_states.append(ReadState(message.context, message.read_index))


def ask_leader(raft: Raft, context: int) -> None:
    """From which index on a read is fresh."""
    if raft.leader_id is None:
        raft.read_states.append(ReadState(context, None))
        return
    raft.forwarded_reads[context] = 0
    raft.send(ReadIndex(raft.node_id, raft.leader_id, raft.current_term, context))


def expire_reads(raft: Raft) -> None:
    """The request or its answer was lost on the way: the asker tries again."""
    for context in list(raft.forwarded_reads):
        raft.forwarded_reads[context] += 1
        if raft.forwarded_reads[context] > raft.options.election_ticks_max:
            del raft.forwarded_reads[context]
            raft.read_states.append(ReadState(context, None))


def answer_stale(raft: Raft, message: Message) -> None:
    """Tell the sender of an outdated request our term, so that a leader or candidate of the
    past steps down even where pre-vote keeps us from ever disturbing it (PITFALLS 17, 21)."""
    if isinstance(message, AppendEntries | Heartbeat | InstallSnapshot):
        prev = message.prev_log_index if isinstance(message, AppendEntries) else LogIndex(0)
        raft.send(
            AppendEntriesResponse(
                raft.node_id,
                message.sender,
                raft.current_term,
                False,
                prev_log_index=prev,
                conflict_index=LogIndex(raft.log.last_index + 1),
            )
        )
    elif isinstance(message, RequestVote):
        raft.send_after_append(RequestVoteResponse(raft.node_id, message.sender, raft.current_term, False))
