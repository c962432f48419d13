"""Copying a running cluster's state into one file, and making a new cluster of such a file.

A backup is a node's snapshot, byte for byte its chunks: consistent because a snapshot is, online because
the node goes on while it is taken and read, checksummed chunk by chunk and as a whole.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from raftkv.cluster import local
from raftkv.cluster.control import ControlClient
from raftkv.config import ClusterConfig
from raftkv.errors import (
    ConfigError,
    CorruptLog,
    DiskFull,
    LaunchError,
    OutcomeUnknown,
    RaftkvError,
    StorageError,
    Unavailable,
    Unreachable,
)
from raftkv.kv import captured, move_on, restored
from raftkv.kv.snapshot import summary
from raftkv.observe import NodeSnapshot
from raftkv.raft import Configuration, Member, SnapshotMark
from raftkv.raft.configuration import OPEN
from raftkv.storage import Identity, OsDirectory, ReadOnlyDirectory, Volume, WalOptions
from raftkv.storage.files import sync, sync_folder
from raftkv.storage.snapshots import SnapshotFile, Stored, open_snapshot
from raftkv.types import LogIndex, NodeId, Term

POLL_SECONDS = 0.02
LOST_AND_FOUND = "lost+found"
"""Of a volume that is new."""
TRIES = 5
"""A node that takes its next snapshot meanwhile drops the one that is being read."""

Progress = Callable[[int, int], None]
"""Gets the chunks done and all of them."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup file holds."""

    path: Path
    cluster: str
    mark: SnapshotMark
    revision: int
    size: int


def take_snapshot(
    client: ControlClient, endpoint: str, index: int, revision: int, deadline: float
) -> SnapshotMark:
    """Have the node take a snapshot of ``index`` and ``revision`` at least, and wait for it. Revisions alone
    would not do: a lease that is granted, or a member that joins, is an entry and makes none.

    Raises ``Unavailable`` where the node was not even asked in time, and ``OutcomeUnknown`` where it was."""
    asked = False
    while (left := deadline - time.monotonic()) > 0:
        with suppress(Unavailable):  # in the rest of the time: it is the whole of it that is told of
            mark = _mark_of(client.ask(endpoint, "snapshot_mark", left))
            if mark and mark.index >= index:
                header = _chunk(client, endpoint, mark, 0, deadline)
                if header is not None and summary(header)["revision"] >= revision:
                    return mark
            asked = True
            client.ask(endpoint, "snapshot", max(0.01, deadline - time.monotonic()))
        time.sleep(POLL_SECONDS)
    if asked:
        raise OutcomeUnknown("the node has not finished its snapshot in time; it may yet")
    raise Unavailable("the node did not answer in time; nothing was written")


def back_up(
    client: ControlClient,
    endpoint: str,
    cluster: str,
    path: Path,
    index: int,
    revision: int,
    timeout: float,
    progress: Progress,
) -> Backup:
    """Write the state of the node at ``endpoint``, of ``index`` and ``revision`` at least, to ``path``.

    ``timeout`` bounds every step, not the whole. Raises ``ConfigError`` when ``path`` exists,
    ``Unavailable``, ``StorageError``."""
    if path.exists():
        raise ConfigError(f"{path} exists already; a backup does not overwrite anything")
    for _ in range(TRIES):
        try:
            mark = take_snapshot(client, endpoint, index, revision, time.monotonic() + timeout)
        except OutcomeUnknown:
            raise Unavailable("no snapshot was taken in time; nothing was written") from None
        size = _copy(client, endpoint, cluster, path, mark, timeout, progress)
        if size:
            break
    else:
        raise Unavailable(f"the node took {TRIES} snapshots faster than one could be read; try again")
    return read_backup(path)


