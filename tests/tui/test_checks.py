"""What is checked from outside: every invariant broken once by hand, sequences that only look broken, real
nodes under faults, and real nodes with a bug."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import reduce as fold
from typing import Any

import pytest

from raftkv.observe import NodeSnapshot
from raftkv.sim.theatre import Theatre
from raftkv.sim.twin import Violation
from raftkv.sim.watch import Watcher
from raftkv.tui import checks
from raftkv.tui.checks import (
    COMMITS,
    COMPLETENESS,
    ELECTION,
    FINDINGS_MAX,
    INVARIANTS,
    NONE,
    STATES,
    TERMS,
    Checks,
    Finding,
    after,
    noted,
)
from raftkv.tui.model import RosterChanged, initial, reduce_all
from tests.mutants.mutants import BY_NAME
from tests.tui import fakes


def told(name: str, **changes: Any) -> NodeSnapshot:
    """``last`` and ``commit`` for short; a digest that follows from what is applied."""
    last = changes.pop("last", 50)
    commit = changes.pop("commit", min(last, 40))
    applied = changes.setdefault("applied_index", commit)
    changes.setdefault("state_digest", f"d{applied}")
    return fakes.snapshot(name, last_index=last, commit_index=commit, **changes)


def leads(name: str, term: int, **changes: Any) -> NodeSnapshot:
    return told(name, role="leader", term=term, **changes)


def seen(*snapshots: NodeSnapshot) -> Checks:
    return fold(after, snapshots, NONE)


def texts(found: Checks) -> list[str]:
    return [finding.text for finding in found.findings]


def test_a_new_leader_is_checked_though_a_follower_spoke_of_its_term_first() -> None:
    found = seen(
        leads("n1", 3, last=50, commit=40),
        told("n2", term=4, last=50, commit=41),
        leads("n3", 4, last=50, commit=41),
    )
    assert found.counts[COMPLETENESS] == 1
    assert not found.findings
    lacking = seen(
        leads("n1", 3, last=50, commit=40),
        told("n2", term=4, last=50, commit=41),
        leads("n3", 4, last=39, commit=39),
    )
    assert texts(lacking) == ["n3 leads term 4 without entry 40"]


# -- broken


BROKEN: list[tuple[int, list[NodeSnapshot], str]] = [
    (ELECTION, [leads("n1", 7), leads("n2", 7)], "n1 and n2 both lead term 7"),
    (
        ELECTION,
        [leads("n1", 7), leads("n2", 8), told("n1", term=8), leads("n3", 8)],
        "n2 and n3 both lead term 8",
    ),
    (TERMS, [told("n1", term=7), told("n1", term=6)], "n1 went back from term 7 to 6"),
    (TERMS, [told("n1", term=7, boot=1), told("n1", term=6, boot=2)], "n1 went back from term 7 to 6"),
    (COMMITS, [told("n1", commit=40), told("n1", commit=39)], "n1 went back from commit 40 to 39"),
    (COMMITS, [told("n1", last=39, commit=40)], "n1 counts 40 committed, of 39 entries"),
    (
        COMMITS,
        [told("n1", boot=1), told("n1", boot=2, last=39, commit=40)],
        "n1 counts 40 committed, of 39 entries",
    ),
    (
        COMPLETENESS,
        [told("n1", term=7, commit=40), leads("n2", 8, last=39, commit=30)],
        "n2 leads term 8 without entry 40",
    ),
    (
        COMPLETENESS,
        [leads("n1", 7, commit=40), told("n3", term=9, commit=10), leads("n2", 9, last=20, commit=10)],
        "n2 leads term 9 without entry 40",
    ),
    (
        STATES,
        [told("n1", state_digest="aa"), told("n2", state_digest="bb")],
        "n1 and n2 differ at entry 40: aa and bb",
    ),
    (
        STATES,
        [told("n1", state_digest="aa"), told("n1", state_digest="bb")],
        "n1 and n1 differ at entry 40: aa and bb",
    ),
]


@pytest.mark.parametrize(("invariant", "snapshots", "text"), BROKEN)
def test_what_is_broken_is_found(invariant: int, snapshots: list[NodeSnapshot], text: str) -> None:
    before, found = seen(*snapshots[:-1]), seen(*snapshots)
    assert before.held
    assert not found.held
    [finding] = found.findings
    assert finding == Finding(invariant, snapshots[-1].time, text)
    assert found.counts[invariant] > before.counts[invariant]


def test_every_invariant_is_among_them() -> None:
    assert {invariant for invariant, _, _ in BROKEN} == set(range(len(INVARIANTS)))


def test_a_finding_stays_whatever_comes_later() -> None:
    found = seen(leads("n1", 7), leads("n2", 7), leads("n2", 8), *(told("n1", term=8) for _ in range(50)))
    assert "n1 and n2 both lead term 7" in texts(found)


def test_findings_are_bounded_and_the_first_stay() -> None:
    found = seen(*(told("n1", term=term, time=1000.0 - term) for term in range(50, 0, -1)))
    assert len(found.findings) == FINDINGS_MAX
    assert texts(found)[0] == "n1 went back from term 50 to 49"


def test_what_was_found_elsewhere_is_noted_once() -> None:
    finding = Finding(STATES, 5.0, "n1 and n2 differ")
    once = noted(NONE, finding)
    assert noted(once, finding) == once
    assert len(noted(once, Finding(STATES, 6.0, "n1 and n2 differ")).findings) == 2


# -- sound


def election() -> list[NodeSnapshot]:
    """n1 leads, n2 wins a later term; n1's word that it leads comes late, and again and again."""
    return [
        leads("n1", 7, last=45, commit=40),
        told("n2", term=7, last=45, commit=40),
        told("n2", term=8, role="candidate", last=45, commit=40),
        leads("n2", 8, last=46, commit=40),
        leads("n1", 7, last=49, commit=40),
        leads("n2", 8, last=60, commit=60),
        leads("n1", 7, last=49, commit=40),
        told("n1", term=8, last=40, commit=40),
        told("n1", term=8, last=60, commit=60),
    ]


