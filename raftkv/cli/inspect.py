"""inspect: what a node has on disk, read without a node and without touching anything."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raftkv.cli.backup import tell
from raftkv.cli.options import Json
from raftkv.cli.output import Exit, as_field, as_json, emit, emit_json, fail, from_json, note
from raftkv.errors import ConfigError, StorageError, counted

if TYPE_CHECKING:
    from raftkv.raft import Entry
    from raftkv.storage import Inspection

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR",
        help="A cluster's folder, a node's folder in it, or a node's log folder (wal).",
        show_default=False,
    ),
]
KEY_SHOWN = 60
"""Characters of a key in a line."""


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Read what nodes have on disk, offline and without changing it.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command()(log)
    group.command()(snapshot)
    group.command()(verify)
    app.add_typer(group, name="inspect")


def verify(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|FILE",
            help="A cluster's folder, a node's folder in it, a node's log folder (wal), or a backup.",
            show_default=False,
        ),
    ],
    json: Json = False,
) -> None:
    """Check all logs in DIR, or a backup, byte by byte. Exit 1 when one is damaged."""
    if folder.is_file():
        from raftkv.cluster.backup import read_backup

        tell(read_backup(folder), json)
        return
    reports = []
    damaged = False
    for wal in _find_logs(folder):
        try:
            found = _read(wal)
        except (StorageError, OSError) as error:
            damaged = True
            text = str(error)
            if isinstance(error, OSError):
                text = f"{error.filename or wal}: {error.strerror or error}; not verified"
            reports.append({"folder": str(wal), "whole": False, "error": text})
            if not json:
                fail(text)
            continue
        reports.append({"folder": str(wal), "whole": True, **_summary(found)})
        if not json:
            emit(_line(wal, found))
    if json:
        emit_json({"logs": reports})
    if damaged:
        raise typer.Exit(Exit.NO)


def snapshot(
    folder: Folder,
    values: Annotated[bool, typer.Option("--values", help="Print the keys and values, too.")] = False,
    json: Json = False,
) -> None:
    """Show one node's snapshot: what it stands for, and what is in it."""
    from raftkv.kv import restored
    from raftkv.storage import ReadOnlyDirectory
    from raftkv.storage.snapshots import find_latest

    wal = _the_one_log(folder)
    stored = find_latest(ReadOnlyDirectory(wal), None)
    if stored is None:
        note(f"{wal}: no snapshot")
        raise typer.Exit(Exit.NO)
    machine = restored(stored.chunks(str(wal)), stored.mark.index, f"{wal}/{stored.name}")
    view = {
        "folder": str(wal),
        "cluster": stored.cluster,
        "index": stored.mark.index,
        "term": stored.mark.term,
        "chunks": stored.mark.chunks,
        "bytes": stored.size,
        "revision": machine.revision,
        "keys": len(machine),
        "sessions": len(machine.sessions),
        "state_digest": f"{machine.digest:08x}",
    }
    if json:
        emit_json(view)
    else:
        emit(
            f"{wal}: cluster {view['cluster']}, snapshot of entry {view['index']}, term {view['term']}, "
            f"revision {view['revision']}, {view['keys']:,} keys, {view['sessions']:,} sessions, "
            f"{view['bytes']:,} bytes in {view['chunks']} chunks, digest {view['state_digest']}, whole"
        )
    if values:
        for key in machine.keys:
            if json:
                emit_json({"key": as_json(key), "value": as_json(machine.items[key].value)}, more=True)
            else:
                emit(f"{as_field(key)}\t{as_field(machine.items[key].value)}", more=True)


def _the_one_log(folder: Path) -> Path:
    logs = _find_logs(folder)
    if len(logs) > 1:
        names = ", ".join(str(wal) for wal in logs)
        raise ConfigError(f"{folder} holds {len(logs)} logs; name one of {names}")
    return logs[0]


def log(
    folder: Folder,
    first: Annotated[int, typer.Option("--from", metavar="INDEX", help="The first entry shown.", min=1)] = 1,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="At most so many entries [default: all].", min=1)
    ] = None,
    json: Json = False,
) -> None:
    """Print the entries of one node's log. Index, term, size, and what each does."""
    wal = _the_one_log(folder)
    found = _read(wal)
    entries = [entry for entry in found.recovered.entries if entry.index >= first]
    for entry in entries if limit is None else entries[:limit]:
        if json:
            known = {"index": entry.index, "term": entry.term, "bytes": len(entry.data)}
            emit_json({**known, **_meaning(entry)}, more=True)
        else:
            emit(f"{entry.index:>8}  {entry.term:>5}  {len(entry.data):>8}  {_told(entry)}", more=True)
    note(_line(wal, found))


