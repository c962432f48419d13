"""How a node stands at one moment, frozen. Ten of these a second and node feed the dashboard;
``raftkv status`` and ``raftkv info`` print them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from raftkv.types import LogIndex, NodeId, Term

LEADER = "leader"
"""A role, by its name in the core."""


@dataclass(frozen=True, slots=True)
class LinkFault:
    """What is done to frames from one node to another. All directed: the way back has its own."""

    block: bool = False
    drop: float = 0.0
    """Probability of losing a frame, 0 to 1."""
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    """Each frame is delayed by ``delay_ms`` and a random share of twice this, less this."""
    duplicate: float = 0.0
    """Probability of sending a frame twice, 0 to 1."""
    reorder: float = 0.0
    """Probability of holding a frame back until later ones have overtaken it, 0 to 1."""


@dataclass(frozen=True, slots=True)
class DiskFault:
    """What is done to a node's writes. ``fail`` ends the node, as a real failed sync would."""

    slow_ms: float = 0.0
    full: bool = False
    fail: bool = False


@dataclass(frozen=True, slots=True)
class LinkSnapshot:
    """The way from this node to ``to``."""

    to: NodeId
    fault: LinkFault | None
    seconds_left: float | None
    """Until the fault ends by itself; None when it does not."""
    frames_sent: int
    frames_dropped: int
    """By a fault, or because the peer is gone or too slow."""


@dataclass(frozen=True, slots=True)
class PeerSnapshot:
    """A leader's book about one peer; followers have none."""

    name: NodeId
    state: str
    match_index: LogIndex
    next_index: LogIndex
    inflights: int
    active: bool


@dataclass(frozen=True, slots=True)
class MemberSnapshot:
    name: NodeId
    part: str
    """voter or learner; incoming or outgoing while a change of voters is under way"""
    incarnation: str
    """Of its data folder; empty until it was first heard."""
    address: tuple[str, ...]
    """Its endpoints for peers, clients, control and status."""


@dataclass(frozen=True, slots=True)
class LogTail:
    """The last entries' terms, for the dashboard's lanes: ``terms[i]`` is at ``first_index + i``."""

    first_index: LogIndex
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class NodeSnapshot:
    cluster: str
    name: NodeId
    boot: int
    """Drawn anew at every start."""
    event_sequence: int
    """The number of the last event before this snapshot."""
    time: float
    """Seconds of the machine's monotonic clock."""
    pid: int
    uptime: float
    role: str
    """leader, follower, candidate, pre_candidate or learner"""
    term: Term
    voted_for: NodeId | None
    votes: int
    """Granted so far to a candidate."""
    leader: NodeId | None
    first_index: LogIndex
    last_index: LogIndex
    persisted_index: LogIndex
    commit_index: LogIndex
    applied_index: LogIndex
    election_elapsed: int
    """Ticks, as is the next."""
    election_timeout: int
    revision: int
    keys: int
    sessions: int
    state_digest: str
    """Of everything applied up to ``applied_index``."""
    log_bytes: int
    client_endpoint: str
    peer_endpoint: str
    writes_total: int
    reads_total: int
    write_ms_p50: float
    write_ms_p99: float
    """From arrival at the gateway to the answer, over the last second."""
    sync_ms_p50: float
    sync_ms_p99: float
    syncs_total: int
    pending_writes: int
    frames_rejected: int
    disk_stalled: bool
    alarms: tuple[str, ...]
    transferee: NodeId | None
    """Whom this leader is handing over to."""
    tail: LogTail
    peers: tuple[PeerSnapshot, ...] = field(default=())
    links: tuple[LinkSnapshot, ...] = field(default=())
    faults: tuple[str, ...] = field(default=())
    """Of its disk and clock, a few words each; those of links stand with the links."""
    snapshot_index: LogIndex = field(default=LogIndex(0))
    """What the node's snapshot stands for; 0 when it has none."""
    incarnation: str = ""
    """Of its data folder."""
    members: tuple[MemberSnapshot, ...] = field(default=())
    """The configuration in effect here."""
    configuration_index: LogIndex = field(default=LogIndex(0))
    """Of its entry; 0 for what ``cluster.toml`` says."""
    configuration_committed: bool = True
    mailboxes: dict[str, int] = field(default_factory=dict)
    """By actor: the most messages that waited for it at once, in the last tenth or two of a second."""

    @property
    def leads(self) -> bool:
        """As far as it knows itself."""
        return self.role == LEADER


def leader_of(views: Iterable[NodeSnapshot | None]) -> NodeSnapshot | None:
    """The leader of the highest term: a node that is cut off may still take itself for one. ``views``: None
    of those that do not answer."""
    return max((view for view in views if view and view.leads), key=lambda view: view.term, default=None)


NO_LEADER = "no leader"


def no_leader(views: Iterable[NodeSnapshot | None]) -> str:
    """What is to be said where none of them leads: one that does may be out of reach of whoever asks, and of
    nobody else."""
    alive = [view for view in views if view]
    newest = max((view.term for view in alive), default=0)
    names = {view.name for view in alive}  # whose own word counts
    followers = [view for view in alive if view.term == newest and view.leader and view.leader not in names]
    missing = sorted({member.name for view in alive for member in view.members} - names)
    if not newest and missing:
        named = ", ".join(missing)
        return f"{NO_LEADER} yet: a new cluster begins once all of its nodes are there; missing {named}"
    if not followers:
        return NO_LEADER
    told_by = ", ".join(sorted(view.name for view in followers))
    return f"{followers[0].leader} does not answer here, and leads term {newest} by the word of {told_by}"


@dataclass(frozen=True, slots=True)
class ProcessSnapshot:
    """A node's process as the launcher sees it: known even when the node itself says nothing."""

    name: NodeId
    state: str
    """running, paused, or exited"""
    pid: int | None
    exit_code: int | None
    """Of an exited process; negative: the signal that ended it."""
    since: float
    """Seconds of the machine's monotonic clock at which this state began."""
    until: float | None = None
    """When, by that clock, the launcher will restart or resume it; None: not by itself."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of a node's log, as it is shown to people."""

    index: LogIndex
    term: Term
    kind: str
    """command, clock, no-op or configuration"""
    text: str
    """What it says in a few words, ``put color=blue``; at most ``ENTRY_TEXT_MAX`` characters."""


ENTRY_TEXT_MAX = 80


class Mended(NamedTuple):
    """What came of healing everything."""

    command: str
    """The command line that does the same."""
    unheard: tuple[str, ...] = ()
    """Nodes that did not answer, and may have faults all the same."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The built-in load, and what the check of its history has found so far."""

    time: float
    """Seconds of the machine's monotonic clock."""
    running: bool
    ok: int
    failed: int
    unknown: int
    checked: int
    """Operations of the finished rounds that were judged."""
    rounds: int
    problem: str | None
    """Why the history of a round is not linearizable; None while every round held."""
    undecided: int
    """Rounds whose check was given up for its length."""
