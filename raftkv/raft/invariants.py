"""Every invariant of the protocol in one place.

``check_basic`` looks at one node now, ``check_delta`` at one node against its previous view,
``check_cluster`` at all nodes together (Figure 3 of the paper). Each returns the violations it
found as lines, so that a simulation can print all of them; an empty list is a clean bill.
"""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from raftkv.raft.core import Raft
from raftkv.raft.messages import Entry
from raftkv.raft.progress import ProgressState
from raftkv.raft.state import Role
from raftkv.raft.status import RaftStatus
from raftkv.types import LogIndex, NodeId, Term

ENTRIES_COMPARED = 8
"""Below the highest match of two logs; every entry was once close to it."""


def check_basic(raft: Raft) -> list[str]:
    """The rules that the modules of the core state for themselves."""
    log = raft.log
    found = []

    def require(holds: bool, rule: str) -> None:
        if not holds:
            found.append(f"{raft.node_id}: {rule}")

    require(
        log.offset_index <= log.persisted_index <= log.handed_index <= log.last_index,
        f"persisted {log.persisted_index} <= handed {log.handed_index} <= last {log.last_index}",
    )
    require(
        log.last_applied <= log.delivered_index <= log.commit_index <= log.last_index,
        f"applied {log.last_applied} <= delivered {log.delivered_index} <= "
        f"commit {log.commit_index} <= last {log.last_index}",
    )
    covered = raft.snapshot.index if raft.snapshot else 0
    require(
        log.offset_index <= covered,
        f"forgotten up to {log.offset_index} <= snapshot {covered}",
    )
    require(log.last_term <= raft.current_term, f"last term {log.last_term} <= term {raft.current_term}")
    require((raft.role is Role.LEADER) == (raft.leadership is not None), "leadership iff leader")
    require(
        (raft.role in (Role.PRE_CANDIDATE, Role.CANDIDATE)) == (raft.candidacy is not None),
        "candidacy iff candidate",
    )
    require((raft.role is Role.LEADER) == (raft.leader_id == raft.node_id), "leader_id is self iff leader")
    if raft.role in (Role.LEADER, Role.CANDIDATE):
        require(raft.voted_for == raft.node_id, "a candidate and a leader voted for themselves")
    if raft.leadership:
        for peer, progress in raft.leadership.progress.items():
            require(progress.match_index < progress.next_index, f"{peer}: match < next")
            require(progress.match_index <= log.last_index, f"{peer}: match <= last")
            require(
                progress.state is ProgressState.REPLICATE or not progress.inflights,
                f"{peer}: no inflights but while replicating",
            )
            require(
                (progress.state is ProgressState.SNAPSHOT) == (progress.stream is not None),
                f"{peer}: a stream iff it is sent a snapshot",
            )
    return found


def check_delta(before: RaftStatus, after: RaftStatus) -> list[str]:
    """What may never go back within one life of a node."""
    name = after.node_id
    found = []
    if after.current_term < before.current_term:
        found.append(f"{name}: term fell from {before.current_term} to {after.current_term}")
    if (
        after.current_term == before.current_term
        and before.voted_for is not None
        and after.voted_for != before.voted_for
    ):
        found.append(f"{name}: vote moved from {before.voted_for} to {after.voted_for} in one term")
    if after.commit_index < before.commit_index:
        found.append(f"{name}: commit fell from {before.commit_index} to {after.commit_index}")
    if after.last_applied < before.last_applied:
        found.append(f"{name}: applied fell from {before.last_applied} to {after.last_applied}")
    leads_on = before.role is after.role is Role.LEADER and before.current_term == after.current_term
    if leads_on and after.last_index < before.last_index:
        found.append(f"{name}: a leader's log shrank from {before.last_index} to {after.last_index}")
    return found


class ClusterHistory:
    """What was ever true of any node, to hold the present against.

    Cheap enough to run after every step: it looks at what is new, and relies on its own earlier
    findings for the rest (log matching lets one entry vouch for all before it).
    """

    def __init__(self) -> None:
        self.leaders: dict[Term, NodeId] = {}
        self.committed: list[Entry] = []
        """Every entry any node has committed, from index 1."""
        self._committed_in: list[Term] = []
        """The term of whoever was first seen to have committed it: not lower than the one that counts."""
        self._checked: WeakKeyDictionary[Raft, LogIndex] = WeakKeyDictionary()
        """How far each core's commits were compared."""

    def check_cluster(self, nodes: Iterable[Raft]) -> list[str]:
        """Election safety, log matching, leader completeness, state machine safety (Figure 3)."""
        alive = list(nodes)
        found: list[str] = []
        for raft in alive:
            found += self._check_committed(raft)
        for position, raft in enumerate(alive):
            for other in alive[position + 1 :]:
                found += _check_log_matching(raft, other)
            if raft.role is Role.LEADER:
                found += self._check_leader(raft)
        return found

    def check_node(self, raft: Raft, alive: Iterable[Raft]) -> list[str]:
        """The same, when ``raft`` is the only one that has changed since the last look."""
        found = self._check_committed(raft)
        for other in alive:
            if other is not raft:
                found += _check_log_matching(raft, other)
        if raft.role is Role.LEADER:
            found += self._check_leader(raft)
        return found

    def _check_committed(self, raft: Raft) -> list[str]:
        """No two nodes ever commit different entries at one index."""
        found = []
        log = raft.log
        first = max(log.first_index, self._checked.get(raft, 0) + 1)
        for entry in log.slice(LogIndex(first), log.commit_index) if first <= log.commit_index else ():
            if entry.index == len(self.committed) + 1:
                self.committed.append(entry)
                self._committed_in.append(raft.current_term)
            elif self.committed[entry.index - 1] != entry:
                found.append(f"{raft.node_id}: committed another entry at {entry.index}")
        self._checked[raft] = log.commit_index
        return found

    def _check_leader(self, leader: Raft) -> list[str]:
        """One leader a term, and it holds everything that was committed in earlier terms. That an entry
        *is* of an earlier term says nothing: a later leader may have committed it (Figure 8)."""
        known = self.leaders.setdefault(leader.current_term, leader.node_id)
        if known != leader.node_id:
            return [f"two leaders in term {leader.current_term}: {known} and {leader.node_id}"]
        for entry, term in zip(reversed(self.committed), reversed(self._committed_in), strict=True):
            if term < leader.current_term:
                if entry.index > leader.log.offset_index and not leader.log.matches(entry.index, entry.term):
                    where = f"leader {leader.node_id} of term {leader.current_term}"
                    return [f"{where} lacks committed {entry.index}"]
                break
        return []


def _check_log_matching(left: Raft, right: Raft) -> list[str]:
    """Same index and term: same entry, and the same before it (§5.3)."""
    index = min(left.log.last_index, right.log.last_index)
    first = max(left.log.first_index, right.log.first_index)
    while index >= first and left.log.term_at(index) != right.log.term_at(index):
        index = LogIndex(index - 1)
    for below in range(index, max(first, index - ENTRIES_COMPARED) - 1, -1):
        mine = left.log.entries[below - left.log.first_index]
        theirs = right.log.entries[below - right.log.first_index]
        if mine != theirs:
            return [f"{left.node_id} and {right.node_id} match at {index} but differ at {below}"]
    return []
