"""Where the cluster is that a command means.

In this order: ``--endpoints``, ``RAFTKV_ENDPOINTS``, ``--config``, ``--data``, a cluster that runs in
``./.raftkv`` now, ``./cluster.toml``. What was asked for by name goes before what merely lies
there; and a cluster that ``raftkv up`` runs in this folder goes before a ``cluster.toml`` that
happens to lie beside it, or else ``up`` and ``get`` in one folder could mean two clusters.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from raftkv import config, keys
from raftkv.cluster import run_state
from raftkv.errors import ConfigError, Unavailable
from raftkv.keys import Key

DEFAULT_DATA = Path(".raftkv")
DEFAULT_CONFIG = Path("cluster.toml")
ENVIRONMENT = "RAFTKV_ENDPOINTS"
KEY = "RAFTKV_KEY"
"""Names the file of whoever asks, where the cluster wants to know."""
SAY_WHERE = f"say where it is with --endpoints, {ENVIRONMENT}, --config or --data"


@dataclass(frozen=True, slots=True)
class Target:
    """``source`` names for messages where this was found."""

    source: str
    clients: tuple[str, ...]
    controls: dict[str, str] | None = None
    """By node; None where only client endpoints are known: any node tells the rest."""
    statuses: dict[str, str] | None = None
    launcher: str | None = None
    """Its control endpoint, for a cluster that ``raftkv up`` runs on this machine."""
    key: Key | None = None
    """To be shown to nodes that want one."""
    data: Path | None = None
    """The folder of the nodes' data, where that is on this machine."""


def find(endpoints: str | None, config_path: Path | None, data: Path | None) -> Target:
    """Raises ``ConfigError`` for what is wrong, ``Unavailable`` when nothing is to be found."""
    for source, listed in (("--endpoints", endpoints), (ENVIRONMENT, os.environ.get(ENVIRONMENT) or None)):
        if listed is not None:
            return Target(source, _split(source, listed), key=_key(None))
    if config_path:
        return _from_config(config_path)
    running = _running_in(data or DEFAULT_DATA)
    if running:
        return running
    if data is None and DEFAULT_CONFIG.exists():
        listed_there = _from_config(DEFAULT_CONFIG)
        return replace(listed_there, source=f"{DEFAULT_CONFIG}, as no cluster runs in {DEFAULT_DATA}")
    raise _nothing_runs_in(data or DEFAULT_DATA)


def endpoints(
    *, data: str | PathLike[str] | None = None, config: str | PathLike[str] | None = None
) -> list[str]:
    """The client endpoints (``tcp://host:port``) of a cluster: of the one that ``raftkv up`` runs in the
    folder ``data``, or that the file ``config`` lists; without either, of the one that a command here would
    talk to, by RAFTKV_ENDPOINTS, ``.raftkv`` or ``cluster.toml``. Raises ``Unavailable`` where there is none,
    and ``ConfigError``."""
    if config is not None and data is not None:
        raise ConfigError("either a folder or a file says where the cluster is")
    if config is not None:
        return list(_from_config(Path(config)).clients)
    return list((running_in(Path(data)) if data is not None else find(None, None, None)).clients)


def running_in(folder: Path) -> Target:
    """The cluster that runs in ``folder``, whatever the environment names: for whoever has started it.
    Raises ``Unavailable`` where none does."""
    running = _running_in(folder)
    if running is None:
        raise _nothing_runs_in(folder)
    return running


def _nothing_runs_in(folder: Path) -> Unavailable:
    return Unavailable(f"no cluster runs in {folder}; start one with 'raftkv up', or {SAY_WHERE}")


def _split(source: str, listed: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in listed.split(",") if part.strip())
    for endpoint in found:
        if not config.is_endpoint(endpoint):
            raise ConfigError(f"{source}: {config.no_endpoint(endpoint)}")
    if not found:
        raise ConfigError(f"{source}: names no endpoint")
    return found


def _from_config(path: Path) -> Target:
    cluster = config.load(path)
    folder = cluster.source.parent / cluster.storage.data
    return Target(
        str(path),
        tuple(node.client for node in cluster.nodes),
        {node.name: node.control for node in cluster.nodes},
        {node.name: node.status for node in cluster.nodes},
        key=_key(cluster.keys) if cluster.keys else None,
        data=folder if folder.is_dir() else None,
    )


def _key(folder: Path | None) -> Key | None:
    """The one that ``RAFTKV_KEY`` names; else of the cluster's folder of keys the admin's or, on the machine
    of a node, the cluster's own."""
    named = os.environ.get(KEY)
    if named:
        return keys.load(Path(named))
    if folder is None:
        return None
    for name in (keys.ADMIN, keys.CLUSTER):
        path = folder / (name + keys.SUFFIX)
        if os.access(path, os.R_OK):
            return keys.load(path)
    raise ConfigError(
        f"{folder} holds neither {keys.ADMIN}.key nor {keys.CLUSTER}.key for us; name yours in {KEY}"
    )


def _running_in(folder: Path) -> Target | None:
    state = run_state.load(folder)
    if state is None:
        return None
    return Target(
        str(folder),
        tuple(node.client for node in state.nodes),
        {node.name: node.control for node in state.nodes},
        {node.name: node.status for node in state.nodes},
        state.launcher,
        data=folder,
    )
