"""What becomes of logs: divergence, Figure 8, catching up by a snapshot."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from raftkv.client import requests
from raftkv.client.types import PutResult
from raftkv.cluster.scenarios.model import Scenario
from raftkv.cluster.scenarios.stage import (
    FAULT_SECONDS,
    TRIES_MAX,
    WAIT_SECONDS,
    Judgement,
    Stage,
)
from raftkv.cluster.scenarios.views import describe, term_at
from raftkv.errors import ClientError, ConfigError, ScenarioFailed
from raftkv.observe import DiskFault, LinkFault, NodeSnapshot

LOST_WRITES = 3
WRITES_MAX = 200
"""Until the new leader's log is longer than what the old one gathered alone."""
LARGE_BYTES = 600_000
"""One such entry fits into an append of 1 MiB, two do not: so the first entry of the old term and the new
leader's own travel in two messages, one after the other."""
HELPER_DELAY_MS = 150.0
"""On the way to those that hear the leader: time to slow their disks down before the entries arrive."""
SLOW_MS = 1000.0
"""Of those disks: how long the moment lasts in which the old entry alone is on a majority."""
BATCH_WRITES = 500
SNAPSHOT_WRITES_MAX = 25_000
"""Of a few seconds: a node keeps 10,000 entries behind its snapshot unless it is told otherwise."""
SNAPSHOT_KEYS = 50


def log_divergence(stage: Stage) -> None:
    stage.put("log-divergence", "common")
    stage.say(f"Cut the leader off and write {LOST_WRITES} keys to it at once: only its own log gets them.")
    pairs = [(f"lost/{number}", "never acknowledged") for number in range(LOST_WRITES)]
    old, first, last = stage.strand(lambda leader: stage.chaos.isolate(leader, FAULT_SECONDS), pairs)
    stage.assure(
        f"{old.name} alone holds entries that are not committed",
        True,
        f"entries {first} to {last} of term {old.term}, commit index {old.commit_index}",
    )
    rest = stage.others(old.name)
    new = stage.leader(among=rest, above=old.term)
    stage.say(
        f"{new.name} leads the others in term {new.term} and fills the same indexes with other entries."
    )
    for number in range(WRITES_MAX):
        stage.put(f"kept/{number}", "acknowledged")
        new = stage.leader(among=rest)
        if new.last_index > last:
            break
    theirs, ours = _terms(stage, old.name, first, last), _terms(stage, new.name, first, last)
    stage.assure(
        "the logs diverge, as in Figure 7",
        len(ours) == len(theirs) == last - first + 1 and set(theirs).isdisjoint(ours),
        f"terms at {first} to {last}: {theirs} on {old.name}, {ours} on {new.name}",
    )
    stage.ask(
        f"The network is mended. What becomes of the entries that only {old.name} holds?",
        ("they are appended after the others", "they are overwritten", f"{old.name} refuses the others"),
        1,
        "a follower's log is made equal to the leader's; nobody was told that those entries succeeded",
    )
    stage.did(stage.chaos.heal().command)
    stage.check(
        f"{old.name} has the leader's entries in their place",
        lambda: _same_terms(stage, old.name, first, ours),
    )
    lost = [key for key, _ in pairs if stage.get(key) is not None]
    stage.assure("no key of the overwritten entries exists", not lost, f"{LOST_WRITES} keys looked up")
    stage.check_equal()


def _terms(stage: Stage, node: str, first: int, last: int) -> list[int]:
    return [int(entry.term) for entry in stage.chaos.entries(node, first, last - first + 1)]


def _same_terms(stage: Stage, node: str, first: int, wanted: list[int]) -> Judgement:
    found = _terms(stage, node, first, first + len(wanted) - 1)
    return found == wanted, f"terms {found} from entry {first} on"


@dataclass(frozen=True, slots=True)
class _Moment:
    """What was seen while an entry of an old term alone was on a majority."""

    view: NodeSnapshot
    index: int
    """Of that entry."""


