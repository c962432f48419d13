"""sim."""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raftkv import __version__
from raftkv.cli.endings import told_to_end
from raftkv.cli.options import Json, check_finite
from raftkv.cli.output import Exit, emit, emit_json, fail, note
from raftkv.cli.progress import Progress
from raftkv.errors import ConfigError, RaftkvError, counted

if TYPE_CHECKING:
    from raftkv.sim.report import Summary
    from raftkv.sim.run import Outcome
    from raftkv.sim.swarm import Fault

SEEDS_DEFAULT = 20
SECONDS_DEFAULT = 10.0
WHOLE_SEEDS = 20
"""From so many seeds on, every kind of fault and of request must have occurred."""
SEEDS_AHEAD = 32
"""Handed to the pool for each worker, so that none is without while the first of them takes long."""
RING_NODES_MIN = 3
NO_FAULTS = "none"
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
        typer.Option(metavar="LIST", help="Comma-separated, not as drawn; 'none'; 'help' lists them."),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write everything that happens (one seed).")
    ] = None,
    expect: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Fail unless the trace has this digest (one seed).")
    ] = None,
    tui: Annotated[
        bool, typer.Option("--tui", help="Play one seed in the dashboard: pause, step, go back, fork.")
    ] = False,
    json: Json = False,
) -> None:
    """Break clusters on a virtual network, clock and disk.

    A seed draws the cluster, its options, its clients and its faults, and always runs the same way.
    Every invariant is checked after every step, every client history for linearizability.
    """
    import time

    from raftkv.sim.report import Summary

    check_finite("--seconds", seconds)
    chosen = _parse_faults(faults, nodes)
    first = seed or 0
    count = seeds or (SEEDS_DEFAULT if seed is None else 1)
    if count > 1 and (trace or expect is not None):
        raise ConfigError("--trace and --expect need one seed: give --seed S alone")
    if tui:
        if count > 1 or trace or expect is not None or json:
            raise ConfigError("--tui plays one seed, by itself: give --seed S and --tui alone")
        _play(first, nodes, seconds, chosen)
        return
    job = _Job(nodes, seconds, chosen, trace)
    summary = Summary(_wanted(chosen, nodes, count), all_kinds=count >= WHOLE_SEEDS)
    started = time.monotonic()
    with Progress() as progress:
        for outcome in _outcomes(job, range(first, first + count)):
            summary.add(outcome)
            last = outcome
            if outcome.violation and len(summary.failed) <= SHOWN_MAX:
                progress.clear()
                _tell_failure(outcome, job)
            progress.show(lambda: f"{summary.seeds:,} of {count:,} seeds")
    _conclude(summary, job, first, last if count == 1 else None, time.monotonic() - started, json)
    if expect is not None:
        _compare(expect, last)


def _interrupt(number: int) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _play(seed: int, nodes: int | None, seconds: float, faults: list[Fault] | None) -> None:
    """Its time is the world's, from 0."""
    import threading
    from datetime import datetime

    from raftkv.cli.dashboard import require_terminal
    from raftkv.cli.showing import show
    from raftkv.sim.theatre import Theatre
    from raftkv.tui.app import Dashboard

    require_terminal("--tui needs a terminal; without it the seed is run at once")
    theatre = Theatre(seed, nodes=nodes, seconds=seconds, faults=faults, lock=threading.RLock())
    dashboard = Dashboard(
        theatre,
        theatre,
        theatre,
        owns_cluster=False,
        source=f"sim --seed {seed}",
        simulation=theatre,
        clock=lambda: theatre.now,
        wall=lambda: datetime(2000, 1, 1),  # so that events show the virtual time
    )
    show(dashboard)


def _conclude(
    summary: Summary, job: _Job, first: int, only: Outcome | None, seconds: float, json: bool
) -> None:
    void = [] if summary.failed else summary.void()
    if json:
        document = {"first_seed": first, **summary.to_dict(), "seconds": round(seconds, 2)}
        document["failed"] = [_failure(outcome, job) for outcome in summary.failed]
        document["void"] = void
        if only:
            document["digest"] = only.digest
        emit_json(document)
    else:
        _print(summary, only, seconds)
    if void:
        fail(f"this run proves nothing: {'; '.join(void)}")
    if summary.failed or void:
        raise typer.Exit(Exit.NO)


