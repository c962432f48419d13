"""Two hundred whole clusters, every one of them broken in its own way."""

from __future__ import annotations

from collections import Counter

import pytest

from raftkv.sim.run import run_seed
from raftkv.sim.swarm import Fault, Profile, draw

BATCH = 10
SEEDS = 200
SECONDS = 2.0
"""Of faults: the rarest of them still strikes seventeen times in all. The command runs ten, and so does
``make soak``, over thousands of seeds."""


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_nothing_is_violated(first: int) -> None:
    succeeded = 0
    for seed in range(first, first + BATCH):
        outcome = run_seed(seed, seconds=SECONDS)
        replay = f"raftkv sim --seed {seed} --seconds {SECONDS:g}"
        assert outcome.violation is None, f"{outcome.violation}\nreplay: {replay}"
        succeeded += outcome.operations["ok"]
    assert succeeded > 40 * BATCH, "hardly anything succeeded, so hardly anything was tested"


def test_the_seeds_above_have_every_fault_and_every_size() -> None:
    profiles = [draw(seed) for seed in range(SEEDS)]
    faults = Counter(fault for profile in profiles for fault in profile.faults)
    assert all(faults[fault] >= SEEDS / 5 for fault in Fault)
    assert {profile.world.nodes for profile in profiles} == {3, 4, 5, 6, 7}


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_happens_when_it_is_asked_for(fault: Fault) -> None:
    outcome = run_seed(1, faults=[fault], seconds=4.0, nodes=5)
    assert outcome.violation is None
    assert outcome.faults[fault] > 0
    assert outcome.profile.faults == (fault,)


def is_roomy(profile: Profile) -> bool:
    """No bound so small that a node has to turn requests away, and time enough to ask again."""
    tuning, limits = profile.world.tuning, profile.world.limits
    assert tuning
    roomy = tuning.reads_waiting_max == 4096 and limits.pending_writes == 16_384
    return roomy and tuning.uncommitted_bytes_max > 2000 and profile.request_timeout == 3.0


def test_without_faults_every_request_succeeds() -> None:
    seed = next(seed for seed in range(1000) if is_roomy(draw(seed, 5, [])))
    outcome = run_seed(seed, faults=[], seconds=3.0, nodes=5)
    assert outcome.operations["ok"] == outcome.operations.total() > 50
    assert outcome.elections == 2, "the first, and the one after the last reader's leader was killed"


@pytest.mark.parametrize("seed", [125, 352, 466, 469, 3230])
def test_seeds_that_accused_the_innocent_hold(seed: int) -> None:
    """Each failed once, by an error of the simulator's own (docs/bugs-found.md)."""
    outcome = run_seed(seed)
    assert outcome.violation is None
