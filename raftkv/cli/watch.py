"""watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from raftkv.cli.options import (
    DEFAULT_TIMEOUT,
    Config,
    Data,
    EachTimeout,
    Endpoints,
    Json,
    connect,
    find_target,
)
from raftkv.cli.output import argument_bytes, as_field, as_json, emit, emit_json, flush

if TYPE_CHECKING:
    from raftkv.client import Event


def register(app: typer.Typer) -> None:
    app.command()(watch)


def watch(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key.", show_default=False)],
    prefix: Annotated[bool, typer.Option("--prefix", help="All keys that begin with KEY.")] = False,
    from_revision: Annotated[
        int, typer.Option("--from-revision", metavar="N", help="Begin there; 0: with what comes.", min=0)
    ] = 0,
    previous: Annotated[
        bool, typer.Option("--previous", help="Also what was there before (with --json).")
    ] = False,
    count: Annotated[
        int, typer.Option("--count", metavar="N", help="End after so many events; 0: never.", min=0)
    ] = 0,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: EachTimeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Print a line for every change of KEY, until interrupted. It says put or delete, key, value.

    Moves to another node if its own fails; nothing is missed, nothing comes twice. --timeout bounds how
    long the beginning may take."""
    name = argument_bytes(key)
    options: dict[str, Any] = {"revision": from_revision, "previous": previous}
    with connect(find_target(endpoints, config, data), timeout) as client:
        client.revision()  # a watch waits as long as it takes for somebody who follows a leader
        stream = client.watch_prefix(name, **options) if prefix else client.watch(name, **options)
        with stream:
            for number, event in enumerate(stream, start=1):
                _print(event, json)
                if number == count:
                    return


def _print(event: Event, json: bool) -> None:
    if json:
        value = as_json(event.value) if event.version else None
        document: dict[str, Any] = {"type": event.type.value, "key": as_json(event.key), "value": value}
        if event.version:
            document["create_revision"] = event.create_revision
        document["mod_revision"] = event.mod_revision
        if event.version:
            document |= {"version": event.version, "lease": event.lease}
        if event.previous:
            document["previous"] = as_json(event.previous.value)
        emit_json(document, more=True)
    elif event.version:
        emit(f"put\t{as_field(event.key)}\t{as_field(event.value)}", more=True)
    else:
        emit(f"delete\t{as_field(event.key)}", more=True)
    flush(more=True)
