"""Minorities: one that is cut off, and one that is cut off while the members change."""

from __future__ import annotations

from contextlib import suppress

from raftkv.cluster.members import LocalNodes, Members
from raftkv.cluster.scenarios.model import Scenario
from raftkv.cluster.scenarios.stage import FAULT_SECONDS, MEND_SECONDS, Judgement, Stage
from raftkv.cluster.scenarios.views import describe
from raftkv.config import NODES_MAX
from raftkv.errors import ClientError, ConfigError, RaftkvError, ScenarioFailed
from raftkv.observe import NodeSnapshot
from raftkv.raft import Part, Refusal, Role

REFUSED_SECONDS = 1.5
"""For a request that cannot be served."""
WRITES = 20
CAMPAIGNS = 3
CHANGE_SECONDS = 45.0


def minority_partition(stage: Stage) -> None:
    stage.put("minority", "before")
    leader = stage.leader()
    stage.check_equal()
    few = stage.others(leader.name)[-((len(stage.names) - 1) // 2) :]
    many = stage.others(*few)
    one = few[0]
    stage.say(f"Cut {', '.join(few)} off from {', '.join(many)}. Clients reach both sides.")
    stage.did(stage.chaos.partition([few, many], FAULT_SECONDS))
    for number in range(WRITES):
        stage.put("minority", f"after {number}")
    serving = stage.leader(among=many)
    stage.assure(
        "the majority goes on", True, f"{WRITES} writes acknowledged, {serving.name} in term {serving.term}"
    )
    lonely = stage.wait(f"{one} misses a leader", lambda: _without_leader(stage.view(one)))
    stage.say(f"{one} hears no leader. Let its election timer run out some more times.")
    for _ in range(CAMPAIGNS):
        stage.did(stage.chaos.campaign(one))
    stage.check(
        f"{one} asks for pre-votes, and its term stays as it was",
        lambda: _waits(stage.view(one), int(lonely.term)),
    )
    stage.ask(
        f"A client writes to {one} now. What happens?",
        ("it is taken and sent on later", "it is refused", "it is taken and lost"),
        1,
        "without a majority nothing can be committed, so nothing is promised",
    )
    _refused_at(stage, one)
    stage.say("Mend the network.")
    stage.did(stage.chaos.heal().command)
    stage.await_whole()
    value = stage.get("minority")
    last = f"after {WRITES - 1}"
    stage.assure("what the majority acknowledged is what is read", value == last, f"{value!r}")
    stage.check_equal()


def _without_leader(view: NodeSnapshot) -> NodeSnapshot | None:
    return view if view.role == Role.PRE_CANDIDATE.value else None


def _waits(view: NodeSnapshot, term: int) -> Judgement:
    if view.term != term:
        raise ScenarioFailed(f"a minority does not raise its term {term}", describe([view]))
    return view.role == Role.PRE_CANDIDATE.value and view.leader is None, describe([view])


def _refused_at(stage: Stage, node: str) -> None:
    with stage.at(node, REFUSED_SECONDS) as there:
        write, read = there.put(stage.key("lost"), "no"), there.get(stage.key("minority"))
        for what, future in (("write", write), ("linearizable read", read)):
            try:
                future.result()
            except ClientError as error:
                stage.assure(f"a {what} at {node} is refused", True, str(error))
            else:
                raise ScenarioFailed(f"a {what} at {node} is refused", "it succeeded")
    stale = stage.stale(node, "minority")
    value = stale.value if stale else None
    stage.assure(f"a stale read of {node} shows the past", value == b"before", f"{value!r}")


def membership_under_partition(stage: Stage) -> None:
    launcher = stage.require_launcher("starts another node")
    if len(stage.names) >= NODES_MAX:
        raise ConfigError(f"this scenario adds a node, and a cluster has at most {NODES_MAX}")
    stage.put("membership", "before")
    leader = stage.leader()
    cut_off = stage.others(leader.name)[-1]
    rest = stage.others(cut_off)
    stage.say(f"Cut {cut_off} off from the others.")
    stage.did(stage.chaos.isolate(cut_off, FAULT_SECONDS))
    controls = {name: stage.controls[name] for name in rest}
    local = LocalNodes(stage.control, launcher)
    new, address = local.reserve(None)
    stage.say(f"Ask {cut_off} to add {new} to the cluster.")
    answer = stage.tell_node(cut_off, "change_members", change="add", name=new, address=list(address))
    stage.assure(
        "whoever does not lead refuses a change of members",
        answer["refused"] == Refusal.NOT_LEADER.value,
        f"{cut_off}: {answer['refused']}",
    )
    stage.afterwards(lambda: _take_back(stage, launcher, new))
    stage.say("Ask the leader of the majority for the same; the new node is started, and let vote.")
    Members(stage.control, controls, CHANGE_SECONDS).add(new, address)
    local.start(new, address)
    stage.did(f"raftkv members add {new}")
    stage.ask(
        f"{cut_off} knows nothing of {new}. Can {new} become a voter meanwhile?",
        ("no, all must agree", "yes, majorities suffice", "only as a learner"),
        1,
        "joint consensus needs a majority of the old voters and one of the new, and both are there",
    )
    Members(stage.control, controls, CHANGE_SECONDS).promote(new, lambda _: stage.go_on())
    stage.did(f"raftkv members promote {new}")
    view, behind = stage.leader(among=rest), stage.view(cut_off)
    stage.assure(
        f"{new} votes, and {cut_off} has not heard of it",
        _votes(view, new) and view.configuration_committed and not _votes(behind, new),
        f"{len(_voters(view))} voters on {view.name}, {len(_voters(behind))} on {cut_off}",
    )
    stage.put("membership", "with the new node")
    stage.say("Mend the network.")
    stage.did(stage.chaos.heal().command)
    stage.check(
        f"{cut_off} has learnt who votes",
        lambda: _as_judgement(stage.view(cut_off), new),
    )
    stage.controls[new] = address[2]
    stage.check_equal([*stage.names, new])


def _voters(view: NodeSnapshot) -> list[str]:
    return [member.name for member in view.members if member.part == Part.VOTER.value]


def _votes(view: NodeSnapshot, name: str) -> bool:
    return name in _voters(view)


def _as_judgement(view: NodeSnapshot, name: str) -> Judgement:
    return _votes(view, name), f"voters on {view.name}: {', '.join(_voters(view))}"


def _take_back(stage: Stage, launcher: str, name: str) -> None:
    """The cluster is as it was before; raises when that cannot be."""
    stage.controls.pop(name, None)
    members = Members(stage.control, stage.controls, MEND_SECONDS)
    removed = any(row.name == name for row in members.rows())
    if removed:
        members.remove(name)
    with suppress(RaftkvError):
        LocalNodes(stage.control, launcher).drop(name)
    if removed:
        stage.did(f"raftkv members remove {name}")


MINORITY_PARTITION = Scenario(
    "minority-partition",
    "A minority is cut off",
    "§5.4",
    "A few nodes lose the others. The majority goes on, and the minority promises nothing and disturbs "
    "nobody when it returns.",
    3,
    minority_partition,
)
MEMBERSHIP_UNDER_PARTITION = Scenario(
    "membership-under-partition",
    "New members during a partition",
    "§6",
    "A node joins and becomes a voter while another one is cut off. Whoever does not lead refuses the "
    "change, and learns of it when it returns.",
    3,
    membership_under_partition,
)
