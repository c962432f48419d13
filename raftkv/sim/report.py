"""What many seeds found, added up; and how a failing one is run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from raftkv.sim.run import Outcome
from raftkv.sim.swarm import Fault
from raftkv.sim.tenants import TENANCY
from raftkv.sim.world import SNAPSHOTS_INSTALLED, SNAPSHOTS_TAKEN

KINDS = ("get", "put", "cas", "delete")
SHARE_OK_MIN = 0.1
"""Below this share of successful requests, over all seeds, nothing was really tested."""


@dataclass(slots=True)
class Summary:
    """Outcomes, added up as they come in."""

    wanted: Collection[Fault] = tuple(Fault)
    """Kinds that must have happened at least once for the whole to mean anything."""
    all_kinds: bool = False
    """Whether every kind of request must have been answered as well."""
    seeds: int = 0
    virtual_seconds: float = 0.0
    steps: int = 0
    committed: int = 0
    elections: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    """Those that were ok, by kind."""
    faults: Counter[str] = field(default_factory=Counter)
    tenancy: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.virtual_seconds += outcome.virtual_seconds
        self.steps += outcome.steps
        self.committed += outcome.committed
        self.elections += outcome.elections
        self.operations += outcome.operations
        self.answered += outcome.answered
        self.faults += outcome.faults
        self.tenancy += outcome.tenancy
        if outcome.violation:
            self.failed.append(outcome)

    def void(self) -> list[str]:
        """Why a run in which nothing failed proves nothing; one seed alone has a few kinds only."""
        reasons = [f"fault {fault} never happened" for fault in self.wanted if not self.faults[fault]]
        done = self.operations.total()
        if self.operations["ok"] < SHARE_OK_MIN * done or not done:
            reasons.append(f"only {self.operations['ok']} of {done} requests succeeded")
        if self.all_kinds:
            reasons += [f"no {kind} was ever answered" for kind in KINDS if not self.answered[kind]]
            reasons += [f"no {kind}" for kind in TENANCY if not self.tenancy[kind]]
            reasons += [
                f"no {kind}" for kind in (SNAPSHOTS_TAKEN, SNAPSHOTS_INSTALLED) if not self.faults[kind]
            ]
        return reasons

    def to_dict(self) -> dict[str, Any]:
        return {
            "seeds": self.seeds,
            "virtual_seconds": round(self.virtual_seconds, 3),
            "steps": self.steps,
            "committed": self.committed,
            "elections": self.elections,
            "operations": {result: self.operations[result] for result in ("ok", "fail", "unknown")},
            "faults": dict(sorted(self.faults.items())),
            "tenancy": {kind: self.tenancy[kind] for kind in TENANCY},
        }


def fingerprint(digest: str, python: str, version: str) -> str:
    """What ``--expect`` takes: a trace's digest and what it was recorded with."""
    return f"{digest}@python-{python},raftkv-{version}"


def explain_difference(expected: str, found: str) -> str:
    """One line on why a replay did not come out as recorded."""
    _, _, recorded_with = expected.partition("@")
    _, _, runs_with = found.partition("@")
    if recorded_with == runs_with:
        return (
            f"the trace is not the one expected ({found}, not {expected}): the code has changed since it "
            "was recorded, or the seed was recorded with other options"
        )
    return (
        f"the trace is not the one expected: it was recorded with {recorded_with or 'something unknown'} "
        f"and this is {runs_with}; replay it with the version that recorded it"
    )
