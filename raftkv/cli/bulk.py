"""load and dump: whole files of keys and values."""

from __future__ import annotations

import json as json_module
import signal
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from raftkv.cli.endings import told_to_end
from raftkv.cli.options import (
    DEFAULT_TIMEOUT,
    Config,
    Data,
    EachTimeout,
    Endpoints,
    Json,
    Timeout,
    check_timeout,
    connect,
    find_target,
    where_it_was_looked_for,
)
from raftkv.cli.output import (
    Exit,
    argument_bytes,
    as_field,
    as_json,
    emit,
    emit_json,
    exit_code_of,
    fail,
    from_field,
    from_json,
    note,
)
from raftkv.cli.progress import Progress
from raftkv.cli.reading import lines, patient, stdin
from raftkv.errors import (
    ConfigError,
    InvalidRequest,
    OutcomeUnknown,
    RaftkvError,
    Unavailable,
    Unreachable,
    no_node,
)

if TYPE_CHECKING:
    from raftkv.client import Client
    from raftkv.client.pipeline import Pipeline

ERRORS_SHOWN = 5
TEND_SECONDS = 0.002
"""While nothing comes to be loaded: as soon as something does, it is more urgent."""
PROGRESS_WIDTH = 30
STALE_NOTE = "no quorum confirms that node {} is up to date: this is its own applied state as it stands"


class Format(StrEnum):
    AUTO = "auto"
    TSV = "tsv"
    JSONL = "jsonl"


def register(app: typer.Typer) -> None:
    app.command()(load)
    app.command()(dump)


def load(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="The file to read; '-' for stdin.", show_default=False)
    ],
    format_: Annotated[
        Format, typer.Option("--format", help="auto: as the name or the first line says.")
    ] = Format.AUTO,
    in_flight: Annotated[int, typer.Option(metavar="N", help="Requests in flight.", min=1, max=4096)] = 512,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: EachTimeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Put every line of FILE: key<TAB>value, or JSON lines. Lines of one key keep their order; they may
    end in CRLF.

    Prints how many were loaded; --timeout bounds each write. The load ends at a line that cannot be
    read, of which nothing is sent, and at a write that fails; either is named with its line.
    """
    from raftkv.client.pipeline import Pipeline

    check_timeout(timeout)
    target = find_target(endpoints, config, data)
    told: list[int] = []

    def interrupt(number: int) -> None:
        told.append(number)
        raise KeyboardInterrupt

    with (
        told_to_end(interrupt),
        _open(file) as stream,
        Pipeline(target.clients, in_flight, timeout, target.key) as pipeline,
    ):
        total = None if file == "-" else Path(file).stat().st_size
        unreadable: RaftkvError | None = None
        try:
            lines, kind = _told_apart(patient(stream, partial(_tend, pipeline)), format_, file)
            with Progress() as progress:
                try:
                    for consumed in _feed(lines, kind, file, pipeline):
                        progress.show(partial(_bar, pipeline, consumed, total))
                        if pipeline.errors:
                            break  # --timeout has passed in vain: the rest would only wait as long
                except _HasFailedError:
                    pass
                except (ConfigError, InvalidRequest) as error:
                    unreadable = error
                pipeline.drain()
        except KeyboardInterrupt:
            _tell_where_to_go_on(pipeline, file)
            raise typer.Exit(128 + (told[0] if told else signal.SIGINT)) from None
    if unreadable and not pipeline.errors:
        raise ConfigError(f"{unreadable}; loaded before it: {pipeline.succeeded}")
    _conclude(pipeline, file, json)


def dump(
    prefix: Annotated[str, typer.Option(metavar="P", help="Only keys that begin with this.")] = "",
    node: Annotated[
        str | None, typer.Option(metavar="NODE", help="Read this node's own applied state.")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="auto is tsv.")] = Format.AUTO,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Print every key and value, in a form that 'load' restores.

    In byte order, read in pages, all of them of one revision, however much others write meanwhile; with
    --node, the pages are of the moments at which that node is asked for them.
    """
    low = argument_bytes(prefix)
    with connect(find_target(endpoints, config, data), timeout) as client:
        endpoint = None if node is None else _endpoint_of(client, node)
        confirmed = _catch_up(client, endpoint, timeout / 2) if endpoint else True
        entries = iter(client.prefix(low, stale=bool(endpoint), node_endpoint=endpoint))
        try:
            first = list(islice(entries, 1))
        except Unavailable:
            if node:
                raise Unavailable(f"node {node} does not answer") from None
            raise
        if not confirmed:
            note(STALE_NOTE.format(node))
        for entry in chain(first, entries):
            if json or format_ is Format.JSONL:
                line = {"key": as_json(entry.key), "value": as_json(entry.value)}
                emit(json_module.dumps(line, ensure_ascii=False), more=True)
            else:
                emit(f"{as_field(entry.key)}\t{as_field(entry.value)}", more=True)


