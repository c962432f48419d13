"""torture."""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raftkv.cli.endings import ENDINGS, when_told_to_end
from raftkv.cli.options import Json, check_finite
from raftkv.cli.output import Exit, emit, emit_json, fail, note, stderr_is_terminal
from raftkv.errors import ConfigError, counted

if TYPE_CHECKING:
    from raftkv.cluster.torture import Fault, Report, TortureOptions
    from raftkv.cluster.torture.load import Load

HISTORY = "history.jsonl"


def register(app: typer.Typer) -> None:
    app.command()(torture)


def torture(
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help="Under faults.", min=2, max=86400)] = 60.0,
    nodes: Annotated[int, typer.Option(metavar="N", help="Nodes, each a process.", min=3, max=9)] = 3,
    seed: Annotated[
        int | None, typer.Option(metavar="S", help="Of the faults drawn [default: a new one].", min=0)
    ] = None,
    faults: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Comma-separated [default: all]; 'help' lists them."),
    ] = None,
    users: Annotated[
        int, typer.Option(metavar="N", help="Clients, each with one request open.", min=1, max=1000)
    ] = 10,
    keys: Annotated[int, typer.Option(metavar="N", help="How many different keys.", min=1, max=10_000)] = 20,
    history: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep what the clients did; 'check' reads it.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="A new folder for the cluster, to be kept [default: a temporary one]."
        ),
    ] = None,
    budget: Annotated[
        float, typer.Option(metavar="SECONDS", help="Time for checking the history.", min=1)
    ] = 300.0,
    base_port: Annotated[
        int | None, typer.Option(metavar="P", help="First of the 50 ports to use [default: free ones]")
    ] = None,
    json: Json = False,
) -> None:
    """Break a real cluster of its own, and check what clients saw.

    Exits with 1 when the history is not linearizable, when nodes differ, or when the run proves
    nothing: a chosen fault never happened, or too little succeeded.
    """
    import secrets

    from raftkv.cluster.torture import TortureOptions

    check_finite("--seconds", seconds)
    check_finite("--budget", budget)
    chosen = _parse_faults(faults)
    if data is not None and data.exists() and any(data.iterdir()):
        raise ConfigError(f"--data {data}: not empty; a torture needs a cluster of its own")
    if history is not None:
        history.open("a").close()  # better to fail now than when it is full
    seed = secrets.randbits(31) if seed is None else seed
    # However this is ended, what it started ends with it.
    when_told_to_end(_interrupt)
    folder = data or Path(tempfile.mkdtemp(prefix="raftkv-torture-"))
    options = TortureOptions(folder, nodes, seconds, seed, chosen, users, keys, budget, base_port)
    _conclude(_run(options, history, keep=data is not None), json)


def _run(options: TortureOptions, history: Path | None, keep: bool) -> Report:
    """``keep``: the folder, whatever comes of it."""
    from raftkv.cluster.torture import Torture

    note(f"torture: {counted(options.nodes, 'node')}, {options.seconds:g} s, seed {options.seed}")
    loads: list[Load] = []

    def save(load: Load, whole: bool) -> None:
        if not loads and history is not None:
            _write_history(history, load)
        loads.append(load)
        if whole and stderr_is_terminal():
            note("checking the history")

    try:
        report = Torture(options, note if stderr_is_terminal() else _say_nothing).run(save)
        if not report.held:
            # Whoever looks into it needs what the nodes and the clients wrote.
            keep = True
            written = history or options.data / HISTORY
            if history is None:
                _write_history(written, loads[0])
            note(f"the nodes' folders and logs are in {options.data}, the history in {written}")
    except KeyboardInterrupt:
        if history is not None and loads:
            note(f"{history} has what was recorded until now; 'raftkv check {history}' judges it")
        elif history is not None and not history.stat().st_size:
            history.unlink()
        raise
    finally:
        if not keep:
            shutil.rmtree(options.data, ignore_errors=True)
    return report


def _conclude(report: Report, json: bool) -> None:
    if json:
        emit_json(report.to_dict())
    else:
        for line in report.lines():
            emit(line)
    if report.void:
        fail(f"this run proves nothing: {'; '.join(report.void)}. Give it more --seconds, or fewer --faults")
    if report.void or not report.held:
        raise typer.Exit(Exit.NO)


def _parse_faults(text: str | None) -> list[Fault]:
    from raftkv.cluster.torture import Fault

    if text is None:
        return list(Fault)
    if text == "help":
        for fault in Fault:
            emit(fault)
        raise typer.Exit
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    for name in chosen:
        if name not in list(Fault):
            raise ConfigError(f"--faults: no fault named {name!r}; known are {', '.join(Fault)}")
    if not chosen:
        raise ConfigError(f"--faults: at least one is needed; known are {', '.join(Fault)}")
    return [fault for fault in Fault if fault in chosen]


def _write_history(path: Path, load: Load) -> None:
    """A history that cannot be written is no reason not to judge it."""
    try:
        with path.open("w", encoding="utf-8") as file:
            for line in load.history.lines():
                file.write(line + "\n")
    except OSError as error:
        fail(f"{path}: the history cannot be written: {error.strerror}")


def _interrupt(number: int) -> None:
    """Once is enough: while everything is being ended, nothing may interrupt that."""
    del number
    for each in ENDINGS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _say_nothing(line: str) -> None:
    del line