def figure_8(stage: Stage) -> None:
    stage.say("Staged: each node is alone at first, and disks are slow for the decisive moment.")
    stage.ask(
        "A leader's entry of an earlier term comes to lie on a majority of nodes. Is it committed then?",
        ("yes, a majority has it", "not before an entry of the leader's own term is on a majority too"),
        1,
        "Figure 8: another node with a later entry could still win and overwrite it",
    )
    for _ in range(TRIES_MAX):
        moment = _stage_figure_8(stage)
        if moment:
            break
        stage.say("The decisive moment passed unseen, which is chance; once more.")
        stage.did(stage.chaos.heal().command)
        stage.await_whole()
    else:
        raise ScenarioFailed(
            "an entry of an old term reaches a majority alone", f"not seen in {TRIES_MAX} tries"
        )
    view, index = moment.view, moment.index
    holders = [view.name, *(peer.name for peer in view.peers if peer.match_index >= index)]
    stage.assure(
        "an entry of an earlier term is on a majority, and is not committed",
        view.commit_index < index,
        f"entry {index} of term {term_at(view, index)} on {', '.join(holders)}; {view.name} leads in term "
        f"{view.term}, commit index {view.commit_index}",
    )
    stage.say("Let the disks be fast again: the leader's own entry, the no-op of its term, follows.")
    stage.did(stage.chaos.heal().command)
    stage.check(
        "it is committed together with an entry of the leader's own term, and not before",
        lambda: _commits_with_own(stage.view(view.name), view, index),
    )
    stage.await_whole()
    value = stage.get("large/0")
    stage.assure(
        "nothing of it was lost", len(value or "") == LARGE_BYTES, f"{len(value or ''):,} bytes read"
    )
    stage.check_equal()


