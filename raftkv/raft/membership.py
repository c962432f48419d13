"""Changing who belongs to the cluster (§6, thesis §4).

A leader changes one thing at a time, and nothing before it has committed an entry of its own term (PITFALLS
23). A change of voters is two entries: the joint configuration and, once that is committed, the one it leads
to, which whoever leads then appends by itself (PITFALLS 24). A leader that is not part of the new one leads
until that is committed, and then hands over to somebody who is.

What a leader hears of who its members are (data folder, endpoints) goes into the configuration as well; that
moves no majority and changes nobody's part (PITFALLS 30).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from raftkv.raft import trace
from raftkv.raft.configuration import MEMBERS_MAX, Configuration, Member, Part
from raftkv.raft.state import Membership, Role
from raftkv.types import NodeId

if TYPE_CHECKING:
    from raftkv.raft.core import Raft


@dataclass(frozen=True, slots=True)
class AddLearner:
    name: NodeId
    address: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Promote:
    name: NodeId


@dataclass(frozen=True, slots=True)
class Remove:
    name: NodeId


@dataclass(frozen=True, slots=True)
class Replace:
    """The learner ``new`` votes instead of ``name``, in one step."""

    name: NodeId
    new: NodeId


Change = AddLearner | Promote | Remove | Replace


class Refusal(Enum):
    """Why a change was not made; nothing has happened."""

    NOT_LEADER = "not leader"
    NO_ENTRY_COMMITTED = "no entry of this term committed"
    CHANGE_UNDER_WAY = "another change under way"
    TRANSFER_UNDER_WAY = "leadership is being handed over"
    NAME_TAKEN = "name taken"
    ADDRESS_TAKEN = "address taken"
    TOO_MANY = "too many members"
    UNKNOWN = "no such member"
    NO_LEARNER = "no learner"
    NOT_CAUGHT_UP = "not caught up"
    LAST_VOTER = "last voter"


def request(raft: Raft, change: Change) -> Refusal | None:
    """Begin a change; None: it is in the log, and ends by itself."""
    leadership, log = raft.leadership, raft.log
    if leadership is None:
        return Refusal.NOT_LEADER
    if leadership.succession.transferee is not None:
        return Refusal.TRANSFER_UNDER_WAY
    if not log.matches(log.commit_index, raft.current_term):
        return Refusal.NO_ENTRY_COMMITTED
    if _under_way(raft):
        return Refusal.CHANGE_UNDER_WAY
    planned = plan(raft.configuration, change)
    if isinstance(planned, Refusal):
        return planned
    if isinstance(change, Promote | Replace) and not _may_vote(raft, change):
        return Refusal.NOT_CAUGHT_UP
    leadership.adopt(planned)
    return None


def _may_vote(raft: Raft, change: Promote | Replace) -> bool:
    """Of whoever has not been heard it is not known which folder it is: any could claim that vote."""
    assert raft.leadership
    name = change.new if isinstance(change, Replace) else change.name
    member = raft.configuration.member(name)
    return member is not None and member.bound and raft.leadership.caught_up(name)


def plan(now: Configuration, change: Change) -> Configuration | Refusal:
    """The configuration that a change begins with: a joint one where it moves a majority."""
    found = now.member(change.name)
    if isinstance(change, AddLearner):
        return _with_learner(now, change)
    if found is None:
        return Refusal.UNKNOWN
    match change:
        case Promote():
            if found.part is not Part.LEARNER:
                return Refusal.NO_LEARNER
            return now.with_member(replace(found, part=Part.INCOMING))
        case Remove():
            if found.part is Part.LEARNER:
                return now.without(change.name)
            if len(now.voters) == 1:
                return Refusal.LAST_VOTER
            return now.with_member(replace(found, part=Part.OUTGOING))
        case Replace():
            new = now.member(change.new)
            if new is None:
                return Refusal.UNKNOWN
            if new.part is not Part.LEARNER or found.part is not Part.VOTER:
                return Refusal.NO_LEARNER
            leaving = now.with_member(replace(found, part=Part.OUTGOING))
            return leaving.with_member(replace(new, part=Part.INCOMING))


def _with_learner(now: Configuration, change: AddLearner) -> Configuration | Refusal:
    if now.member(change.name):
        return Refusal.NAME_TAKEN
    if len(now.members) >= MEMBERS_MAX:
        return Refusal.TOO_MANY
    taken = {endpoint for member in now.members for endpoint in member.address}
    if taken.intersection(change.address):
        return Refusal.ADDRESS_TAKEN
    return now.with_member(Member(change.name, Part.LEARNER, "", change.address))


def meet(raft: Raft, name: NodeId, incarnation: str, address: tuple[str, ...], priority: int) -> None:
    """Who may lead notes what differs from the configuration; ``advance`` puts it there."""
    if name in raft.configuration.names:
        raft.priorities[name] = priority
    member = raft.configuration.member(name)
    if (
        raft.role is not Role.FOLLOWER
        and member is not None
        and (member.incarnation, member.address) != (incarnation, address)
    ):
        raft.heard[name] = (incarnation, address)


def news(raft: Raft) -> Membership | None:
    """Who belongs to the cluster, if that has changed since it was last asked."""
    known, now = raft.membership, raft.log.configurations
    latest_index = now.latest_index
    if known and known.latest is now.latest and known.latest_index == latest_index:
        settled = known.committed_index == latest_index
        if settled or raft.log.commit_index < latest_index:
            return None
    if now.latest != (known.latest if known else now.founding):
        described = now.latest.describe()
        raft.trace(trace.ConfigurationChanged(raft.current_term, now.latest_index, described))
    index, committed = now.at(raft.log.commit_index)
    raft.membership = Membership(now.latest, now.latest_index, committed, index)
    return raft.membership


def advance(raft: Raft) -> None:
    """What a leader does about its configuration by itself, once the last change is committed."""
    leadership, log = raft.leadership, raft.log
    assert leadership
    now = raft.configuration
    if log.configurations.latest_index > log.commit_index or leadership.succession.transferee is not None:
        return
    if not (now.joint or raft.heard or raft.node_id not in now.voters):
        return
    if not log.matches(log.commit_index, raft.current_term):
        return
    if now.joint:
        leadership.adopt(now.left())
    elif raft.node_id not in now.voters:
        _retire(raft)
    else:
        _note_heard(raft, now)


def _note_heard(raft: Raft, now: Configuration) -> None:
    """Everything that was heard since, in one entry."""
    assert raft.leadership
    heard, raft.heard = raft.heard, {}
    noted, bound = now, []
    for name, (incarnation, address) in heard.items():
        member = noted.member(name)
        if member and member.may_be(incarnation):
            if not member.bound:
                bound.append(name)
            noted = noted.with_member(replace(member, incarnation=incarnation, address=address))
    if noted != now:
        raft.leadership.adopt(noted)
        for name in bound:
            raft.leadership.reopen(name)


def _retire(raft: Raft) -> None:
    """This leader was removed, and that is committed."""
    assert raft.leadership
    raft.leadership.succession.retire()
    raft.retired = True
    raft.step_down(trace.REASON_REMOVED)


def _under_way(raft: Raft) -> bool:
    return raft.configuration.joint or raft.log.configurations.latest_index > raft.log.commit_index
