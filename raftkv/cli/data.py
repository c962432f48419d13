"""put, get, delete, scan, cas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from raftkv.cli.options import DEFAULT_TIMEOUT, Config, Data, Endpoints, Json, Timeout, connect, find_target
from raftkv.cli.output import (
    Exit,
    argument_bytes,
    as_field,
    as_json,
    as_text,
    emit,
    emit_bytes,
    emit_json,
    note,
)
from raftkv.cli.reading import read, stdin
from raftkv.errors import ConfigError, InvalidRequest

if TYPE_CHECKING:
    from raftkv.client import Client, Entry

Key = Annotated[str, typer.Argument(metavar="KEY", help="The key.", show_default=False)]
Value = Annotated[
    str, typer.Argument(metavar="VALUE", help="The value; '-' reads it from stdin.", show_default=False)
]


Revision = Annotated[int, typer.Option("--revision", metavar="N", help="As it was then; 0: now.", min=0)]
Stale = Annotated[bool, typer.Option("--stale", help="Read a node's own state, which may lag.")]


def register(app: typer.Typer) -> None:
    app.command()(put)
    app.command("set", hidden=True, help="The same as put.")(put)
    app.command()(get)
    app.command()(delete)
    app.command()(scan)
    app.command()(cas)


def put(
    key: Key,
    value: Value,
    lease: Annotated[
        int, typer.Option("--lease", metavar="ID", help="KEY goes when this lease ends.", min=0)
    ] = 0,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Set KEY to VALUE."""
    content = read_value(value)
    with connect(find_target(endpoints, config, data), timeout) as client:
        result = client.put(argument_bytes(key), content, lease=lease)
    if json:
        emit_json({"revision": result.revision})
    else:
        emit("OK")


def get(
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="The key.", show_default=False)] = None,
    prefix: Annotated[str | None, typer.Option(metavar="P", help="All keys that begin with this.")] = None,
    revision: Revision = 0,
    stale: Stale = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Exactly the value's bytes: no newline, and no base64.")
    ] = False,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Print the value of KEY and a newline. Exit 1 and print nothing when there is none.

    A value that is no UTF-8 is printed as 'base64:' and its base64.
    """
    from raftkv.kv.ranges import prefix_end

    if (key is None) == (prefix is None):
        raise ConfigError("give either a KEY or --prefix P, which prints all keys that begin with P")
    if raw and (json or prefix is not None):
        raise ConfigError("--raw is for the value of one KEY, and not for --json or --prefix")
    target = find_target(endpoints, config, data)
    if prefix is not None:
        with connect(target, timeout) as client:
            start = argument_bytes(prefix)
            if json:
                emit_json(_document(client, start, prefix_end(start), revision=revision, stale=stale))
                return
            found = list(client.prefix(start, revision=revision, stale=stale))
        for item in found:
            _print_entry(item)
        return
    assert key is not None
    with connect(target, timeout) as client:
        entry = client.get(argument_bytes(key), revision=revision, stale=stale)
    if entry is None:
        raise typer.Exit(Exit.NO)
    if json:
        emit_json({**entry_json(entry), "revision": entry.revision})
    elif raw:
        emit_bytes(entry.value)
    else:
        emit(as_text(entry.value))


def delete(
    key: Key,
    prefix: Annotated[bool, typer.Option("--prefix", help="Delete all keys that begin with KEY.")] = False,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Delete KEY and print how many keys went. Exit 1 when there was none of that name."""
    with connect(find_target(endpoints, config, data), timeout) as client:
        name = argument_bytes(key)
        result = client.delete_prefix(name) if prefix else client.delete(name)
    if json:
        emit_json({"revision": result.revision, "deleted": result.deleted})
    else:
        emit(str(result.deleted))
    if not result.deleted and not prefix:
        raise typer.Exit(Exit.NO)


