"""How a core stands: a frozen view for dashboards and the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raftkv.raft.configuration import Configuration
from raftkv.raft.state import Role
from raftkv.types import LogIndex, NodeId, Term

if TYPE_CHECKING:
    from raftkv.raft.core import Raft


@dataclass(frozen=True, slots=True)
class PeerStatus:
    name: NodeId
    state: str
    match_index: LogIndex
    next_index: LogIndex
    inflights: int
    active: bool


@dataclass(frozen=True, slots=True)
class RaftStatus:
    """See the module."""

    node_id: NodeId
    configuration: Configuration
    configuration_index: LogIndex
    """Of its entry; 0 for the founding one."""
    role: Role
    current_term: Term
    voted_for: NodeId | None
    leader_id: NodeId | None
    votes: int
    first_index: LogIndex
    last_index: LogIndex
    last_term: Term
    snapshot_index: LogIndex
    """0: there is none."""
    persisted_index: LogIndex
    commit_index: LogIndex
    last_applied: LogIndex
    election_elapsed: int
    election_timeout: int
    disk_stalled: bool
    transferee: NodeId | None
    """Whom this leader is handing over to."""
    peers: tuple[PeerStatus, ...]


def status_of(raft: Raft) -> RaftStatus:
    peers: tuple[PeerStatus, ...] = ()
    if raft.leadership:
        peers = tuple(
            PeerStatus(
                name,
                progress.state.value,
                progress.match_index,
                progress.next_index,
                len(progress.inflights),
                progress.alive,
            )
            for name, progress in raft.leadership.progress.items()
        )
    votes = sum(raft.candidacy.votes.values()) if raft.candidacy else 0
    log = raft.log
    return RaftStatus(
        raft.node_id,
        raft.configuration,
        log.configurations.latest_index,
        raft.role,
        raft.current_term,
        raft.voted_for,
        raft.leader_id,
        votes,
        log.first_index,
        log.last_index,
        log.last_term,
        raft.snapshots.covered_index,
        log.persisted_index,
        log.commit_index,
        log.last_applied,
        raft.election_elapsed,
        raft.election_timeout,
        raft.disk_stalled,
        raft.leadership.succession.transferee if raft.leadership else None,
        peers,
    )
