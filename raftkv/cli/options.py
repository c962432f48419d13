"""Options that many commands share, and what they lead to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raftkv.cli.output import note
from raftkv.errors import ConfigError, RaftkvError

if TYPE_CHECKING:
    from raftkv.client import Client
    from raftkv.cluster.discovery import Target

Endpoints = Annotated[
    str | None,
    typer.Option(
        "--endpoints",
        metavar="LIST",
        help="Client endpoints, comma-separated: tcp://host:port,…  (or RAFTKV_ENDPOINTS)",
    ),
]
Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="A cluster.toml.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of a cluster started by 'up' [default: .raftkv]"),
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Bounds the whole request.")]
EachTimeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="Bounds each request, not the whole command.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

DEFAULT_TIMEOUT = 5.0
CLOCK_SECONDS_MAX = 3600.0


def check_finite(name: str, value: float) -> None:
    """Bounds let ``nan`` pass, which is neither below nor above anything."""
    if not math.isfinite(value):
        raise ConfigError(f"{name} {value:g}: expected a number")


def find_target(endpoints: str | None, config: Path | None, data: Path | None) -> Target:
    from raftkv.cluster.discovery import ENVIRONMENT, find

    global _found
    if shared and endpoints is None and config is None and data is None:
        with suppress(RaftkvError):  # what it was when the shell began will do
            found = shared.find()
            if found.source == shared.target.source:  # or that one has ended, and this is another cluster
                shared.target = found
        _found = shared.target
    else:
        _found = find(endpoints, config, data)
        idle = [f"--{name}" for name, given in (("config", config), ("data", data)) if given is not None]
        if idle and _found.source in ("--endpoints", ENVIRONMENT):
            note(f"{_found.source} says where the cluster is: {' and '.join(idle)} is not looked at")
    return _found


def where_it_was_looked_for() -> str:
    """What a message adds when nobody answers: where that cluster was found, and what to do."""
    from raftkv.cluster.discovery import SAY_WHERE

    if not _found:
        return ""
    doubt = f"; the key of {_found.key.name} may be another cluster's" if _found.key else ""
    return f" (found through {_found.source}). Start the cluster, or {SAY_WHERE}{doubt}"


def find_whole_cluster(
    endpoints: str | None, config: Path | None, data: Path | None, timeout: float
) -> Target:
    """As ``find_target``, with every node's control and status endpoint: asked of the cluster itself
    where only client endpoints were given."""
    from dataclasses import replace

    check_timeout(timeout)
    target = find_target(endpoints, config, data)
    if target.controls is None:
        with connect(target, timeout) as client:
            nodes = client.hello().nodes
        target = replace(
            target,
            controls={name: control for name, _, control, _ in nodes},
            statuses={name: status for name, _, _, status in nodes},
        )
    return target


@dataclass(slots=True)
class Shared:
    """The connection of a shell, which its commands use instead of their own."""

    target: Target
    find: Callable[[], Target]
    """Looks again: nodes come and go while it is open."""
    client: Client
    timeout: float
    """Of commands that say nothing else."""


shared: Shared | None = None
_found: Target | None = None
"""What this command means, for where errors are told."""


@contextmanager
def connect(target: Target, timeout: float) -> Iterator[Client]:
    from raftkv.client import Client

    check_timeout(timeout)
    if shared and target is shared.target:
        own = shared.timeout if timeout == DEFAULT_TIMEOUT else timeout
        before, shared.client.timeout = shared.client.timeout, own
        try:
            yield shared.client
        finally:
            shared.client.timeout = before
        return
    with Client(target.clients, timeout=timeout, key=target.key) as client:
        yield client


def launcher_seconds(timeout: float) -> float:
    """For an answer of the launcher's, whom a node's polite end takes its time; unless less is asked for."""
    from raftkv.cluster.control import LAUNCHER_SECONDS

    return LAUNCHER_SECONDS if timeout == DEFAULT_TIMEOUT else min(timeout, LAUNCHER_SECONDS)


def check_timeout(timeout: float) -> None:
    if not 0 < timeout <= CLOCK_SECONDS_MAX:
        raise ConfigError(f"--timeout {timeout:g}: expected a number of seconds above 0, at most 3600")
