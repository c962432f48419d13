"""torture."""

from __future__ import annotations

import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raftkv.cli.options import Json, check_finite
from raftkv.cli.output import Exit, emit, emit_json, fail, note, stderr_is_terminal
from raftkv.errors import ConfigError

if TYPE_CHECKING:
    from raftkv.cluster.torture import Fault, Report
    from raftkv.cluster.torture.load import Load


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
    """Break a real cluster of its own in every way there is, and check what its clients saw.

    Exits with 1 when the history is not linearizable, when nodes differ, or when the run proves
    nothing: a chosen fault never happened, or too little succeeded.
    """
    import secrets

    from raftkv.cluster.torture import Torture, TortureOptions

    check_finite("--seconds", seconds)
    check_finite("--budget", budget)
    chosen = _parse_faults(faults)
    if data is not None and data.exists() and any(data.iterdir()):
        raise ConfigError(f"--data {data}: not empty; a torture needs a cluster of its own")
    if history is not None:
        history.touch()  # better to fail now than when it is full
    seed = secrets.randbits(31) if seed is None else seed
    # However this is ended, what it started ends with it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="raftkv-torture-")))
        options = TortureOptions(folder, nodes, seconds, seed, chosen, users, keys, budget, base_port)
        note(f"torture: {nodes} nodes, {seconds:g} s, seed {seed}")
        saved: list[Load] = []

        def save(load: Load) -> None:
            saved.append(load)
            if history is not None:
                _write_history(history, load)
            if stderr_is_terminal():
                note("checking the history")

        report = Torture(options, note if stderr_is_terminal() else _say_nothing).run(save)
        if not report.held and history is None:
            history = Path(f"torture-{seed}.jsonl")
            _write_history(history, saved[0])
            note(f"the history is in {history}")
    _conclude(report, json)


def _conclude(report: Report, json: bool) -> None:
    if json:
        emit_json(report.to_dict())
    else:
        for line in report.lines():
            emit(line)
    for reason in report.void:
        fail(f"this run proves nothing: {reason}")
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
    with path.open("w", encoding="utf-8") as file:
        for line in load.history.lines():
            file.write(line + "\n")


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt


def _say_nothing(line: str) -> None:
    del line
