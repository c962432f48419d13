"""check: the verdict on recorded histories."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raftkv.cli.options import Json
from raftkv.cli.output import Exit, emit, emit_json, fail, note
from raftkv.cli.progress import Progress
from raftkv.cli.reading import lines, stdin
from raftkv.errors import ConfigError, HistoryError

if TYPE_CHECKING:
    from raftkv.history import Operation, Verdict

STDIN = "-"
DEFAULT_BUDGET = 60.0
QUIET_SECONDS = 2.0
"""Before progress shows: most checks are over by then."""
ROWS_MAX = 200
"""Of a table on a screen; --json has them all."""
HEAD = ("CALL MS", "RETURN MS", "CLIENT", "OPERATION", "RESULT")


def register(app: typer.Typer) -> None:
    app.command()(check)


def check(
    histories: Annotated[
        list[str],
        typer.Argument(
            metavar="HISTORY...",
            help="Files of JSON lines, an operation each; - is stdin.",
            show_default=False,
        ),
    ],
    budget: Annotated[
        float, typer.Option(metavar="SECONDS", help="Per history; past it the verdict is 'undecided'.")
    ] = DEFAULT_BUDGET,
    json: Json = False,
) -> None:
    """Say whether a recorded history is linearizable.

    Exit 1 when it is not, or when the budget ends before that is known.
    """
    if not budget > 0:
        raise ConfigError(f"--budget {budget:g}: expected a number of seconds above 0")
    if histories.count(STDIN) > 1:
        raise ConfigError("- can be given once: there is one stdin")
    documents = []
    code = Exit.DONE
    for name in histories:
        begin = time.monotonic()
        try:
            verdict = _check(name, budget)
        except HistoryError as error:
            fail(str(error))  # the other files are judged all the same
            code = code or Exit.USAGE
            continue
        if not verdict.outcome.holds:
            code = Exit.NO  # a violation counts for more than a file that cannot be read
        if json:
            seconds = round(time.monotonic() - begin, 3)
            documents.append({"history": name, **verdict.document(), "seconds": seconds})
        else:
            _print(verdict, f"{name}: " if len(histories) > 1 else "")
    if len(histories) > 1 and json:
        emit_json({"histories": documents})
    elif documents:
        emit_json(documents[0])
    if code:
        raise typer.Exit(code)


def _check(name: str, budget: float) -> Verdict:
    from raftkv.history import check_history

    operations = _read(name)
    if not operations:
        note(f"{name} holds no operations, so nothing in it is wrong")
    with Progress(QUIET_SECONDS) as progress:
        show = progress.counting("keys", of=name) if progress.visible else None
        return check_history(operations, budget_seconds=budget, clock=time.monotonic, progress=show)


def _read(name: str) -> list[Operation]:
    from raftkv.history import read_history

    try:
        if name == STDIN:
            return read_history(lines(stdin(), "stdin"), "stdin")
        with Path(name).open("rb") as file:
            return read_history(lines(file, name), name)
    except OSError as error:
        raise HistoryError(f"{name}: {error.strerror or error}") from None
    except ConfigError as error:  # a line that is too long, or cannot be read
        raise HistoryError(str(error)) from None


def _print(verdict: Verdict, prefix: str) -> None:
    emit(prefix + verdict.describe())
    if verdict.witness:
        emit(_table(verdict.witness))
    if verdict.key is not None:
        emit(verdict.reason)


def _table(witness: tuple[Operation, ...]) -> str:
    from raftkv.history.reason import show_call, show_result

    begin_ns = min(operation.call_ns for operation in witness)

    def milliseconds(time_ns: int | None) -> str:
        return "-" if time_ns is None else f"{(time_ns - begin_ns) / 1e6:.3f}"

    rows = [HEAD]
    rows += [
        (
            milliseconds(operation.call_ns),
            milliseconds(operation.return_ns),
            str(operation.client),
            show_call(operation),
            show_result(operation),
        )
        for operation in witness[:ROWS_MAX]
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [_aligned(row, widths) for row in rows]
    if len(witness) > ROWS_MAX:
        lines.append(f"… and {len(witness) - ROWS_MAX:,} more; --json has them all")
    return "\n".join(lines)


def _aligned(row: tuple[Any, ...], widths: list[int]) -> str:
    """Numbers to the right, so that times can be compared."""
    cells = [
        cell.rjust(width) if column < 3 else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
