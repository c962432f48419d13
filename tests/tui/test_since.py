"""What a node's events say of it before its next snapshot comes."""

from __future__ import annotations

from typing import Any

import pytest

from raftkv.tui.model import initial, reduce_all
from raftkv.tui.since import updated
from tests.tui.fakes import START, event, snapshot


def told(*events: tuple[str, dict[str, Any]]) -> list[tuple[str, int, str | None, str | None, int]]:
    """After each: role, term, leader, vote and votes of n1, which followed n3 in term 7."""
    found: list[tuple[str, int, str | None, str | None, int]] = []
    state = reduce_all(initial(["n1", "n2", "n3"]), [snapshot("n1", leader="n3", voted_for="n3", votes=0)])
    for number, (kind, fields) in enumerate(events, start=1):
        state = reduce_all(state, [event(number, "n1", kind, START + number / 100, **fields)])
        node = state.node("n1")
        assert node
        view = node.snapshot
        assert view
        found.append((view.role, view.term, view.leader, view.voted_for, view.votes))
    return found


def vote(pre: bool, votes: int, term: int = 8) -> tuple[str, dict[str, Any]]:
    return (
        "VoteReceived",
        {"term": term, "voter": "n2", "granted": True, "pre": pre, "votes": votes, "needed": 2},
    )


def test_every_step_of_an_election_is_seen() -> None:
    assert told(
        ("LeaderChanged", {"term": 7, "leader_id": None}),
        ("RoleChanged", {"term": 7, "role": "pre_candidate", "reason": "election timeout"}),
        vote(True, 2),
        ("RoleChanged", {"term": 8, "role": "candidate", "reason": "pre-vote won"}),
        vote(False, 2),
        ("RoleChanged", {"term": 8, "role": "leader", "reason": "election won"}),
    ) == [
        ("follower", 7, None, "n3", 0),
        ("pre_candidate", 7, None, "n3", 1),
        ("pre_candidate", 7, None, "n3", 2),
        ("candidate", 8, None, "n1", 1),
        ("candidate", 8, None, "n1", 2),
        ("leader", 8, "n1", "n1", 2),
    ]


def test_who_votes_and_who_follows_is_seen() -> None:
    granted = {"term": 8, "candidate": "n2", "granted": True, "pre": False, "reason": "granted"}
    assert told(
        ("VoteAnswered", granted),
        ("VoteAnswered", {**granted, "term": 9, "candidate": "n3", "pre": True}),
        ("VoteAnswered", {**granted, "term": 8, "candidate": "n3", "granted": False}),
        ("LeaderChanged", {"term": 8, "leader_id": "n2"}),
    ) == [("follower", 8, "n3", "n2", 0)] * 3 + [("follower", 8, "n2", "n2", 0)]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("RoleChanged", {"term": 6, "role": "leader"}),
        ("RoleChanged", {"term": "8", "role": "leader"}),
        ("RoleChanged", {"term": 8, "role": 7}),
        ("RoleChanged", {}),
        ("VoteReceived", {"term": 8, "votes": 2}),
        ("VoteReceived", {"term": 8, "votes": "x"}),
        ("Unheard", {"term": 8}),
    ],
)
def test_what_is_old_or_makes_no_sense_changes_nothing(kind: str, fields: dict[str, Any]) -> None:
    view = snapshot("n1")
    assert updated(view, event(1, "n1", kind, START + 1, **fields)) == view


def test_what_came_before_the_snapshot_is_in_it() -> None:
    view = snapshot("n1")
    late = event(1, "n1", "RoleChanged", START - 1, term=8, role="leader")
    assert updated(view, late) == view


def test_a_learner_follows_as_a_learner() -> None:
    view = snapshot("n1", role="learner")
    assert updated(view, event(1, "n1", "RoleChanged", START + 1, term=8, role="follower")).role == "learner"