def restart() -> list[NodeSnapshot]:
    """What is committed is learned again, what is applied is read again, the role begins anew."""
    return [
        told("n1", term=7, commit=40, boot=1),
        told("n2", term=7, commit=40),
        told("n1", term=7, commit=0, applied_index=0, boot=2, state_digest="empty"),
        told("n2", term=7, commit=44),
        told("n1", term=7, commit=20, boot=2),
        told("n1", term=7, commit=44, boot=2),
    ]


def leader_that_restarts() -> list[NodeSnapshot]:
    """It may lead a later term before it knows what is committed: it has the entries all the same."""
    return [
        leads("n1", 7, last=50, commit=48),
        told("n1", term=7, last=50, commit=0, applied_index=0, boot=2, state_digest="empty"),
        leads("n1", 8, last=51, commit=0, applied_index=0, boot=2, state_digest="empty"),
        leads("n1", 8, last=51, commit=51, boot=2),
    ]


def wiped_folder() -> list[NodeSnapshot]:
    """Another node of the same name: it knows no term, and nothing that is committed."""
    return [
        told("n3", term=9, commit=40, incarnation="first"),
        leads("n1", 9, commit=40),
        told("n3", term=0, last=0, commit=0, boot=2, incarnation="second", state_digest="empty"),
        told("n3", term=9, last=50, commit=40, boot=2, incarnation="second"),
    ]


def transfer() -> list[NodeSnapshot]:
    return [
        leads("n1", 7, last=50, commit=50, transferee="n2"),
        told("n2", term=8, role="candidate", last=50, commit=49),
        leads("n1", 7, last=50, commit=50, transferee="n2"),
        leads("n2", 8, last=51, commit=50),
        told("n1", term=8, last=51, commit=50),
    ]


