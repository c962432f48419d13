"""Every invariant of the protocol in one place.

``check_basic`` looks at one node now, ``check_delta`` at one node against its previous view,
``check_cluster`` at all nodes together (Figure 3 of the paper). Each returns the violations it
found as lines, so that a simulation can print all of them; an empty list is a clean bill.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from raftkv.raft.core import Raft
from raftkv.raft.log import RaftLog
from raftkv.raft.messages import Entry
from raftkv.raft.progress import Progress, ProgressState
from raftkv.raft.state import Role
from raftkv.types import LogIndex, NodeId, Term

ENTRIES_COMPARED = 8
"""Below the highest match of two logs; every entry was once close to it."""


class View(NamedTuple):
    """What of a node may never go back; a tuple, since a simulation takes one after every step."""

    node_id: NodeId
    role: Role
    current_term: Term
    voted_for: NodeId | None
    commit_index: LogIndex
    last_applied: LogIndex
    last_index: LogIndex


def view_of(raft: Raft) -> View:
    log = raft.log
    return View(
        raft.node_id,
        raft.role,
        raft.current_term,
        raft.voted_for,
        log.commit_index,
        log.last_applied,
        log.last_index,
    )


def check_basic(raft: Raft) -> list[str]:
    """The rules that the modules of the core state for themselves."""
    log, role = raft.log, raft.role
    found = []
    last = log.last_index
    if not log.offset_index <= log.persisted_index <= log.handed_index <= last:
        found.append(f"persisted {log.persisted_index} <= handed {log.handed_index} <= last {last}")
    if not log.last_applied <= log.delivered_index <= log.commit_index <= last:
        found.append(
            f"applied {log.last_applied} <= delivered {log.delivered_index} <= "
            f"commit {log.commit_index} <= last {last}"
        )
    if not _is_in_order(log):
        found.append("entries without gaps, of terms that never fall")
    covered = raft.snapshots.covered_index
    if log.offset_index > covered:
        found.append(f"forgotten up to {log.offset_index} <= snapshot {covered}")
    if log.last_term > raft.current_term:
        found.append(f"last term {log.last_term} <= term {raft.current_term}")
    leads = role is Role.LEADER
    if leads != (raft.leadership is not None):
        found.append("leadership iff leader")
    if (role is Role.PRE_CANDIDATE or role is Role.CANDIDATE) != (raft.candidacy is not None):
        found.append("candidacy iff candidate")
    if leads != (raft.leader_id == raft.node_id):
        found.append("leader_id is self iff leader")
    if (leads or role is Role.CANDIDATE) and raft.voted_for != raft.node_id:
        found.append("a candidate and a leader voted for themselves")
    if raft.leadership:
        for peer, progress in raft.leadership.progress.items():
            found += [f"{peer}: {rule}" for rule in _broken(progress, last)]
    return [f"{raft.node_id}: {rule}" for rule in found]


def _is_in_order(log: RaftLog) -> bool:
    """At the end, where entries come and go."""
    tail = log.entries[-ENTRIES_COMPARED:]
    index, term = log.last_index - len(tail), tail[0].term if tail else 0
    for entry in tail:
        index += 1
        if entry.index != index or entry.term < term:
            return False
        term = entry.term
    return True


def _broken(progress: Progress, last_index: LogIndex) -> list[str]:
    """The rules of a leader's book about one peer that do not hold."""
    found = []
    if progress.match_index >= progress.next_index:
        found.append("match < next")
    if progress.match_index > last_index:
        found.append("match <= last")
    if progress.inflights and progress.state is not ProgressState.REPLICATE:
        found.append("no inflights but while replicating")
    if (progress.state is ProgressState.SNAPSHOT) != (progress.stream is not None):
        found.append("a stream iff it is sent a snapshot")
    return found