def _find_logs(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: {'no folder' if folder.exists() else 'no such folder'}")
    from raftkv.cluster.backup import LOST_AND_FOUND

    nodes = sorted(entry / "wal" for entry in folder.iterdir() if entry.name != LOST_AND_FOUND)
    for candidates in ([folder], [folder / "wal"], nodes):
        found = [wal for wal in candidates if _may_hold_a_log(wal)]
        if found:
            return found
    raise ConfigError(f"{folder}: no node's log is in it; expected {folder}/wal or {folder}/*/wal")


def _may_hold_a_log(folder: Path) -> bool:
    """Also one that we may not look into: whoever asks about all logs has to hear of it."""
    try:
        names = [path.name for path in folder.iterdir()]
    except PermissionError:
        return True
    except OSError:
        return False
    return any(fnmatch(name, "*-*.log") or name.endswith(".snap") for name in names)


def _read(wal: Path) -> Inspection:
    from raftkv.storage import ReadOnlyDirectory, Wal

    return Wal.read(ReadOnlyDirectory(wal))


def _summary(found: Inspection) -> dict[str, Any]:
    recovered = found.recovered
    entries, state = recovered.entries, recovered.hard_state
    return {
        "cluster": recovered.identity.cluster,
        "node": recovered.identity.node,
        "segments": len(found.segments),
        "bytes": found.bytes_used,
        "first_index": entries[0].index if entries else 0,
        "last_index": recovered.last_index,
        "last_term": recovered.last_term,
        "snapshot_index": recovered.snapshot.index if recovered.snapshot else 0,
        "current_term": state.current_term,
        "voted_for": state.voted_for,
        "commit_index": state.commit_index,
        "cut": recovered.cut,
    }


def _line(wal: Path, found: Inspection) -> str:
    view = _summary(found)
    torn = f"; a torn tail that the next start cuts: {view['cut']}" if view["cut"] else ""
    covered = f"snapshot of entry {view['snapshot_index']}, " if view["snapshot_index"] else ""
    entries = f"entries {view['first_index']}..{view['last_index']}" if view["first_index"] else "no entries"
    count = view["segments"]
    return (
        f"{wal}: node {view['node']} of {view['cluster']}, {covered}{counted(count, 'segment')}, "
        f"{entries}{' after it' if covered else ''}, term {view['current_term']}, "
        f"vote {view['voted_for'] or 'for nobody'}, commit at least {view['commit_index']}, "
        f"{view['bytes']:,} bytes, whole{torn}"
    )


def _told(entry: Entry) -> str:
    """For a line: what it is, and the keys that it is about, each cut short."""
    from raftkv.kv.describe import describe_clock, describe_command
    from raftkv.raft import EntryKind

    if entry.kind == EntryKind.CLOCK:
        return f"clock {describe_clock(entry.data)}"
    meaning = _meaning(entry)
    if meaning.get("malformed"):
        return f"{meaning['op']} malformed"
    keys = meaning.get("key")
    if keys is None:
        return " ".join(meaning.values())
    if not keys:
        return describe_command(entry.data)
    return " ".join([meaning["op"], *map(_short, keys if type(keys) is list else [keys])])


def _short(key: Any) -> str:
    text = as_field(from_json(key))
    return text if len(text) <= KEY_SHOWN else f"{text[: KEY_SHOWN - 1]}…"


def _meaning(entry: Entry) -> dict[str, Any]:
    from raftkv.kv.clock import ClockStep
    from raftkv.kv.commands import Command, Op
    from raftkv.raft import Configuration, EntryKind

    if entry.kind == EntryKind.NO_OP:
        return {"op": "no_op"}
    if entry.kind == EntryKind.CONFIGURATION:
        return {"op": "configuration", "members": Configuration.decode(entry.data).describe()}
    if entry.kind == EntryKind.CLOCK:
        try:
            step = ClockStep.decode(entry.data)
        except ValueError:
            return {"op": "clock", "malformed": True}
        return {
            "op": "clock",
            "ms": step.elapsed_ms,
            "leases_ended": [lease_id for lease_id, _ in step.ended],
        }
    try:
        command = Command.decode(entry.data)
        op = Op(command.op).name.lower()
    except ValueError:
        return {"op": "unknown"}
    try:
        keys = [as_json(key) for key in dict.fromkeys(_keys(command.op, command.arguments))]
        return {
            "op": op,
            "key": keys[0] if len(keys) == 1 else keys,
            **_numbers(command.op, command.arguments),
        }
    except (TypeError, ValueError, LookupError):  # a client may send anything; the state machine refused it
        return {"op": op, "key": None, "malformed": True}


def _numbers(op: int, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """What is not about keys."""
    from raftkv.kv.commands import Op

    match op:
        case Op.COMPACT:
            return {"revision": _whole(arguments[0])}
        case Op.LEASE_GRANT:
            return {"ttl": _whole(arguments[0]) / 1000}
        case Op.LEASE_REVOKE:
            return {"leases": [_whole(arguments[0])]}
        case Op.LEASE_KEEP_ALIVE:
            return {"leases": [_whole(lease_id) for lease_id in arguments[0]]}
    return {}


def _whole(number: Any) -> int:
    if type(number) is not int:
        raise TypeError("no whole number")
    return number


def _keys_of_transaction(compares: Any, success: Any, failure: Any) -> Iterator[bytes]:
    """Of ranges both ends."""
    from raftkv.kv.transactions import Step

    for _, _, start, end, _ in compares:
        yield from [start, end or b""]
    for step, *fields in (*success, *failure):
        if step == Step.TXN:
            yield from _keys_of_transaction(*fields)
        else:
            yield from fields[:1] if step == Step.PUT else [fields[0], fields[1] or b""]


def _keys(op: int, arguments: tuple[Any, ...]) -> Iterator[bytes]:
    from raftkv.kv.commands import Op

    if op == Op.MULTI_PUT:
        arguments = tuple(pair[0] for pair in arguments[0])
    elif op == Op.TXN:
        arguments = tuple(_keys_of_transaction(*arguments))
    elif op == Op.DELETE_RANGE:
        arguments = arguments[:2]
    else:
        arguments = arguments[:1] if op <= Op.COMPARE_AND_SET else ()
    for key in arguments:
        yield bytes(memoryview(key))  # or it is none
