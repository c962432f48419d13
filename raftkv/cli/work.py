"""bench."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from raftkv.cli.options import (
    DEFAULT_TIMEOUT,
    Config,
    Data,
    EachTimeout,
    Endpoints,
    Json,
    check_timeout,
    find_target,
)
from raftkv.cli.output import emit, emit_json
from raftkv.cli.progress import Progress
from raftkv.kv.limits import VALUE_BYTES_MAX


class Operation(StrEnum):
    PUT = "put"
    GET = "get"
    MIXED = "mixed"


def register(app: typer.Typer) -> None:
    app.command()(bench)


def bench(
    operation: Annotated[
        Operation,
        typer.Argument(
            metavar="OPERATION", help="put, get, or mixed: nine reads to a write.", show_default=False
        ),
    ],
    clients: Annotated[
        int, typer.Option(metavar="N", help="Clients, each with one request outstanding.", min=1)
    ] = 64,
    total: Annotated[int, typer.Option(metavar="N", help="Requests in all.", min=1)] = 20_000,
    value_size: Annotated[
        int, typer.Option(metavar="B", help="Bytes of a value.", min=0, max=VALUE_BYTES_MAX)
    ] = 128,
    key_space: Annotated[int, typer.Option(metavar="N", help="How many different keys.", min=1)] = 10_000,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: EachTimeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Measure the cluster; writes keys that begin with bench/. Requests that fail are counted."""
    from raftkv.client.bench import Bench

    check_timeout(timeout)
    target = find_target(endpoints, config, data)
    with Progress() as progress:
        result = Bench(
            target.clients,
            operation=operation.value,
            clients=clients,
            total=total,
            value_size=value_size,
            key_space=key_space,
            timeout=timeout,
            progress=lambda done: progress.show(lambda: f"{done:,} of {total:,} requests"),
            key=target.key,
        ).run()
    if json:
        emit_json(result.summary())
    else:
        _print(result.summary())


def _print(summary: dict[str, Any]) -> None:
    latency = summary["latency_ms"]
    emit(f"{summary['operation']}: {summary['ops_per_second']:,.0f} a second, {summary['clients']} clients")
    emit(
        "latency in ms: "
        + "  ".join(f"{name} {latency[key]:.2f}" for name, key in zip(_NAMES, latency, strict=True))
    )
    emit(f"errors: {summary['errors']}")


_NAMES = ("mean", "p50", "p90", "p99", "p99.9", "max")