def _copy(
    client: ControlClient,
    endpoint: str,
    cluster: str,
    path: Path,
    mark: SnapshotMark,
    timeout: float,
    progress: Progress,
) -> int:
    """Bytes written; 0 when the node has another snapshot by now."""
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent}: no such folder")
    directory = OsDirectory(path.parent)
    partial = f".{path.name}.{secrets.token_hex(4)}.partial"
    try:
        target = directory.create(partial)
        try:
            writing = SnapshotFile(target, cluster, mark)
            for number in range(mark.chunks):
                chunk = _chunk(client, endpoint, mark, number, time.monotonic() + timeout)
                if chunk is None:
                    return 0
                writing.add(chunk)
                progress(number + 1, mark.chunks)
            writing.finish()
            path.hardlink_to(path.parent / partial)  # unlike a rename, never over another file
            sync(directory)
        finally:
            target.close()
    except FileExistsError:
        raise ConfigError(f"{path} exists already; a backup does not overwrite anything") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        (path.parent / partial).unlink(missing_ok=True)
    return writing.size


def read_backup(path: Path) -> Backup:
    """Check every byte of a backup. Raises ``ConfigError`` or ``StorageError``."""
    stored = _open(path)
    try:
        machine = restored(stored.chunks(str(path.parent)), stored.mark.index, str(path))
    finally:
        stored.file.close()
    return Backup(path, stored.cluster, stored.mark, machine.revision, stored.size)


def restore_local(backup: Backup, data: Path, nodes: int, revisions: int, progress: Progress) -> None:
    """As ``restore``, a local cluster in ``data``, which must be absent or empty. It is made in there under
    another name, and moved up when it is whole, the file that makes it a cluster last: half a cluster would
    elect a leader among the empty nodes. The folder itself may be a volume, which cannot be replaced."""
    new = not os.path.lexists(data)
    if not new and not data.is_dir():
        raise ConfigError(f"{data} is no folder")
    try:
        lock = local.FolderLock(data)
    except LaunchError:
        raise ConfigError(f"{data} is in use: a cluster runs there, or another restore") from None
    try:
        _check_empty(data)
        _fill(backup, data, nodes, revisions, progress)
    except BaseException:
        if new:
            lock.remove()
        raise
    finally:
        lock.release()


def _check_empty(data: Path) -> None:
    held = _held(data)
    if any(name.endswith(local.RESTORING) for name in held):
        raise ConfigError(f"{data} holds what a restore that was interrupted has left; empty it first")
    if held:
        raise ConfigError(f"{data} is not empty; a backup is restored into an empty folder only")


