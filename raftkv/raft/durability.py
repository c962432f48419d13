"""What storage was given of term and vote, and how far its word for it has come."""

from __future__ import annotations

from raftkv.raft.messages import HardState
from raftkv.types import NodeId, Term


class Durability:
    """Invariant: ``term`` is the highest that is durable; whatever carries a higher one waits."""

    __slots__ = ("_given", "_open", "_silent_ticks", "term")

    def __init__(self, found: HardState) -> None:
        """``found``: on the disk, at start."""
        self.term = found.current_term
        self._given = (found.current_term, found.voted_for)
        self._open = 0
        """Writes that storage has not confirmed,"""
        self._silent_ticks = 0
        """and for so long none of them."""

    def tick(self) -> None:
        self._silent_ticks = self._silent_ticks + 1 if self._open else 0

    def silent_for(self, ticks: int) -> bool:
        return self._silent_ticks >= ticks

    def give(self, state: tuple[Term, NodeId | None], more: bool) -> bool:
        """Whether there is anything to write, which is under way from now on. ``more``: besides ``state``."""
        if not more and state == self._given:
            return False
        self._given = state
        self._open += 1
        return True

    def confirmed(self, term: Term) -> None:
        """One more write, which was made in this term."""
        self._open -= 1
        self._silent_ticks = 0
        self.term = max(self.term, term)
