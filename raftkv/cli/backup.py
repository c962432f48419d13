"""snapshot, backup, restore, recover: a cluster's whole state, on its nodes' disks and in a file."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raftkv.cli.options import (
    DEFAULT_TIMEOUT,
    Config,
    Data,
    EachTimeout,
    Endpoints,
    Json,
    Timeout,
    connect,
    find_whole_cluster,
)
from raftkv.cli.output import Exit, emit, emit_json, note
from raftkv.cli.progress import Progress
from raftkv.errors import ConfigError, Unavailable, Unreachable, no_node

if TYPE_CHECKING:
    from raftkv.cluster.backup import Backup

BUMP_MAX = 1 << 40
"""Of 2^62 revisions that there are."""
BumpRevision = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        max=BUMP_MAX,
        help="Count on as if N more writes had been made since, and forget the past.",
    ),
]
SAME_NAME = (
    "the cluster is called {} as before: who still knows the old one, a client with a watch for example, "
    "takes it for that and goes on. Another name in {}, on every machine, would tell them"
)
File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)]


def register(app: typer.Typer) -> None:
    app.command()(snapshot)
    app.command()(backup)
    app.command()(restore)
    app.command()(recover)


def snapshot(
    node: Annotated[
        str | None, typer.Argument(metavar="[NODE]", help="One node [default: all that answer]")
    ] = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = 60.0,
    json: Json = False,
) -> None:
    """Have nodes take a snapshot now and cut their logs short. They do so by themselves as well.

    The nodes go on serving while it is taken; the command ends once it is.
    """
    from raftkv.cluster.backup import take_snapshot
    from raftkv.cluster.control import ControlClient, snapshots

    target = find_whole_cluster(endpoints, config, data, timeout)
    assert target.controls is not None
    if node is not None and node not in target.controls:
        raise ConfigError(no_node(node, target.controls))
    deadline = time.monotonic() + timeout
    with ControlClient(target.key) as client:
        views = snapshots(client, target.controls, min(1.0, timeout / 4))
        chosen = {name: view for name, view in views.items() if view and node in (None, name)}
        if not chosen:
            raise Unavailable(f"{node} does not answer") if node else Unreachable("no node answers")
        taken = []
        for name, view in chosen.items():
            if not view.applied_index:
                note(f"{name}: nothing to take a snapshot of")
                continue
            mark = take_snapshot(client, target.controls[name], view.applied_index, view.revision, deadline)
            taken.append({"node": name, "index": mark.index, "term": mark.term})
            if not json:
                emit(f"{name}: snapshot of entry {mark.index}, term {mark.term}")
    if json:
        emit_json({"snapshots": taken})


def backup(
    file: File,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: EachTimeout = 60.0,
    json: Json = False,
) -> None:
    """Copy the state of the running cluster to FILE. It has all that was written before this command began.

    --timeout bounds each of its steps, not the whole. The file is checked when it is complete;
    'raftkv restore' makes a new cluster of it.
    """
    from raftkv.cluster.backup import back_up, pick_node
    from raftkv.cluster.control import ControlClient, snapshots

    if str(file) == "-":
        raise ConfigError("a backup is a file, which is read again to check it: '-' is none")
    target = find_whole_cluster(endpoints, config, data, timeout)
    assert target.controls is not None
    with connect(target, min(timeout, DEFAULT_TIMEOUT)) as reader:
        # A linearizable read: whatever was acknowledged before is in the backup.
        _, revision = reader.count()
        cluster = reader.hello().cluster
    with ControlClient(target.key) as client:
        views = snapshots(client, target.controls, min(1.0, timeout / 4))
        committed = max((view.commit_index for view in views.values() if view), default=0)
        node = pick_node(views)
        endpoint = target.controls[node]
        with Progress() as progress:
            show = progress.counting("chunks copied")
            made = back_up(client, endpoint, cluster, file, committed, revision, timeout, show)
    tell(made, json)


def restore(
    file: File,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Make a local cluster in this folder [default: .raftkv]"),
    ] = None,
    nodes: Annotated[int, typer.Option(metavar="N", help="Of the local cluster.")] = 3,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Make the nodes of this cluster.toml instead.")
    ] = None,
    node: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --config: this one only, on its machine.")
    ] = None,
    bump_revision: BumpRevision = 0,
    json: Json = False,
) -> None:
    """Make a cluster of the backup in FILE; its folders must be empty.

    Every node begins with the same state. On several machines restore the same FILE on each, with the same
    --bump-revision: without it revisions and fencing tokens that clients know from later are given again.
    Give cluster.toml a name that no cluster had: clients of the old one then say that this is another.
    """
    from raftkv.cluster import backup as backups
    from raftkv.cluster.discovery import DEFAULT_DATA
    from raftkv.config import load

    made = backups.read_backup(file)
    if config:
        if data:
            raise ConfigError("--data and --config exclude each other: cluster.toml says where the data is")
        cluster = load(config)
        names = [cluster.node(node).name] if node else [each.name for each in cluster.nodes]
        with Progress() as progress:
            show = progress.counting("nodes restored")
            backups.restore(made, cluster, [str(name) for name in names], bump_revision, show)
        if made.cluster == cluster.name:
            note(SAME_NAME.format(cluster.name, config))
        else:
            note(f"the cluster {cluster.name} begins as {made.cluster} was")
    else:
        if node:
            raise ConfigError("--node needs --config")
        folder = data or DEFAULT_DATA
        with Progress() as progress:
            show = progress.counting("nodes restored")
            backups.restore_local(made, folder, nodes, bump_revision, show)
        note(f"restored into {folder}; start it with 'raftkv up --data {folder}'")
    tell(replace(made, revision=made.revision + bump_revision), json)


def recover(
    force: Annotated[
        bool, typer.Option("--force-new-cluster", help="Needed: says that this is no everyday thing.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the local cluster [default: .raftkv]")
    ] = None,
    node: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose log is to be taken [default: the best]")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    bump_revision: BumpRevision = 0,
    json: Json = False,
) -> None:
    """Make a new cluster of the best log left after a lost majority.

    When a majority is lost for good: writes that only lost nodes held are lost; writes that nobody was told
    of may appear. Without a lost majority there is nothing to recover: start the nodes that are left.
    """
    from raftkv.cluster import backup as backups
    from raftkv.cluster import run_state, salvage
    from raftkv.cluster.discovery import DEFAULT_DATA
    from raftkv.cluster.local import FolderLock

    folder = data or DEFAULT_DATA
    if not force:
        raise ConfigError("this may lose writes; pass --force-new-cluster if a majority is lost for good")
    if not (folder / "cluster.toml").is_file():
        raise ConfigError(f"{folder} holds no cluster; expected {folder / 'cluster.toml'}")
    lock = FolderLock(folder)
    run_state.forget(folder)
    try:
        finished = salvage.finish(folder)
        if finished:
            note(f"finished a recovery that was interrupted. What was there is in {finished.parent}")
            tell(backups.read_backup(finished), json)
            return
        cluster, remains = salvage.survey(folder)
        if node is not None:
            cluster.node(node)
        chosen = salvage.best(remains, node)
        for each in remains:
            note(each.describe() + (" (this one is taken)" if each is chosen else ""))
        note(
            "all nodes will begin with its state, and the folders there are will be moved aside. Lost: what "
            "was acknowledged without it. Possible: writes in it that nobody was told of"
        )
        if not yes and not _confirmed():
            note("nothing was changed")
            raise typer.Exit(Exit.NO)
        with Progress() as progress:
            show = progress.counting("nodes made")
            made = salvage.new_cluster(folder, cluster, chosen, bump_revision, show)
    finally:
        lock.release()
    note(f"recovered; start it with 'raftkv up --data {folder}'. What was there is in {made.path.parent}")
    tell(made, json)


def _confirmed() -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError("nobody is there to be asked; pass --yes")
    try:
        sys.stderr.write("type 'yes' to go on: ")
        sys.stderr.flush()
        return input().strip() == "yes"
    except (EOFError, ValueError):  # Ctrl-D, or what is no text
        note("")
        return False


def tell(made: Backup, json: bool) -> None:
    from raftkv.cluster.backup import size_in_words

    if json:
        emit_json(
            {
                "file": str(made.path),
                "cluster": made.cluster,
                "index": made.mark.index,
                "term": made.mark.term,
                "revision": made.revision,
                "bytes": made.size,
            }
        )
    else:
        emit(
            f"{made.path}: cluster {made.cluster}, revision {made.revision}, entry {made.mark.index}, "
            f"{size_in_words(made.size)}, whole"
        )
