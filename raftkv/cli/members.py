"""members: who belongs to the cluster, and changing that while it works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raftkv.cli.options import (
    DEFAULT_TIMEOUT,
    Config,
    Data,
    Endpoints,
    Json,
    Timeout,
    check_timeout,
    find_whole_cluster,
    launcher_seconds,
)
from raftkv.cli.output import emit, emit_json, note
from raftkv.cli.progress import Progress
from raftkv.errors import ConfigError, OutcomeUnknown, Unavailable

if TYPE_CHECKING:
    from raftkv.cluster.members import LocalNodes, Members
    from raftkv.observe import NodeSnapshot

REPLACE_SECONDS = 60.0
NodeName = Annotated[str, typer.Argument(metavar="NAME", help="A member.", show_default=False)]
LongTimeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="Bounds the whole change, catching up included.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Who belongs to the cluster: list, add, promote, remove, replace.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("list")(list_members)
    group.command("add")(add)
    group.command("promote")(promote)
    group.command("remove")(remove)
    group.command("replace")(replace)
    app.add_typer(group, name="members")


def list_members(
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Print every member: name, part, lag in entries, endpoints.

    A voter decides; a learner is sent everything and decides nothing. While a change of voters is under way,
    those that come are called incoming and those that go outgoing. An asterisk marks the leader.
    """
    with _members(endpoints, config, data, timeout) as (members, _):
        rows = members.rows()
    if json:
        emit_json({"members": [_document(asdict(row)) for row in rows]})
        return
    led = any(row.leads for row in rows)
    if not led:
        note("no node that answers leads; this is what the node of the highest term says")
    names = [row.name + "*" * row.leads for row in rows]
    width = max([4, *map(len, names)])
    emit(f"{'NAME':<{width}}  {'PART':<8}  {'LAG':>9}  CLIENT")
    for name, row in zip(names, rows, strict=True):
        lag = f"{row.lag:,}" if row.lag is not None else "silent" if led else "?"
        emit(f"{name:<{width}}  {row.part:<8}  {lag:>9}  {row.address[1] if len(row.address) > 1 else '?'}")


def _document(row: dict[str, Any]) -> dict[str, Any]:
    kinds = ("peer_endpoint", "client_endpoint", "control_endpoint", "status_endpoint")
    address = row.pop("address")
    return {**row, **dict(zip(kinds, address, strict=False))}


def add(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Of the new node [default: the next]", show_default=False),
    ] = None,
    addresses: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENDPOINT]…", help="Its peer, client, control and status endpoint."),
    ] = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Add a learner; 'members promote' lets it vote.

    Where 'raftkv up' runs the cluster on this machine no endpoints are needed: the node is started, too.
    Elsewhere give all four, list it in cluster.toml with joining = true, and run 'raftkv node NAME'.
    """
    address = tuple(addresses or ())
    with _members(endpoints, config, data, timeout) as (members, local):
        name = _add(members, local, name, address)
    _tell(json, f"{name} joins as a learner; let it vote with 'raftkv members promote {name}'", added=name)


def _add(members: Members, local: LocalNodes | None, name: str | None, address: tuple[str, ...]) -> str:
    from raftkv.config import ENDPOINTS, check_endpoint, is_endpoint, is_name, no_endpoint

    if name is not None and not is_name(name):
        raise ConfigError(f"{name!r} is no name: letters, digits, '.', '_' and '-', at most 63")
    for endpoint in address:
        if not is_endpoint(endpoint):
            raise ConfigError(no_endpoint(endpoint))
    if address and len(address) != ENDPOINTS:
        raise ConfigError(f"{len(address)} endpoints: expected those for peers, clients, control and status")
    for endpoint in address:
        check_endpoint(endpoint, members.secure)
    if len(set(address)) < len(address):
        raise ConfigError("the four endpoints of a node are different ones")
    if not address:
        if local is None:
            raise ConfigError(
                "the launcher of this cluster is not on this machine, or not known: name the node and its "
                "endpoints for peers, clients, control and status"
            )
        try:
            left = _start_what_was_left(members, local, name)
        except Unavailable as error:
            raise OutcomeUnknown(str(error)) from None  # of the earlier attempt, which this one goes on with
        if left:
            return left
        name, address = local.reserve(name)
        members.add(name, address)
        local.start(name, address)
        return name
    assert name is not None, "endpoints come after a name"
    members.add(name, address)
    return name


def _start_what_was_left(members: Members, local: LocalNodes, name: str | None) -> str | None:
    """A learner of that name, or of any, that an earlier attempt has added and not started: it ended before
    it heard what had become of it. Raises ``Unavailable`` where that is not settled in time."""
    try:
        rows = members.rows()
    except Unavailable:
        return None  # what comes next waits for a leader
    for row in rows:
        absent = row.part == "learner" and row.lag is None and name in (None, row.name)
        if absent and local.is_reserved(row.name, row.address) and members.has_joined(row.name):
            local.ensure(row.name, row.address)
            return row.name
    return None


def promote(
    name: NodeName,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: LongTimeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Let a learner vote. Waits until it has caught up; refused if it has not when the time is over."""
    with _members(endpoints, config, data, timeout) as (members, local), _progress(name) as waiting:
        if local:
            _start_what_was_left(members, local, name)
        members.promote(name, waiting)
    _tell(json, f"{name} votes", promoted=name)