def check_delta(before: View, after: View) -> list[str]:
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
        self._before_term: dict[Term, tuple[int, int]] = {}
        """How many of those were looked at for a leader of this term, and the position after the last one
        that is of an earlier term."""
        self._checked: dict[NodeId, tuple[Raft, LogIndex]] = {}
        """How far the commits of each node's core, as it was last seen, were compared."""
        self._matched: dict[NodeId, tuple[Raft, LogIndex, Entry | None]] = {}
        """Where each core's log began and what ended it when it was last compared with all others."""

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
        offset, last = raft.log.offset_index, raft.log.entries[-1] if raft.log.entries else None
        before = self._matched.get(raft.node_id)
        # Most steps leave the log as it was; a log that changed ends with another object.
        if before is None or before[0] is not raft or before[1] != offset or before[2] is not last:
            self._matched[raft.node_id] = (raft, offset, last)
            for other in alive:
                if other is not raft:
                    found += _check_log_matching(raft, other)
        if raft.role is Role.LEADER:
            found += self._check_leader(raft)
        return found

    def _check_committed(self, raft: Raft) -> list[str]:
        """No two nodes ever commit different entries at one index."""
        found: list[str] = []
        log = raft.log
        seen = self._checked.get(raft.node_id)
        checked = seen[1] if seen and seen[0] is raft else 0
        if checked == log.commit_index:
            return found
        first = max(log.first_index, checked + 1)
        for entry in log.slice(LogIndex(first), log.commit_index) if first <= log.commit_index else ():
            if entry.index == len(self.committed) + 1:
                self.committed.append(entry)
                self._committed_in.append(raft.current_term)
            elif self.committed[entry.index - 1] != entry:
                found.append(f"{raft.node_id}: committed another entry at {entry.index}")
        self._checked[raft.node_id] = (raft, log.commit_index)
        return found

    def _check_leader(self, leader: Raft) -> list[str]:
        """One leader a term, and it holds everything that was committed in earlier terms. That an entry
        *is* of an earlier term says nothing: a later leader may have committed it (Figure 8)."""
        known = self.leaders.setdefault(leader.current_term, leader.node_id)
        if known != leader.node_id:
            return [f"two leaders in term {leader.current_term}: {known} and {leader.node_id}"]
        count = self._count_before(leader.current_term)
        if count:
            entry = self.committed[count - 1]
            if entry.index > leader.log.offset_index and not leader.log.matches(entry.index, entry.term):
                where = f"leader {leader.node_id} of term {leader.current_term}"
                return [f"{where} lacks committed {entry.index}"]
        return []

    def _count_before(self, term: Term) -> int:
        """How many were committed up to the last one that was in a term before this one."""
        looked_at, count = self._before_term.get(term, (0, 0))
        if looked_at < len(self._committed_in):
            for position in range(looked_at, len(self._committed_in)):
                if self._committed_in[position] < term:
                    count = position + 1
            self._before_term[term] = (len(self._committed_in), count)
        return count


def _check_log_matching(left: Raft, right: Raft) -> list[str]:
    """Same index and term: same entry, and the same before it (§5.3)."""
    mine, theirs = left.log, right.log
    index = min(mine.last_index, theirs.last_index)
    first = max(mine.first_index, theirs.first_index)
    if _tail(mine, first, index) == _tail(theirs, first, index):
        return []  # the rule: one look at two lists, since a simulation asks after every step
    while index >= first and mine.term_at(index) != theirs.term_at(index):
        index = LogIndex(index - 1)
    for below in range(index, max(first, index - ENTRIES_COMPARED) - 1, -1):
        if mine.entries[below - mine.first_index] != theirs.entries[below - theirs.first_index]:
            return [f"{left.node_id} and {right.node_id} match at {index} but differ at {below}"]
    return []


def _tail(log: RaftLog, first: LogIndex, last: LogIndex) -> list[Entry]:
    """The entries that are compared, of ``first..last``; none where the logs do not overlap."""
    begin = max(first, last - ENTRIES_COMPARED) - log.offset_index - 1
    return log.entries[begin : max(begin, last - log.offset_index)]
