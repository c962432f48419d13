"""Scenarios without a cluster: what is asked of it before, that it is mended afterwards whatever happened,
and what is said. The real ones are played in ``test_scenarios_played``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from raftkv.cluster.discovery import Target
from raftkv.cluster.scenarios import SCENARIOS, Left, Scenario, ScenarioFailed, Stage, play
from raftkv.cluster.scenarios import stage as module
from raftkv.cluster.scenarios.stage import PREFIX
from raftkv.cluster.scenarios.views import Equality, ailments, serving_leader, term_at, voters
from raftkv.errors import ConfigError, OutcomeUnknown, RaftkvError, Unavailable
from raftkv.observe import LinkFault, LinkSnapshot, LogTail, MemberSnapshot, Mended, NodeSnapshot
from raftkv.types import LogIndex, NodeId, Term

NAMES = ("n1", "n2", "n3")
TARGET = Target(
    "tests", ("tcp://127.0.0.1:1",), {name: f"tcp://127.0.0.1:{port}" for port, name in enumerate(NAMES, 2)}
)


def view(name: str, **changes: Any) -> NodeSnapshot:
    """Of a healthy cluster that n1 leads."""
    numbers = dict.fromkeys(
        (
            *("boot", "event_sequence", "pid", "votes", "election_elapsed", "election_timeout", "revision"),
            *("keys", "sessions", "log_bytes", "writes_total", "reads_total", "syncs_total"),
            *("pending_writes", "frames_rejected"),
        ),
        0,
    )
    times = dict.fromkeys(
        ("time", "uptime", "write_ms_p50", "write_ms_p99", "sync_ms_p50", "sync_ms_p99"), 0.0
    )
    fields: dict[str, Any] = {
        **numbers,
        **times,
        "cluster": "tests",
        "name": NodeId(name),
        "role": "leader" if name == "n1" else "follower",
        "term": Term(2),
        "voted_for": None,
        "leader": NodeId("n1"),
        "first_index": LogIndex(1),
        "last_index": LogIndex(3),
        "persisted_index": LogIndex(3),
        "commit_index": LogIndex(3),
        "applied_index": LogIndex(3),
        "state_digest": "abcd",
        "client_endpoint": "tcp://127.0.0.1:1",
        "peer_endpoint": "tcp://127.0.0.1:9",
        "disk_stalled": False,
        "alarms": (),
        "transferee": None,
        "tail": LogTail(LogIndex(2), (Term(1), Term(2))),
        "members": tuple(MemberSnapshot(NodeId(each), "voter", "", ()) for each in NAMES),
    }
    return NodeSnapshot(**{**fields, **changes})


class Cluster:
    """Stands in for nodes, chaos and clients; ``broken`` until it is healed."""

    def __init__(self) -> None:
        self.views: dict[str, NodeSnapshot | None] = {name: view(name) for name in NAMES}
        self.done: list[tuple[Any, ...]] = []
        self.broken = False
        self.heals = True
        self.answers: Exception | None = None

    def snapshots(self, control: object, endpoints: dict[str, str], seconds: float) -> dict[str, Any]:
        found = {name: self.views.get(name) for name in endpoints}
        return {**found, "n3": None} if self.broken and "n3" in found else found

    def heal_all(self) -> Mended:
        self.done.append(("heal_all",))
        if not self.heals:
            raise Unavailable("no answer from n3")
        self.broken = False
        return Mended("raftkv chaos heal --all")

    def kill(self, node: str, seconds: float | None) -> str:
        self.done.append(("kill", node, seconds))
        self.broken = True
        return f"raftkv chaos kill {node} --for {seconds:g}"

    def delete_prefix(self, prefix: str) -> None:
        self.done.append(("delete_prefix", prefix))

    def put(self, key: str, value: str) -> None:
        if self.answers:
            raise self.answers

    def close(self) -> None: ...


class Story:
    """A narrator that remembers."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def say(self, text: str) -> None:
        self.told.append(("say", text))

    def command(self, text: str) -> None:
        self.told.append(("command", text))

    def ask(self, question: str, choices: tuple[str, ...], right: int, why: str) -> None:
        self.told.append(("ask", question))

    def checked(self, what: str, found: str) -> None:
        self.told.append(("checked", what, found))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(module, "snapshots", made.snapshots)
    monkeypatch.setattr(module, "Chaos", lambda target, seconds: made)
    monkeypatch.setattr(module, "Client", lambda endpoints, seconds, key: made)
    for limit in ("HEALTHY_SECONDS", "MEND_SECONDS", "HEAL_AGAIN_SECONDS", "WAIT_SECONDS"):
        monkeypatch.setattr(module, limit, 0.05)
    return made


def scenario(act: Callable[[Stage], Any], nodes: int = 3) -> Scenario:
    return Scenario("tale", "A tale", "§5", "It goes. It ends.", nodes, act)


