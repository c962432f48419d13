"""Which part of a node a message of its own term is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from raftkv.raft import election, follower
from raftkv.raft.leader import Leadership
from raftkv.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    InstallSnapshotResponse,
    Message,
    PreVoteResponse,
    ReadIndex,
    ReadIndexResponse,
    RequestVote,
    RequestVoteResponse,
    TimeoutNow,
)

if TYPE_CHECKING:
    from raftkv.raft.core import Raft


def handle(raft: Raft, message: Message) -> None:
    _HANDLERS[type(message)](raft, message)


def _to_follower(inner: Callable[[Raft, Message], None]) -> Callable[[Raft, Message], None]:
    """A leader never hears of another one in its own term; if it does, it stands its ground. One that is
    doubted speaks to nobody."""
    return lambda raft, message: (
        None if raft.leadership or raft.doubt.term == raft.current_term else inner(raft, message)
    )


def _to_leader(inner: Callable[[Leadership, Message], None]) -> Callable[[Raft, Message], None]:
    """Answers to a leadership that has ended meanwhile mean nothing."""
    return lambda raft, message: inner(raft.leadership, message) if raft.leadership else None


def _receive(raft: Raft, message: InstallSnapshot) -> None:
    raft.snapshots.on_install_snapshot(message)


# The handlers take their own message class; the table is keyed by it, which no type can say.
_HANDLERS: dict[type[Message], Callable[[Raft, Message], None]] = {
    PreVoteResponse: election.on_pre_vote_response,  # type: ignore[dict-item]
    RequestVote: election.on_request_vote,  # type: ignore[dict-item]
    RequestVoteResponse: election.on_request_vote_response,  # type: ignore[dict-item]
    AppendEntries: _to_follower(follower.on_append_entries),  # type: ignore[arg-type]
    Heartbeat: _to_follower(follower.on_heartbeat),  # type: ignore[arg-type]
    TimeoutNow: _to_follower(election.on_timeout_now),  # type: ignore[arg-type]
    InstallSnapshot: _to_follower(_receive),  # type: ignore[arg-type]
    ReadIndexResponse: follower.on_read_index_response,  # type: ignore[dict-item]
    AppendEntriesResponse: _to_leader(Leadership.on_append_response),  # type: ignore[arg-type]
    HeartbeatResponse: _to_leader(Leadership.on_heartbeat_response),  # type: ignore[arg-type]
    InstallSnapshotResponse: _to_leader(Leadership.on_snapshot_response),  # type: ignore[arg-type]
    ReadIndex: _to_leader(Leadership.on_read_index),  # type: ignore[arg-type]
}
