"""Changing who belongs to a running cluster: asked of whoever leads, and waited for until it is done.

A request may get lost with the leader that took it. So what counts is what the configuration says in the
end; asking again is harmless.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from raftkv.cluster.control import LAUNCHER_SECONDS, ControlClient, await_start, snapshots
from raftkv.config import NODES_MAX
from raftkv.errors import ClientError, ConfigError, OutcomeUnknown, RaftkvError, Unavailable, Unreachable
from raftkv.observe import MemberSnapshot, NodeSnapshot, leader_of
from raftkv.raft import Part, Refusal
from raftkv.raft.quorum import majority

POLL_SECONDS = 0.02
ANSWER_SECONDS = 1.0
_PASSING = (
    Refusal.NOT_LEADER,
    Refusal.NO_ENTRY_COMMITTED,
    Refusal.CHANGE_UNDER_WAY,
    Refusal.TRANSFER_UNDER_WAY,
)
"""Over by themselves in a moment."""
FIRST_ANSWERS_SECONDS = 1.0
"""Of a leader: by then it has heard everybody who is there, also if it was only just elected."""
Report = Callable[[str], None]
Waiting = Callable[[NodeSnapshot], None]
"""Gets the leader's view each time it was looked at."""


@dataclass(frozen=True, slots=True)
class Row:
    """One member as ``members list`` shows it."""

    name: str
    part: str
    leads: bool
    lag: int | None
    """Entries that it lacks; None when the leader has not heard it lately, or nobody leads."""
    incarnation: str
    address: tuple[str, ...]


class Members:
    """``controls``: control endpoints by node; those of nodes that are found out about are added."""

    def __init__(self, client: ControlClient, controls: dict[str, str], timeout: float) -> None:
        self._client = client
        self._controls = dict(controls)
        self._deadline = time.monotonic() + timeout
        self._timeout = timeout
        self._leading: list[str] = []

    @property
    def secure(self) -> bool:
        """Whether the cluster has keys, so that its nodes may be anywhere."""
        return self._client.key is not None

    def rows(self) -> list[Row]:
        """By the leader's word; where nobody leads, by that of the node that knows most."""
        view = self._best_view()
        self._leading = [view.name] if view.leads else []
        if self._leading:  # whoever has left would only be waited for
            known = {member.name for member in view.members}
            self._controls = {name: at for name, at in self._controls.items() if name in known}
        lags = {peer.name: view.last_index - peer.match_index for peer in view.peers if peer.active}
        if view.leads:
            lags[view.name] = 0
        leader = view.name if view.leads else None
        return [
            Row(
                each.name, each.part, each.name == leader, lags.get(each.name), each.incarnation, each.address
            )
            for each in view.members
        ]

    def add(self, name: str, address: Sequence[str]) -> None:
        """As a learner."""
        self._change(
            f"{name} cannot be added",
            lambda view: _member(view, name) is not None,
            change="add",
            name=name,
            address=list(address),
        )

    def has_joined(self, name: str) -> bool:
        """Of one that a node knows as a member, which may be news that is lost with its leader. Waits until
        that is settled; raises ``Unavailable`` when it is not."""
        while True:
            view = self.leader()
            if view.configuration_committed:
                return _member(view, name) is not None
            if self._left() <= 0:
                raise Unavailable(f"the change is not committed after {self._timeout:g} s; it may yet be")
            time.sleep(POLL_SECONDS)

    def promote(self, name: str, waiting: Waiting = lambda _: None) -> None:
        """Waits until it has caught up."""
        self._change(
            f"{name} cannot be promoted",
            lambda view: _part(view, name) == Part.VOTER.value,
            waiting,
            change="promote",
            name=name,
        )

    def remove(self, name: str) -> None:
        self._change(
            f"{name} cannot be removed",
            lambda view: _member(view, name) is None,
            change="remove",
            name=name,
        )
        self._controls.pop(name, None)  # it would only be waited for
        self._leading = [leader for leader in self._leading if leader != name]

    def replace(self, name: str, new: str, waiting: Waiting = lambda _: None) -> None:
        """By a learner, in one step, once that has caught up."""
        self._change(
            f"{name} cannot be replaced by {new}",
            lambda view: _member(view, name) is None and _part(view, new) == Part.VOTER.value,
            waiting,
            left=f"{new} stays a learner: the same command goes on from there",
            change="replace",
            name=name,
            new=new,
        )

    def leader(self) -> NodeSnapshot:
        """Of the highest term; waits for one. Raises ``Unavailable``.

        Whoever led when it was last asked is asked first, and alone: a dead node would cost a second."""
        while True:
            known = {name: self._controls[name] for name in self._leading}
            leader = leader_of(self._look(known))
            if leader:
                return leader
            views = self._views()
            leader = leader_of(views)
            if leader:
                self._leading = [leader.name]
                return leader
            self._leading = []
            if self._left() <= 0:
                if not views:
                    raise Unreachable("no node answers")
                raise Unavailable(f"no leader within {self._timeout:g} s")
            time.sleep(POLL_SECONDS)

    # -- internals

    def _change(
        self,
        failure: str,
        done: Callable[[NodeSnapshot], bool],
        waiting: Waiting = lambda _: None,
        left: str = "nothing was changed",
        **arguments: Any,
    ) -> None:
        """Raises ``ConfigError`` when it is refused for good, ``Unavailable`` when it was never taken, and
        ``OutcomeUnknown``. ``left``: how things are where it was not."""
        taken, refused = False, None
        risky: tuple[str, int, float] | None = None  # the leader, its term, and since when
        while True:
            try:
                view = self.leader()
            except Unavailable as error:
                if taken:
                    break  # the leader that took it is gone, and no other one in sight
                raise type(error)(f"{error}; {left}") from None
            waiting(view)
            settled = view.configuration_committed and not any(
                member.part in (Part.INCOMING.value, Part.OUTGOING.value) for member in view.members
            )
            if settled and taken and done(view):
                return
            risk = _quorum_at_risk(view, arguments)
            if risk is None:
                risky = None
            elif risky is None or risky[:2] != (view.name, view.term):
                risky = (view.name, view.term, time.monotonic())
            elif time.monotonic() >= risky[2] + FIRST_ANSWERS_SECONDS:
                break
            if (settled or not taken) and not risk:
                refused = self._ask(view, arguments)
                if refused is Refusal.NO_LEARNER and settled and done(view):
                    return  # it votes already
                if refused is None:
                    taken = True  # or not: what the configuration says in the end will tell
                elif not taken and refused not in (*_PASSING, Refusal.NOT_CAUGHT_UP):
                    raise ConfigError(f"{failure}: {explain(refused, arguments, view)}; {left}")
            if self._left() <= 0:
                break
            time.sleep(POLL_SECONDS)
        if risky and taken:
            raise OutcomeUnknown(
                f"the change was asked for, and is not asked for again: {risk}; it may yet be made"
            )
        if risky:
            raise ConfigError(f"{failure}: {risk}; {left}")
        if taken:
            raise OutcomeUnknown(f"the change is not committed after {self._timeout:g} s; it may yet be")
        reason = explain(refused, arguments, view) if refused else "nobody took the request"
        raise Unavailable(f"{failure} within {self._timeout:g} s: {reason}; {left}")

    def _ask(self, leader: NodeSnapshot, arguments: dict[str, Any]) -> Refusal | None:
        """None when it was not refused; it may have got lost, though, or its answer."""
        endpoint = self._controls[leader.name]
        patience = max(0.05, min(ANSWER_SECONDS, self._left()))
        answer = self._client.ask_all([endpoint], "change_members", patience, **arguments)[endpoint]
        if answer is None:
            return None
        ok, body = answer
        if not ok:
            raise ConfigError(str(body))
        return Refusal(body["refused"]) if body["refused"] else None

    def _best_view(self) -> NodeSnapshot:
        views = self._views()
        if not views:
            raise Unreachable("no node answers")
        return max(views, key=lambda view: (view.leads, view.term, view.last_index))

    def _views(self) -> list[NodeSnapshot]:
        return self._look(self._controls)

    def _look(self, controls: dict[str, str]) -> list[NodeSnapshot]:
        found = snapshots(self._client, controls, max(0.05, min(1.0, self._left())))
        views = [view for view in found.values() if view]
        for view in views:
            for member in view.members:
                if len(member.address) > 2:
                    self._controls.setdefault(member.name, member.address[2])
        return views

    def _left(self) -> float:
        return self._deadline - time.monotonic()