class _Job:
    """What every seed is run with; crosses to the worker processes."""

    def __init__(
        self, nodes: int | None, seconds: float, faults: list[Fault] | None, trace: Path | None
    ) -> None:
        self.nodes = nodes
        self.seconds = seconds
        self.faults = faults
        self.trace = trace

    def __call__(self, seed: int) -> Outcome:
        from raftkv.sim.run import run_seed

        options: dict[str, Any] = {"nodes": self.nodes, "seconds": self.seconds, "faults": self.faults}
        if self.trace is None:
            return run_seed(seed, **options)
        with self.trace.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"# {self.command(seed)} (raftkv {__version__}, Python {_python()})\n")
            problems: list[OSError] = []

            def write(line: str) -> None:
                """A full disk of ours must not pass for a failure of the nodes."""
                if not problems:
                    try:
                        print(line, file=file)
                    except OSError as error:
                        problems.append(error)

            outcome = run_seed(seed, write=write, **options)
            if problems:
                raise problems[0]
            return outcome

    def command(self, seed: int) -> str:
        parts = [f"raftkv sim --seed {seed}"]
        if self.nodes:
            parts.append(f"--nodes {self.nodes}")
        if self.seconds != SECONDS_DEFAULT:
            short = f"{self.seconds:g}"
            parts.append(f"--seconds {short if float(short) == self.seconds else repr(self.seconds)}")
        if self.faults is not None:
            parts.append(f"--faults {','.join(self.faults) or NO_FAULTS}")
        return " ".join(parts)


def _outcomes(job: _Job, seeds: Sequence[int]) -> Iterator[Outcome]:
    """In the order of the seeds; over all processors when there are several."""
    import multiprocessing
    import os
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    workers = min(len(seeds), os.cpu_count() or 1)
    if workers == 1:
        yield from map(job, seeds)
        return
    spawn = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    done = 0
    with told_to_end(_interrupt):  # or the workers' locks would be left behind, with a warning
        pool = ProcessPoolExecutor(workers, spawn, _begin_worker)
        try:
            # Not 'pool.map': given up, it cancels what is pending in this thread, and if the pool's own sees
            # a worker end before it hears of that, it fails, with a traceback.
            left = iter(seeds)
            pending = deque(pool.submit(job, seed) for seed in islice(left, SEEDS_AHEAD * workers))
            while pending:
                outcome = pending.popleft().result()
                pending.extend(pool.submit(job, seed) for seed in islice(left, 1))
                done += 1
                yield outcome
        except BrokenProcessPool:
            raise RaftkvError(
                f"a worker process was ended from outside at seed {seeds[done]} or soon after; go on with "
                f"--seed {seeds[done]}"
            ) from None
        except BaseException:
            # Nobody waits for what they are at, which may take minutes.
            for worker in multiprocessing.active_children():
                if worker not in others:
                    worker.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """Ctrl-C is for the parent, which ends its workers; killed, it could not, and each waits for ever."""
    from raftkv.cluster.ourselves import die_with_parent

    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _wanted(chosen: list[Fault] | None, nodes: int | None, count: int) -> list[Fault]:
    """The faults that must have happened, or the run proves nothing; few seeds have only few."""
    from raftkv.sim.swarm import Fault

    if chosen is not None:
        return chosen
    return [fault for fault in Fault if count >= WHOLE_SEEDS and _possible(fault, nodes)]


def _possible(fault: Fault, nodes: int | None) -> bool:
    """In a ring of three everybody hears everybody."""
    return fault != "ring" or nodes is None or nodes > RING_NODES_MIN


def _parse_faults(text: str | None, nodes: int | None) -> list[Fault] | None:
    from raftkv.sim.swarm import Fault

    if text is None:
        return None
    if text == "help":
        for fault in Fault:
            emit(fault)
        raise typer.Exit
    names = [] if text == NO_FAULTS else [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in list(Fault):
            raise ConfigError(f"--faults: no fault named {name!r}; known are {', '.join(Fault)}")
    if not names and text != NO_FAULTS:
        raise ConfigError(f"--faults: name at least one of {', '.join(Fault)}, or '{NO_FAULTS}'")
    chosen = [fault for fault in Fault if fault in names]
    for fault in chosen:
        if not _possible(fault, nodes):
            raise ConfigError(f"--faults: {fault} cuts nothing between {nodes} nodes")
    return chosen


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


def _compare(expect: str, outcome: Outcome) -> None:
    from raftkv.sim.report import explain_difference

    found = _fingerprint(outcome)
    if expect not in (found, outcome.digest):
        fail(explain_difference(expect, found))
        raise typer.Exit(Exit.NO)


def _print(summary: Summary, only: Outcome | None, seconds: float) -> None:
    verdict = f"{len(summary.failed)} FAILED" if summary.failed else "all held"
    emit(f"{counted(summary.seeds, 'seed')}: {verdict} ({seconds:.1f} s)")
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