def kill_and(then: Callable[[Stage], object]) -> Callable[[Stage], None]:
    def act(stage: Stage) -> None:
        stage.did(stage.chaos.kill("n3", module.FAULT_SECONDS))
        then(stage)

    return act


MENDED = [("kill", "n3", module.FAULT_SECONDS), ("heal_all",), ("delete_prefix", PREFIX)]


def test_a_story_that_ends_well_is_cleared_up(cluster: Cluster) -> None:
    story = Story()

    def act(stage: Stage) -> None:
        stage.say("Kill n3.")
        stage.afterwards(lambda: cluster.done.append(("taken back",)))
        stage.did(stage.chaos.kill("n3", module.FAULT_SECONDS))
        stage.check("n3 is silent", lambda: ("n3" not in stage.views(), "2 of 3 answer"))

    play(scenario(act), TARGET, story)
    assert cluster.done == [*MENDED[:2], ("taken back",), MENDED[2]]
    assert story.told == [
        ("say", "Kill n3."),
        ("command", "raftkv chaos kill n3 --for 300"),
        ("checked", "n3 is silent", "2 of 3 answer"),
        ("command", "raftkv chaos heal --all"),
    ]


def test_what_cannot_be_told_or_taken_back_keeps_nothing_else_from_being_mended(cluster: Cluster) -> None:
    """As when 'head' has read enough of the story."""

    class Deaf(Story):
        def command(self, text: str) -> None:
            raise BrokenPipeError

    def fail() -> None:
        raise Unavailable("n4 cannot be removed")

    def act(stage: Stage) -> None:
        stage.afterwards(lambda: cluster.done.append(("taken back",)))
        stage.afterwards(fail)
        stage.chaos.kill("n3", module.FAULT_SECONDS)

    with pytest.raises(Unavailable, match="n4 cannot be removed"):
        play(scenario(act), TARGET, Deaf())
    assert cluster.done == [*MENDED[:2], ("taken back",), MENDED[2]]


def test_what_does_not_hold_fails_and_is_mended(cluster: Cluster) -> None:
    act = kill_and(lambda stage: stage.check("n3 answers", lambda: (False, "silence"), 0.05))
    with pytest.raises(ScenarioFailed, match=r"^n3 answers: not so; found silence$") as caught:
        play(scenario(act), TARGET, Story())
    assert (caught.value.what, caught.value.found) == ("n3 answers", "silence")
    assert cluster.done == MENDED


def test_a_client_that_gets_no_answer_fails_the_scenario(cluster: Cluster) -> None:
    cluster.answers = OutcomeUnknown("no answer in time")
    with pytest.raises(
        ScenarioFailed, match="a write of scenario/k is acknowledged: not so; found no answer"
    ):
        play(scenario(kill_and(lambda stage: stage.put("k", "v"))), TARGET, Story())
    assert cluster.done == MENDED


@pytest.mark.parametrize("error", [ValueError("a mistake"), KeyboardInterrupt(), RaftkvError("refused")])
def test_whatever_is_raised_the_cluster_is_mended(cluster: Cluster, error: BaseException) -> None:
    def fall(stage: Stage) -> None:
        raise error

    with pytest.raises(type(error)):
        play(scenario(kill_and(fall)), TARGET, Story())
    assert cluster.done == MENDED


@pytest.mark.parametrize(
    "step",
    [
        lambda stage: stage.say("on"),
        lambda stage: stage.check("never", lambda: (False, "")),
        lambda stage: stage.wait("never", lambda: None),
        lambda stage: stage.ask("?", ("a", "b"), 0, "so"),
        lambda stage: stage.leader(among=[]),
    ],
    ids=["say", "check", "wait", "ask", "leader"],
)
def test_a_scenario_that_is_left_ends_where_it_stands(
    cluster: Cluster, step: Callable[[Stage], object]
) -> None:
    left: list[bool] = []

    def act(stage: Stage) -> None:
        left.append(True)
        step(stage)
        pytest.fail("it went on")

    with pytest.raises(Left):
        play(scenario(kill_and(act)), TARGET, Story(), lambda: bool(left))
    assert cluster.done == MENDED


def test_what_cannot_be_mended_is_said_beside_what_failed(cluster: Cluster) -> None:
    cluster.heals = False
    act = kill_and(lambda stage: stage.assure("all is well", False, "a dead node"))
    with pytest.raises(ScenarioFailed) as caught:
        play(scenario(act), TARGET, Story())
    text = str(caught.value)
    assert text.startswith("all is well: not so; found a dead node; and the cluster is not whole again")
    assert "no answer from n3" in text
    assert "raftkv chaos heal --all" in text
    assert ("delete_prefix", PREFIX) not in cluster.done