def _endpoint_of(client: Client, node: str) -> str:
    nodes = {name: endpoint for name, endpoint, _, _ in client.hello().nodes}
    if node not in nodes:
        raise ConfigError(no_node(node, nodes))
    return nodes[node]


def _catch_up(client: Client, endpoint: str, seconds: float) -> bool:
    """One linearizable read there: afterwards its own state holds all that was acknowledged before. Where it
    is in vain the state is read all the same, with as much time again."""
    whole, client.timeout = client.timeout, seconds
    try:
        client.catch_up(endpoint)
    except Unavailable:
        return False
    client.timeout = whole
    return True


def _told_apart(stream: IO[bytes], asked: Format, name: str) -> tuple[Iterator[bytes], Format]:
    """All lines, and what they are: 'dump' writes no tab into JSON, and one into every other line."""
    if asked is Format.AUTO and name.endswith((".jsonl", ".ndjson", ".json")):
        asked = Format.JSONL
    found = lines(stream, name)
    if asked is not Format.AUTO:
        return found, asked
    first = next(found, b"")
    kind = Format.JSONL if first.startswith(b"{") and b"\t" not in first else Format.TSV
    return chain([first] if first else [], found), kind


def _open(file: str) -> AbstractContextManager[IO[bytes]]:
    if file == "-":
        return nullcontext(stdin())
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None


def _feed(lines: Iterable[bytes], kind: Format, name: str, pipeline: Pipeline) -> Iterator[int]:
    """Submit every line; yields the bytes consumed so far."""
    consumed = 0
    for number, line in enumerate(lines, start=1):
        consumed += len(line)
        content = line.removesuffix(b"\n").removesuffix(b"\r")  # 'dump' writes a value that ends so as base64
        if content:
            key, value = _parse(content, kind, f"{name}, line {number}")
            try:
                pipeline.put(number, key, value)
            except InvalidRequest as error:
                raise InvalidRequest(f"{name}, line {number}: {error}") from None
        yield consumed


def _parse(line: bytes, kind: Format, where: str) -> tuple[bytes, bytes]:
    try:
        if kind is Format.JSONL:
            row = json_module.loads(line)
            if not isinstance(row, dict):
                raise ValueError("no JSON object with the fields 'key' and 'value'")
            return from_json(row["key"]), from_json(row["value"])
        key, tab, value = line.partition(b"\t")
        if not tab:
            raise ValueError("no tab between key and value")
        return from_field(key), from_field(value)
    except (ValueError, KeyError, RecursionError) as error:
        what: object = error
        if isinstance(error, KeyError):
            what = f"no field {error}"
        elif isinstance(error, json_module.JSONDecodeError):
            what = f"not JSON: {error.msg} at column {error.colno}"
        raise ConfigError(f"{where}: {what}; nothing of this line was sent") from None


class _HasFailedError(Exception):
    """A write has, while the next line was waited for."""


def _tend(pipeline: Pipeline) -> bool:
    busy = pipeline.tend(TEND_SECONDS)
    if pipeline.errors:
        raise _HasFailedError
    return busy


def _tell_where_to_go_on(pipeline: Pipeline, file: str) -> None:
    first = pipeline.first_undone
    rest = f"; go on from line {first}: that one may or may not have happened" if first else ""
    note(f"{file}: interrupted, {pipeline.succeeded} loaded{rest}")


def _conclude(pipeline: Pipeline, file: str, json: bool) -> None:
    unknown = sum(isinstance(error, OutcomeUnknown) for _, error in pipeline.errors)
    failed = len(pipeline.errors) - unknown
    if json:
        emit_json({"loaded": pipeline.succeeded, "failed": failed, "unknown": unknown})
    else:
        emit(str(pipeline.succeeded))
    if not pipeline.errors:
        return
    for number, error in pipeline.errors[:ERRORS_SHOWN]:
        fail(f"{file}, line {number}: {error}")
    _, first = pipeline.errors[0]
    hint = where_it_was_looked_for() if isinstance(first, Unreachable) else ""
    fail(f"{pipeline.succeeded} loaded, {failed} did not happen, {unknown} are unknown{hint}")
    code = exit_code_of(first)
    if unknown or (code == Exit.UNAVAILABLE and pipeline.succeeded):  # which says that nothing has happened
        code = Exit.UNKNOWN
    raise typer.Exit(code)


def _bar(pipeline: Pipeline, consumed: int, total: int | None) -> str:
    bar = ""
    if total:
        share = consumed / total
        full = int(share * PROGRESS_WIDTH)
        bar = "█" * full + "░" * (PROGRESS_WIDTH - full) + f" {share:4.0%}  "
    return f"{bar}{pipeline.succeeded:,} loaded"
