"""What a node's events say of it since its last snapshot: between two of those a whole election may pass, of
which the screen is to show every step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from raftkv.observe import Event, NodeSnapshot
from raftkv.types import NodeId, Term

CAMPAIGNS = ("candidate", "pre_candidate")
LEARNER = "learner"


def updated(snapshot: NodeSnapshot, event: Event) -> NodeSnapshot:
    """As the event leaves it. Another version's fields say nothing; the next snapshot says everything."""
    fields = event.fields
    term = fields.get("term")
    if event.time <= snapshot.time or type(term) is not int or term < snapshot.term:
        return snapshot
    match event.kind:
        case "RoleChanged" if type(fields.get("role")) is str:
            return _in_role(_in_term(snapshot, term), fields["role"])
        case "LeaderChanged":
            return replace(_in_term(snapshot, term), leader=_name(fields.get("leader_id")))
        case "VoteAnswered" if fields.get("granted") is True and not fields.get("pre"):
            return replace(_in_term(snapshot, term), voted_for=_name(fields.get("candidate")))
        case "VoteReceived" if snapshot.role in CAMPAIGNS and type(fields.get("votes")) is int:
            return replace(snapshot, votes=fields["votes"])  # a pre-vote is of a term that is not there yet
    return snapshot


def _in_term(snapshot: NodeSnapshot, term: int) -> NodeSnapshot:
    return replace(snapshot, term=Term(term), voted_for=None) if term > snapshot.term else snapshot


def _in_role(snapshot: NodeSnapshot, role: str) -> NodeSnapshot:
    if role in CAMPAIGNS:
        voted_for = snapshot.name if role == "candidate" else snapshot.voted_for
        return replace(snapshot, role=role, leader=None, votes=1, voted_for=voted_for)
    if role == "leader":
        return replace(snapshot, role=role, leader=snapshot.name)
    return replace(snapshot, role=LEARNER if snapshot.role == LEARNER else role)


def _name(value: Any) -> NodeId | None:
    return NodeId(value) if type(value) is str else None