def test_what_cannot_be_mended_after_a_good_end_is_an_error(cluster: Cluster) -> None:
    cluster.heals = False
    with pytest.raises(Unavailable, match="the cluster is not whole again"):
        play(scenario(kill_and(lambda stage: None)), TARGET, Story())


def refused(act: Callable[[Stage], object] = lambda _: pytest.fail("it was played"), nodes: int = 3) -> str:
    with pytest.raises(RaftkvError) as caught:
        play(scenario(act, nodes), TARGET, Story())
    return str(caught.value)


def test_too_few_voters_are_refused_before_anything_is_broken(cluster: Cluster) -> None:
    assert refused(nodes=5) == (
        "scenario tale needs 5 voters, this cluster has 3; 'raftkv up --nodes 5' makes it grow"
    )
    assert cluster.done == []


def test_learners_do_not_count(cluster: Cluster) -> None:
    members = tuple(
        MemberSnapshot(NodeId(name), "learner" if name == "n3" else "voter", "", ()) for name in NAMES
    )
    cluster.views = {name: view(name, members=members) for name in NAMES}
    assert "needs 3 voters, this cluster has 2" in refused()


def test_a_cluster_that_is_not_healthy_is_not_broken_further(cluster: Cluster) -> None:
    cluster.broken = True
    assert refused() == (
        "scenario tale needs a healthy cluster: no answer from n3. Mend it with 'raftkv chaos heal --all'"
    )
    assert cluster.done == []


def test_no_cluster_at_all(cluster: Cluster) -> None:
    cluster.views = {}
    assert refused() == "scenario tale: no node answers"


def test_without_control_endpoints_nothing_can_be_broken() -> None:
    with pytest.raises(ConfigError, match="control endpoints"):
        play(scenario(lambda _: None), Target("tests", ("tcp://127.0.0.1:1",)), Story())


@pytest.mark.usefixtures("cluster")
def test_what_needs_a_launcher_says_so() -> None:
    said = refused(lambda stage: stage.require_launcher("kills processes"))
    assert said.startswith("this scenario kills processes, which only the launcher of 'raftkv up' can do")


# -- what nodes say


def test_the_leader_that_serves_has_committed_in_its_term() -> None:
    assert serving_leader([view("n1"), view("n2")]) == view("n1")
    assert serving_leader([view("n1"), view("n2")], above=2) is None
    assert serving_leader([view("n1", commit_index=LogIndex(2)), view("n2")]) is None
    assert serving_leader([view("n1"), view("n2", term=Term(3))]) is None
    assert serving_leader([]) is None


def test_terms_near_the_end_of_the_log_are_known() -> None:
    assert [term_at(view("n1"), index) for index in range(1, 5)] == [None, 1, 2, None]


def test_voters_are_those_of_the_leader() -> None:
    behind = view("n2", members=())
    assert voters([behind, view("n1")]) == NAMES


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"leader": NodeId("n2")}, ["n2 does not follow n1"]),
        ({"role": "leader"}, ["2 leaders"]),
        ({"alarms": ("NOSPACE",)}, ["n2: alarm NOSPACE"]),
        ({"faults": ("disk full",)}, ["n2: disk full"]),
        (
            {"links": (LinkSnapshot(NodeId("n3"), LinkFault(block=True), 3.0, 0, 0),)},
            ["n2: fault on the link to n3"],
        ),
    ],
)
def test_ailments(changes: dict[str, Any], found: list[str]) -> None:
    views = {name: view(name) for name in NAMES}
    assert ailments(NAMES, {**views, "n2": view("n2", **changes)}) == found


def test_nodes_are_compared_where_they_were_at_the_same_entry() -> None:
    equality = Equality(NAMES)
    equality.add([view("n1"), view("n2")])
    equality.add([view("n1", applied_index=LogIndex(4)), view("n3", applied_index=LogIndex(5))])
    assert not equality.complete
    equality.add([view("n3", applied_index=LogIndex(4))])
    assert (equality.complete, equality.difference, equality.last) == (True, None, 5)
    equality.add([view("n2", applied_index=LogIndex(5), state_digest="ffff")])
    assert equality.difference == "different states at entry 5: n3 abcd, n2 ffff"


# -- the twelve


def test_the_twelve_are_all_there_in_order() -> None:
    assert [each.name for each in SCENARIOS] == [
        *("split-vote", "stale-leader", "log-divergence", "figure-8", "minority-partition", "one-way-link"),
        *("paused-leader", "slow-disk", "disk-full", "snapshot-catch-up", "membership-under-partition"),
        "power-loss",
    ]
    for each in SCENARIOS:
        assert each.summary.count(". ") == 1, each.name
        assert each.summary.endswith(".")
        assert "§" in each.section
        assert each.nodes == 3, "what 'raftkv up' starts is enough"
