"""All commands on one typer application, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import importlib
import resource
import sys
import traceback
from collections.abc import Collection
from typing import Any, NoReturn

import click
import typer
from typer.core import TyperGroup

from raftkv import __version__
from raftkv.cli.options import where_it_was_looked_for
from raftkv.cli.output import Exit, Unprinted, discard, exit_code_of, fail, flush, require_stdout
from raftkv.errors import RaftkvError, Unreachable

SECTIONS = {
    "Run a cluster": {"nodes": "up down node", "dashboard": "tui replay", "observe": "status info ping"},
    "Keys and values": {
        "data": "put set get delete scan cas",
        "txn": "txn compact",
        "watch": "watch",
        "bulk": "load dump",
        "shell": "shell",
    },
    "Coordination": {"lease": "lease", "recipes": "lock elect"},
    "Operations": {
        "admin": "doctor transfer alarm",
        "members": "members",
        "keys": "keys",
        "backup": "snapshot backup restore recover",
        "inspect": "inspect",
    },
    "Faults and proof": {
        "chaos": "chaos",
        "scenario": "scenario",
        "work": "bench",
        "check": "check",
        "simulate": "sim",
        "torture": "torture",
    },
}
"""Of the help text, with the modules of this package that each holds and the commands that these register."""
MODULES = {module: names for section in SECTIONS.values() for module, names in section.items()}
"""One is imported when a command of it is called. To import them all and to read the signatures of all
commands took half of the time of a ``raftkv get``."""
SILENT = {"up", "down", "node", "tui", "replay", "lock", "elect", "alarm", "chaos"}
"""Change nothing whose outcome they print on stdout, or print nothing there at all: so they do what they are
for also where that is closed."""
READING = {"get", "scan", "dump", "watch", "status", "info", "ping", "doctor", "check", "inspect"}
"""Leave nothing behind but what they print."""
HELP = {"-h", "--help"}
HELP_MARGINS = 6
"""Columns before, between and after the two of a help text."""
_HOMES = {name: module for module, names in MODULES.items() for name in names.split()}


def commands_there_are() -> Collection[str]:
    return _HOMES.keys()


class _Commands(TyperGroup):
    """Loads the one command that is called, and turns what it raises into one line on stderr and the
    contract's exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_HOMES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        del ctx
        if name in self.commands:
            return self.commands[name]
        # For a name that there is not, all: the closest ones are looked for among them.
        for module in (_HOMES[name],) if name in _HOMES else MODULES:
            home = typer.Typer(rich_markup_mode=None)
            importlib.import_module(f"raftkv.cli.{module}").register(home)
            self.commands.update(typer.main.get_group(home).commands)
        return self.commands.get(name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        column = max(map(len, _HOMES))
        for section, modules in SECTIONS.items():
            rows = []
            for name in " ".join(modules.values()).split():
                command = self.get_command(ctx, name)
                if command and not command.hidden:
                    text = command.get_short_help_str(formatter.width - column - HELP_MARGINS)
                    rows.append((name.ljust(column), text))
            with formatter.section(section):
                formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[:1] == ["help"]:
            if len(args) == 1:
                typer.echo(ctx.get_help())
                raise typer.Exit
            words = args[1 : args.index("--")] if "--" in args else args[1:]
            args = [*words, "--help"]
        found: Any = super().resolve_command(ctx, args)
        if ctx.resilient_parsing:  # a shell completes the line
            return found
        options = args[: args.index("--")] if "--" in args else args
        if not HELP.intersection(options):
            _check_values(ctx, found[0], found[1], options)
            if found[0] not in SILENT:
                require_stdout()  # before anything happens whose outcome is to be printed
        return found

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        try:
            return super().make_context(*arguments, **more)
        except click.UsageError as error:
            _tell_usage(error)
        except OSError as error:  # a help text for which there is no room
            _discard_output()
            fail(f"output: {error.strerror or error}")
            raise typer.Exit(Exit.USAGE) from None

    def invoke(self, ctx: Any) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                flush()  # here, not at the interpreter's end, where nobody could answer for it
        except click.UsageError as error:
            _tell_usage(error)
        except Unprinted as error:
            _discard_output()
            reads = ctx.invoked_subcommand in READING
            fail(str(error) if reads else f"{error}; what was asked for may be done")
            raise typer.Exit(Exit.USAGE if reads else Exit.UNKNOWN) from None
        except RaftkvError as error:
            fail(f"{error}{where_it_was_looked_for()}" if isinstance(error, Unreachable) else str(error))
            raise typer.Exit(exit_code_of(error)) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # Whoever read our output has had enough, as 'head' does; that is no failure.
            _discard_output()
            raise typer.Exit(Exit.DONE) from None
        except OSError as error:
            # A folder that cannot be made, too many open files, …
            _discard_output()
            where = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
            fail(_shortage(error) or where)
            raise typer.Exit(Exit.USAGE) from None
        except Exception as error:
            if isinstance(error, click.exceptions.Exit | click.Abort | click.ClickException):
                raise
            if shortage := _shortage(error):
                fail(shortage)
                raise typer.Exit(Exit.USAGE) from None
            # Ours, not the user's: told in full, and with a code that no program takes for an answer.
            traceback.print_exc()
            fail(f"this is a bug in raftkv: {type(error).__name__}: {error}")
            raise typer.Exit(Exit.BUG) from None


def _shortage(error: Exception) -> str:
    """What this process has run out of, if that is what it failed for."""
    if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f"no more files can be opened: this process may have {limit} (ulimit -n); allow it more"
    if isinstance(error, MemoryError):
        return "there is no memory left; allow this process more (ulimit -v), or give it less to do"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return "no more threads can be started: allow more memory (ulimit -v) or more processes (ulimit -u)"
    return ""


def _check_values(ctx: Any, path: str, command: Any, words: list[str]) -> None:
    """Click takes whatever follows an option for its value: '--json' for a prefix, and an empty word, of a
    variable that is not set, for the folder where we are. Raises ``typer.Exit``."""
    for word in words[1:]:
        inner = command.get_command(ctx, word) if isinstance(command, click.Group) else None
        if inner is None:
            break
        path, command = f"{path} {word}", inner
    takes_value = {
        name: option
        for option in command.params
        if isinstance(option, click.Option) and not option.is_flag
        for name in option.opts
    }
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    for word, following in zip(words, [*words[1:], None], strict=True):
        name, equals, attached = word.partition("=")
        value = attached if equals else following
        option = takes_value.get(name)
        if option is None:
            continue
        lacks = value is None or (not equals and value in known)
        if lacks or (not value and isinstance(option.type, click.Path)):
            fail(f"option {name!r} {'lacks its value' if lacks else 'is empty'}; see 'raftkv help {path}'")
            raise typer.Exit(Exit.USAGE)


def _tell_usage(error: click.UsageError) -> NoReturn:
    """In one line as well. Raises ``typer.Exit``, or the error itself where it asks for the help text."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        raise error
    text = " ".join(error.format_message().split()).rstrip(".")
    if error.ctx is None:  # of an option that lacks its value, or has one that it does not take
        fail(f"{text[:1].lower()}{text[1:]}; 'raftkv help COMMAND' explains the options")
        raise typer.Exit(Exit.USAGE)
    path = error.ctx.command_path
    if isinstance(error, click.NoSuchOption):
        if error.ctx.parent is None:
            text = f"no such option: {error.option_name}; those of a command go after it"
        elif not error.option_name.startswith("--"):
            text += ", and '--' goes before arguments that begin with a dash"
    if isinstance(error.ctx.command, click.Group):
        more = f"'{path} --help' lists what there is"
    else:
        more = " ".join(error.ctx.get_usage().replace("Usage:", "usage:", 1).split())
    fail(f"{text[:1].lower()}{text[1:]}{'' if text.endswith('?') else ';'} {more}")
    raise typer.Exit(Exit.USAGE) from None


def _discard_output() -> None:
    """What is still buffered must not fail a second time at the interpreter's end."""
    if sys.stdout is not None:
        discard(sys.stdout)


app = typer.Typer(
    cls=_Commands,
    name="raftkv",
    help="A durable, linearizable key-value store on its own Raft, with a live chaos dashboard.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"raftkv {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    del version


def run() -> None:
    app()
