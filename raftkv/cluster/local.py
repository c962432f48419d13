"""A local cluster's folder: its ``cluster.toml``, its ports, and the lock of whoever runs it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from raftkv import config
from raftkv.config import NODES_MAX, ClusterConfig, NodeConfig, SnapshotConfig, StorageConfig
from raftkv.errors import ConfigError, LaunchError, counted
from raftkv.types import NodeId

BASE_PORT = 7400
PORTS_A_CLUSTER = 50
"""client +0…, peer +10…, control +20…, status +30…, launcher +40."""
BASE_PORT_MAX = 65535 - PORTS_A_CLUSTER
_CLIENT, _PEER, _CONTROL, _STATUS, _LAUNCHER = 0, 10, 20, 30, 40
_BASES_TRIED = 200
RUN_STATE = "run.json"
"""See ``run_state``."""
RECOVERY, RECOVERED = "recovery.json", ".recovered"
"""In the folder of a cluster that is being recovered: the note of it, and what is to take its place."""
RESTORING = ".restoring"
"""How the names of what is being restored end, until it is whole."""
MADE_BY_US = "# Made by 'raftkv up'."
SET_ASIDE = ".left-"
"""Between the name of a node that has left and what tells its folder from others."""
_LOCK_TRIES, _LOCK_PAUSE_SECONDS = 5, 0.02


class FolderLock:
    """Held by the launcher as long as it runs; the kernel lets go of it however that ends. On the folder
    itself: a file that is locked can be deleted, and another one locked under its name."""

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self._path = data
        self._fd = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE_SECONDS)  # 'is_locked' of another command holds it for a moment
        os.close(self._fd)
        raise LaunchError(
            f"a cluster is running in {data} already: 'raftkv tui --data {data}' shows it, "
            f"'raftkv down --data {data}' stops it; or choose another folder with --data"
        )

    def release(self) -> None:
        os.close(self._fd)

    def remove(self) -> None:
        """With the folder, if nothing is in it: of a cluster that was refused before it was made."""
        with suppress(OSError):
            self._path.rmdir()


def is_locked(data: Path) -> bool:
    """Whether a launcher runs on this folder."""
    try:
        fd = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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
        _check_own(path)
    elif (data / RECOVERY).exists():
        raise ConfigError(
            f"a recovery of {data} was interrupted; 'raftkv recover --force-new-cluster --data {data}' "
            "finishes it"
        )
    if path.exists() and not fresh:
        known = config.load(path)
        if known.keys:
            raise ConfigError(
                f"{path}: [security] keys is for nodes that 'raftkv node' runs; those of 'raftkv up' listen "
                "on this machine alone: take it out"
            )
        if nodes is not None and nodes != len(known.nodes):
            raise ConfigError(
                f"{data} holds a cluster of {counted(len(known.nodes), 'node')}; leave out --nodes (once the "
                "cluster runs, the same command makes it grow or shrink), choose another folder with --data, "
                "or begin anew with --fresh (which deletes its data)"
            )
        old_base = _base(known)
        if old_base > BASE_PORT_MAX:
            raise ConfigError(
                f"{path}: 'raftkv up' takes {PORTS_A_CLUSTER} ports from the first client's on, so that is "
                f"{BASE_PORT_MAX} at most, found {old_base}"
            )
        positions = [_port(node.client) - old_base - _CLIENT for node in known.nodes]
        base = _choose_base(base_port, old_base, positions)
        if base == old_base:
            return replace(known, base_port=base)  # also where the first node is to leave
        if not _is_ours(path):
            raise ConfigError(
                f"{path} was not made by 'raftkv up', so its ports are not changed: change them yourself"
                + ("" if base_port else f", or free port {busy_port(old_base, positions)}, which is in use")
            )
        moved = tuple(
            replace(_node(node.name, base, position), joining=node.joining, priority=node.priority)
            for node, position in zip(known.nodes, positions, strict=True)
        )
        chosen = replace(known, nodes=moved, base_port=base)
    else:
        _check_room(data, fresh)
        count = 3 if nodes is None else nodes
        if not 1 <= count <= NODES_MAX:
            raise ConfigError(f"--nodes {count}: a local cluster has 1 to {NODES_MAX} nodes")
        base = _choose_base(base_port, BASE_PORT, range(count))
        chosen = ClusterConfig(
            name=f"local-{secrets.token_hex(4)}",
            nodes=tuple(_node(NodeId(f"n{position + 1}"), base, position) for position in range(count)),
            source=path,
            chaos=True,
            base_port=base,
            storage=StorageConfig(data=".", segment_mib=segment_mib or StorageConfig().segment_mib),
            snapshot=snapshot or SnapshotConfig(),
        )
    if fresh:
        _clear(data)  # now that nothing of the command can be refused any more
    write_durably(path, render(chosen))
    return chosen


def _check_room(data: Path, fresh: bool) -> None:
    """For a new cluster, which has a name of its own: nobody would believe logs that are there already."""
    if any(held.name.endswith(RESTORING) for held in data.iterdir()):
        raise ConfigError(f"{data} holds what a restore that was interrupted has left; empty it first")
    logs = [] if fresh else sorted(wal.parent.name for wal in data.glob("*/wal") if any(wal.glob("*.log")))
    if logs:
        raise ConfigError(
            f"{data} holds the data of {', '.join(logs)} and no cluster.toml, which says of what cluster; "
            f"put it back ('raftkv inspect verify {data}' tells the name), choose another folder with "
            "--data, or begin anew with --fresh (which deletes the data)"
        )


def another_node(cluster: ClusterConfig, name: str | None) -> NodeConfig:
    """A node that would fit into this cluster, on ports that are free; nothing is changed.

    Raises ``ConfigError``."""
    names = [str(node.name) for node in cluster.nodes]
    if len(names) >= NODES_MAX:
        raise ConfigError(f"a local cluster has at most {NODES_MAX} nodes")
    if name in names:
        raise ConfigError(f"there is a node named {name} already")
    if name is not None and not is_free(cluster.data_folder(name)):
        raise ConfigError(f"{name}: the cluster's folder has something else of that name; choose another one")
    if name is None:
        # Beyond the highest number ever used: a name that comes back may be taken for who it was.
        left = [path.name.split(SET_ASIDE)[0] for path in cluster.data_folder("n").parent.glob("n*")]
        numbers = [int(each[1:]) for each in (*names, *left) if each[:1] == "n" and each[1:].isdecimal()]
        name = f"n{max(numbers, default=0) + 1}"
    base = _base(cluster)
    taken = {_port(endpoint) for node in cluster.nodes for endpoint in node.endpoints()}
    for position in range(_PEER):
        node = _node(NodeId(name), base, position)
        ports = [_port(endpoint) for endpoint in node.endpoints()]
        if not taken.intersection(ports) and not any(map(_is_busy, ports)):
            return replace(node, joining=True)
    raise LaunchError(f"no free ports found from {base} on")


def is_free(folder: Path) -> bool:
    """Whether a new node's data may be there: nothing is, or what an earlier node of that name has left."""
    return not folder.exists() or any((folder / left).exists() for left in ("wal", "node.log"))


