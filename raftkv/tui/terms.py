"""What is known of the terms in one node's log, as runs of equal terms.

A snapshot carries only the last few terms, and under load two nodes' snapshots show stretches
that do not overlap. Terms never fall along a log (§5.4.2 of the paper), so when the last known
entry and the first of a new tail have the same term, every entry between has it too: runs keep
lanes comparable over thousands of entries for the price of a few pairs.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from raftkv.observe import LogTail

RUNS_MAX = 64
"""Changes of term kept; a lane shows far fewer columns than that."""
UNKNOWN = 0
"""The term of entries nobody told us about; term 0 holds no entry."""


@dataclass(frozen=True, slots=True)
class Terms:
    """``runs[i]`` is (first index, term) and reaches up to the next run, the last one to ``last``."""

    runs: tuple[tuple[int, int], ...] = ()
    last: int = 0

    @property
    def first(self) -> int:
        """The first index anything is known of; past ``last`` when nothing is."""
        return self.runs[0][0] if self.runs else self.last + 1

    def at(self, index: int) -> int | None:
        """The entry's term, ``UNKNOWN``, or None when the log is known to hold no such entry here."""
        if not self.first <= index <= self.last:
            return UNKNOWN if 0 < index <= self.last else None
        return self.runs[bisect_right(self.runs, index, key=lambda run: run[0]) - 1][1]

    @property
    def last_term(self) -> int:
        return self.runs[-1][1] if self.runs else UNKNOWN

    @property
    def highest_term(self) -> int:
        """Not always the last: a name may stand for another log than when its beginning was told."""
        return max((term for _, term in self.runs), default=UNKNOWN)


NONE = Terms()


def merge(before: Terms, tail: LogTail, last_index: int) -> Terms:
    """``before`` with ``tail`` in place of everything from its first index on."""
    if not tail.terms:
        return Terms(last=last_index)
    kept = cut(before, tail.first_index)
    runs = list(kept.runs)
    if runs and kept.last < tail.first_index - 1 and kept.last_term != tail.terms[0]:
        runs.append((kept.last + 1, UNKNOWN))
    previous = runs[-1][1] if runs else UNKNOWN
    if previous != tail.terms[0]:
        runs.append((tail.first_index, tail.terms[0]))
    for offset, (left, right) in enumerate(pairwise(tail.terms), start=1):
        if left != right:
            runs.append((tail.first_index + offset, right))
    return Terms(tuple(runs[-RUNS_MAX:]), tail.first_index + len(tail.terms) - 1)


def cut(before: Terms, first_index: int) -> Terms:
    """``before`` without ``first_index`` and what follows it."""
    runs = tuple(run for run in before.runs if run[0] < first_index)
    return Terms(runs, min(before.last, first_index - 1)) if runs else NONE


def diverges_at(terms: Terms, reference: Terms) -> tuple[int, bool] | None:
    """The first index at which the two are known to hold different terms, and whether it is
    certain that they agree just before it; None when no difference is known."""
    low, high = max(terms.first, reference.first), min(terms.last, reference.last)
    starts = sorted({low, *(run[0] for run in (*terms.runs, *reference.runs) if low < run[0] <= high)})
    for index in starts if low <= high else ():
        mine, theirs = terms.at(index), reference.at(index)
        if UNKNOWN not in (mine, theirs) and mine != theirs:
            agreed = terms.at(index - 1) == reference.at(index - 1) != UNKNOWN
            return index, agreed or index == 1
    return None
