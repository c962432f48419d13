"""txn, compact."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raftkv.cli.data import entry_json
from raftkv.cli.options import DEFAULT_TIMEOUT, Config, Data, Endpoints, Json, Timeout, connect, find_target
from raftkv.cli.output import Exit, as_field, emit, emit_json, from_json
from raftkv.cli.reading import stdin, whole
from raftkv.errors import ConfigError, counted, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftkv.client import Entry, TxnResult
    from raftkv.client.requests import Step

_TARGETS = ("value", "version", "create_revision", "mod_revision", "lease")
_DEPTH_MAX = 8
_BYTES_MAX = 64 << 20
"""Of the text; far more than a request may have."""


def register(app: typer.Typer) -> None:
    app.command()(txn)
    app.command()(compact)


def txn(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON; '-' or nothing reads it from stdin.")
    ] = "-",
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Compare, then do one list of operations or the other. All or nothing, in one revision.

    \b
    {"compare": [{"key": "a", "target": "version", "is": "=", "to": 0}],
     "success": [{"op": "put", "key": "a", "value": "1"}],
     "failure": [{"op": "get", "key": "a"}]}

    \b
    target  value, version, create_revision, mod_revision or lease
    is      =, !=, < or >
    op      put (with lease, if wanted), get, range, delete or txn
    Compares, ranges and deletes take end or prefix as well.

    Prints success or failure, and for each operation that was done its number, a tab and what came of it.
    Exit 1 when a compare fails.
    """
    document = _read(file)
    arguments = _transaction(document, 1)
    with connect(find_target(endpoints, config, data), timeout) as client:
        result = client.txn(*arguments)
    if json:
        emit_json(_result_json(result))
    else:
        emit(_word(result))
        _print_results(result, document)
    if not result.succeeded:
        raise typer.Exit(Exit.NO)


