"""Every invariant of the protocol in one place.

``check_basic`` looks at one node now, ``check_delta`` at one node against its previous view,
``check_cluster`` at all nodes together (Figure 3 of the paper). Each returns the violations it
found as lines, so that a simulation can print all of them; an empty list is a clean bill.
"""

from __future__ import annotations

from collections.abc import Iterable

from raftkv.raft.core import Raft
from raftkv.raft.messages import Entry
from raftkv.raft.progress import ProgressState
from raftkv.raft.state import RaftStatus, Role
from raftkv.types import LogIndex, NodeId, Term


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
                f"{peer}: no inflights while probing",
            )
    return found


def check_delta(before: RaftStatus, after: RaftStatus, restarted: bool = False) -> list[str]:
    """What may never go back; ``restarted`` allows for what lives in memory only."""
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
    if not restarted:
        if after.commit_index < before.commit_index:
            found.append(f"{name}: commit fell from {before.commit_index} to {after.commit_index}")
        if after.last_applied < before.last_applied:
            found.append(f"{name}: applied fell from {before.last_applied} to {after.last_applied}")
        leads_on = before.role is after.role is Role.LEADER and before.current_term == after.current_term
        if leads_on and after.last_index < before.last_index:
            found.append(f"{name}: a leader's log shrank from {before.last_index} to {after.last_index}")
    return found


class ClusterHistory:
    """What was ever true of any node, to hold the present against."""

    def __init__(self) -> None:
        self.leaders: dict[Term, NodeId] = {}
        self.committed: dict[LogIndex, Entry] = {}

    def check_cluster(self, nodes: Iterable[Raft]) -> list[str]:
        """Election safety, log matching, leader completeness, state machine safety (Figure 3)."""
        alive = list(nodes)
        found: list[str] = []
        for raft in alive:
            if raft.role is Role.LEADER:
                known = self.leaders.setdefault(raft.current_term, raft.node_id)
                if known != raft.node_id:
                    found.append(f"two leaders in term {raft.current_term}: {known} and {raft.node_id}")
            found += self._check_committed(raft)
        for position, raft in enumerate(alive):
            for other in alive[position + 1 :]:
                found += _check_log_matching(raft, other)
        for raft in alive:
            if raft.role is Role.LEADER:
                found += self._check_leader_completeness(raft)
        return found

    def _check_committed(self, raft: Raft) -> list[str]:
        """No two nodes ever commit different entries at one index."""
        found = []
        log = raft.log
        first = max(log.first_index, 1)
        for entry in log.slice(LogIndex(first), log.commit_index) if log.commit_index >= first else ():
            known = self.committed.setdefault(entry.index, entry)
            if known.term != entry.term or known.data != entry.data:
                found.append(f"{raft.node_id}: committed another entry at {entry.index}")
        return found

    def _check_leader_completeness(self, leader: Raft) -> list[str]:
        """A leader holds everything that was committed in earlier terms."""
        for index, entry in self.committed.items():
            if entry.term >= leader.current_term or index <= leader.log.offset_index:
                continue
            if not leader.log.matches(index, entry.term):
                return [f"leader {leader.node_id} of term {leader.current_term} lacks committed {index}"]
        return []


def _check_log_matching(left: Raft, right: Raft) -> list[str]:
    """Same index and term: same entry, and the same everywhere before it (§5.3)."""
    last = min(left.log.last_index, right.log.last_index)
    first = max(left.log.first_index, right.log.first_index)
    matched = False
    for index in range(last, first - 1, -1):
        mine = left.log.entries[index - left.log.first_index]
        theirs = right.log.entries[index - right.log.first_index]
        if mine.term == theirs.term:
            matched = True
            if mine.data != theirs.data:
                return [f"{left.node_id} and {right.node_id} differ at {index}, term {mine.term}"]
        elif matched:
            return [f"{left.node_id} and {right.node_id} match above {index} but differ there"]
    return []