def explain(refused: Refusal, arguments: dict[str, Any], view: NodeSnapshot) -> str:
    """Why, and what to do."""
    learner = arguments.get("new", arguments["name"])
    match refused:
        case Refusal.NAME_TAKEN:
            return f"there is a member of that name; remove it first with 'raftkv members remove {learner}'"
        case Refusal.ADDRESS_TAKEN:
            return "another member has one of these endpoints"
        case Refusal.TOO_MANY:
            return f"a cluster has at most {NODES_MAX} members"
        case Refusal.UNKNOWN:
            return f"no such member; the members are {', '.join(each.name for each in view.members)}"
        case Refusal.NO_LEARNER:
            if arguments["change"] == "replace" and _part(view, arguments["name"]) == Part.LEARNER.value:
                return f"{arguments['name']} is a learner, and has no vote to hand on"
            return f"{learner} is no learner"
        case Refusal.LAST_VOTER:
            return "it is the last voter"
        case Refusal.NOT_CAUGHT_UP:
            lag = next(
                (view.last_index - peer.match_index for peer in view.peers if peer.name == learner), None
            )
            alive = any(peer.active for peer in view.peers if peer.name == learner)
            return f"{learner} lacks {lag:,} entries" if alive else f"{learner} is not heard; is it running?"
        case _:
            return str(refused.value)


