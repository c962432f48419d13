"""sim."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raftkv import __version__
from raftkv.cli.options import Json, check_finite
from raftkv.cli.output import Exit, emit, emit_json, fail, note, stderr_is_terminal
from raftkv.errors import ConfigError

if TYPE_CHECKING:
    from raftkv.sim.report import Summary
    from raftkv.sim.run import Outcome

SEEDS_DEFAULT = 20
SECONDS_DEFAULT = 10.0
SHOWN_MAX = 5
"""Failing seeds that are told in full; more of them seldom say anything new."""


def register(app: typer.Typer) -> None:
    app.command(name="sim")(simulate)


def simulate(
    seed: Annotated[
        int | None, typer.Option(metavar="S", help="The first seed; alone, the only one.", min=0)
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", help=f"How many [default: {SEEDS_DEFAULT}].", min=1)
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(metavar="N", help="Instead of 3 to 7, as drawn.", min=3, max=7)
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="Of virtual time under faults.", min=0.1, max=3600)
    ] = SECONDS_DEFAULT,
    faults: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Comma-separated, instead of what is drawn; 'help' lists them."),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write everything that happens (one seed).")
    ] = None,
    expect: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Fail unless the trace has this digest (one seed).")
    ] = None,
    json: Json = False,
) -> None:
    """Run whole clusters on a virtual network, clock and disk, and break them.

    A seed draws the cluster, its options, its clients and its faults, and always runs the same way.
    Every invariant is checked after every step, every client history for linearizability.
    """
    import time

    from raftkv.sim.report import Summary

    check_finite("--seconds", seconds)
    chosen = _parse_faults(faults)
    first = seed or 0
    count = seeds or (SEEDS_DEFAULT if seed is None else 1)
    if count > 1 and (trace or expect):
        raise ConfigError("--trace and --expect need one seed: give --seed S alone")
    job = _Job(nodes, seconds, faults, trace)
    summary = Summary(() if count == 1 or nodes or seconds < SECONDS_DEFAULT else _all_faults())
    if chosen is not None:
        summary.wanted = chosen
    started = time.monotonic()
    for outcome in _outcomes(job, range(first, first + count)):
        summary.add(outcome)
        last = outcome
        if outcome.violation and len(summary.failed) <= SHOWN_MAX:
            _tell_failure(outcome, job)
        elif stderr_is_terminal():
            print(f"\r{summary.seeds:,} of {count:,} seeds", end="", file=sys.stderr, flush=True)
    if stderr_is_terminal():
        print("\r\x1b[K", end="", file=sys.stderr)
    void = [] if summary.failed else summary.void()
    if json:
        document = {"first_seed": first, **summary.to_dict(), "seconds": round(time.monotonic() - started, 2)}
        document["failed"] = [_failure(outcome, job) for outcome in summary.failed]
        document["void"] = void
        if count == 1:
            document["digest"] = last.digest
        emit_json(document)
    else:
        _print(summary, last if count == 1 else None, time.monotonic() - started)
    for reason in void:
        fail(f"this run proves nothing: {reason}")
    _compare(expect, last)
    if summary.failed or void:
        raise typer.Exit(Exit.NO)


class _Job:
    """What every seed is run with; crosses to the worker processes."""

    def __init__(self, nodes: int | None, seconds: float, faults: str | None, trace: Path | None) -> None:
        self.nodes = nodes
        self.seconds = seconds
        self.faults = faults
        self.trace = trace

    def __call__(self, seed: int) -> Outcome:
        from raftkv.sim.run import run_seed

        options: dict[str, Any] = {
            "nodes": self.nodes,
            "seconds": self.seconds,
            "faults": _parse_faults(self.faults),
        }
        if self.trace is None:
            return run_seed(seed, **options)
        with self.trace.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"# {self.command(seed)} (raftkv {__version__}, Python {_python()})\n")
            return run_seed(seed, write=lambda line: print(line, file=file), **options)

    def command(self, seed: int) -> str:
        parts = [f"raftkv sim --seed {seed}"]
        if self.nodes:
            parts.append(f"--nodes {self.nodes}")
        if self.seconds != SECONDS_DEFAULT:
            parts.append(f"--seconds {self.seconds:g}")
        if self.faults:
            parts.append(f"--faults {self.faults}")
        return " ".join(parts)


def _outcomes(job: _Job, seeds: Sequence[int]) -> Iterator[Outcome]:
    """In the order of the seeds; over all processors when there are several."""
    import multiprocessing
    import os

    workers = min(len(seeds), os.cpu_count() or 1)
    if workers == 1:
        yield from map(job, seeds)
        return
    # Spawned, not forked, and ended with the pool whatever happens.
    with multiprocessing.get_context("spawn").Pool(workers, _ignore_interrupt) as pool:
        yield from pool.imap(job, seeds)


def _ignore_interrupt() -> None:
    """Ctrl-C is for the parent, which ends its workers."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _all_faults() -> tuple[Any, ...]:
    from raftkv.sim.swarm import Fault

    return tuple(Fault)


def _parse_faults(text: str | None) -> list[Any] | None:
    if text is None:
        return None
    known = _all_faults()
    if text == "help":
        for fault in known:
            emit(fault)
        raise typer.Exit
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    for name in chosen:
        if name not in known:
            raise ConfigError(f"--faults: no fault named {name!r}; known are {', '.join(known)}")
    return [fault for fault in known if fault in chosen]


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _fingerprint(outcome: Outcome) -> str:
    from raftkv.sim.report import fingerprint

    return fingerprint(outcome.digest, _python(), __version__)


def _replay(outcome: Outcome, job: _Job) -> str:
    return f"{job.command(outcome.seed)} --expect {_fingerprint(outcome)}"


def _failure(outcome: Outcome, job: _Job) -> dict[str, Any]:
    return {
        "seed": outcome.seed,
        "violation": outcome.violation,
        "digest": outcome.digest,
        "replay": _replay(outcome, job),
    }


def _tell_failure(outcome: Outcome, job: _Job) -> None:
    note(f"seed {outcome.seed} ({outcome.profile.describe()}), the end of its trace:")
    for line in outcome.tail:
        note(f"    {line}")
    fail(f"seed {outcome.seed}: {outcome.violation}")
    note(f"replay: {_replay(outcome, job)}")


def _compare(expect: str | None, outcome: Outcome) -> None:
    from raftkv.sim.report import explain_difference

    found = _fingerprint(outcome)
    if expect is not None and expect not in (found, outcome.digest):
        fail(explain_difference(expect, found))
        raise typer.Exit(Exit.NO)


def _print(summary: Summary, only: Outcome | None, seconds: float) -> None:
    verdict = f"{len(summary.failed)} FAILED" if summary.failed else "all held"
    emit(f"{summary.seeds:,} seed{'s' * (summary.seeds > 1)}: {verdict} ({seconds:.1f} s)")
    emit(
        f"{summary.virtual_seconds:,.0f} virtual seconds, {summary.steps:,} steps, "
        f"{summary.committed:,} entries committed, {summary.elections:,} elections"
    )
    counts = summary.operations
    emit(f"requests: {counts['ok']:,} ok, {counts['fail']:,} failed, {counts['unknown']:,} unknown")
    emit(
        "faults: "
        + (", ".join(f"{kind} {count:,}" for kind, count in summary.faults.most_common()) or "none")
    )
    if only:
        emit(f"drawn: {only.profile.describe()}")
        emit(f"digest: {_fingerprint(only)}")
