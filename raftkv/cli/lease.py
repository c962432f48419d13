"""lease: keys that live as long as somebody says so."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raftkv.cli.options import (
    DEFAULT_TIMEOUT,
    Config,
    Data,
    Endpoints,
    Json,
    Timeout,
    check_finite,
    connect,
    find_target,
)
from raftkv.cli.output import as_field, as_json, emit, emit_json, flush, note
from raftkv.errors import OutcomeUnknown, Unavailable

if TYPE_CHECKING:
    from raftkv.client import Client, LeaseInfo

RENEWALS = 3
"""Within one time to live."""
RETRY_SECONDS = 0.5
"""After a renewal that nobody has answered, which has taken --timeout already."""
LeaseId = Annotated[int, typer.Argument(metavar="ID", help="As 'grant' printed it.", show_default=False)]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Leases: grant, revoke, keep-alive, list, show.", no_args_is_help=True, rich_markup_mode=None
    )
    group.command()(grant)
    group.command()(revoke)
    group.command("keep-alive")(keep_alive)
    group.command("list")(list_leases)
    group.command()(show)
    app.add_typer(group, name="lease")


def grant(
    ttl: Annotated[float, typer.Argument(metavar="TTL", help="Seconds, from 0.1.", show_default=False)],
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Make a lease of TTL seconds, and print its id. Each keep-alive gives it as long again."""
    check_finite("TTL", ttl)
    with connect(find_target(endpoints, config, data), timeout) as client:
        lease = client.lease(ttl)
    if json:
        emit_json({"id": lease.id, "ttl": ttl})
    else:
        emit(str(lease.id))


def revoke(
    lease_id: LeaseId,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """End a lease, and delete the keys that hang on it. Print how many; exit 1 if there is no such lease."""
    with connect(find_target(endpoints, config, data), timeout) as client:
        deleted = client.revoke(lease_id)
    if json:
        emit_json({"id": lease_id, "deleted": deleted})
    else:
        emit(str(deleted))


def keep_alive(
    lease_id: LeaseId,
    once: Annotated[bool, typer.Option("--once", help="One renewal, and no more.")] = False,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Renew a lease until interrupted, printing a line each time. Exit 1 when it has ended.

    Goes on through an outage of the cluster: a lease outlives it, as nobody could have renewed it.
    """
    with connect(find_target(endpoints, config, data), timeout) as client:
        ttl = client.keep_alive(lease_id)
        while True:
            if json:
                emit_json({"id": lease_id, "ttl": ttl}, more=True)
            else:
                emit(f"lease {lease_id} lives for {ttl:g} s more", more=True)
                flush(more=True)
            if once:
                return
            threading.Event().wait(ttl / RENEWALS)
            ttl = _renewed(client, lease_id)


def _renewed(client: Client, lease_id: int) -> float:
    """However long that takes. Raises ``LeaseNotFound`` when it has ended."""
    told = False
    while True:
        try:
            return client.keep_alive(lease_id)
        except (Unavailable, OutcomeUnknown) as error:
            if not told:
                note(f"lease {lease_id} could not be renewed, trying on: {error}")
            told = True
            threading.Event().wait(RETRY_SECONDS)


def list_leases(
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Print every lease. Its id, time to live, what is left of that, number of keys."""
    with connect(find_target(endpoints, config, data), timeout) as client:
        found = client.leases()
    if json:
        emit_json({"leases": [_json(lease) for lease in found]})
    for lease in found if not json else []:
        emit(f"{lease.id}\t{lease.ttl:g}\t{lease.remaining:g}\t{lease.key_count}")


def show(
    lease_id: LeaseId,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Print one lease and the keys that hang on it. Exit 1 if there is none."""
    with connect(find_target(endpoints, config, data), timeout) as client:
        lease = client.lease_info(lease_id)
    if json:
        emit_json({**_json(lease), "keys": [as_json(key) for key in lease.keys]})
        return
    keys = "1 key" if lease.key_count == 1 else f"{lease.key_count} keys"
    emit(f"lease {lease.id}: {lease.remaining:g} s left of {lease.ttl:g}, {keys}")
    for key in lease.keys:
        emit(as_field(key))


def _json(lease: LeaseInfo) -> dict[str, Any]:
    return {"id": lease.id, "ttl": lease.ttl, "remaining": lease.remaining, "key_count": lease.key_count}