def set_aside(folder: Path) -> None:
    """What was a node's data is kept, under another name."""
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}{SET_ASIDE}{secrets.token_hex(4)}"))


def write_config(cluster: ClusterConfig) -> None:
    """Where ``cluster.source`` says."""
    write_durably(cluster.source, render(cluster))


def launcher_endpoint(cluster: ClusterConfig) -> str:
    return f"tcp://127.0.0.1:{_base(cluster) + _LAUNCHER}"


def render(cluster: ClusterConfig) -> str:
    """The ``cluster.toml`` of a local cluster, commented."""
    lines = [
        f"{MADE_BY_US} Times and limits may be edited while the cluster is down.",
        "",
        "[cluster]",
        f'name = "{cluster.name}"',
        f"chaos = {'true' if cluster.chaos else 'false'}   # accept commands that break things",
        *_base_port_line(cluster),
        "",
        "[raft]   # milliseconds",
        f"tick_ms = {cluster.raft.tick_ms}",
        f"heartbeat_ms = {cluster.raft.heartbeat_ms}",
        f"election_timeout_min_ms = {cluster.raft.election_timeout_min_ms}",
        f"election_timeout_max_ms = {cluster.raft.election_timeout_max_ms}",
        f"lease_reads = {'true' if cluster.raft.lease_reads else 'false'}   # see the docs",
        f"clock_drift_percent = {cluster.raft.clock_drift_percent}   # what they rely on",
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
        "[history]   # how much of the past can be read and watched",
        f"revisions = {cluster.history.revisions}",
        f"seconds = {cluster.history.seconds}   # of log time",
        f"mib = {cluster.history.mib}",
        "",
        "[limits]   # of what one node holds for its clients before it answers 'busy'",
        f"pending_writes = {cluster.limits.pending_writes}",
        f"pending_mib = {cluster.limits.pending_mib}",
        "",
        "[loop]",
        f"busy_poll_us = {cluster.loop.busy_poll_us}   # under load, instead of sleeping; 0: never",
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
            *([f"priority = {node.priority}   # to lead"] if node.priority else []),
            *(["joining = true   # the cluster says what it is there for, not this file"] * node.joining),
        ]
    return "\n".join(lines) + "\n"


