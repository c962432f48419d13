"""Who leads: split vote, stale leader, one-way link, paused leader."""

from __future__ import annotations

from raftkv.cluster.scenarios.model import Scenario
from raftkv.cluster.scenarios.stage import FAULT_SECONDS, TRIES_MAX, WAIT_SECONDS, Judgement, Stage
from raftkv.cluster.scenarios.views import describe
from raftkv.errors import ClientError, ScenarioFailed
from raftkv.observe import LinkFault, NodeSnapshot
from raftkv.raft import Role

VOTE_DELAY_MS = 120.0
"""Between candidates: longer than it takes to start them one after the other, and twice it is shorter than
the shortest election timeout."""
SPLIT_SECONDS = 3.0
REFUSED_SECONDS = 1.5
"""For a request that cannot be served."""
CAMPAIGNS = 3


def split_vote(stage: Stage) -> None:
    stage.ask(
        "Two nodes ask each other for the vote of one and the same term. Who wins it?",
        ("the first to ask", "nobody", "both"),
        1,
        "each has given its one vote of that term to itself, and a majority needs two of them",
    )
    for _ in range(TRIES_MAX):
        leader = stage.leader()
        rest = stage.others(leader.name)
        stage.say(f"Cut the leader {leader.name} off, and delay every word between {' and '.join(rest)}.")
        for a in rest:
            for b in rest:
                if a != b:
                    fault = LinkFault(delay_ms=VOTE_DELAY_MS)
                    stage.did(stage.chaos.link(a, b, fault, FAULT_SECONDS))
        stage.did(stage.chaos.isolate(leader.name, FAULT_SECONDS))
        stage.say("Let their election timers run out at the same moment.")
        for name in rest:
            stage.did(stage.chaos.campaign(name))
        split = _await_split(stage, rest, leader.term)
        if split:
            break
        stage.say("One of them was faster, which is chance; once more.")
        stage.did(stage.chaos.heal().command)
        stage.await_whole()
    else:
        raise ScenarioFailed("two candidates share the votes of a term", f"none did in {TRIES_MAX} attempts")
    term, found = split
    stage.assure(f"term {term} has candidates and no leader", True, found)
    stage.say("Mend the network. Each waits for a time drawn anew, so one will be the first.")
    stage.did(stage.chaos.heal().command)
    winner = stage.leader(above=term)
    stage.assure(
        "a later term has exactly one leader", winner.term > term, f"{winner.name} in term {winner.term}"
    )
    stage.put("split-vote", "served")
    stage.check_equal()


def _await_split(stage: Stage, rest: list[str], above: int) -> tuple[int, str] | None:
    """(term, what was seen): all of them have voted for themselves in one term. Their votes tell, also once
    they wait for the next."""
    seen: list[tuple[int, str]] = []

    def look() -> bool:
        views = stage.views(rest)
        terms = {view.term for view in views.values()}
        alone = all(view.voted_for == name and not view.leads for name, view in views.items())
        if len(views) == len(rest) and len(terms) == 1 and min(terms) > above and alone:
            votes = ", ".join(f"{name} voted for {view.voted_for}" for name, view in views.items())
            seen.append((min(terms), f"term {min(terms)}: {votes}"))
        return bool(seen) or any(view.leads for view in views.values())

    stage.happens(look, SPLIT_SECONDS)
    return seen[0] if seen else None


def stale_leader(stage: Stage) -> None:
    stage.put("stale-leader", "old")
    old = stage.leader()
    rest = stage.others(old.name)
    stage.say(f"Cut the leader {old.name} off from the others. Clients still reach it.")
    stage.did(stage.chaos.isolate(old.name, FAULT_SECONDS))
    stage.say("The others hear no heartbeat any more, and elect one of themselves.")
    new = stage.leader(among=rest, above=old.term)
    stage.assure(
        "the others have a leader of a later term", True, f"{new.name} in term {new.term}, before {old.term}"
    )
    stage.say(f"Write a newer value; {new.name} acknowledges it with the majority.")
    revision = stage.put("stale-leader", "new")
    stage.ask(
        f"A client asks {old.name}, which is cut off, for a linearizable read. What does it get?",
        ("the old value", "the new value", "no value: the read fails"),
        2,
        "before it answers, a leader confirms with a majority that it still leads, and it reaches none",
    )
    _read_at_cut_off(stage, old.name, revision)
    stage.check(f"{old.name} has noticed that it leads nobody", lambda: _has_stepped_down(stage, old.name))
    value = stage.get("stale-leader")
    stage.assure("the new leader serves the new value", value == "new", f"{value!r} by {new.name}")
    stage.say("Mend the network.")
    stage.did(stage.chaos.heal().command)
    stage.await_whole()
    stage.check_equal()


def _read_at_cut_off(stage: Stage, node: str, revision: int) -> None:
    """``revision``: of the newer value, which that node cannot know."""
    with stage.at(node, REFUSED_SECONDS) as there:
        try:
            entry = there.get(stage.key("stale-leader")).result()
        except ClientError as error:
            stage.assure(f"the linearizable read at {node} fails", True, str(error))
        else:
            raise ScenarioFailed(f"the linearizable read at {node} fails", f"the answer {entry}")
    stale = stage.stale(node, "stale-leader")
    found = "nothing"
    if stale:
        value = stale.value.decode("utf-8", "replace")
        found = f"'{value}' as of revision {stale.revision}, the cluster is at {revision}"
    stage.assure(
        f"a read of {node} with --stale answers, and its revision says how old that is",
        stale is not None and stale.value == b"old" and stale.revision < revision,
        found,
    )