def snapshot_installed() -> list[NodeSnapshot]:
    """Indexes of the log jump, the digest of the state with them."""
    return [
        leads("n1", 7, last=90, commit=90),
        told("n2", term=7, last=20, commit=10),
        told("n2", term=7, last=90, commit=90, first_index=91, snapshot_index=90),
    ]


def truncated() -> list[NodeSnapshot]:
    """What was never committed may go."""
    return [
        leads("n1", 7, last=60, commit=40),
        leads("n2", 8, last=41, commit=40),
        leads("n2", 8, last=41, commit=41),
        told("n1", term=8, last=41, commit=41),
    ]


SOUND: list[Callable[[], list[NodeSnapshot]]] = [
    *(election, restart, leader_that_restarts, wiped_folder, transfer, snapshot_installed, truncated)
]


@pytest.mark.parametrize("story", SOUND, ids=lambda story: story.__name__)
def test_a_sound_story_raises_no_alarm(story: Callable[[], list[NodeSnapshot]]) -> None:
    found = seen(*story())
    assert found.held, texts(found)
    assert sum(found.counts) >= len(story())


@pytest.mark.parametrize("story", SOUND, ids=lambda story: story.__name__)
def test_nor_does_one_of_which_not_everything_was_heard(story: Callable[[], list[NodeSnapshot]]) -> None:
    """Publishers drop what nobody takes in time."""
    snapshots, rng = story(), random.Random(1)
    for _ in range(30):
        assert seen(*(each for each in snapshots if rng.random() < 0.6)).held


def test_what_is_remembered_is_bounded() -> None:
    found = seen(
        *(leads("n1", term, commit=term, last=500 + term, time=float(term)) for term in range(1, 400))
    )
    assert found.held
    assert len(found.leaders) == checks.LEADERS_MAX
    assert len(found.digests) == checks.DIGESTS_MAX
    assert len(found.lives) == 1


# -- real nodes


def watched(seed: int, seconds: float) -> Checks:
    """A simulated run as the dashboard hears it, up to its end or the first finding."""
    theatre = Theatre(seed, nodes=3, seconds=seconds)
    theatre.speed = 10.0
    state = initial(theatre.names())
    for _ in range(20_000):
        theatre.advance(0.05)
        names = tuple(theatre.names())
        if names != state.names:
            state = reduce_all(state, [RosterChanged(names)])
        state = reduce_all(state, theatre.poll())
        if theatre.finished or state.checks.findings:
            return state.checks
    raise AssertionError("never")


@pytest.mark.parametrize("seed", range(6))
def test_real_nodes_under_faults_raise_no_alarm(seed: int) -> None:
    found = watched(seed, 1.5)
    assert found.held, texts(found)
    assert min(found.counts[ELECTION], found.counts[TERMS], found.counts[COMMITS], found.counts[STATES]) > 5


SEEDS_TRIED = 60
"""Short ones; any change anywhere in a node leads a seed elsewhere, so none is named here."""


@pytest.mark.parametrize(
    ("mutant", "invariant"),
    [
        ("leader-adopts-higher-term", ELECTION),
        ("term-not-persisted", TERMS),
        ("no-up-to-date-check", COMPLETENESS),
    ],
)
def test_a_planted_bug_is_found_from_outside(
    mutant: str, invariant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulator would stop at the very step, before anybody could publish what came of it."""
    for name in ("after_turn", "check_frame"):
        monkeypatch.setattr(Watcher, name, silenced(getattr(Watcher, name)))
    with BY_NAME[mutant].plant():
        kinds = (finding.invariant for seed in range(SEEDS_TRIED) for finding in watched(seed, 4.0).findings)
        assert invariant in kinds


def silenced(check: Callable[..., None]) -> Callable[..., None]:
    def look(*arguments: Any, **options: Any) -> None:
        try:
            check(*arguments, **options)
        except Violation:
            return

    return look
