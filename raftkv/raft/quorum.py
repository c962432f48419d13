"""The arithmetic of majorities. Pure functions over plain numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from raftkv.types import LogIndex, NodeId


class VoteResult(Enum):
    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def majority(voter_count: int) -> int:
    """The smallest number of voters that any two such groups share a member of."""
    return voter_count // 2 + 1


def committed_index(match_indexes: Iterable[LogIndex]) -> LogIndex:
    """The highest index that a majority holds, given what every voter holds (self included)."""
    descending = sorted(match_indexes, reverse=True)
    return descending[majority(len(descending)) - 1]


def tally(votes: Mapping[NodeId, bool], voters: Iterable[NodeId]) -> VoteResult:
    """Decided as soon as the missing votes can no longer change it."""
    names = list(voters)
    needed = majority(len(names))
    granted = sum(votes.get(name) is True for name in names)
    refused = sum(votes.get(name) is False for name in names)
    if granted >= needed:
        return VoteResult.WON
    if refused > len(names) - needed:
        return VoteResult.LOST
    return VoteResult.PENDING
