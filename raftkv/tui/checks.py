"""What must hold in any Raft cluster, checked from outside: from what its nodes publish.

Invariants (Figure 3 of the paper), each checked at every snapshot that comes in:

1. Election safety: no two nodes lead in one term.
2. Terms never fall: a node forgets neither its term nor, through it, its vote.
3. Commits never fall within one life of a node, and are never ahead of its log.
4. Leader completeness: whoever leads a later term has every entry known to be committed.
5. State machine safety: nodes that have applied equally much have equal digests.

A finding stays for good. What nobody published goes unseen: the simulator checks every step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from raftkv.observe import NodeSnapshot

LEADERS_MAX = 32
"""Terms whose leader and whose commits are remembered: a deposed one speaks up again within a few."""
DIGESTS_MAX = 128
"""Applied indexes whose digest is remembered: a few seconds of all nodes under load."""
FINDINGS_MAX = 10

INVARIANTS = (
    ("election safety", "no two nodes lead in one term", "§5.2"),
    ("terms never fall", "no node forgets its term, nor its vote", "§5.1"),
    ("commits never fall", "nor are they ahead of the log", "§5.3"),
    ("leader completeness", "a leader has all that is committed", "§5.4"),
    ("state machine safety", "equally much applied, equal digests", "§5.4.3"),
)
"""(name, what it says, section of the paper)"""
ELECTION, TERMS, COMMITS, COMPLETENESS, STATES = range(len(INVARIANTS))


@dataclass(frozen=True, slots=True)
class Finding:
    invariant: int
    time: float
    text: str


@dataclass(frozen=True, slots=True)
class Life:
    """What one node may never go back behind."""

    name: str
    incarnation: str
    boot: int
    term: int
    commit_index: int


@dataclass(frozen=True, slots=True)
class Checks:
    cluster: str = ""
    """Whose promise it is: one that was deleted and founded anew is another."""
    counts: tuple[int, ...] = (0,) * len(INVARIANTS)
    """How often each invariant could be checked."""
    findings: tuple[Finding, ...] = ()
    leaders: tuple[tuple[int, str], ...] = ()
    """(term, name)"""
    lives: tuple[Life, ...] = ()
    digests: tuple[tuple[int, str, str], ...] = ()
    """(applied index, digest, who said so first)"""
    commits: tuple[tuple[int, int], ...] = ()
    """(term, the highest commit known to anybody in it), by term"""

    @property
    def held(self) -> bool:
        return not self.findings


NONE = Checks()


def after(checks: Checks, snapshot: NodeSnapshot) -> Checks:
    """``checks`` with what ``snapshot`` proves, or refutes."""
    if checks.cluster != snapshot.cluster:
        checks = Checks(snapshot.cluster)
    checks = _elections(checks, snapshot)
    checks = _life(checks, snapshot)
    checks = _completeness(checks, snapshot)
    return _states(checks, snapshot)


def noted(checks: Checks, finding: Finding) -> Checks:
    """``checks`` with what was found elsewhere, once."""
    known = any((each.invariant, each.time) == (finding.invariant, finding.time) for each in checks.findings)
    if known or len(checks.findings) >= FINDINGS_MAX:
        return checks
    return replace(checks, findings=(*checks.findings, finding))


def _checked(checks: Checks, invariant: int, snapshot: NodeSnapshot, problem: str | None) -> Checks:
    counts = list(checks.counts)
    counts[invariant] += 1
    checks = replace(checks, counts=tuple(counts))
    return noted(checks, Finding(invariant, snapshot.time, problem)) if problem else checks


def _elections(checks: Checks, snapshot: NodeSnapshot) -> Checks:
    if not snapshot.leads:
        return checks
    known = dict(checks.leaders).get(snapshot.term)
    problem = f"{known} and {snapshot.name} both lead term {snapshot.term}"
    checks = _checked(checks, ELECTION, snapshot, problem if known not in (None, snapshot.name) else None)
    if known is None:
        leaders = (*checks.leaders, (int(snapshot.term), str(snapshot.name)))[-LEADERS_MAX:]
        checks = replace(checks, leaders=leaders)
    return checks


def _life(checks: Checks, snapshot: NodeSnapshot) -> Checks:
    """A folder that was wiped is another node, which may begin anew; a process that was killed is not,
    but may take a while to learn again what is committed."""
    name = str(snapshot.name)
    before = next((life for life in checks.lives if life.name == name), None)
    now = Life(name, snapshot.incarnation, snapshot.boot, snapshot.term, snapshot.commit_index)
    lives = (*(life for life in checks.lives if life.name != name), now)
    checks = replace(checks, lives=lives)
    ahead = snapshot.commit_index > snapshot.last_index
    fault = f"{name} counts {snapshot.commit_index} committed, of {snapshot.last_index} entries"
    if before is None or before.incarnation != now.incarnation:
        return _checked(checks, COMMITS, snapshot, fault if ahead else None)
    fell = f"{name} went back from term {before.term} to {now.term}"
    checks = _checked(checks, TERMS, snapshot, fell if now.term < before.term else None)
    if before.boot == now.boot and now.commit_index < before.commit_index:
        ahead, fault = True, f"{name} went back from commit {before.commit_index} to {now.commit_index}"
    return _checked(checks, COMMITS, snapshot, fault if ahead else None)


def _completeness(checks: Checks, snapshot: NodeSnapshot) -> Checks:
    """Of earlier terms only: a deposed leader may well lack what its successor has committed."""
    known = dict(checks.commits)
    earlier = max((index for term, index in known.items() if term < snapshot.term), default=0)
    if snapshot.leads and earlier:
        problem = f"{snapshot.name} leads term {snapshot.term} without entry {earlier}"
        lacks = snapshot.last_index < earlier
        checks = _checked(checks, COMPLETENESS, snapshot, problem if lacks else None)
    if snapshot.commit_index > known.get(snapshot.term, 0):
        known[snapshot.term] = snapshot.commit_index
        commits = tuple(sorted((int(term), int(index)) for term, index in known.items()))
        return replace(checks, commits=commits[-LEADERS_MAX:])
    return checks


def _states(checks: Checks, snapshot: NodeSnapshot) -> Checks:
    index, digest, name = int(snapshot.applied_index), snapshot.state_digest, str(snapshot.name)
    known = next((found for found in checks.digests if found[0] == index), None)
    if known is None:
        return replace(checks, digests=(*checks.digests, (index, digest, name))[-DIGESTS_MAX:])
    if known[2] == name and known[1] == digest:
        return checks
    problem = f"{known[2]} and {name} differ at entry {index}: {known[1]} and {digest}"
    return _checked(checks, STATES, snapshot, problem if known[1] != digest else None)
