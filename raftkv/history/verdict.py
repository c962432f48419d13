"""Judges a whole history: each key for itself, within one budget, and says what it found.

Keys are independent, so the history is linearizable if every key is (Herlihy and Wing, "Linearizability",
1990, section 3.2: locality). Keys take turns, with longer turns each round: one hard key must not use up the
budget before a violation on an easy one is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from raftkv.history.budget import Budget, Clock, Spent
from raftkv.history.linearizability import Search
from raftkv.history.operations import Key, Operation, as_document, as_json, show_key
from raftkv.history.problem import Problem, TooConcurrent
from raftkv.history.proofs import disprove, witness
from raftkv.history.reason import explain
from raftkv.history.shrink import OPERATIONS_A_STEP, shrink

TURN_STEPS = 20_000
"""A key's first turn: most keys of most histories need less."""

TURN_GROWTH = 4

REMEMBERED_MAX = 4_000_000
"""Nodes that all searches together may hold: about a gigabyte. Past it the verdict is undecided."""

BUDGET_SPENT = "the budget is spent"
TOO_CONCURRENT = "too many operations of one key are concurrent, memory for them is used up"

SHRINK_SHARE = 0.25
SHRINK_STEPS_MAX = 1_000_000
SHRINK_SECONDS_MAX = 15.0
"""What finding a small witness may take. The verdict stands already."""


class Outcome(StrEnum):
    LINEARIZABLE = "linearizable"
    VIOLATION = "NOT linearizable"
    UNDECIDED = "undecided"

    @property
    def holds(self) -> bool:
        """A check that ran out of budget is no pass."""
        return self is Outcome.LINEARIZABLE


@dataclass(frozen=True, slots=True)
class Verdict:
    """``key``, ``witness`` and ``reason`` belong to a violation: operations of the history, by call, that
    have no linearization, from which follows that the history has none. ``steps`` are nodes searched."""

    outcome: Outcome
    operations: int
    keys: int
    steps: int
    key: Key | None = None
    witness: tuple[Operation, ...] = ()
    reason: str = ""

    def describe(self) -> str:
        """One line."""
        if self.key is not None:
            return f"{self.outcome.value}: key {show_key(self.key)}"
        return f"{self.outcome.value}: {self.reason}" if self.reason else self.outcome.value

    def document(self) -> dict[str, Any]:
        return {
            "verdict": self.outcome.value,
            "operations": self.operations,
            "keys": self.keys,
            "key": None if self.key is None else as_json(self.key),
            "witness": [as_document(operation) for operation in self.witness],
            "reason": self.reason,
            "steps": self.steps,
        }


Judge = Callable[[Budget, Sequence[Operation]], bool]
"""Whether operations of one key are proven not to be linearizable; False when the budget ends first."""

Progress = Callable[[int, int], None]
"""(keys decided, keys in all); called often."""


