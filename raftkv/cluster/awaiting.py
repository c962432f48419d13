"""Whether a cluster that has just been started serves, decided from what its nodes say of themselves."""

from __future__ import annotations

from collections.abc import Iterable

from raftkv.observe import NodeSnapshot, leader_of

SILENT_SECONDS = 30.0
"""Without a leader, or with one that gets no further, until it says so; a slow machine under load needs some
of it."""
TOLD_SECONDS = 2.0
"""Between two lines on how far a leader is with a long log."""
GOES_ON = "; the nodes go on trying"
"""Ends the last line about a cluster that is not ready."""
ASKED_SECONDS_MIN, ASKED_SECONDS_MAX = 0.02, 0.2


class Awaiting:
    """A leader serves once it has applied what its log ended with when it was first seen: the no-op of its
    term at least. One that has a long log to apply is waited for as long as it gets on."""

    def __init__(self, now: float) -> None:
        """``now``: seconds of any clock, as everywhere here."""
        self.line: str | None = None
        """What is to be said after a ``look``."""
        self.over = False
        """It has taken too long."""
        self._begin = self._told = self._got_on = now
        self._goals: dict[tuple[str, int], int] = {}
        """By leader and term."""
        self._furthest = 0

    def look(self, now: float, nodes: Iterable[NodeSnapshot | None]) -> NodeSnapshot | None:
        """The leader that serves. ``nodes``: None of those that do not answer."""
        self.line = None
        leader = leader_of(nodes)
        if leader:
            goal = self._goals.get((leader.name, leader.term))
            if goal is None:  # what another one had done is no measure for it
                goal = self._goals[leader.name, leader.term] = leader.last_index
                self._furthest, self._got_on = leader.applied_index, now
            if leader.applied_index >= goal:
                return leader
            if leader.applied_index > self._furthest:
                self._furthest, self._got_on = leader.applied_index, now
            if now - self._told >= TOLD_SECONDS:
                self._told = now
                left = goal - leader.applied_index
                self.line = f"{leader.name} leads, and has {left:,} entries to apply before it serves"
        if now - self._got_on > SILENT_SECONDS:
            self.over = True
            what = "the leader gets no further" if leader else "no leader"
            self.line = f"{what} after {SILENT_SECONDS:g} s{GOES_ON}"
        return None

    def pause(self, now: float) -> float:
        """Seconds until the next look: whoever applies a long log has better to do than to be asked."""
        return max(ASKED_SECONDS_MIN, min(ASKED_SECONDS_MAX, (now - self._begin) / 50))
