"""shell: the same commands at a prompt, over one connection, with history and completion."""

from __future__ import annotations

import difflib
import io
import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from raftkv.cli import options
from raftkv.cli.options import DEFAULT_TIMEOUT, Config, Data, EachTimeout, Endpoints, find_target
from raftkv.cli.output import Exit, as_text, note
from raftkv.cli.reading import commands_from_stdin
from raftkv.errors import ConfigError

if TYPE_CHECKING:
    from raftkv.client import Client

HISTORY_LINES_MAX = 1000
COMPLETIONS_MAX = 50
COMMANDS = (
    *("put", "get", "delete", "scan", "cas", "txn", "watch", "lease", "lock", "elect", "compact"),
    *("load", "dump", "status", "info", "ping", "members", "transfer", "alarm"),
)
"""What makes sense at a prompt, over a connection that is there."""
_KEYED = ("put", "get", "delete", "cas", "watch")


def register(app: typer.Typer) -> None:
    app.command()(shell)


def shell(
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: EachTimeout = DEFAULT_TIMEOUT,
) -> None:
    """Type commands without 'raftkv' in front, one a line. 'help' lists which, 'exit' ends it.

    Without a terminal, reads commands from stdin and exits as the first one that fails."""
    from raftkv.cluster.discovery import find

    target = find_target(endpoints, config, data)
    with options.connect(target, timeout) as client:
        options.shared = options.Shared(target, lambda: find(endpoints, config, data), client, timeout)
        try:
            if sys.stdin is None:
                raise ConfigError("stdin is closed; there are no commands to read")
            if sys.stdin.isatty() and sys.stdout.isatty():  # or a prompt would be taken for data
                _converse(client)
            else:
                _obey()
        finally:
            options.shared = None


def _converse(client: Client) -> None:
    readline = _prepare_line_editing(client)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # as arguments come
    hello = client.hello()
    note(f"cluster {hello.cluster}, leader {hello.leader or 'unknown'}; 'help' lists commands, 'exit' ends")
    while True:
        try:
            line = input("raftkv> ")
        except EOFError:
            note("")
            break
        except KeyboardInterrupt:
            note("")
            continue
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            note(f"raftkv: {error}")
            continue
        if words[:1] in (["exit"], ["quit"]):
            break
        if _carry_out(words) == Exit.NO and words[0] == "get":
            note("(no such key)")
    if readline:
        with suppress(OSError):  # a home that cannot be written to is no reason to fail
            path = _history_file()
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            readline.write_history_file(str(path))


def _obey() -> None:
    with commands_from_stdin() as commands:
        for number, line in enumerate(commands, start=1):
            try:
                words = shlex.split(os.fsdecode(line), comments=True)
            except ValueError as error:
                raise ConfigError(f"line {number}: {error}") from None
            if words[:1] in (["exit"], ["quit"]):
                return
            code = _carry_out(words)
            if code:
                raise typer.Exit(code)


def _carry_out(words: list[str]) -> int:
    """Run one command in this process; its exit code."""
    from raftkv.cli.app import app, commands_there_are

    if not words:
        return 0
    if words == ["help"]:
        note("commands: " + " ".join(COMMANDS) + "; 'help COMMAND' explains one")
        return 0
    if words[0] == "help":
        words = [*words[1:], "--help"]
    if words[0] in commands_there_are() and words[0] not in (*COMMANDS, "set"):
        note(f"raftkv: {words[0]!r} is no command of the shell; say 'raftkv {' '.join(words)}' outside of it")
        return 2
    if words[0] not in (*COMMANDS, "set"):
        close = difflib.get_close_matches(words[0], COMMANDS, 1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        note(f"raftkv: no command {words[0]!r} here; {meant}'help' lists them")
        return 2
    try:
        app(words, prog_name="raftkv", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def _history_file() -> Path:
    """Raises ``OSError`` where there is no home."""
    try:
        state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    except RuntimeError as error:  # neither HOME nor an entry among the users
        raise FileNotFoundError(str(error)) from None
    return Path(state) / "raftkv" / "history"


def _prepare_line_editing(client: Client) -> Any:
    """The readline module, or None where Python was built without it."""
    try:
        import readline
    except ImportError:
        return None
    with suppress(OSError):
        readline.read_history_file(str(_history_file()))
    readline.set_history_length(HISTORY_LINES_MAX)
    readline.set_completer_delims(" \t\n")
    found: list[str] = []

    def complete(text: str, state: int) -> str | None:
        nonlocal found
        if state == 0:
            found = candidates(client, readline.get_line_buffer()[: readline.get_begidx()], text)
        return found[state] if state < len(found) else None

    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")
    return readline


def candidates(client: Client, before: str, text: str) -> list[str]:
    """What ``text`` may become: a command, or after one that takes a key the keys that there are."""
    from raftkv.errors import ClientError

    words = before.split()
    if not words:
        return [f"{command} " for command in COMMANDS if command.startswith(text)]
    if words[0] not in _KEYED or len(words) > 1 or text.startswith("-"):
        return []
    try:
        entries = list(client.prefix(os.fsencode(text), limit=COMPLETIONS_MAX, keys_only=True, stale=True))
    except ClientError:
        return []
    return [shlex.quote(as_text(entry.key)) for entry in entries]