def check_history(
    operations: Iterable[Operation],
    *,
    budget_seconds: float | None = None,
    clock: Clock | None = None,
    steps_max: int | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """``clock`` gives seconds and is needed for ``budget_seconds`` only. Without either, ``steps_max``
    alone bounds the search, and two runs give the same verdict on any machine that has the memory."""
    budget = Budget(steps=steps_max, seconds=budget_seconds, clock=clock)
    by_key: dict[Key, list[Operation]] = {}
    for operation in operations:
        by_key.setdefault(operation.key, []).append(operation)
    check = _Check(by_key, budget, progress)
    try:
        return check.run()
    except MemoryError:  # of a machine with less than what the bounds allow
        return check.undecided("there is no more memory")
    except Spent:
        return check.undecided(BUDGET_SPENT)


class _Check:
    def __init__(self, by_key: dict[Key, list[Operation]], budget: Budget, progress: Progress | None) -> None:
        self._by_key = by_key
        self._budget = budget
        self._progress = progress
        self._steps = 0
        self._remembered = 0
        self._linearizable = 0
        """keys"""

    def run(self) -> Verdict:
        for key, operations in self._by_key.items():
            if self._exhausted():
                break
            self._tell_progress()
            proof = disprove(operations)
            if proof:
                return self._violation(
                    key, witness(proof, operations) or operations, 0, (_is_disproved, _is_violation)
                )
        searches: dict[Key, Search] = {}
        undecided = list(self._by_key)
        hopeless = False
        turn = TURN_STEPS
        while undecided:
            still = []
            for key in undecided:
                if self._exhausted():
                    return self.undecided(self._exhausted())
                search = searches.pop(key, None)
                if search is None:
                    try:
                        search = Search(Problem(self._by_key[key], self._budget.check))
                    except TooConcurrent:
                        hopeless = True  # but another key may be violated
                        continue
                    self._remembered += search.remembered
                found = self._take_turn(search, turn)
                if found is False:
                    return self._violation(key, self._by_key[key], search.returns_passed, (_is_violation,))
                if found is None:
                    still.append(key)
                    searches[key] = search
                else:
                    self._remembered -= search.remembered
                    self._linearizable += 1
            undecided = still
            turn *= TURN_GROWTH
        return self.undecided(TOO_CONCURRENT) if hopeless else self._verdict(Outcome.LINEARIZABLE)

    def _take_turn(self, search: Search, turn: int) -> bool | None:
        found = None
        while found is None and turn > 0 and not self._exhausted():
            steps, remembered = search.steps, search.remembered
            found = _run_slice(search, self._budget)
            turn -= search.steps - steps
            self._steps += search.steps - steps
            self._remembered += search.remembered - remembered
            self._tell_progress()
        return found

    def _tell_progress(self) -> None:
        if self._progress:
            self._progress(self._linearizable, len(self._by_key))

    def _exhausted(self) -> str:
        if self._budget.is_spent():
            return BUDGET_SPENT
        if self._remembered > REMEMBERED_MAX:
            return f"memory for {REMEMBERED_MAX:,} nodes is used up"
        return ""

    def _violation(
        self,
        key: Key,
        operations: Sequence[Operation],
        returns_passed: int,
        judges: Sequence[Judge],
    ) -> Verdict:
        """Of which ``operations`` are proof enough; ``judges`` look one after the other for less."""
        budget = self._budget.share(SHRINK_SHARE, steps_max=SHRINK_STEPS_MAX, seconds_max=SHRINK_SECONDS_MAX)
        found: Sequence[Operation] = ()
        try:
            part = operations
            for judge in judges:
                part = shrink(part, returns_passed, partial(judge, budget), budget)
                returns_passed = 0
            found, reason = part, explain(part)
        except MemoryError:
            reason = "there is no memory left to say why"
        return self._verdict(Outcome.VIOLATION, key=key, witness=tuple(found), reason=reason)

    def undecided(self, why: str) -> Verdict:
        reason = (
            f"{why} after {self._steps:,} steps; "
            f"{self._linearizable} of {len(self._by_key)} keys are linearizable"
        )
        return self._verdict(Outcome.UNDECIDED, reason=reason)

    def _verdict(self, outcome: Outcome, **found: Any) -> Verdict:
        count = sum(map(len, self._by_key.values()))
        return Verdict(outcome, count, len(self._by_key), self._steps, **found)


def _run_slice(search: Search, budget: Budget) -> bool | None:
    before = search.steps
    found = search.run(budget.slice())
    budget.take(search.steps - before)
    return found


def _is_disproved(budget: Budget, operations: Sequence[Operation]) -> bool:
    """Without a search, though not without any effort."""
    if budget.is_spent():
        return False
    budget.take(1 + len(operations) // OPERATIONS_A_STEP)
    return disprove(operations) is not None


def _is_violation(budget: Budget, operations: Sequence[Operation]) -> bool:
    """Proven; False when the budget ends first."""
    if budget.is_spent():
        return False
    try:
        search = Search(Problem(operations, budget.check))
    except (Spent, TooConcurrent):
        return False
    while not budget.is_spent() and search.remembered <= REMEMBERED_MAX:
        found = _run_slice(search, budget)
        if found is not None:
            return not found
    return False
