"""Reading what nodes say of themselves: pure functions of snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from raftkv.observe import NodeSnapshot
from raftkv.raft import Part

Views = Mapping[str, NodeSnapshot]


def term_at(view: NodeSnapshot, index: int) -> int | None:
    """Of an entry near the end of the node's log; None when it is not there, or too far back to be told."""
    offset = index - view.tail.first_index
    return view.tail.terms[offset] if 0 <= offset < len(view.tail.terms) else None


def serving_leader(views: Iterable[NodeSnapshot], above: int = 0) -> NodeSnapshot | None:
    """Who leads in the newest term, which is later than ``above``, and has committed an entry of it: before
    that it serves nothing (§8)."""
    found = list(views)
    newest = max((view.term for view in found), default=0)
    for view in found:
        leads = view.leads and view.term == newest > above
        if leads and term_at(view, view.commit_index) == view.term:
            return view
    return None


def voters(views: Iterable[NodeSnapshot]) -> tuple[str, ...]:
    """As the node says that knows most, in the order of the configuration."""
    best = max(views, key=lambda view: (view.leads, view.term, view.last_index))
    return tuple(member.name for member in best.members if member.part == Part.VOTER.value)


def ailments(names: Sequence[str], views: Views) -> list[str]:
    """What keeps these nodes from being a healthy cluster, in a few words each."""
    silent = [name for name in names if name not in views]
    if silent:
        return [f"no answer from {', '.join(silent)}"]
    found = []
    for name in names:
        view = views[name]
        found += [f"{name}: {fault}" for fault in view.faults]
        found += [f"{name}: alarm {alarm}" for alarm in view.alarms]
        found += [f"{name}: fault on the link to {link.to}" for link in view.links if link.fault]
    leaders = [name for name in names if views[name].leads]
    if len(leaders) != 1:
        return [*found, f"{len(leaders)} leaders" if leaders else "no leader"]
    astray = [name for name in names if views[name].leader != leaders[0]]
    return [*found, f"{', '.join(astray)} does not follow {leaders[0]}"] if astray else found


def describe(views: Iterable[NodeSnapshot]) -> str:
    """``n1 leader in term 4, n2 follower in term 4``."""
    words = [f"{view.name} {view.role.replace('_', '-')} in term {view.term}" for view in views]
    return ", ".join(words) or "no node answers"


class Equality:
    """Collects digests of states until it is known that all of some nodes hold the same: two nodes are
    compared where both were seen at one applied index, at any two moments. So it works under load too."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._seen: dict[int, dict[str, str]] = {}
        self.last = 0

    def add(self, views: Iterable[NodeSnapshot]) -> None:
        for view in views:
            self._seen.setdefault(view.applied_index, {})[view.name] = view.state_digest
            self.last = max(self.last, view.applied_index)

    @property
    def difference(self) -> str | None:
        for index, digests in self._seen.items():
            if len(set(digests.values())) > 1:
                states = ", ".join(f"{name} {digest}" for name, digest in digests.items())
                return f"different states at entry {index}: {states}"
        return None

    @property
    def complete(self) -> bool:
        """Whether every node was compared with every other, be it by way of a third."""
        groups: list[set[str]] = []
        for digests in self._seen.values():
            joined = set(digests)
            for group in [group for group in groups if group & joined]:
                joined |= group
                groups.remove(group)
            groups.append(joined)
        return any(group >= set(self._names) for group in groups)