def remove(
    name: NodeName,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Take a node out of the cluster.

    If it leads, another one takes over at once. Its process ends; its data is set aside where 'raftkv up'
    runs it. The last voter cannot be removed, nor one without whom the others would be no quorum, as too
    many of them are down: remove those first.
    """
    with _members(endpoints, config, data, timeout) as (members, local):
        members.remove(name)
        if local:
            local.drop(name)
    _tell(json, f"{name} has left the cluster", removed=name)


def replace(
    name: NodeName,
    new: Annotated[
        str | None,
        typer.Argument(metavar="[NEW]", help="Who takes its place [default: a new node]", show_default=False),
    ] = None,
    addresses: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENDPOINT]…", help="Its endpoints, as for 'members add'."),
    ] = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: LongTimeout = REPLACE_SECONDS,
    json: Json = False,
) -> None:
    """Let another node take the place of NAME.

    NAME may be dead. The new node is added, catches up, and is swapped for it in one step. NEW may be a
    learner that is there already. When the time is over before it has caught up it stays a learner, and
    the same command goes on from there; the exit code is 4 then, if this one has added it.
    """
    with _members(endpoints, config, data, timeout) as (members, local):
        rows = {row.name: row for row in members.rows()}
        if name not in rows:
            raise ConfigError(f"no member named {name!r}; the members are {', '.join(rows)}")
        if rows[name].part == "learner":
            raise ConfigError(
                f"{name} is a learner, and has no vote to hand on; nothing was changed. "
                f"'raftkv members remove {name}' takes it out, 'raftkv members add' brings another"
            )
        learners = (row for row in rows.values() if row.part == "learner" and row.name != name)
        learner = next(learners, None)
        if new is None and learner:
            new = learner.name  # of an earlier attempt, as a rule
            note(f"{new} is a learner already")
        if local and new in rows and members.has_joined(new):
            local.ensure(new, rows[new].address)  # it may have been added and never started
        added = False
        if new is None or new not in rows:
            new, added = _add(members, local, new, tuple(addresses or ())), True
            note(f"{new} joins as a learner")
        try:
            with _progress(new) as waiting:
                members.replace(name, new, waiting)
        except Unavailable as error:
            if added:  # so it is not true that nothing has happened
                raise OutcomeUnknown(str(error)) from None
            raise
        if local:
            local.drop(name)
    _tell(json, f"{new} has taken the place of {name}", removed=name, promoted=new)


def _tell(json: bool, text: str, **document: str) -> None:
    if json:
        emit_json(document)
    else:
        emit(text)


@contextmanager
def _members(
    endpoints: str | None, config: Path | None, data: Path | None, timeout: float
) -> Iterator[tuple[Members, LocalNodes | None]]:
    from raftkv.cluster.control import ControlClient
    from raftkv.cluster.members import LocalNodes, Members

    check_timeout(timeout)
    target = find_whole_cluster(endpoints, config, data, timeout)
    assert target.controls is not None
    with ControlClient(target.key) as client:
        seconds = launcher_seconds(timeout)
        local = LocalNodes(client, target.launcher, seconds) if target.launcher else None
        yield Members(client, target.controls, timeout), local


@contextmanager
def _progress(name: str) -> Iterator[Any]:
    """Shows how far a learner has come."""
    with Progress() as progress:

        def show(view: NodeSnapshot) -> None:
            book = next((peer for peer in view.peers if peer.name == name), None)
            if book and view.last_index > book.match_index:
                progress.show(lambda: f"{name}: {book.match_index:,} of {view.last_index:,} entries")

        yield show
