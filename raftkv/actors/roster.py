"""What a node knows of the others by name: who is a member, which data folder and which life a name is,
where it is reached. Decides of every frame whether it may count.

Where a node is reached is what it says itself, else what ``cluster.toml`` says, else the configuration; but
an address that comes into the configuration while this node runs is newer than what was said before. From
another data folder than the member's a node is a visitor: answered where it is for a moment, as it may have
to be told that it is none, or know more than we do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from raftkv.errors import WireError
from raftkv.raft import Member, Membership
from raftkv.raft.configuration import OPEN
from raftkv.raft.messages import (
    AppendEntriesResponse,
    HeartbeatResponse,
    InstallSnapshotResponse,
    PreVoteResponse,
    ReadIndex,
    RequestVoteResponse,
)
from raftkv.types import LogIndex, NodeId
from raftkv.wire.peer import Disowned, Item, Lapsed, PeerFrame, StateDigest

_COUNTED = (
    AppendEntriesResponse,
    HeartbeatResponse,
    InstallSnapshotResponse,
    Lapsed,
    PreVoteResponse,
    ReadIndex,
    RequestVoteResponse,
    StateDigest,
)
BOOTS_REMEMBERED = 16
"""Earlier lives of a peer whose stray frames are recognised."""
STRAY_SECONDS = 0.5
"""A peer silent for so long is taken for whoever speaks in its name next. Strays are milliseconds
old; but one that comes before anything else makes the living peer look like the earlier one."""
NAMES_MAX = 64
"""Known at once, members or not."""
VISIT_SECONDS = 2.0
"""From the last that a visitor said of where it is: twice as long as that takes to be said again."""


class _Acquaintance:
    __slots__ = ("boot", "heard_at", "old_boots")

    def __init__(self, boot: int, now: float) -> None:
        self.boot = boot
        self.heard_at = now
        self.old_boots: deque[int] = deque(maxlen=BOOTS_REMEMBERED)


class Roster:
    def __init__(self, node_id: NodeId, cluster: str, incarnation: str, listed: Mapping[NodeId, str]) -> None:
        """``listed``: peer endpoints that the file names."""
        self._node_id = node_id
        self._cluster = cluster
        self.incarnation = incarnation
        self._listed = dict(listed)
        self._introduced: dict[NodeId, str] = {}
        self._visitors: dict[NodeId, tuple[str, float]] = {}
        """Of members' names: where another folder's node is, and when it said so."""
        self._known: dict[tuple[NodeId, str], _Acquaintance] = {}
        """By name and incarnation."""
        self._boots: dict[NodeId, int] = {}
        """Of members, as they were last heard."""
        self._membership: Membership | None = None

    def update(self, membership: Membership) -> None:
        before, self._membership = self._membership, membership
        if before:
            for member in membership.latest.members:
                if member.address and member.address != _address(before, member.name):
                    self._listed.pop(member.name, None)
                    if self._introduced.get(member.name) != member.address[0]:
                        self._introduced.pop(member.name, None)
                    self._visitors.pop(member.name, None)
        self._boots = {name: boot for name, boot in self._boots.items() if membership.latest.member(name)}

    def names(self) -> list[NodeId]:
        """All others that are members or listed."""
        members = self._membership.latest.names if self._membership else ()
        return [name for name in dict.fromkeys((*self._listed, *members)) if name != self._node_id]

    def members(self) -> list[NodeId]:
        """All other members."""
        members = self._membership.latest.names if self._membership else ()
        return [name for name in members if name != self._node_id]

    def endpoint(self, name: NodeId) -> str | None:
        visitor, _ = self._visitors.get(name, (None, 0.0))
        found = visitor or self._introduced.get(name) or self._listed.get(name)
        if found is None and self._membership:
            found = next(iter(_address(self._membership, name)), None)
        return found

    def _member(self, name: NodeId) -> Member | None:
        return self._membership.latest.member(name) if self._membership else None

    def introduce(self, name: NodeId, incarnation: str, endpoint: str, now: float) -> None:
        member = self._member(name)
        if member and not member.may_be(incarnation):
            self._visitors[name] = endpoint, now
        elif name in self._introduced or name in self.names() or len(self._introduced) < NAMES_MAX:
            self._introduced[name] = endpoint
            self._visitors.pop(name, None)

    def visits_over(self, now: float) -> list[NodeId]:
        """Whose names are their own again."""
        over = [name for name, (_, since) in self._visitors.items() if now - since >= VISIT_SECONDS]
        for name in over:
            del self._visitors[name]
        return over

    def check(self, frame: PeerFrame, now: float) -> None:
        """Raises WireError for a frame that must not count."""
        if frame.cluster != self._cluster:
            raise WireError(f"a frame of cluster {frame.cluster[:64]!r}")
        if frame.to != self._node_id:
            raise WireError(f"a frame for node {frame.to[:64]!r}")
        if frame.sender == self._node_id:
            raise WireError("a frame of another node under this name")
        who = (frame.sender, frame.incarnation)
        known = self._known.get(who)
        if known is None:
            if len(self._known) >= NAMES_MAX:
                del self._known[next(iter(self._known))]
            self._known[who] = _Acquaintance(frame.boot, now)
            return
        if frame.boot != known.boot:
            if frame.boot in known.old_boots and now - known.heard_at < STRAY_SECONDS:
                raise WireError(f"a frame of an earlier life of {frame.sender}")
            known.old_boots.append(known.boot)
            known.boot = frame.boot
        known.heard_at = now

    def disowned(self, frame: PeerFrame) -> Disowned | None:
        """What the sender has to be told: that it is no member, or not the one of its name."""
        membership = self._membership
        if membership is None or not membership.committed_index:
            return None
        member = membership.committed.member(frame.sender)
        if member and member.may_be(frame.incarnation):
            return None
        if member is None and membership.latest.member(frame.sender):
            return None  # about to be one
        known = member.incarnation.removesuffix(OPEN) if member else ""
        return Disowned(frame.incarnation, membership.committed_index, known)

    def is_meant(self, disowned: Disowned) -> bool:
        """Whether this node is meant, by somebody who is not behind it."""
        latest_index = self._membership.latest_index if self._membership else LogIndex(0)
        return disowned.incarnation == self.incarnation and disowned.index >= latest_index

    def vouches(self, frame: PeerFrame, disowned: Disowned) -> bool:
        """Whether the sender may know who we are. A node with what it has left of before a restore does not,
        whose entries are later, and of another past: its folder is not that of its name, or its name is no
        member's, and by ours it knows another folder."""
        member = self._member(frame.sender)
        if member is not None:
            return member.may_be(frame.incarnation)
        empty = self._membership is None or not self._membership.latest_index
        return empty or not disowned.known

    def countable(self, frame: PeerFrame) -> list[Item]:
        """What may be heeded. From another data folder than that of the member of its name no answer counts,
        no vote and no acknowledgement (PITFALLS 27). What a leader or a candidate asks is heard all the
        same: it may be this node that is behind, and knows that name by a folder of the past."""
        member = self._member(frame.sender)
        if member is not None and not member.may_be(frame.incarnation):
            return [item for item in frame.items if not isinstance(item, _COUNTED)]
        if member is not None:
            self._boots[frame.sender] = frame.boot
        return list(frame.items)

    def boot_of(self, name: NodeId) -> int:
        """Of the life in which this member was last heard; 0: in none."""
        return self._boots.get(name, 0)


def _address(membership: Membership, name: NodeId) -> tuple[str, ...]:
    member = membership.latest.member(name)
    return member.address if member else ()
