"""The arithmetic of majorities. Pure functions over a configuration and what its voters say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum

from raftkv.raft.configuration import Configuration
from raftkv.types import NodeId


class VoteResult(Enum):
    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def majority(voter_count: int) -> int:
    """The smallest number of voters that any two such groups share a member of."""
    return voter_count // 2 + 1


def is_quorum(names: Collection[NodeId], configuration: Configuration) -> bool:
    """Whether these decide: a majority of the voters, and of those before a change that is under way."""
    return _is_majority(names, configuration.voters) and (
        not configuration.outgoing or _is_majority(names, configuration.outgoing)
    )


def reached_by_quorum(values: Mapping[NodeId, int], configuration: Configuration) -> int:
    """The highest value that a quorum has reached, given what every node has, self included: an index that
    it holds, or a moment after which it has answered."""
    value = _reached_by_majority(values, configuration.voters)
    if configuration.outgoing:
        value = min(value, _reached_by_majority(values, configuration.outgoing))
    return value


def tally(votes: Mapping[NodeId, bool], configuration: Configuration) -> VoteResult:
    """Decided as soon as the missing votes can no longer change it."""
    results = {_tally(votes, configuration.voters)}
    if configuration.outgoing:
        results.add(_tally(votes, configuration.outgoing))
    if VoteResult.LOST in results:
        return VoteResult.LOST
    return VoteResult.PENDING if VoteResult.PENDING in results else VoteResult.WON


def count_votes(votes: Mapping[NodeId, bool], configuration: Configuration) -> tuple[int, int]:
    """(granted, needed); of a joint configuration, by the voters that are further from their majority."""
    groups = [group for group in (configuration.voters, configuration.outgoing) if group]
    counts = [(sum(votes.get(name) is True for name in group), majority(len(group))) for group in groups]
    return max(counts, key=lambda count: count[1] - count[0])


def _is_majority(names: Collection[NodeId], voters: tuple[NodeId, ...]) -> bool:
    return sum([voter in names for voter in voters]) >= majority(len(voters))


def _reached_by_majority(values: Mapping[NodeId, int], voters: tuple[NodeId, ...]) -> int:
    descending = sorted([values.get(voter, 0) for voter in voters], reverse=True)
    return descending[majority(len(descending)) - 1]


def _tally(votes: Mapping[NodeId, bool], voters: tuple[NodeId, ...]) -> VoteResult:
    needed = majority(len(voters))
    granted = sum(votes.get(name) is True for name in voters)
    refused = sum(votes.get(name) is False for name in voters)
    if granted >= needed:
        return VoteResult.WON
    if refused > len(voters) - needed:
        return VoteResult.LOST
    return VoteResult.PENDING
