"""keys: who may talk to a cluster that listens beyond this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raftkv.cli.options import Json
from raftkv.cli.output import emit, emit_json, note
from raftkv.errors import ConfigError

if TYPE_CHECKING:
    from raftkv.keys import Pair

Folder = Annotated[
    Path,
    typer.Option("--folder", metavar="DIR", help="The folder of keys [default: keys]", show_default=False),
]
Who = Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.", show_default=False)]
DEFAULT_FOLDER = Path("keys")


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Keys of a cluster beyond this machine: new, add, remove, list.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command()(new)
    group.command()(add)
    group.command()(remove)
    group.command("list")(list_keys)
    app.add_typer(group, name="keys")


def new(folder: Folder = DEFAULT_FOLDER) -> None:
    """Make a folder with the keys of a cluster and of an admin. And the list of who is let in.

    Copy 'cluster.key' and 'allowed' to a folder on every node's machine, and name that in cluster.toml:
    [security] keys = "keys". Keep 'admin.key' for yourself.
    """
    from raftkv import keys

    if (folder / keys.LIST).exists():
        raise ConfigError(f"{folder} holds keys already; choose another folder")
    left = [name for name in (keys.CLUSTER, keys.ADMIN) if (folder / (name + keys.SUFFIX)).exists()]
    if left:
        raise ConfigError(
            f"{folder} holds {' and '.join(name + keys.SUFFIX for name in left)} and no {keys.LIST!r}: put "
            "that back, or remove what a 'keys new' that was interrupted has left"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pair = _pair()
    keys.write_key(folder, keys.Key(keys.CLUSTER, pair, pair.public))
    admin = keys.Key(keys.ADMIN, _pair(), pair.public)
    keys.write_key(folder, admin)
    keys.write_list(folder, [(keys.ADMIN, admin.pair.public, admin.name)])
    note(
        f"{folder} holds the keys of a new cluster. Every node needs cluster.key and allowed of them, "
        f'and in cluster.toml: [security] keys = "{folder.name}"'
    )


def add(
    name: Who,
    admin: Annotated[
        bool, typer.Option("--admin", help="May change the cluster as well, and see its nodes.")
    ] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Make a key for NAME, and put it on the list. Print the file's path.

    Give that file to NAME alone: RAFTKV_KEY=FILE raftkv …, or Client(endpoints, key=FILE). Then copy
    'allowed' to the nodes, which read it again by themselves.
    """
    from raftkv import keys
    from raftkv.config import is_name

    if not is_name(name):
        raise ConfigError(f"{name!r} is no name: letters, digits, '.', '_' and '-', at most 63")
    with keys.changing(folder):
        people, cluster = keys.read_list(folder), keys.of_cluster(folder)
        if name == keys.CLUSTER or any(name == other for _, _, other in people):
            raise ConfigError(f"{name} has a key already; 'raftkv keys remove {name}' takes it off the list")
        key = keys.Key(name, _pair(), cluster.pair.public)
        path = keys.write_key(folder, key)
        keys.write_list(folder, [*people, ("admin" if admin else "client", key.pair.public, name)])
    emit(str(path))


def remove(name: Who, folder: Folder = DEFAULT_FOLDER) -> None:
    """Take NAME off the list. The file of its key is removed, where it lies in the folder.

    Then copy 'allowed' to the nodes. What NAME has open stays open until that node is started again.
    """
    from raftkv import keys

    with keys.changing(folder):
        people = keys.read_list(folder)
        left = [entry for entry in people if entry[2] != name]
        if len(left) == len(people):
            raise ConfigError(f"{folder / keys.LIST} names no {name}")
        keys.write_list(folder, left)
        file = folder / (name + keys.SUFFIX)
        there = file.exists()
        file.unlink(missing_ok=True)
    note(f"{name} is off the list{f', and {file} is removed' if there else ''}; copy 'allowed' to the nodes")


def list_keys(folder: Folder = DEFAULT_FOLDER, json: Json = False) -> None:
    """Who is let in, and as what."""
    from raftkv import keys

    people = [(name, role, public.decode()) for role, public, name in keys.read_list(folder)]
    if json:
        emit_json({"keys": [dict(zip(("name", "role", "public"), row, strict=True)) for row in people]})
        return
    for row in people:
        emit("\t".join(row))


def _pair() -> Pair:
    import zmq

    from raftkv.keys import Pair

    return Pair(*zmq.curve_keypair())