def _base_port_line(cluster: ClusterConfig) -> list[str]:
    if cluster.base_port is None:
        return []
    return [f"base_port = {cluster.base_port}   # the first of the {PORTS_A_CLUSTER} that 'raftkv up' uses"]


def _toml_string(text: str) -> str:
    """JSON's strings are TOML's, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _node(name: NodeId, base: int, position: int) -> NodeConfig:
    def endpoint(offset: int) -> str:
        return f"tcp://127.0.0.1:{base + offset + position}"

    return NodeConfig(name, endpoint(_PEER), endpoint(_CLIENT), endpoint(_CONTROL), endpoint(_STATUS))


def _base(cluster: ClusterConfig) -> int:
    return cluster.base_port or _port(cluster.nodes[0].client) - _CLIENT


def _choose_base(asked: int | None, preferred: int, positions: Sequence[int]) -> int:
    if asked is not None:
        if not 1024 <= asked <= BASE_PORT_MAX:
            raise ConfigError(f"--base-port {asked}: expected 1024 to {BASE_PORT_MAX}")
        busy = busy_port(asked, positions)
        if busy:
            raise ConfigError(
                f"port {busy} is in use by another process; choose another --base-port "
                f"(a cluster takes {PORTS_A_CLUSTER} ports from there on)"
            )
        return asked
    for base in (preferred, *(BASE_PORT + PORTS_A_CLUSTER * step for step in range(_BASES_TRIED))):
        if not busy_port(base, positions):
            return base
    raise LaunchError(f"no free ports found from {BASE_PORT} on; name some with --base-port")


def busy_port(base: int, positions: Sequence[int]) -> int | None:
    offsets = [kind + position for kind in (_CLIENT, _PEER, _CONTROL, _STATUS) for position in positions]
    return next((base + offset for offset in (*offsets, _LAUNCHER) if _is_busy(base + offset)), None)


def _is_busy(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _port(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


def _is_ours(path: Path) -> bool:
    return path.read_text(encoding="utf-8", errors="replace").startswith(MADE_BY_US)


def _check_own(path: Path) -> None:
    """Somebody else's file is not ours to delete, whatever folder was meant; that of a cluster here is."""
    with suppress(FileNotFoundError):
        if not _is_ours(path) and not any(path.parent.glob("*/wal")):
            raise ConfigError(
                f"--fresh: {path} was not made by 'raftkv up', so it is not deleted; remove it yourself, or "
                "choose another folder with --data"
            )


def _clear(data: Path) -> None:
    """Delete what a cluster left here and nothing else: our own files, and folders with a log. What makes it
    a cluster goes first: one of whose nodes some are empty would elect one of those."""
    for name in ("cluster.toml", RUN_STATE, RECOVERY):
        with suppress(FileNotFoundError):
            (data / name).unlink()
    for entry in data.iterdir():
        if (entry / "wal").is_dir():
            _empty(entry)
    shutil.rmtree(data / RECOVERED, ignore_errors=True)


def _empty(folder: Path) -> None:
    """The folder itself goes only where it can: it may be a link, or a volume."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    with suppress(OSError):
        folder.rmdir()


def write_durably(path: Path, text: str) -> None:
    """All of it or nothing, and for good."""
    from raftkv.storage.files import sync_folder  # not for those who only look for a cluster

    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from None  # which a full disk does not name
    sync_folder(path.parent)
