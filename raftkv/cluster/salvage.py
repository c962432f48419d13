"""After a majority was lost for good: a new cluster from the best of what is left.

Nobody can tell from what is left which of it was committed. The longest log of the latest term holds
everything that any *surviving* node acknowledged; what only the lost ones did is gone, and what was never
acknowledged may be in it. That is why an operator has to ask for it, and why the old folders are kept.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from raftkv import config
from raftkv.actors.store import apply_entries
from raftkv.cluster import backup as backups
from raftkv.cluster import local
from raftkv.cluster.backup import Backup, Progress
from raftkv.config import ClusterConfig, NodeConfig
from raftkv.errors import ConfigError, StorageError
from raftkv.kv import StateMachine, captured, move_on, restored
from raftkv.raft import SnapshotMark
from raftkv.storage import OsDirectory, ReadOnlyDirectory, Recovered, Wal
from raftkv.storage.files import sync, sync_folder
from raftkv.storage.snapshots import SnapshotFile, find_latest


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of one node. ``recovered`` is None when it is nothing of use, and ``why`` says so."""

    name: str
    wal: Path
    recovered: Recovered | None
    why: str

    def describe(self) -> str:
        found = self.recovered
        if found is None:
            return f"{self.name}: {self.why}"
        return f"{self.name}: entries up to {found.last_index}, the last of term {found.last_term}"


def survey(data: Path) -> tuple[ClusterConfig, list[Remains]]:
    """What the folder of a local cluster still holds; nothing is touched. Raises ``ConfigError``."""
    cluster = config.load(data / "cluster.toml")
    return cluster, [_look(str(node.name), cluster.data_folder(node.name) / "wal") for node in cluster.nodes]


def _look(name: str, wal: Path) -> Remains:
    if not wal.is_dir():
        return Remains(name, wal, None, "its data is gone")
    try:
        recovered = Wal.read(ReadOnlyDirectory(wal)).recovered
    except (StorageError, OSError) as error:
        return Remains(name, wal, None, str(error))
    if not recovered.last_index:
        return Remains(name, wal, None, "its log is empty")
    return Remains(name, wal, recovered, "")


def best(remains: list[Remains], wanted: str | None) -> Remains:
    """The one whose log is the most up to date (§5.4.1), or the one that is ``wanted``."""
    usable = [each for each in remains if each.recovered and wanted in (None, each.name)]
    if not usable:
        what = f"node {wanted}" if wanted else "any node"
        raise ConfigError(
            f"there is nothing to recover of {what}: {'; '.join(map(Remains.describe, remains))}"
        )
    return max(usable, key=lambda each: _rank(each))


def _rank(remains: Remains) -> tuple[int, int]:
    assert remains.recovered
    return (remains.recovered.last_term, remains.recovered.last_index)


def new_cluster(
    data: Path, cluster: ClusterConfig, chosen: Remains, revisions: int, progress: Progress
) -> Backup:
    """Give every node of the cluster the state of the chosen one, moved on by so many revisions, under a new
    cluster name; what was there is moved into ``lost-…``. The recovered state stays there as a backup file,
    too.

    Everything is made aside first: until then nothing has changed. The switch itself is noted in the folder,
    which is no cluster's until ``finish`` has ended it. The caller holds the folder's lock. Raises
    ``StorageError``."""
    staging = cluster.data_folder(local.RECOVERED)
    # Beside the nodes' folders, which are to be moved into it.
    lost = staging.with_name(f"lost-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}")
    shutil.rmtree(staging, ignore_errors=True)  # of an attempt that came to nothing
    try:
        lost.mkdir()
        name = f"local-{secrets.token_hex(4)}"
        made = _save(chosen, revisions, name, lost / "recovered.backup")
        storage = replace(cluster.storage, data=str(Path(cluster.storage.data) / local.RECOVERED))
        aside = replace(cluster, name=name, nodes=_founders(cluster), storage=storage)
        backups.restore(made, aside, [str(node.name) for node in cluster.nodes], 0, progress)
        note = json.dumps({"cluster": name, "lost": lost.name})
        local.write_durably(data / local.RECOVERY, note)
    except (OSError, ConfigError, StorageError) as error:
        (data / local.RECOVERY).unlink(missing_ok=True)  # first: it must not outlive what it speaks of
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(lost, ignore_errors=True)
        why = f"{error.filename or data}: {error.strerror}" if isinstance(error, OSError) else str(error)
        damaged = isinstance(error, StorageError)
        raise (StorageError if damaged else ConfigError)(
            f"cannot recover: {why}; nothing was changed"
        ) from error
    finish(data)
    return made


def finish(data: Path) -> Path | None:
    """Carry out the switch that is noted in the folder, whether it has begun or not; where the backup is.
    None where there is none to be made. Raises ``StorageError``; then it is still noted."""
    note = data / local.RECOVERY
    if not note.exists():
        return None
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
        cluster = config.load(data / "cluster.toml")
        cluster = replace(cluster, name=str(noted["cluster"]), nodes=_founders(cluster))
        staging = cluster.data_folder(local.RECOVERED)
        lost = staging.with_name(str(noted["lost"]))
        if not staging.is_dir():
            raise StorageError(f"{note} speaks of {staging}, which is not there; nothing was changed")
        # From here on no node starts on an old folder: it belongs to a cluster of another name.
        local.write_config(cluster)
        for node in cluster.nodes:
            made, folder = staging / str(node.name), cluster.data_folder(node.name)
            if made.exists():
                if folder.exists():
                    folder.rename(lost / str(node.name))
                made.rename(folder)
        sync_folder(staging.parent)
        note.unlink()
        shutil.rmtree(staging)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StorageError(
            f"the recovery of {data} is not finished: {error}; say 'raftkv recover' again when that is mended"
        ) from error
    return lost / "recovered.backup"


def _founders(cluster: ClusterConfig) -> tuple[NodeConfig, ...]:
    return tuple(replace(node, joining=False) for node in cluster.nodes)


def _save(chosen: Remains, revisions: int, cluster: str, path: Path) -> Backup:
    """The chosen node's state, all of its log applied, as a backup."""
    recovered = chosen.recovered
    assert recovered
    machine = _replayed(chosen.wal, recovered)
    if revisions:
        move_on(machine, revisions)
    mark = SnapshotMark(recovered.last_index, recovered.last_term, secrets.randbits(62), 0)
    directory = OsDirectory(path.parent)
    writing = SnapshotFile(directory.create(path.name), cluster, mark)
    for chunk in captured(machine):
        writing.add(chunk)
    writing.finish()
    sync(directory)
    writing.file.close()
    return backups.read_backup(path)


def _replayed(wal: Path, recovered: Recovered) -> StateMachine:
    mark = recovered.snapshot
    machine = restored(_chunks(wal), mark.index, str(wal)) if mark else StateMachine()
    apply_entries(machine, recovered.entries)
    return machine


def _chunks(wal: Path) -> Iterator[bytes]:
    stored = find_latest(ReadOnlyDirectory(wal), None)
    if stored:
        yield from stored.chunks(str(wal))
        stored.file.close()
