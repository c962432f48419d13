"""Who belongs to the cluster, and what follows from it (§6).

A change of voters goes through a joint configuration, in which nothing is decided but by a majority of the
old voters *and* one of the new. Everything else about a member (that it learns without a vote, which data
folder it is, where it is reached) changes in one step: it moves no majority.

A configuration is an entry of the log and takes effect as soon as it is appended, on every node for itself;
when its entry is truncated, the one before it is in effect again (PITFALLS 25).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

from raftkv.types import LogIndex, NodeId

MEMBERS_MAX = 9
"""Voters and learners together, a change under way not counted."""
_UNBOUND = "-"
OPEN = "*"
"""Ends the incarnation of a member that is made of a backup, until it is first heard."""


class Part(Enum):
    """What a member is there for."""

    VOTER = "voter"
    INCOMING = "incoming"
    """Votes as of the change that is under way."""
    OUTGOING = "outgoing"
    """Votes until the change that is under way has ended."""
    LEARNER = "learner"
    """Is sent the log, and counts for nothing."""


@dataclass(frozen=True, slots=True)
class Member:
    name: NodeId
    part: Part = Part.VOTER
    incarnation: str = ""
    """Of its data folder; empty until it was first heard, or, where a backup was restored, how it begins, and
    ``OPEN``. Another folder is another node (PITFALLS 27)."""
    address: tuple[str, ...] = ()
    """Endpoints, which mean nothing to the core."""

    @property
    def bound(self) -> bool:
        """Whether it is known which folder it is."""
        return self.incarnation != "" and not self.incarnation.endswith(OPEN)

    def may_be(self, incarnation: str) -> bool:
        """Whether it is the node of that folder, or may turn out to be."""
        known = self.incarnation
        return known in ("", incarnation) or (
            known.endswith(OPEN) and incarnation.startswith(known.removesuffix(OPEN))
        )


@dataclass(frozen=True)
class Configuration:
    members: tuple[Member, ...] = ()

    @staticmethod
    def of(names: Iterable[NodeId]) -> Configuration:
        """Voters of whom nothing more is known."""
        return Configuration(tuple(Member(name) for name in names))

    @cached_property
    def voters(self) -> tuple[NodeId, ...]:
        """Of the configuration, and of the one that a joint one leads to."""
        return self._named(Part.VOTER, Part.INCOMING)

    @cached_property
    def outgoing(self) -> tuple[NodeId, ...]:
        """The voters before the change that is under way; empty when there is none."""
        return self._named(Part.VOTER, Part.OUTGOING) if self.joint else ()

    @cached_property
    def learners(self) -> tuple[NodeId, ...]:
        return self._named(Part.LEARNER)

    @cached_property
    def joint(self) -> bool:
        return any(member.part in (Part.INCOMING, Part.OUTGOING) for member in self.members)

    @cached_property
    def names(self) -> tuple[NodeId, ...]:
        return tuple(member.name for member in self.members)

    def votes(self, name: NodeId) -> bool:
        return name in self.voters or name in self.outgoing

    @cached_property
    def _by_name(self) -> dict[NodeId, Member]:
        return {member.name: member for member in self.members}

    def member(self, name: NodeId) -> Member | None:
        return self._by_name.get(name)

    def with_member(self, changed: Member) -> Configuration:
        """``changed`` in place of the member of its name, or as a new one."""
        if self.member(changed.name) is None:
            return Configuration((*self.members, changed))
        return Configuration(
            tuple(changed if member.name == changed.name else member for member in self.members)
        )

    def without(self, name: NodeId) -> Configuration:
        return Configuration(tuple(member for member in self.members if member.name != name))

    def left(self) -> Configuration:
        """What a joint configuration leads to."""
        return Configuration(
            tuple(
                replace(member, part=Part.VOTER) if member.part is Part.INCOMING else member
                for member in self.members
                if member.part is not Part.OUTGOING
            )
        )

    def describe(self) -> str:
        """``voters n1 n2 n4, before n1 n2 n3, learners n5``"""
        parts = [("voters", self.voters), ("before", self.outgoing), ("learners", self.learners)]
        return ", ".join(f"{what} {' '.join(names)}" for what, names in parts if names) or "nobody"

    def encode(self) -> bytes:
        """One line a member: ``name part incarnation endpoint…``; nothing in it holds a space."""
        return "\n".join(
            " ".join((member.name, member.part.value, member.incarnation or _UNBOUND, *member.address))
            for member in self.members
        ).encode()

    @staticmethod
    def decode(data: bytes) -> Configuration:
        """Raises ValueError for anything that ``encode`` does not make."""
        members = []
        for line in data.decode().split("\n") if data else ():
            name, part, incarnation, *address = line.split(" ")
            incarnation = "" if incarnation == _UNBOUND else incarnation
            members.append(Member(NodeId(name), Part(part), incarnation, tuple(address)))
        found = Configuration(tuple(members))
        if found.encode() != data or len(set(found.names)) < len(members) or not all(found.names):
            raise ValueError("no configuration")
        if len(members) > 2 * MEMBERS_MAX or (members and not found.voters):
            raise ValueError("a configuration without voters, or of too many members")
        return found

    def _named(self, *parts: Part) -> tuple[NodeId, ...]:
        return tuple(member.name for member in self.members if member.part in parts)


class Configurations:
    """Those in the log, and the one before it. Moves with the log: append, truncate, compact, restore."""

    __slots__ = ("_configurations", "_indexes", "founding")

    def __init__(self, founding: Configuration, index: LogIndex, configuration: Configuration | None) -> None:
        """``founding`` holds where no entry says anything else; ``configuration``: up to ``index``."""
        self.founding = founding
        self._indexes = [index if configuration else LogIndex(0)]
        self._configurations = [configuration or founding]

    @property
    def latest(self) -> Configuration:
        """The one in effect."""
        return self._configurations[-1]

    @property
    def latest_index(self) -> LogIndex:
        """Of its entry; 0 for the founding one. After a snapshot: not above it."""
        return self._indexes[-1]

    def at(self, index: LogIndex) -> tuple[LogIndex, Configuration]:
        """What the log says up to ``index``, which is not below its beginning."""
        position = max(0, bisect_right(self._indexes, index) - 1)
        return self._indexes[position], self._configurations[position]

    def append(self, index: LogIndex, configuration: Configuration) -> None:
        assert index > self._indexes[-1]
        self._indexes.append(index)
        self._configurations.append(configuration)

    def truncate(self, last_index: LogIndex) -> None:
        """Everything after ``last_index`` is gone."""
        while len(self._indexes) > 1 and self._indexes[-1] > last_index:
            self._indexes.pop()
            self._configurations.pop()

    def compact(self, index: LogIndex) -> None:
        """Nobody will ask about anything before ``index``."""
        position = max(0, bisect_right(self._indexes, index) - 1)
        del self._indexes[:position]
        del self._configurations[:position]

    def restart(self, index: LogIndex, configuration: Configuration | None) -> None:
        """A snapshot of ``index`` stands for everything. None: it says nothing about members."""
        self._indexes = [index if configuration else LogIndex(0)]
        self._configurations = [configuration or self.founding]