def scan(
    start: Annotated[
        str, typer.Argument(metavar="START", help="First key [default: the first of all].")
    ] = "",
    end: Annotated[
        str, typer.Argument(metavar="END", help="Ends before this key [default: after the last].")
    ] = "",
    prefix: Annotated[str | None, typer.Option(metavar="P", help="Only keys that begin with this.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="At most so many keys; 0: all.", min=0)] = 0,
    reverse: Annotated[bool, typer.Option("--reverse", help="From the last key to the first.")] = False,
    keys_only: Annotated[bool, typer.Option("--keys-only", help="Leave out the values.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Print only how many keys there are.")] = False,
    revision: Revision = 0,
    stale: Stale = False,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Print keys and values, tab-separated, in byte order. From START up to but not including END."""
    from raftkv.kv.ranges import prefix_end

    low, high = argument_bytes(start), argument_bytes(end)
    if prefix is not None:
        if start or end:
            raise ConfigError("give either START and END or --prefix")
        low = argument_bytes(prefix)
        high = prefix_end(low)
    with connect(find_target(endpoints, config, data), timeout) as client:
        how: dict[str, Any] = {
            "limit": limit,
            "reverse": reverse,
            "keys_only": keys_only,
            "revision": revision,
            "stale": stale,
        }
        if count:
            total, present = client.count(low, high, revision=revision, stale=stale)
            document = {"kvs": [], "count": total, "more": False, "revision": present}
            emit_json(document) if json else emit(str(total))
        elif json:
            emit_json(_document(client, low, high, **how))
        else:
            for entry in client.range(low, high, **how):  # as they come: a large range is never held whole
                _print_entry(entry, keys_only)


def _document(
    client: Client,
    low: bytes,
    high: bytes,
    *,
    limit: int = 0,
    reverse: bool = False,
    keys_only: bool = False,
    revision: int = 0,
    stale: bool = False,
) -> dict[str, Any]:
    """All of it as of the revision that was asked for, or else of the one that it names, so that a watch can
    begin there. But for ``stale``: what several nodes say is of several revisions; it names the first."""
    total, present = client.count(low, high, revision=revision, stale=stale)
    as_of = revision or (0 if stale else present)
    how: dict[str, Any] = {"limit": limit, "reverse": reverse, "keys_only": keys_only, "stale": stale}
    entries = list(client.range(low, high, revision=as_of, **how)) if total or stale else []
    if stale:
        present = min([entry.revision for entry in entries], default=present)
        total = total if limit else len(entries)
    return {
        "kvs": [entry_json(entry, keys_only) for entry in entries],
        "count": total,
        "more": bool(limit) and total > limit,
        "revision": present,
    }


def cas(
    key: Key,
    expected: Annotated[
        str,
        typer.Argument(metavar="EXPECTED", help="What KEY must hold; '-' reads stdin.", show_default=False),
    ],
    new: Annotated[
        str | None,
        typer.Argument(metavar="NEW", help="What it shall hold; '-' reads stdin.", show_default=False),
    ] = None,
    absent: Annotated[
        bool, typer.Option("--absent", help="KEY must not exist: cas --absent KEY NEW")
    ] = False,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Set KEY to NEW if it holds EXPECTED. Exit 1, with the present value on stderr, if not."""
    if absent:
        if new is not None:
            raise ConfigError("with --absent, give KEY and NEW only")
        wanted, content = None, read_value(expected)
    else:
        if new is None:
            raise ConfigError("give KEY, EXPECTED and NEW; or --absent, KEY and NEW")
        if expected == new == "-":
            raise ConfigError("only one of EXPECTED and NEW can come from stdin")
        wanted, content = read_value(expected), read_value(new)
    with connect(find_target(endpoints, config, data), timeout) as client:
        result = client.cas(argument_bytes(key), wanted, content)
    current = result.current.value if result.current else None
    if json:
        document: dict[str, Any] = {"succeeded": result.succeeded, "revision": result.revision}
        if not result.succeeded:
            document["current"] = None if current is None else as_json(current)
        emit_json(document)
    elif result.succeeded:
        emit("OK")
    if not result.succeeded:
        held = "no key of that name" if current is None else f"the present value is {as_text(current)}"
        note(f"compare failed: {held}")
        raise typer.Exit(Exit.NO)


def read_value(value: str) -> bytes:
    """The argument's bytes, or all of stdin for ``-``."""
    if value != "-":
        return argument_bytes(value)
    from raftkv.kv.limits import VALUE_BYTES_MAX

    found = read(lambda: stdin().read(VALUE_BYTES_MAX + 1), "stdin")
    if len(found) > VALUE_BYTES_MAX:  # without reading on: there may be no end of it
        raise InvalidRequest(f"the value on stdin has over {VALUE_BYTES_MAX:,} bytes, which is the limit")
    return found


def entry_json(entry: Entry, keys_only: bool = False) -> dict[str, Any]:
    document: dict[str, Any] = {"key": as_json(entry.key)}
    if not keys_only:
        document["value"] = as_json(entry.value)
    return {
        **document,
        "create_revision": entry.create_revision,
        "mod_revision": entry.mod_revision,
        "version": entry.version,
        "lease": entry.lease,
    }


def _print_entry(entry: Entry, keys_only: bool = False) -> None:
    key = as_field(entry.key)
    emit(key if keys_only else f"{key}\t{as_field(entry.value)}", more=True)
