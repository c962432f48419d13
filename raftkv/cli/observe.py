"""status, info, ping."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raftkv.cli.options import (
    DEFAULT_TIMEOUT,
    Config,
    Data,
    Endpoints,
    Json,
    Timeout,
    find_whole_cluster,
)
from raftkv.cli.output import Exit, emit, emit_json, note
from raftkv.errors import ConfigError, RaftkvError, Unavailable, Unreachable, no_node

if TYPE_CHECKING:
    from raftkv.cluster.discovery import Target
    from raftkv.observe import LinkSnapshot, NodeSnapshot

FIELD_WIDTH = 18
ANSWER_SECONDS = 1.0
"""For one node's answer, within --timeout: a dead one must not hold up the table."""


WIDTH = 80
"""Of a table, where it can be had."""


def register(app: typer.Typer) -> None:
    app.command()(status)
    app.command()(info)
    app.command()(ping)


def status(
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """A table of the nodes: role, term, leader, log positions, faults. Exit 3 when none answers."""
    from raftkv.observe import leader_of, no_leader

    target = find_whole_cluster(endpoints, config, data, timeout)
    found = _snapshots(target, min(timeout, ANSWER_SECONDS))
    if not any(found.values()):
        raise Unreachable(f"none of the nodes {', '.join(found)} answers")
    if json:
        emit_json(status_document(found))
        return
    gone = {} if all(found.values()) else _gone(target)
    leader = leader_of(found.values())
    emit(_table(found, leader, gone))
    if leader is None:
        note(no_leader(found.values()))


def info(
    name: Annotated[str, typer.Argument(metavar="NODE", help="A node's name.", show_default=False)],
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Everything one node says of itself."""
    target = find_whole_cluster(endpoints, config, data, timeout)
    snapshot = _snapshots(target, timeout, name)[name]
    if snapshot is None:
        raise Unavailable(f"node {name} does not answer")
    document = asdict(snapshot)
    if json:
        emit_json(document)
        return
    for field, value in document.items():
        if field != "tail":
            emit(f"{field:<{FIELD_WIDTH}} {_show(value)}")


def ping(
    name: Annotated[str | None, typer.Argument(metavar="NODE", help="Only this node.")] = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """How long each node takes to answer. Exit 3 when one does not."""
    from raftkv.cluster.control import ControlClient

    target = find_whole_cluster(endpoints, config, data, timeout)
    controls = _controls(target, name)
    times: dict[str, float | None] = {}
    patience = min(timeout, ANSWER_SECONDS) / 2
    with ControlClient(target.key) as client:
        # All at once, however many are silent; and this is where connections are made.
        answers = client.ask_all(list(controls.values()), "ping", patience, until_absent=True)
        for node, endpoint in controls.items():
            times[node] = None
            if answers[endpoint]:
                with suppress(Unavailable):
                    begin = time.perf_counter()
                    client.ask(endpoint, "ping", patience)
                    times[node] = round((time.perf_counter() - begin) * 1000, 3)
    if json:
        emit_json({"nodes": [{"name": node, "milliseconds": spent} for node, spent in times.items()]})
    else:
        for node, spent in times.items():
            emit(f"{node}\t{'no answer' if spent is None else f'{spent:.3f} ms'}")
    if None in times.values():
        raise typer.Exit(Exit.UNAVAILABLE)


def _controls(target: Target, name: str | None) -> dict[str, str]:
    assert target.controls is not None
    if name is None:
        return target.controls
    if name not in target.controls:
        raise ConfigError(no_node(name, target.controls))
    return {name: target.controls[name]}


def _snapshots(target: Target, timeout: float, name: str | None = None) -> dict[str, NodeSnapshot | None]:
    from raftkv.cluster.control import ControlClient, snapshots

    with ControlClient(target.key) as client:
        return snapshots(client, _controls(target, name), timeout)


def status_document(found: dict[str, NodeSnapshot | None]) -> dict[str, Any]:
    """What ``status --json`` prints; at least one node has answered."""
    from raftkv.observe import leader_of

    leader = leader_of(found.values())
    nodes = [_node_json(name, snapshot, _endpoints(name, found)) for name, snapshot in found.items()]
    term = max(snapshot.term for snapshot in found.values() if snapshot)
    return {"leader": leader.name if leader else None, "term": term, "nodes": nodes}


_COPIED = (
    *("role", "term", "leader", "commit_index", "applied_index", "last_index", "first_index"),
    *("revision", "log_bytes", "pid", "state_digest"),
)


def _endpoints(name: str, found: dict[str, NodeSnapshot | None]) -> dict[str, str | None]:
    """As the node says itself, or else as another one knows them."""
    snapshot = found[name]
    client, peer = (snapshot.client_endpoint, snapshot.peer_endpoint) if snapshot else (None, None)
    for view in found.values():
        for member in view.members if view and not snapshot else ():
            if member.name == name and member.address:
                peer, client = member.address[:2]
    return {"client_endpoint": client, "peer_endpoint": peer}


def _node_json(name: str, snapshot: NodeSnapshot | None, endpoints: dict[str, str | None]) -> dict[str, Any]:
    return {
        "name": name,
        **{field: getattr(snapshot, field) if snapshot else None for field in _COPIED},
        **endpoints,
        "alive": snapshot is not None,
        "alarms": list(snapshot.alarms) if snapshot else [],
        "faults": _faults(snapshot),
        "other_faults": list(snapshot.faults) if snapshot else [],
    }


def _faults(snapshot: NodeSnapshot | None) -> list[dict[str, Any]]:
    if snapshot is None:
        return []
    return [
        {"to": link.to, **asdict(link.fault), "seconds_left": link.seconds_left}
        for link in snapshot.links
        if link.fault
    ]


def _link_fault(link: LinkSnapshot) -> str:
    """``→n3 blocked, 40 s left``"""
    from raftkv.observe import describe_link_fault

    assert link.fault
    left = "" if link.seconds_left is None else f", {link.seconds_left:.0f} s left"
    return f"→{link.to} {describe_link_fault(link.fault)}{left}"


def _gone(target: Target) -> dict[str, tuple[str, str]]:
    """Of the nodes that ``raftkv up`` runs here and that do not run now: what became of each, and how long
    that still lasts, or ``-``."""
    from raftkv.cluster.control import ControlClient

    if target.launcher is None:
        return {}
    with ControlClient(target.key) as client, suppress(RaftkvError):
        told = client.ask(target.launcher, "processes", ANSWER_SECONDS)
        now = time.monotonic()  # the launcher's clock: it is on this machine
        return {
            each["name"]: (
                each["state"],
                "-" if each["until"] is None else f"back in {max(0.0, each['until'] - now):.0f} s",
            )
            for each in told
            if each["state"] != "running"
        }
    return {}


def _table(
    found: dict[str, NodeSnapshot | None], leader: NodeSnapshot | None, gone: dict[str, tuple[str, str]]
) -> str:
    head = ("NAME", "ROLE", "TERM", "LEADER", "COMMIT", "APPLIED", "LAST", "LOG", "LAG", "FAULTS", "PID")
    rows: list[tuple[str, ...]] = [head]
    for name, snapshot in found.items():
        if snapshot is None:
            state, left = gone.get(name, ("no answer", "-"))
            rows.append((name, state, *["-"] * 7, left, "-"))
            continue
        # Not below 0: the nodes were asked at the same time but answered at different moments.
        lag = str(max(0, leader.commit_index - snapshot.applied_index)) if leader else "-"
        faults = [_link_fault(link) for link in snapshot.links if link.fault]
        faults += [*snapshot.faults, *snapshot.alarms]
        rows.append(
            (
                name,
                snapshot.role,
                str(snapshot.term),
                snapshot.leader or "-",
                str(snapshot.commit_index),
                str(snapshot.applied_index),
                str(snapshot.last_index),
                _show_bytes(snapshot.log_bytes),
                lag,
                "; ".join(faults) or "none",
                str(snapshot.pid),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    between = "  " if sum(widths) + 2 * len(widths) <= WIDTH else " "
    lines = [between.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return f"\n{'':<{FIELD_WIDTH}} ".join(_show(item) for item in value) or "-"
    if isinstance(value, dict):
        return ", ".join(
            f"{key} ({_show(item)})" if isinstance(item, dict) else f"{key} {_show(item)}"
            for key, item in value.items()
        )
    return "-" if value is None else str(value)


def _show_bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
