"""A local cluster's folder: its ``cluster.toml``, its ports, and the lock of whoever runs it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import socket
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from raftkv import config
from raftkv.config import NODES_MAX, ClusterConfig, NodeConfig, SnapshotConfig, StorageConfig
from raftkv.errors import ConfigError, LaunchError
from raftkv.types import NodeId

BASE_PORT = 7400
PORTS_A_CLUSTER = 50
"""client +0…, peer +10…, control +20…, status +30…, launcher +40."""
_CLIENT, _PEER, _CONTROL, _STATUS, _LAUNCHER = 0, 10, 20, 30, 40
_BASES_TRIED = 200
_LOCK_TRIES, _LOCK_PAUSE_SECONDS = 5, 0.02


class FolderLock:
    """Held by the launcher as long as it runs; the kernel lets go of it however that ends."""

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(data / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE_SECONDS)  # 'is_locked' of another command holds it for a moment
        os.close(self._fd)
        raise LaunchError(
            f"a cluster is running in {data} already; stop it with 'raftkv down --data {data}' "
            "or choose another folder with --data"
        )

    def release(self) -> None:
        os.close(self._fd)


def is_locked(data: Path) -> bool:
    """Whether a launcher runs on this folder."""
    try:
        fd = os.open(data / "LOCK", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def prepare(
    data: Path,
    nodes: int | None,
    base_port: int | None,
    fresh: bool,
    segment_mib: int | None = None,
    snapshot: SnapshotConfig | None = None,
) -> ClusterConfig:
    """Open the folder's cluster, or make one of ``nodes`` (default 3). The caller holds its lock.

    Ports are ``base_port`` and up, which must be free; without it those the cluster had, or the
    first free ones from 7400.
    """
    path = data / "cluster.toml"
    if fresh:
        _clear(data)
    if path.exists():
        known = config.load(path)
        if nodes is not None and nodes != len(known.nodes):
            raise ConfigError(
                f"{data} holds a cluster of {len(known.nodes)} nodes; leave out --nodes, choose another "
                "folder with --data, or begin anew with --fresh (which deletes its data)"
            )
        old_base = _port(known.nodes[0].client) - _CLIENT
        base = _choose_base(base_port, old_base, len(known.nodes))
        if base == old_base:
            return known
        chosen = replace(known, nodes=_nodes([node.name for node in known.nodes], base))
    else:
        count = 3 if nodes is None else nodes
        if not 1 <= count <= NODES_MAX:
            raise ConfigError(f"--nodes {count}: a local cluster has 1 to {NODES_MAX} nodes")
        base = _choose_base(base_port, BASE_PORT, count)
        names = [NodeId(f"n{number}") for number in range(1, count + 1)]
        chosen = ClusterConfig(
            name=f"local-{secrets.token_hex(4)}",
            nodes=_nodes(names, base),
            source=path,
            chaos=True,
            storage=StorageConfig(data=".", segment_mib=segment_mib or StorageConfig().segment_mib),
            snapshot=snapshot or SnapshotConfig(),
        )
    _write(path, render(chosen))
    return chosen


def write_config(cluster: ClusterConfig) -> None:
    """Where ``cluster.source`` says."""
    _write(cluster.source, render(cluster))


def launcher_endpoint(cluster: ClusterConfig) -> str:
    return f"tcp://127.0.0.1:{_port(cluster.nodes[0].client) + _LAUNCHER}"


def render(cluster: ClusterConfig) -> str:
    """The ``cluster.toml`` of a local cluster, commented."""
    lines = [
        "# Made by 'raftkv up'. Times and limits may be edited while the cluster is down.",
        "",
        "[cluster]",
        f'name = "{cluster.name}"',
        f"chaos = {'true' if cluster.chaos else 'false'}   # accept commands that break things",
        "",
        "[raft]   # milliseconds",
        f"tick_ms = {cluster.raft.tick_ms}",
        f"heartbeat_ms = {cluster.raft.heartbeat_ms}",
        f"election_timeout_min_ms = {cluster.raft.election_timeout_min_ms}",
        f"election_timeout_max_ms = {cluster.raft.election_timeout_max_ms}",
        "",
        "[storage]",
        f"data = {_toml_string(cluster.storage.data)}   # relative to this file; a folder a node",
        f"segment_mib = {cluster.storage.segment_mib}   # preallocated files of the log",
        "",
        "[snapshot]   # when the log is cut short",
        f"entries = {cluster.snapshot.entries}",
        f"mib = {cluster.snapshot.mib}",
        f"retain_entries = {cluster.snapshot.retain_entries}   # kept for followers a little behind",
        "",
        "[limits]   # of what one node holds for its clients before it answers 'busy'",
        f"pending_writes = {cluster.limits.pending_writes}",
        f"pending_mib = {cluster.limits.pending_mib}",
    ]
    for node in cluster.nodes:
        lines += [
            "",
            "[[nodes]]",
            f'name = "{node.name}"',
            f'client = "{node.client}"',
            f'peer = "{node.peer}"',
            f'control = "{node.control}"',
            f'status = "{node.status}"',
        ]
    return "\n".join(lines) + "\n"


def _toml_string(text: str) -> str:
    """JSON's strings are TOML's, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _nodes(names: list[NodeId], base: int) -> tuple[NodeConfig, ...]:
    def endpoint(offset: int, position: int) -> str:
        return f"tcp://127.0.0.1:{base + offset + position}"

    return tuple(
        NodeConfig(
            name=name,
            peer=endpoint(_PEER, position),
            client=endpoint(_CLIENT, position),
            control=endpoint(_CONTROL, position),
            status=endpoint(_STATUS, position),
        )
        for position, name in enumerate(names)
    )


def _choose_base(asked: int | None, preferred: int, nodes: int) -> int:
    if asked is not None:
        if not 1024 <= asked <= 65535 - PORTS_A_CLUSTER:
            raise ConfigError(f"--base-port {asked}: expected 1024 to {65535 - PORTS_A_CLUSTER}")
        busy = _busy_port(asked, nodes)
        if busy:
            raise ConfigError(
                f"port {busy} is in use by another process; choose another --base-port "
                f"(a cluster takes {PORTS_A_CLUSTER} ports from there on)"
            )
        return asked
    for base in (preferred, *(BASE_PORT + PORTS_A_CLUSTER * step for step in range(_BASES_TRIED))):
        if not _busy_port(base, nodes):
            return base
    raise LaunchError(f"no free ports found from {BASE_PORT} on; name some with --base-port")


def _busy_port(base: int, nodes: int) -> int | None:
    offsets = [kind + position for kind in (_CLIENT, _PEER, _CONTROL, _STATUS) for position in range(nodes)]
    for offset in (*offsets, _LAUNCHER):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", base + offset))
            except OSError:
                return base + offset
    return None


def _port(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


def _clear(data: Path) -> None:
    """Delete what a cluster left here and nothing else: folders with a log, and our own files."""
    for entry in data.iterdir():
        if (entry / "wal").is_dir():
            shutil.rmtree(entry)
    for name in ("cluster.toml", "run.json"):
        with suppress(FileNotFoundError):
            (data / name).unlink()


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
