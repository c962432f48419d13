"""What is said of a change of members, by what the leader shows and answers; no process runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raftkv.cli import members as commands
from raftkv.cluster.chaos import Chaos
from raftkv.cluster.control import ControlClient
from raftkv.cluster.members import FIRST_ANSWERS_SECONDS, LocalNodes, Members, Row, resize
from raftkv.errors import ClientError, ConfigError, OutcomeUnknown, Unavailable, Unreachable
from raftkv.observe import MemberSnapshot, NodeSnapshot
from raftkv.raft import Refusal
from raftkv.types import NodeId, Term
from raftkv.wire.status import snapshot_to_map
from tests.tui.fakes import leader_snapshot, peer_snapshot

PATIENCE = 0.2
"""Of a change that will not end."""


def leading(voters: str, silent: str = "", learners: str = "", **changes: Any) -> NodeSnapshot:
    """The view of the first of ``voters``, which leads."""
    names = (voters + " " + learners).split()
    return leader_snapshot(
        names[0],
        names,
        peers=tuple(peer_snapshot(name, 1042, active=name not in silent.split()) for name in names[1:]),
        members=tuple(
            MemberSnapshot(NodeId(name), "voter" if name in voters.split() else "learner", "x", ())
            for name in names
        ),
        **changes,
    )


class Nodes:
    """One leader, whose view is looked up each time; ``taken`` hears of changes, and may refuse them."""

    def __init__(
        self, look: Callable[[], NodeSnapshot | None], taken: Callable[[], Refusal | None] = lambda: None
    ) -> None:
        self._look = look
        self._taken = taken
        self.asked: list[dict[str, Any]] = []

    def ask_all(
        self, endpoints: Sequence[str], verb: str, timeout: float, **arguments: Any
    ) -> dict[str, tuple[bool, Any] | None]:
        if verb == "status":
            view = self._look()
            return dict.fromkeys(endpoints, (True, snapshot_to_map(view)) if view else None)
        self.asked.append(arguments)
        refused = self._taken()
        return dict.fromkeys(endpoints, (True, {"refused": refused.value if refused else None}))

    def members(self, timeout: float = PATIENCE) -> Members:
        return Members(cast(ControlClient, self), {"n1": "tcp://n1"}, timeout)


@pytest.mark.parametrize(
    ("voters", "silent", "leaving"),
    [("n1 n2 n3", "n3", "n2"), ("n1 n2 n3", "n3", "n1"), ("n1 n2 n3 n4 n5", "n4 n5", "n2")],
)
def test_a_removal_that_would_leave_no_quorum_is_refused(voters: str, silent: str, leaving: str) -> None:
    nodes = Nodes(lambda: leading(voters, silent))
    with pytest.raises(
        ConfigError, match=f"^{leaving} cannot be removed: .* no quorum; .*nothing was changed$"
    ):
        nodes.members(10).remove(leaving)
    assert nodes.asked == []


def test_a_removal_that_leaves_a_quorum_is_taken_whoever_is_silent() -> None:
    nodes = Nodes(lambda: leading("n1 n2 n3 n4", "n4"))
    with pytest.raises(OutcomeUnknown):
        nodes.members().remove("n1")
    assert nodes.asked


def test_whoever_is_dead_can_always_be_removed_and_replaced() -> None:
    nodes = Nodes(lambda: leading("n1 n2 n3", "n3", "n4"))
    with pytest.raises(OutcomeUnknown):
        nodes.members().remove("n3")
    with pytest.raises(OutcomeUnknown):
        nodes.members().replace("n3", "n4")
    assert {each["change"] for each in nodes.asked} == {"remove", "replace"}


def test_a_living_voter_is_replaced_while_another_is_dead() -> None:
    """Whoever takes its place is waited for, so the two are a quorum."""
    nodes = Nodes(lambda: leading("n1 n2 n3", "n3 n4", "n4"))
    with pytest.raises(OutcomeUnknown):
        nodes.members().replace("n2", "n4")
    assert nodes.asked


def test_a_replacement_that_is_not_made_leaves_a_learner_and_says_so() -> None:
    nodes = Nodes(lambda: leading("n1 n2 n3", "n4", "n4"), lambda: Refusal.NOT_CAUGHT_UP)
    with pytest.raises(Unavailable, match="; n4 stays a learner: the same command goes on from there"):
        nodes.members().replace("n3", "n4")


def test_a_leader_of_a_moment_ago_is_given_time_to_hear_the_others() -> None:
    looks = iter([leading("n1 n2 n3", "n2 n3")] * 3)
    gone = leading("n1 n3", "")
    nodes = Nodes(lambda: next(looks, gone if nodes.asked else leading("n1 n2 n3")))
    nodes.members(timeout=FIRST_ANSWERS_SECONDS + 10).remove("n2")
    assert len(nodes.asked) == 1


def test_that_time_begins_when_the_leader_is_seen() -> None:
    """A cluster without a leader takes longer than that to find one."""
    begin = time.monotonic()

    def look() -> NodeSnapshot | None:
        since = time.monotonic() - begin - FIRST_ANSWERS_SECONDS
        if since < 0.2:
            return None
        if since < 0.3:
            return leading("n1 n2 n3", "n2 n3")
        return leading("n1 n3" if nodes.asked else "n1 n2 n3")

    nodes = Nodes(look)
    nodes.members(timeout=FIRST_ANSWERS_SECONDS + 10).remove("n2")
    assert len(nodes.asked) == 1


def test_what_got_lost_with_a_leader_is_not_asked_of_the_next_if_it_misses_the_first() -> None:
    nodes = Nodes(lambda: leading("n3 n2 n1", "n1", term=Term(8)) if nodes.asked else leading("n1 n2 n3"))
    members = Members(cast(ControlClient, nodes), {"n1": "tcp://n1", "n3": "tcp://n3"}, 10)
    with pytest.raises(OutcomeUnknown, match=r"not asked for again: of the 2 voters .* n1 cannot be heard"):
        members.remove("n2")
    assert len(nodes.asked) == 1


def test_the_reason_is_given_however_short_the_time() -> None:
    nodes = Nodes(lambda: leading("n1 n2 n3", "n3"))
    with pytest.raises(ConfigError, match=r"n3 cannot be heard, .* no quorum; .*nothing was changed"):
        nodes.members(0.05).remove("n2")
    assert nodes.asked == []


def test_a_change_that_was_taken_and_does_not_end_is_of_unknown_outcome() -> None:
    under_way = leading("n1 n2 n3", configuration_committed=False)
    nodes = Nodes(lambda: under_way if nodes.asked else leading("n1 n2 n3"))
    with pytest.raises(OutcomeUnknown, match=f"not committed after {PATIENCE:g} s; it may yet be"):
        nodes.members().remove("n2")
    assert len(nodes.asked) == 1


def test_a_change_whose_leader_is_gone_is_of_unknown_outcome() -> None:
    nodes = Nodes(lambda: None if nodes.asked else leading("n1 n2 n3"))
    with pytest.raises(OutcomeUnknown):
        nodes.members().remove("n2")


def test_a_change_that_nobody_took_did_not_happen() -> None:
    nodes = Nodes(lambda: leading("n1 n2 n3"), lambda: Refusal.TRANSFER_UNDER_WAY)
    with pytest.raises(Unavailable, match="leadership is being handed over; nothing was changed"):
        nodes.members().remove("n2")
    with pytest.raises(Unavailable, match="no leader within"):
        Nodes(lambda: leading("n1 n2 n3", role="follower")).members().remove("n2")
    with pytest.raises(Unreachable, match="no node answers"):
        Nodes(lambda: None).members().remove("n2")


def test_the_last_voter_is_refused_by_whoever_leads() -> None:
    nodes = Nodes(lambda: leading("n1"), lambda: Refusal.LAST_VOTER)
    with pytest.raises(ConfigError, match="it is the last voter; nothing was changed"):
        nodes.members().remove("n1")
    assert nodes.asked


class Crowd:
    """``Members`` and ``LocalNodes`` of a cluster that somebody else resizes as well: ``others`` do something
    right before what ``resize`` does next, which is then refused."""

    def __init__(self, voters: str, others: Sequence[Callable[[Crowd], None]] = ()) -> None:
        self.parts = dict.fromkeys(voters.split(), "voter")
        self.processes = set(self.parts)
        self._others = list(others)
        self.tries = 0

    def rows(self) -> list[Row]:
        return [Row(name, part, name == "n1", 0, "", ("x",)) for name, part in self.parts.items()]

    def _interfere(self) -> None:
        self.tries += 1
        if self._others:
            self._others.pop(0)(self)

    def add(self, name: str, address: Sequence[str]) -> None:
        self._interfere()
        self._require(name not in self.parts)
        self.parts[name] = "learner"

    def has_joined(self, name: str) -> bool:
        return name in self.parts

    def promote(self, name: str) -> None:
        self._interfere()
        self._require(self.parts.get(name) == "learner")
        self.parts[name] = "voter"

    def remove(self, name: str) -> None:
        self._interfere()
        self._require(name in self.parts)
        del self.parts[name]

    def reserve(self, name: str | None) -> tuple[str, tuple[str, ...]]:
        return f"n{len(self.parts) + 1}", ("x",)

    def ensure(self, name: str, address: Sequence[str]) -> None:
        self.processes.add(name)

    def drop(self, name: str) -> None:
        self.processes.discard(name)

    @staticmethod
    def _require(fits: bool) -> None:
        if not fits:
            raise ConfigError("refused")

    def resize(self, count: int) -> None:
        resize(cast(Members, self), cast(LocalNodes, self), count, lambda _: None)


def added(crowd: Crowd) -> None:
    crowd.parts["n4"] = "learner"


def promoted(crowd: Crowd) -> None:
    crowd.parts["n4"] = "voter"


def removed(crowd: Crowd) -> None:
    del crowd.parts["n3"]


def nothing(crowd: Crowd) -> None:
    del crowd


@pytest.mark.parametrize(
    ("others", "count"),
    [([], 5), ([], 1), ([added], 4), ([added, promoted], 4), ([nothing, promoted], 5), ([removed], 2)],
    ids=["grows", "shrinks", "added", "added and promoted", "promoted", "removed"],
)
def test_whoever_resizes_beside_another_does_what_is_left(
    others: list[Callable[[Crowd], None]], count: int
) -> None:
    crowd = Crowd("n1 n2 n3", others)
    crowd.resize(count)
    assert list(crowd.parts.values()) == ["voter"] * count
    assert crowd.parts.keys() <= crowd.processes


def test_a_step_that_is_refused_though_nobody_else_changes_anything_is_not_tried_again() -> None:
    crowd = Crowd("n1 n2 n3")
    crowd.reserve = lambda name: ("n2", ("x",))  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="refused"):
        crowd.resize(4)
    assert crowd.tries == 1


@pytest.mark.parametrize(("new", "error"), [("n5", OutcomeUnknown), ("n4", Unavailable)])
def test_a_replacement_that_has_added_a_node_does_not_say_that_nothing_happened(
    new: str, error: type[ClientError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*_: object) -> None:
        raise Unavailable(f"{new} lacks 9 entries; {new} stays a learner")

    rows = [Row("n1", "voter", True, 0, "a", ()), Row("n4", "learner", False, 9, "b", ())]
    members = SimpleNamespace(rows=lambda: rows, replace=late)
    monkeypatch.setattr(commands, "_members", lambda *_: nullcontext((members, None)))
    monkeypatch.setattr(commands, "_add", lambda *_: new)
    with pytest.raises(error, match="stays a learner") as caught:
        commands.replace("n1", new)
    assert type(caught.value) is error


def test_a_learner_that_an_earlier_attempt_added_is_started_only_once_it_is_committed() -> None:
    """What only its leader knows of may be lost with it, and then nobody would know whom it belongs to."""
    views = [silent_learner(configuration_committed=False)]
    nodes, started = Nodes(lambda: views[-1]), list[str]()
    local = SimpleNamespace(
        is_reserved=lambda name, address: True, ensure=lambda name, address: started.append(name)
    )

    def add() -> str:
        return commands._add(nodes.members(), cast(LocalNodes, local), None, ())

    with pytest.raises(OutcomeUnknown, match="not committed"):
        add()
    assert not started
    views.append(silent_learner())
    assert add() == "n4"
    assert started == ["n4"]
    assert nodes.asked == [], "it is added already"


def silent_learner(**changes: Any) -> NodeSnapshot:
    return leading("n1 n2 n3", silent="n4", learners="n4", **changes)


def test_a_learner_that_was_lost_with_its_leader_is_not_taken_for_one() -> None:
    views = iter([silent_learner(configuration_committed=False)])
    nodes = Nodes(lambda: next(views, leading("n1 n2 n3")))
    members = nodes.members(10)
    assert [row.name for row in members.rows()] == ["n1", "n2", "n3", "n4"]
    assert not members.has_joined("n4")


def test_a_learner_is_not_replaced_and_nobody_is_added_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Row("n1", "voter", True, 0, "a", ()), Row("n4", "learner", False, 9, "b", ())]
    members = SimpleNamespace(rows=lambda: rows)
    monkeypatch.setattr(commands, "_members", lambda *_: nullcontext((members, None)))
    with pytest.raises(ConfigError, match=r"n4 is a learner, .* nothing was changed"):
        commands.replace("n4", None)
    nodes = Nodes(lambda: leading("n1 n2 n3", learners="n4 n5"), lambda: Refusal.NO_LEARNER)
    with pytest.raises(ConfigError, match="n4 is a learner, and has no vote to hand on"):
        nodes.members().replace("n4", "n5")


def test_a_learner_takes_no_place_before_it_is_known_to_have_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is not started either: the entry that adds it may be lost with its leader."""
    rows = [Row("n1", "voter", True, 0, "a", ()), Row("n4", "learner", False, None, "b", ())]
    started: list[str] = []
    local = SimpleNamespace(ensure=lambda name, _: started.append(name), drop=lambda _: None)
    for joined in (False, True):
        members = SimpleNamespace(
            rows=lambda: rows, has_joined=lambda _, joined=joined: joined, replace=lambda *_: None
        )
        monkeypatch.setattr(commands, "_members", lambda *_, members=members: nullcontext((members, local)))
        commands.replace("n1", "n4")
        assert started == ["n4"] * joined


def test_a_silent_launcher_does_not_hide_that_links_were_cut() -> None:
    """It may be busy ending a node: whoever did not answer may run, for all that is known."""

    def ask(*_: object) -> None:
        raise Unavailable("no answer")

    chaos = SimpleNamespace(_target=SimpleNamespace(launcher="tcp://launcher"), _node_seconds=PATIENCE)
    client = SimpleNamespace(ask=ask)
    assert Chaos._running(cast(Chaos, chaos), cast(ControlClient, client), {"n2", "n1"}) == ("n1", "n2")
