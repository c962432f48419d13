"""transfer: what an operator does to a cluster that works."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from raftkv.cli.options import DEFAULT_TIMEOUT, Config, Data, Endpoints, Timeout, find_whole_cluster
from raftkv.cli.output import Exit, emit, fail
from raftkv.errors import ConfigError, Unavailable

POLL_SECONDS = 0.02


def register(app: typer.Typer) -> None:
    app.command()(transfer)


def transfer(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Who is to lead.", show_default=False)],
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Move leadership to NODE; exit 1 when another node leads afterwards.

    Clients notice a pause of some milliseconds. A node that is down or too slow does not take over, and
    the leader goes on after the shortest election timeout.
    """
    from raftkv.cluster.control import ControlClient, snapshots

    target = find_whole_cluster(endpoints, config, data, timeout)
    assert target.controls is not None
    if node not in target.controls:
        raise ConfigError(f"no node named {node!r}; the nodes are {', '.join(target.controls)}")
    deadline = time.monotonic() + timeout
    asked = None
    with ControlClient() as client:
        while True:
            left = deadline - time.monotonic()
            views = snapshots(client, target.controls, max(0.01, min(1.0, left)))
            leaders = [view for view in views.values() if view and view.role == "leader"]
            leader = max(leaders, key=lambda view: view.term, default=None)
            if leader and leader.name == node:
                emit(f"{node} leads, term {leader.term}")
                return
            if leader and not leader.transferee and leader.name == asked:
                fail(f"{node} did not take over in time; {leader.name} goes on leading")
                raise typer.Exit(Exit.NO)
            if left <= 0:
                raise Unavailable(
                    f"{node} does not lead within {timeout:g} s; nobody does, or it is too slow"
                )
            if leader and not leader.transferee:
                client.ask(target.controls[leader.name], "transfer", left, to=node)
                asked = leader.name
            time.sleep(POLL_SECONDS)