def _stage_figure_8(stage: Stage) -> _Moment | None:
    """None when the moment was missed."""
    everybody = [[name] for name in stage.names]
    stage.say("Cut every node off from every other, and write two large values to the leader.")
    pairs = [(f"large/{number}", str(number) * LARGE_BYTES) for number in range(2)]
    old, first, last = stage.strand(lambda _: stage.chaos.partition(everybody, FAULT_SECONDS), pairs)
    me = old.name
    stage.wait(f"{me} steps down", lambda: not stage.view(me).leads or None)
    helpers = stage.others(me)[: len(stage.names) // 2]
    stage.say(
        f"Its entries {first} to {last} are of term {old.term}. Let {', '.join(helpers)} hear it again."
    )
    for helper in helpers:
        stage.did(stage.chaos.link(me, helper, LinkFault(delay_ms=HELPER_DELAY_MS), FAULT_SECONDS))
        stage.did(stage.chaos.link(helper, me, LinkFault(), FAULT_SECONDS))
    stage.did(stage.chaos.campaign(me))
    elected = stage.wait(f"{me} leads again", lambda: _leads_above(stage.view(me), old.term))
    for helper in helpers:
        stage.did(stage.chaos.disk(helper, DiskFault(slow_ms=SLOW_MS), FAULT_SECONDS))
    stage.say(f"{me} leads in term {elected.term}, and sends its old entries first, one message each.")
    seen: list[_Moment] = []

    def look() -> bool:
        view = stage.view(me)
        matched = sorted((peer.match_index for peer in view.peers if peer.name in stage.names), reverse=True)
        index = int(matched[len(stage.names) // 2 - 1]) if matched else 0
        if view.leads and first <= index <= last and view.commit_index < first:
            seen.append(_Moment(view, index))
        return bool(seen) or not view.leads or view.commit_index >= first

    stage.happens(look, WAIT_SECONDS)
    return seen[0] if seen else None


def _leads_above(view: NodeSnapshot, term: int) -> NodeSnapshot | None:
    return view if view.leads and view.term > term else None


def _commits_with_own(view: NodeSnapshot, before: NodeSnapshot, index: int) -> Judgement:
    """Looked at again and again: at no moment may the commit index stand at an entry of the old term."""
    commit, term = view.commit_index, term_at(view, view.commit_index)
    if view.leads and before.commit_index < commit and term is not None and term < before.term:
        raise ScenarioFailed(
            "nothing of an earlier term is committed before an entry of the leader's own",
            f"commit index {commit} at an entry of term {term}, {describe([view])}",
        )
    return commit >= index, f"commit index {before.commit_index} → {commit}, an entry of term {term}"


def snapshot_catch_up(stage: Stage) -> None:
    stage.put("snapshot", "before")
    leader = stage.leader()
    away = stage.others(leader.name)[-1]
    here = stage.others(away)
    stage.check_equal()
    known = stage.view(away)
    if stage.launcher:
        stage.say(f"Kill {away} with SIGKILL.")
        stage.did(stage.chaos.kill(away, FAULT_SECONDS))
    else:
        stage.say(f"Cut {away} off from the others.")
        stage.did(stage.chaos.isolate(away, FAULT_SECONDS))
    stage.say("Write until the others have taken snapshots and forgotten the entries that it lacks.")
    written = _write_past(stage, here, int(known.last_index))
    views = stage.views(here)
    stage.assure(
        f"no node still has entry {known.last_index + 1}, which {away} needs next",
        all(view.first_index > known.last_index + 1 for view in views.values()) and len(views) == len(here),
        f"after {written:,} writes: "
        + ", ".join(f"{name} begins at entry {view.first_index}" for name, view in views.items()),
    )
    stage.ask(
        f"{away} comes back with its log up to entry {known.last_index}. How does it catch up?",
        ("entry by entry", "by the leader's snapshot, then entries", "not at all"),
        1,
        "entries that are forgotten cannot be sent; the snapshot stands for all of them",
    )
    if stage.launcher:
        stage.did(stage.chaos.restart(away))
    stage.did(stage.chaos.heal().command)
    stage.check(
        f"{away} has installed a snapshot and goes on after it",
        lambda: _skipped(stage.views([away]).get(away), int(known.last_index)),
    )
    stage.await_whole()
    stage.check_equal()


def _skipped(view: NodeSnapshot | None, before: int) -> Judgement:
    """Its log begins behind entries that it never had."""
    if view is None:
        return False, "it does not answer yet"
    found = (
        f"snapshot of entry {view.snapshot_index}, log from {view.first_index}, before it ended at {before}"
    )
    return view.first_index > before + 1 and view.snapshot_index > before, found


def _write_past(stage: Stage, here: list[str], index: int) -> int:
    """Until no log here has the entry after ``index`` any more; how many writes that took."""
    for done in range(BATCH_WRITES, SNAPSHOT_WRITES_MAX + 1, BATCH_WRITES):
        _write_many(stage, BATCH_WRITES)
        for name in here:
            stage.tell_node(name, "snapshot")
        if stage.happens(lambda: _forgot(stage, here, index), 0.3):
            return done
    raise ConfigError(
        f"after {SNAPSHOT_WRITES_MAX:,} writes the nodes still keep what a follower needs: [snapshot] "
        "retain_entries in this cluster's cluster.toml makes this scenario too long; play it on a cluster of "
        "its own"
    )


def _forgot(stage: Stage, here: list[str], index: int) -> bool:
    views = stage.views(here)
    return len(views) == len(here) and all(view.first_index > index + 1 for view in views.values())


def _write_many(stage: Stage, count: int) -> None:
    futures: list[Future[PutResult]] = []
    for number in range(count):
        key = stage.key(f"snapshot/{number % SNAPSHOT_KEYS}")
        futures.append(stage.client.submit(requests.put(key, f"{number}")))
    try:
        for future in futures:
            future.result()
    except ClientError as error:
        raise ScenarioFailed("the majority takes writes", str(error)) from None


LOG_DIVERGENCE = Scenario(
    "log-divergence",
    "Logs that diverge",
    "§5.3, Figure 7",
    "An isolated leader gathers entries that nobody else has, while the others go on without it. When it "
    "comes back, those entries are overwritten.",
    3,
    log_divergence,
)
FIGURE_8 = Scenario(
    "figure-8",
    "Entries of an earlier term",
    "§5.4.2, Figure 8",
    "A leader brings an entry of an earlier term to a majority. It is not committed by counting, but only "
    "together with an entry of the leader's own term.",
    3,
    figure_8,
)
SNAPSHOT_CATCH_UP = Scenario(
    "snapshot-catch-up",
    "Catching up by a snapshot",
    "§7",
    "A follower is away while the others forget the entries that it lacks. It comes back by the leader's "
    "snapshot.",
    3,
    snapshot_catch_up,
)