def _held(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {LOST_AND_FOUND}


def _fill(backup: Backup, data: Path, nodes: int, revisions: int, progress: Progress) -> None:
    """All of it, or nothing stays."""
    aside = data / f".{secrets.token_hex(4)}{local.RESTORING}"
    moved: list[Path] = []
    try:
        cluster = local.prepare(_made(aside), nodes, None, fresh=False)
        restore(backup, cluster, [str(node.name) for node in cluster.nodes], revisions, progress)
        for path in sorted(aside.iterdir(), key=lambda path: path.is_file()):
            path.rename(data / path.name)
            moved.append(data / path.name)
        aside.rmdir()
    except BaseException as error:
        for path in (*moved, aside):
            _remove(path)
        if isinstance(error, OSError):
            raise ConfigError(f"cannot make {data}: {error.strerror or error}") from error
        raise


def _remove(path: Path) -> None:
    """Whatever it is, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def restore(
    backup: Backup, cluster: ClusterConfig, names: list[str], revisions: int, progress: Progress
) -> None:
    """Make the data folders of these nodes, each with the backup's state, moved on by so many revisions, and
    an empty log after it; all of them or none.

    Raises ``ConfigError`` for a folder that holds anything, before anything is changed, and
    ``StorageError``."""
    folders = {name: cluster.data_folder(name) for name in names}
    for folder in folders.values():
        if folder.exists() and (not folder.is_dir() or _held(folder) - {local.RESTORING}):
            raise ConfigError(f"{folder} is not empty; a backup is restored into empty folders only")
    # The same entry of the same term everywhere: the log of every node begins after it.
    configuration = _founded(backup, cluster, revisions)
    incarnations = {
        str(member.name): member.incarnation.removesuffix(OPEN) + secrets.token_hex(8)
        for member in configuration.members
    }
    if len(names) == len(cluster.nodes):
        members = [replace(each, incarnation=incarnations[each.name]) for each in configuration.members]
        configuration = Configuration(tuple(members))
    mark, read = _contents(backup, revisions)
    mark = mark._replace(id=secrets.randbits(62), configuration=configuration.encode())
    made = [folder for folder in folders.values() if not folder.exists()]
    logs: list[Path] = []
    try:
        for done, (name, folder) in enumerate(folders.items()):
            # Within the folder, which may be a volume: nothing can be moved into one from elsewhere.
            aside = folder / local.RESTORING
            shutil.rmtree(aside, ignore_errors=True)  # of an attempt that was killed
            identity = Identity(cluster.name, NodeId(name), incarnations[name])
            options = WalOptions(segment_bytes=cluster.storage.segment_mib << 20)
            Volume.seed(OsDirectory(aside / "wal"), identity, options, mark, read())
            progress(done + 1, len(names))
        for folder in folders.values():
            (folder / local.RESTORING / "wal").rename(folder / "wal")
            logs.append(folder / "wal")
            sync_folder(folder)
    except BaseException as error:
        for path in (*logs, *made):
            shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, DiskFull):
            raise ConfigError(f"cannot restore: {error}; nothing was made") from error
        if isinstance(error, OSError):
            what = f"{error.filename}: " if error.filename else ""
            raise ConfigError(f"cannot restore: {what}{error.strerror or error}") from error
        raise
    finally:
        for folder in folders.values():
            shutil.rmtree(folder / local.RESTORING, ignore_errors=True)


def _founded(backup: Backup, cluster: ClusterConfig, revisions: int) -> Configuration:
    """Who belongs to the new cluster. Each machine may make its own node, so of the folders of the others it
    is known how their incarnations begin: all have that of the backup and of how it is restored. What a node
    has left of the cluster that was, whose terms and indexes are the same, is then another folder."""
    mark = backup.mark

    def begin(name: NodeId) -> str:
        what = f"{mark.id} {mark.index} {mark.term} {revisions} {cluster.name} {name}"
        return blake2b(what.encode(), digest_size=8).hexdigest()

    return Configuration(
        tuple(
            Member(node.name, incarnation=begin(node.name) + OPEN, address=node.endpoints())
            for node in cluster.nodes
        )
    )


def _contents(backup: Backup, revisions: int) -> tuple[SnapshotMark, Callable[[], Iterable[bytes]]]:
    """The snapshot to begin with, and what gives its chunks."""

    def read() -> Iterator[bytes]:
        stored = _open(backup.path)
        try:
            yield from stored.chunks(str(backup.path.parent))
        finally:
            stored.file.close()

    if not revisions:
        return backup.mark, read
    machine = restored(read(), backup.mark.index, str(backup.path))
    move_on(machine, revisions)
    chunks = list(captured(machine))
    return backup.mark._replace(chunks=len(chunks)), lambda: chunks


def pick_node(views: Mapping[str, NodeSnapshot | None]) -> str:
    """Whoever leads, or else anybody who answers: the name."""
    alive = [view for view in views.values() if view]
    if not alive:
        raise Unreachable("no node answers")
    return str(max(alive, key=lambda view: (view.leads, view.term)).name)


def _open(path: Path) -> Stored:
    if not path.is_file():
        raise ConfigError(f"{path}: {'no regular file' if path.exists() else 'no such file'}")
    try:
        return open_snapshot(ReadOnlyDirectory(path.parent), path.name)
    except CorruptLog as error:
        raise StorageError(
            f"{path} is no backup, or a damaged one: at byte {error.offset}: {error.cause}"
        ) from error


def _mark_of(body: Any) -> SnapshotMark | None:
    if body is None:
        return None
    try:
        mark = SnapshotMark(**body)
    except TypeError:
        mark = None
    if mark is None or any(type(field) is not int for field in mark[:4]):
        raise RaftkvError("the node does not say what its snapshot is; it runs another version of raftkv")
    return SnapshotMark(LogIndex(mark.index), Term(mark.term), mark.id, mark.chunks)


def _chunk(
    client: ControlClient, endpoint: str, mark: SnapshotMark, number: int, deadline: float
) -> bytes | None:
    left = max(0.01, deadline - time.monotonic())
    body = client.ask(endpoint, "snapshot_chunk", left, id=mark.id, number=number)
    return body if isinstance(body, bytes) else None


def size_in_words(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB" if size >= 1 << 20 else f"{size:,} bytes"