def _has_stepped_down(stage: Stage, node: str) -> Judgement:
    view = stage.view(node)
    return not view.leads, describe([view])


def one_way_link(stage: Stage) -> None:
    old = stage.leader()
    rest = stage.others(old.name)
    stage.say(f"Block every link to the leader {old.name}. It can still speak, but hears nobody.")
    for name in rest:
        stage.did(stage.chaos.link(name, old.name, LinkFault(block=True), FAULT_SECONDS))
    stage.ask(
        f"The others still get the heartbeats of {old.name}. Does it go on leading?",
        ("yes, they are content", "no, it gives up by itself", "no, the others depose it"),
        1,
        "a leader that has not heard a majority for an election timeout steps down: check-quorum",
    )
    stage.check(
        f"{old.name}, which hears no quorum, has stepped down", lambda: _has_stepped_down(stage, old.name)
    )
    new = stage.leader(among=rest, above=old.term)
    stage.assure("the others have elected another leader", True, f"{new.name} in term {new.term}")
    deaf = stage.view(old.name)
    stage.say(f"{old.name} hears nothing of that and campaigns, again and again.")
    for _ in range(CAMPAIGNS):
        stage.did(stage.chaos.campaign(old.name))
    stage.check(
        f"{old.name} asks for pre-votes, and its term stays as it was",
        lambda: _pre_candidate(stage.view(old.name), deaf.term),
    )
    stage.put("one-way-link", "undisturbed")
    now = stage.leader(among=rest)
    stage.assure("the cluster serves meanwhile", now.leads, f"a write, with {describe([now])}")
    stage.say("Mend the links.")
    stage.did(stage.chaos.heal().command)
    stage.await_whole()
    stage.check_equal()


def _pre_candidate(view: NodeSnapshot, term: int) -> Judgement:
    if view.term != term:
        raise ScenarioFailed(f"without pre-votes {view.name} does not raise its term", describe([view]))
    return view.role == Role.PRE_CANDIDATE.value, describe([view])


def paused_leader(stage: Stage) -> None:
    stage.require_launcher("stops a process in its tracks")
    stage.put("paused-leader", "old")
    old = stage.leader()
    rest = stage.others(old.name)
    stage.say(f"Stop the process of the leader {old.name} (SIGSTOP), as a long pause of its machine would.")
    stage.did(stage.chaos.pause(old.name, FAULT_SECONDS))
    new = stage.leader(among=rest, above=old.term)
    stage.put("paused-leader", "new")
    stage.assure(
        "two nodes think that they lead",
        new.leads and old.leads,
        f"{old.name}, stopped as the leader of term {old.term}; {new.name} in term {new.term}",
    )
    stage.ask(
        f"{old.name} wakes up as a leader, and the first thing it finds is a read. What does it answer?",
        ("the old value, which is all it knows", "never the old value"),
        1,
        "by its own clock nothing has happened, but a read is confirmed by a majority first",
    )
    stage.say(f"A linearizable read waits at the door of {old.name}. Let the process go on (SIGCONT).")
    with stage.at(old.name, WAIT_SECONDS) as there:
        read = there.get(stage.key("paused-leader"))
        stage.did(stage.chaos.resume(old.name))
        try:
            entry = read.result()
        except ClientError as error:
            raise ScenarioFailed(
                f"{old.name} answers the read once it knows the leader", str(error)
            ) from None
    value = entry.value.decode() if entry else None
    stage.assure("the read that waited got the new value", value == "new", f"{value!r}")
    stage.check(
        f"{old.name} is deposed, and one node leads",
        lambda: _follows(stage.view(old.name), above=old.term),
    )
    stage.await_whole()
    stage.check_equal()


def _follows(view: NodeSnapshot, above: int) -> Judgement:
    return view.term > above and view.leader is not None, describe([view])


SPLIT_VOTE = Scenario(
    "split-vote",
    "A split vote",
    "§5.2",
    "Candidates ask for votes at the same moment, and nobody gets a majority. Randomised election timeouts "
    "settle it in a later term.",
    3,
    split_vote,
)
STALE_LEADER = Scenario(
    "stale-leader",
    "A stale leader",
    "§8",
    "A leader is cut off from the others but not from its clients. It must not serve linearizable reads, "
    "and what it serves as stale is old.",
    3,
    stale_leader,
)
ONE_WAY_LINK = Scenario(
    "one-way-link",
    "A one-way link",
    "thesis §9.6",
    "A leader can speak but not hear. Check-quorum makes it step down, and pre-votes keep it from "
    "disturbing the next leader.",
    3,
    one_way_link,
)
PAUSED_LEADER = Scenario(
    "paused-leader",
    "A paused leader",
    "thesis §6.4",
    "The leader's process is stopped and wakes up when another one leads. For a moment two think that they "
    "lead, and still no client reads an old value.",
    3,
    paused_leader,
)
