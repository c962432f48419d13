"""Whether a node lives, and who leads: worked out from what was last heard and when."""

from __future__ import annotations

from enum import Enum

from raftkv.observe import NodeSnapshot
from raftkv.tui.model import EXITED, PAUSED, NodeState, State

SILENT_SECONDS = 1.5
"""Snapshots come ten times a second; fifteen lost in a row are no accident."""
STARTING_SECONDS = 15.0
"""A process that has just begun is given so long for its first word: there may be a log to read."""


class Health(Enum):
    WAITING = "waiting"  # nothing heard yet
    ALIVE = "alive"
    SILENT = "silent"
    PAUSED = "paused"
    EXITED = "exited"


def health(node: NodeState, now: float) -> Health:
    process, snapshot = node.process, node.snapshot
    if process and process.state == EXITED:
        return Health.EXITED
    if process and process.state == PAUSED:
        return Health.PAUSED
    if _is_new(node) and now - last_word(node, now) <= STARTING_SECONDS:
        return Health.WAITING
    if now - last_word(node, now) > SILENT_SECONDS:
        return Health.SILENT
    return Health.ALIVE if snapshot else Health.WAITING


def _is_new(node: NodeState) -> bool:
    """Its process has said nothing yet: what was last heard is of the one before."""
    process, snapshot = node.process, node.snapshot
    if process is None or process.pid is None:
        return False
    return snapshot is None or (snapshot.pid != process.pid and snapshot.time < process.since)


def last_word(node: NodeState, now: float) -> float:
    """When the node was last heard, or its process last began to run."""
    heard = [node.snapshot.time] if node.snapshot else []
    if node.process:
        heard.append(node.process.since)
    return max(heard, default=now)


def alive(node: NodeState, now: float) -> bool:
    return health(node, now) is Health.ALIVE


def leader(state: State, now: float) -> NodeState | None:
    """The living leader of the highest term: an isolated old one may still believe in itself."""
    leaders = [node for node in state.nodes if claims_to_lead(node) and alive(node, now)]
    return max(leaders, key=lambda node: node.snapshot.term if node.snapshot else 0, default=None)


def claims_to_lead(node: NodeState) -> bool:
    return node.snapshot is not None and node.snapshot.leads


def stale_leader(state: State, node: NodeState, now: float) -> bool:
    """It leads as far as it knows, but cannot be asked, or others know the leader of a later
    term. A candidate's later term alone deposes nobody: it may never win."""
    if node.snapshot is None or not claims_to_lead(node):
        return False
    if not alive(node, now):
        return health(node, now) is not Health.WAITING
    others = (other.snapshot for other in state.nodes if other.snapshot)
    return any(other.term > node.snapshot.term and other.leader for other in others)


def current_term(state: State) -> int:
    return max((node.snapshot.term for node in state.nodes if node.snapshot), default=0)


def voters(state: State, snapshot: NodeSnapshot) -> set[str]:
    """Whose words this node counts; everybody on screen, where it does not say."""
    members = {str(each.name) for each in snapshot.members if each.part in ("voter", "incoming")}
    return members or set(state.names)


def quorum(state: State, snapshot: NodeSnapshot) -> int:
    return len(voters(state, snapshot)) // 2 + 1
