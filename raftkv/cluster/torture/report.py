"""What came of a torture."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from raftkv.errors import counted
from raftkv.history import Verdict, to_json_line

RECIPES = ("lock", "writer", "reader", "office", "counter", "queue", "barrier", "async", "command")
OPERATIONS_MIN_A_SECOND = 20
"""Successful ones, on average; below it the cluster was mostly down and little was tested."""


@dataclass(slots=True)
class Report:
    seed: int
    nodes: int
    seconds: float
    operations: Counter[str]
    """By result: ok, fail, unknown."""
    writes: int
    longest_gap: float
    """Seconds without a successful write."""
    faults: dict[str, int]
    """Of every kind that was chosen, how often it happened."""
    terms: int
    """Elections that raised the term."""
    snapshots_seen: int
    """Different ones, over all nodes."""
    digests_compared: int
    """How often a node was seen at an applied index at which another one had been seen."""
    events_watched: int = 0
    turns: dict[str, int] = field(default_factory=dict)
    """With recipes, that came to a good end."""
    problems: list[str] = field(default_factory=list)
    """What is wrong besides the history: a difference of state, a node that stays down."""
    verdict: Verdict | None = None

    @property
    def void(self) -> list[str]:
        """Why this run proves nothing."""
        missing = [kind for kind, count in self.faults.items() if not count]
        reasons = [f"of the faults {', '.join(missing)} never happened"] if missing else []
        least = int(self.seconds * OPERATIONS_MIN_A_SECOND)
        if self.operations["ok"] < least:
            reasons.append(f"only {self.operations['ok']:,} operations succeeded, not {least:,}")
        if not self.snapshots_seen:
            reasons.append("no node ever took a snapshot")
        if not self.digests_compared:
            reasons.append("no two nodes were ever seen at one applied index")
        if not self.events_watched:
            reasons.append("nothing was watched")
        idle = [recipe for recipe in RECIPES if not self.turns.get(recipe)]
        return [*reasons, f"nobody had a turn with: {', '.join(idle)}"] if idle else reasons

    @property
    def held(self) -> bool:
        return not self.problems and self.verdict is not None and self.verdict.outcome.holds

    def to_dict(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "nodes": self.nodes,
            "seconds": round(self.seconds, 2),
            "operations": {result: self.operations[result] for result in ("ok", "fail", "unknown")},
            "writes": self.writes,
            "longest_seconds_without_write": round(self.longest_gap, 3),
            "faults": self.faults,
            "elections": self.terms,
            "snapshots_seen": self.snapshots_seen,
            "digests_compared": self.digests_compared,
            "events_watched": self.events_watched,
            "turns": self.turns,
            "problems": self.problems,
            "void": self.void,
            "verdict": self.verdict.document() if self.verdict else None,
        }

    def lines(self) -> list[str]:
        counts = self.operations
        faults = ", ".join(f"{kind} {count}" for kind, count in self.faults.items())
        lines = [
            f"{self.seconds:.0f} s on {counted(self.nodes, 'node')}, seed {self.seed}",
            f"operations: {counts['ok']:,} ok, {counts['fail']:,} failed, {counts['unknown']:,} unknown",
            f"faults: {faults}",
            f"elections: {self.terms}; longest time without a successful write: {self.longest_gap:.2f} s",
            f"states compared at equal applied index: {self.digests_compared:,}",
            f"snapshots seen: {self.snapshots_seen:,}",
            f"changes watched: {self.events_watched:,}",
            "turns with recipes: " + ", ".join(f"{recipe} {count:,}" for recipe, count in self.turns.items()),
            *(f"problem: {problem}" for problem in self.problems),
        ]
        if self.verdict:
            lines.append(self.verdict.describe())
            if self.verdict.key is not None:
                lines += [self.verdict.reason, *map(to_json_line, self.verdict.witness)]
        return lines