def _quorum_at_risk(view: NodeSnapshot, arguments: dict[str, Any]) -> str | None:
    """Why those who would vote afterwards could decide nothing, and what to do: the log takes a removal that
    leaves two voters of whom one is dead, and is stuck with it. Who died within the last second may still
    count as heard."""
    if arguments["change"] not in ("remove", "replace") or _part(view, arguments["name"]) != Part.VOTER.value:
        return None
    staying = (Part.VOTER.value, Part.INCOMING.value)
    after = {member.name for member in view.members if member.part in staying} - {arguments["name"]}
    heard = {view.name, *(peer.name for peer in view.peers if peer.active)}
    if new := arguments.get("new"):
        after.add(new)
        heard.add(new)  # or the change waits for it
    silent = sorted(after - heard)
    if not after or len(after) - len(silent) >= majority(len(after)):
        return None
    return (
        f"of the {len(after)} voters that would be left {' and '.join(silent)} cannot be heard, which leaves"
        f" no quorum; start {'it' if len(silent) == 1 else 'them'} again, or remove {silent[0]} first"
    )


def _member(view: NodeSnapshot, name: str) -> MemberSnapshot | None:
    return next((member for member in view.members if member.name == name), None)


def _part(view: NodeSnapshot, name: str) -> str | None:
    member = _member(view, name)
    return member.part if member else None


class LocalNodes:
    """The processes behind the members, where ``raftkv up`` runs them on this machine."""

    def __init__(self, client: ControlClient, launcher: str, seconds: float = LAUNCHER_SECONDS) -> None:
        """``seconds``: how long the launcher may take to answer."""
        self._client = client
        self._launcher = launcher
        self._seconds = seconds

    def reserve(self, name: str | None) -> tuple[str, tuple[str, ...]]:
        """A name and free endpoints for another node; nothing is changed."""
        found: dict[str, Any] = self._client.ask(self._launcher, "reserve_node", self._seconds, node=name)
        return str(found["name"]), tuple(found["address"])

    def is_reserved(self, name: str, address: Sequence[str]) -> bool:
        """Whether a node of that name would get these endpoints here, and does not run yet."""
        try:
            return self.reserve(name) == (name, tuple(address))
        except Unavailable:
            raise
        except RaftkvError:
            return False

    def ensure(self, name: str, address: Sequence[str]) -> None:
        """Start it unless it runs: an earlier attempt may have ended before that."""
        if not self._runs(name):
            try:
                self.start(name, address)
            except ClientError:
                raise
            except RaftkvError:
                if not self._runs(name):  # or somebody else has started it meanwhile
                    raise

    def _runs(self, name: str) -> bool:
        found = self._client.ask(self._launcher, "processes", self._seconds)
        return name in {process["name"] for process in found}

    def start(self, name: str, address: Sequence[str]) -> None:
        """On an empty folder, until it listens."""
        self._client.order(self._launcher, "add_node", self._seconds, node=name, address=list(address))
        await_start(self._client, self._launcher, name, self._seconds)

    def drop(self, name: str) -> None:
        """Of one that has left. Its data stays, set aside; a node that the launcher does not know is none of
        its business. Raises ``OutcomeUnknown``, and ``RaftkvError`` where it cannot be dropped."""
        try:
            self._client.order(self._launcher, "drop_node", self._seconds, node=name)
        except Unavailable as error:
            raise OutcomeUnknown(
                f"{name} has left the cluster, but its process may run on: {error}"
            ) from None
        except ClientError:
            raise
        except RaftkvError as error:
            if self._runs(name):
                raise RaftkvError(f"{name} has left the cluster, but cannot be dropped: {error}") from None


def resize(members: Members, local: LocalNodes, count: int, report: Report) -> None:
    """Add nodes until ``count`` vote, or remove some: those that came last, the leader at the very end.

    Somebody else may be about the same. A step that is refused is tried again for as long as theirs go on."""
    while True:
        rows = members.rows()
        voters = [row for row in rows if row.part == Part.VOTER.value]
        if len(voters) == count:
            return
        try:
            if len(voters) < count:
                waiting = next((row for row in rows if row.part == Part.LEARNER.value), None)
                _grow(members, local, waiting, report)
            else:
                _shrink(members, local, voters, report)
        except ClientError:
            raise
        except RaftkvError:
            if _parts(members.rows()) == _parts(rows):
                raise


def _parts(rows: Sequence[Row]) -> dict[str, str]:
    return {row.name: row.part for row in rows}


def _grow(members: Members, local: LocalNodes, waiting: Row | None, report: Report) -> None:
    """By ``waiting``, which was added earlier, or by a new one."""
    if waiting and members.has_joined(waiting.name):
        learner = waiting.name
        local.ensure(learner, waiting.address)
    else:
        learner, address = local.reserve(None)
        members.add(learner, address)
        local.ensure(learner, address)
        report(f"{learner} joins")
    members.promote(learner)
    report(f"{learner} votes")


def _shrink(members: Members, local: LocalNodes, voters: Sequence[Row], report: Report) -> None:
    followers = [row for row in reversed(voters) if not row.leads]
    leaving = min(followers, key=lambda row: row.lag is not None).name  # whoever is down goes first
    members.remove(leaving)
    local.drop(leaving)
    report(f"{leaving} has left")
