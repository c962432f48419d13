"""What is broken now: link faults, paused and exited nodes, alarms; each with its time.

A set of blocked links that cuts the cluster in two reads as the partition it is, not as eight
lines: nodes between which no link is open in either direction are in different groups.
"""

from __future__ import annotations

from dataclasses import dataclass

from raftkv.observe import LinkFault, LinkSnapshot, describe_link_fault
from raftkv.tui.model import NodeState, State
from raftkv.tui.view.health import Health, alive, health, last_word
from raftkv.tui.view.matrix import link
from raftkv.tui.view.spans import Line, Span, duration, length, shorten

SHORTEST = 10
"""Characters of a fault that is cut."""
NARROW = 60
"""Columns of the line of faults: with fewer it says no word that the header or the mark says as well."""


@dataclass(frozen=True, slots=True)
class Fault:
    mark: str
    text: str
    ends: float | None = None
    """When it ends by itself."""
    since: float | None = None
    """When it began, where that is known and no end is."""


def faults(state: State, now: float) -> tuple[Fault, ...]:
    found = groups(state, now)
    return (
        *_processes(state, now),
        *_partitions(state, found),
        *_links(state, now, found),
        *_alarms(state, now),
    )


def fault_time(fault: Fault, now: float) -> str:
    if fault.ends is not None:
        return f"{duration(fault.ends - now)} left"
    return duration(now - fault.since) if fault.since is not None else ""


def faults_line(state: State, now: float, width: int, load: bool, lasting: str) -> Line:
    """``lasting``: how long the next fault would last; empty where there can be none."""
    listed = faults(state, now)
    load_text = Span("load on " if load else "", "accent")
    next_one = f"; new ones last {lasting}" if lasting else ""
    quiet = shorten(f" no faults{next_one}", width - length((load_text,)) - 1)
    narrow = width < NARROW and len(listed) > 1
    spans = [Span("" if narrow else " faults ", "dim")] if listed else [Span(quiet, "dim")]
    for number, fault in enumerate(listed):
        separator = Span(" · " if number else " ", "dim")
        time = fault_time(fault, now).removesuffix(" left" if narrow else "")
        item = (separator, Span(f"{fault.mark} {fault.text} ", "bad"), Span(time, ""))
        rest = len(listed) - number
        more = f" · +{rest} more"
        reserve = length((load_text,)) + (0 if rest == 1 else len(more)) + 1
        if length((*spans, *item)) > width - reserve:
            # What is broken first is always told, if not in full; of the rest, what makes sense cut short.
            room = width - reserve - length((*spans, separator)) - len(time) - 1
            if number and room < SHORTEST:
                spans.append(Span(more, "dim"))
                break
            item = (separator, Span(shorten(item[1].text.rstrip(), room) + " ", "bad"), Span(time, ""))
        spans += item
    filler = width - length(tuple(spans)) - length((load_text,))
    return (*spans, Span(" " * max(1, filler)), load_text)


def short_fault(fault: LinkFault) -> str:
    """``80±20ms 5% ×2 2% ⇄ 1%``: for a cell of the network's grid."""
    if fault.block:
        return "blocked"
    jitter = f"±{fault.jitter_ms:g}" if fault.jitter_ms else ""
    parts = [f"{fault.delay_ms:g}{jitter}ms"] if fault.delay_ms else []
    parts += [f"-{fault.drop:.0%}"] if fault.drop else []
    parts += [f"×2 {fault.duplicate:.0%}"] if fault.duplicate else []
    parts += [f"⇄ {fault.reorder:.0%}"] if fault.reorder else []
    return " ".join(parts) or "ok"


def _ends(node: NodeState, way: LinkSnapshot) -> float | None:
    if node.snapshot is None or way.seconds_left is None:
        return None
    return node.snapshot.time + way.seconds_left


def groups(state: State, now: float) -> list[list[str]]:
    """The living nodes, in groups within which some open link leads from each to each."""
    living = [node for node in state.nodes if alive(node, now)]
    found: list[list[str]] = []
    for node in living:
        joined = [group for group in found if any(_linked(state, node, other) for other in group)]
        found = [group for group in found if group not in joined]
        found.append([node.name, *(name for group in joined for name in group)])
    found = [sorted(group, key=state.names.index) for group in found]
    return sorted(found, key=lambda group: state.names.index(group[0]))


def _linked(state: State, node: NodeState, other: str) -> bool:
    peer = state.node(other)
    return is_open(node, other) or (peer is not None and is_open(peer, node.name))


def is_open(sender: NodeState, to: str) -> bool:
    way = link(sender, to)
    return way is None or way.fault is None or not way.fault.block


def _partitions(state: State, groups: list[list[str]]) -> list[Fault]:
    if len(groups) < 2:
        return []
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    ends = [
        _ends(node, way)
        for node in state.nodes
        for way in (node.snapshot.links if node.snapshot else ())
        if node.name in group_of and way.to in group_of and group_of[node.name] != group_of[way.to]
    ]
    known = [end for end in ends if end is not None]
    text = "partition " + " | ".join(" ".join(group) for group in groups)
    return [Fault("✕", text, min(known, default=None))]


def _links(state: State, now: float, groups: list[list[str]]) -> list[Fault]:
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    listed = []
    for node in state.nodes:
        if health(node, now) is Health.EXITED or node.snapshot is None:
            continue  # its faults died with it
        for way in node.snapshot.links:
            within = group_of.get(node.name, -1) == group_of.get(way.to, -2) or not (
                node.name in group_of and way.to in group_of
            )
            if way.fault and within:
                mark = "✕" if way.fault.block else "◐"
                text = f"{node.name}→{way.to} {describe_link_fault(way.fault)}"
                listed.append(Fault(mark, text, _ends(node, way)))
    return listed


def _processes(state: State, now: float) -> list[Fault]:
    listed = []
    for node in state.nodes:
        state_of, process = health(node, now), node.process
        if process and state_of is Health.EXITED:
            listed.append(Fault("☠", f"{node.name} down", process.until, process.since))
        elif process and state_of is Health.PAUSED:
            listed.append(Fault("⏸", f"{node.name} paused", process.until, process.since))
        elif state_of is Health.SILENT:
            listed.append(Fault("?", f"{node.name} silent", None, last_word(node, now)))
    return listed


def _alarms(state: State, now: float) -> list[Fault]:
    listed = []
    for node in state.nodes:
        if node.snapshot is None or not alive(node, now):
            continue
        stalled = ("disk stalled",) if node.snapshot.disk_stalled else ()
        troubles = (*stalled, *node.snapshot.alarms, *node.snapshot.faults)
        listed += [Fault("!", f"{node.name} {trouble}") for trouble in troubles]
    return listed
