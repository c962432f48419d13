"""lock, elect."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from raftkv.cli import family
from raftkv.cli.data import read_value
from raftkv.cli.endings import told_to_end
from raftkv.cli.options import (
    DEFAULT_TIMEOUT,
    Config,
    Data,
    EachTimeout,
    Endpoints,
    Json,
    check_finite,
    connect,
    find_target,
)
from raftkv.cli.output import Exit, argument_bytes, as_json, as_text, emit, emit_json, fail, flush, note
from raftkv.errors import ClientError, ConfigError

if TYPE_CHECKING:
    from raftkv.client import Entry
    from raftkv.recipes import Election, Lock

LOOK_SECONDS = 0.05
Ttl = Annotated[
    float,
    typer.Option("--ttl", metavar="SECONDS", help="How long it stays taken after its holder died.", min=0.1),
]
Wait = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", help="Give up after so long; 0: never.", min=0)
]


def register(app: typer.Typer) -> None:
    app.command(context_settings={"ignore_unknown_options": True})(lock)
    app.command()(elect)


def lock(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The lock's name.", show_default=False)],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND…", help="After '--'; none: hold it until interrupted."),
    ] = None,
    ttl: Ttl = 10.0,
    wait: Wait = 0.0,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: EachTimeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Run COMMAND while holding the lock NAME, and exit as it does.

    COMMAND finds the fencing token, which grows with every holder, in RAFTKV_LOCK_TOKEN. If the lock is
    lost meanwhile, COMMAND is ended with all that it started (SIGTERM, later SIGKILL) and the exit code is 1.
    Only whoever kills or stops this process (SIGKILL, SIGSTOP) leaves COMMAND running without the lock: that
    is what the token is for."""
    from raftkv.recipes import Lock

    check_finite("--wait", wait)
    with told_to_end(_interrupt), connect(find_target(endpoints, config, data), timeout) as client:
        held = Lock(client, argument_bytes(name), ttl)
        if not held.acquire(wait or None):
            fail(f"lock {name}: others had it for all of {wait:g} s")
            raise typer.Exit(Exit.NO)
        try:
            if command:
                code = _run(command, held, name)
            else:
                _announce(name, held.token, json)
                code = _hold(held, f"lock {name}")
        finally:
            kept = _give_back(held, held.release, f"lock {name}")
        if not kept:
            fail(f"lock {name} was lost meanwhile: its lease had ended before it was given back")
        raise typer.Exit(code if kept else Exit.NO)


def elect(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The office's name.", show_default=False)],
    value: Annotated[
        str | None,
        typer.Argument(metavar="VALUE", help="What the holder says; '-' reads stdin.", show_default=False),
    ] = None,
    listen: Annotated[
        bool,
        typer.Option(
            "--listen", help="Only print what its holder says, as it changes; an empty line: nobody."
        ),
    ] = False,
    ttl: Ttl = 10.0,
    wait: Wait = 0.0,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: EachTimeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Stand for the office NAME, and hold it until interrupted."""
    from raftkv.recipes import Election

    if listen == (value is not None):
        raise ConfigError("give either a VALUE to stand with, or --listen")
    check_finite("--wait", wait)
    content = None if value is None else read_value(value)
    with told_to_end(_interrupt), connect(find_target(endpoints, config, data), timeout) as client:
        election = Election(client, argument_bytes(name), ttl)
        if content is None:
            _listen(election, json)
            return
        if not election.campaign(content, wait or None):
            fail(f"office {name}: not elected within {wait:g} s")
            raise typer.Exit(Exit.NO)
        try:
            _announce(name, election.token, json)
            raise typer.Exit(_hold(election, f"office {name}"))
        finally:
            _give_back(election, election.resign, f"office {name}")


def _listen(election: Election, json: bool) -> None:
    holder: Entry | None
    for holder in election.observe():
        if json:
            emit_json({"leader": None if holder is None else as_json(holder.value)}, more=True)
        else:
            emit("" if holder is None else as_text(holder.value), more=True)
            flush(more=True)


def _announce(name: str, token: int, json: bool) -> None:
    if json:
        emit_json({"name": name, "token": token})
    else:
        emit(f"{name}: held, token {token}")
        flush()


def _hold(held: Lock | Election, what: str) -> int:
    """Until interrupted, or until it is lost, which is told."""
    idle = threading.Event()
    while held.held:
        idle.wait(LOOK_SECONDS)
    fail(f"{what} was lost: its lease has ended")
    return Exit.NO


def _give_back(held: Lock | Election, release: Callable[[], bool], what: str) -> bool:
    """False where it turns out only now that it was lost. That it could not be given back is no part of how
    the command ended."""
    had = held.held
    try:
        return release() or not had
    except ClientError as error:
        if had:
            note(f"raftkv: {what} could not be given back ({error}); it ends with its lease")
        return True


def _run(command: list[str], held: Lock, name: str) -> int:
    environment = {**os.environ, "RAFTKV_LOCK_TOKEN": str(held.token), "RAFTKV_LOCK_NAME": name}
    # Noted, never raised: an interrupt in the middle of Popen.wait can leave a lock of its own taken, and
    # nobody could wait for the command any more; one while it starts would lose sight of it.
    told: list[int] = []
    with told_to_end(told.append), family.adopting() as others:
        try:
            child = subprocess.Popen(command, env=environment)
        except OSError as error:
            raise ConfigError(f"{command[0]}: cannot be run: {error.strerror}") from None
        return _see_out(child, partial(family.end, child, others), command[0], held, name, told)


def _see_out(
    child: subprocess.Popen[bytes],
    end: Callable[[], bool],
    command: str,
    held: Lock,
    name: str,
    told: Sequence[int],
) -> int:
    """Wait for the command, or ``end`` it with all that it started. ``told``: the signals that ask for it."""
    while not told:
        with suppress(subprocess.TimeoutExpired):
            return _exit_code(child.wait(LOOK_SECONDS))
        if not held.held:
            how = "was ended" if end() else "cannot be ended, and goes on"
            fail(f"lock {name} was lost: its lease has ended; {command} {how}")
            return Exit.NO
    note(f"raftkv: waiting for {command} to end")
    if told[0] != signal.SIGINT:
        return _exit_code(child.wait()) if end() else _outlast(child, command, held, name)
    # A terminal has told the command as well. It says how it ends, unless it takes long or is told once more.
    deadline = time.monotonic() + family.END_SECONDS
    while len(told) == 1 and time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            return _exit_code(child.wait(LOOK_SECONDS))
    return 130 if end() else _outlast(child, command, held, name)


def _outlast(child: subprocess.Popen[bytes], command: str, held: Lock, name: str) -> int:
    """What cannot be ended keeps the lock for as long as it goes on."""
    note(f"raftkv: {command} cannot be ended; lock {name} is kept until it ends")
    while held.held:
        with suppress(subprocess.TimeoutExpired):
            return _exit_code(child.wait(LOOK_SECONDS))
    fail(f"lock {name} was lost: its lease has ended; {command} goes on")
    return Exit.NO


def _interrupt(number: int) -> None:
    """What is held is given back however this process is asked to end; a terminal that is closed asks too."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise KeyboardInterrupt(signal.Signals(number).name)


def _exit_code(status: int) -> int:
    """As a shell has it: of a command that a signal ended, 128 and the signal's number."""
    return status if status >= 0 else 128 - status