def compact(
    revision: Annotated[
        int | None,
        typer.Argument(metavar="REVISION", help="The earliest to keep [default: the present]."),
    ] = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Forget what was before REVISION. It can be neither read nor watched any more."""
    with connect(find_target(endpoints, config, data), timeout) as client:
        earliest = client.revision() if revision is None else revision
        present = client.compact(earliest)
    if json:
        emit_json({"compacted": earliest, "revision": present})
    else:
        emit(f"compacted to revision {earliest}")


def _read(file: str) -> Any:
    try:
        if file == "-":
            content = whole(stdin(), "stdin", _BYTES_MAX)
        else:
            with Path(file).open("rb") as stream:
                content = whole(stream, file, _BYTES_MAX)
        return jsonlib.loads(content.decode("utf-8-sig"), object_pairs_hook=_once)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: it is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{'stdin' if file == '-' else file}: not valid JSON: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A field that appears twice would lose what the first one says."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ConfigError("a field of the transaction's JSON appears twice")
    return found


# -- from JSON


def _transaction(document: Any, depth: int) -> tuple[list[Any], list[Step], list[Step]]:
    if not isinstance(document, dict):
        raise ConfigError(f"a transaction is a JSON object, not {shown(document)}")
    if depth > _DEPTH_MAX:
        raise ConfigError(f"transactions nest at most {_DEPTH_MAX} deep")
    _known(document, "a transaction", {"op", "compare", "success", "failure"})
    parts = [document.get(name, []) for name in ("compare", "success", "failure")]
    for part in parts:
        if not isinstance(part, list):
            raise ConfigError(f"compare, success and failure are lists, not {shown(part)}")
    compares = [_compare(each) for each in parts[0]]
    success, failure = ([_step(each, depth) for each in part] for part in parts[1:])
    return compares, success, failure


def _compare(document: Any) -> Any:
    from raftkv.client import txn as makers

    if not isinstance(document, dict):
        raise ConfigError(f"a compare is a JSON object, not {shown(document)}")
    _known(document, "a compare", {"key", "end", "prefix", "target", "is", "to"})
    target, relation = document.get("target", "value"), document.get("is", "=")
    if target not in _TARGETS:
        raise ConfigError(f"target {shown(target)}: expected {', '.join(_TARGETS)}")
    start, end = _where(document)
    side = getattr(makers, target)(start, end=end)
    wanted = _bytes(document, "to") if target == "value" else document.get("to", 0)
    relations: dict[str, Callable[[], Any]] = {
        "=": lambda: side == wanted,
        "!=": lambda: side != wanted,
        "<": lambda: side < wanted,
        ">": lambda: side > wanted,
    }
    if not isinstance(relation, str) or relation not in relations:
        raise ConfigError(f"is {shown(relation)}: expected =, !=, < or >")
    return relations[relation]()


def _step(document: Any, depth: int) -> Step:
    from raftkv.client import txn as makers

    if not isinstance(document, dict):
        raise ConfigError(f"an operation is a JSON object, not {shown(document)}")
    op = document.get("op")
    match op:
        case "put":
            _known(document, "a put", {"op", "key", "value", "lease"})
            return makers.put(_bytes(document, "key"), _bytes(document, "value"), _number(document, "lease"))
        case "get":
            _known(document, "a get", {"op", "key", "revision"})
            return makers.get(_bytes(document, "key"), _number(document, "revision"))
        case "delete":
            _known(document, "a delete", {"op", "key", "end", "prefix"})
            start, end = _where(document)
            return makers.delete(start, end=end)
        case "range":
            allowed = {"op", "key", "end", "prefix", "limit", "revision", *_FLAGS}
            _known(document, "a range", allowed)
            start, end = _where(document)
            options: dict[str, Any] = {name: _number(document, name) for name in ("limit", "revision")}
            options |= {name: _flag(document, name) for name in _FLAGS}
            return makers.range_(start, start + b"\0" if end is None else end, **options)
        case "txn":
            return makers.nested(*_transaction(document, depth + 1))
    raise ConfigError(f"op {shown(op)}: expected put, get, range, delete or txn")


_FLAGS = ("reverse", "keys_only", "count_only")


def _where(document: dict[str, Any]) -> tuple[bytes, bytes | None]:
    """(start, end); end None: that key alone."""
    from raftkv.kv.ranges import prefix_end

    if "prefix" in document:
        if "key" in document or "end" in document:
            raise ConfigError("give either a prefix, or a key with or without an end")
        start = _bytes(document, "prefix")
        return start, prefix_end(start)
    return _bytes(document, "key"), _bytes(document, "end") if "end" in document else None


def _flag(document: dict[str, Any], name: str) -> bool:
    found = document.get(name, False)
    if not isinstance(found, bool):
        raise ConfigError(f"{name}: expected true or false, not {shown(found)}")
    return found


def _known(document: dict[str, Any], what: str, known: set[str]) -> None:
    for name in document:
        if name not in known:
            raise ConfigError(
                f"{what} has no field {shown(name)}; its fields are {', '.join(sorted(known - {'op'}))}"
            )


def _bytes(document: dict[str, Any], name: str) -> bytes:
    if name not in document:
        raise ConfigError(f"{shown(name)} is missing in {shown(jsonlib.dumps(document))}")
    try:
        return from_json(document[name])
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def _number(document: dict[str, Any], name: str) -> int:
    value = document.get(name, 0)
    if type(value) is not int:
        raise ConfigError(f"{name}: expected a whole number, found {shown(value)}")
    return value


# -- to JSON and text


def _result_json(result: TxnResult) -> dict[str, Any]:
    results = [_one_json(each) for each in result.results]
    return {"succeeded": result.succeeded, "revision": result.revision, "results": results}


def _one_json(result: Any) -> Any:
    from raftkv.client import Entry, Page, TxnResult

    match result:
        case TxnResult():
            return _result_json(result)
        case Page():
            kvs = [entry_json(entry) for entry in result.entries]
            return {"kvs": kvs, "count": result.count, "more": result.more}
        case Entry():
            return entry_json(result)
        case int():
            return {"deleted": result}
    return None


def _print_results(result: TxnResult, document: dict[str, Any], above: str = "") -> None:
    """Every line begins with the number of its operation, 3.1 and 3.2 in a transaction that is the third."""
    operations = document.get("success" if result.succeeded else "failure", [])
    for number, (operation, each) in enumerate(zip(operations, result.results, strict=True), start=1):
        for line in _lines(operation["op"], each):
            emit(f"{above}{number}\t{line}")
        if operation["op"] == "txn":
            _print_results(each, operation, f"{above}{number}.")


def _lines(op: str, result: Any) -> list[str]:
    match op:
        case "put":
            return ["OK"]
        case "get":
            return ["none" if result is None else _entry_line(result)]
        case "range":
            if result.entries:
                return [_entry_line(entry) for entry in result.entries]
            return [counted(result.count, "key")]  # none, or only that was asked for
        case "delete":
            return [f"{result} deleted"]
    return [_word(result)]


def _entry_line(entry: Entry) -> str:
    return f"{as_field(entry.key)}\t{as_field(entry.value)}"


def _word(result: TxnResult) -> str:
    return "success" if result.succeeded else "failure"
