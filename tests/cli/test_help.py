"""Every command explains itself, within 100 columns, on stdout; the texts keep their promises."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click
import pytest
import typer.main
from typer.testing import CliRunner

from raftkv import __version__
from raftkv.cli.app import MODULES, SECTIONS, app
from raftkv.cli.output import Exit

COLUMNS = 100


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            yield from commands(group.get_command(context, name), (*path, name))


ALL = list(commands(typer.main.get_command(app)))


def invoke(*arguments: str) -> Any:
    return CliRunner(env={"COLUMNS": str(COLUMNS), "NO_COLOR": "1"}).invoke(app, list(arguments))


def test_the_commands_are_those_of_the_contract() -> None:
    assert {path[0] for path in ALL if path} >= {
        *("up", "down", "node", "tui", "put", "set", "get", "delete", "load", "dump", "scan", "cas"),
        *("txn", "watch", "lease", "lock", "elect", "compact", "shell"),
        *("status", "info", "ping", "chaos", "bench", "scenario"),
    }
    assert {path[1] for path in ALL if len(path) == 2} >= {
        *("kill", "restart", "pause", "resume", "partition", "isolate", "link", "heal", "bridge", "ring"),
    }


def test_every_module_registers_the_commands_that_are_looked_for_there() -> None:
    for module, names in MODULES.items():
        home = typer.Typer()
        importlib.import_module(f"raftkv.cli.{module}").register(home)
        assert list(typer.main.get_group(home).commands) == names.split()


def test_a_command_loads_no_module_but_its_own() -> None:
    lines = (
        "import sys; from typer.testing import CliRunner; from raftkv.cli.app import app",
        "assert CliRunner().invoke(app, ['get', '--help']).exit_code == 0",
        "print(*sys.modules)",
    )
    found = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    assert set(re.findall(r"raftkv\.cli\.(\w+)", found.stdout)) & set(MODULES) == {"data"}


def test_a_short_flag_asks_for_help_as_well() -> None:
    for path in ((), ("put",), ("chaos",), ("chaos", "kill")):
        assert invoke(*path, "-h").stdout == invoke(*path, "--help").stdout


def test_the_list_of_commands_has_each_in_its_section() -> None:
    lines = invoke("--help").stdout.splitlines()
    listed = [line.split()[0] for line in lines[lines.index("Run a cluster:") :] if line.startswith("  ")]
    assert len(listed) == len(set(listed))
    assert set(listed) == {path[0] for path in ALL if len(path) == 1} - {"set"}
    assert [line[:-1] for line in lines if line.endswith(":")] == ["Options", *SECTIONS]


@pytest.mark.parametrize("group", sorted({path[:-1] for path in ALL if path}), ids=" ".join)
def test_a_list_of_commands_has_a_whole_sentence_for_each_on_the_narrowest_screen(
    group: tuple[str, ...],
) -> None:
    found = CliRunner(env={"COLUMNS": "80"}).invoke(app, [*group, "--help"])
    assert not [line for line in found.stdout.splitlines()[1:] if line.endswith("...")]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_fits_the_screen(path: tuple[str, ...]) -> None:
    done = invoke(*path, "--help")
    assert (done.exit_code, done.stderr) == (Exit.DONE, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Usage: ")
    assert lines[2].strip(), "it says what it is for"
    assert max(map(len, lines)) <= COLUMNS, max(lines, key=len)
    assert "\x1b" not in done.stdout
    assert "{{" not in done.stdout
    assert "[[" not in done.stdout


@pytest.mark.parametrize("path", [path for path in ALL if path], ids=" ".join)
def test_every_option_and_argument_is_explained(path: tuple[str, ...]) -> None:
    section = ""
    for line in invoke(*path, "--help").stdout.splitlines():
        if re.match(r"^[A-Z][a-z]+:$", line):
            section = line
        elif section in ("Options:", "Arguments:") and re.match(r"^  \S", line):
            parts = re.split(r"\s{2,}", line.strip(), maxsplit=1)
            assert len(parts) == 2, f"{' '.join(path)}: {line!r}"
            assert parts[1], line
            assert not parts[1].startswith("["), line


def test_help_is_a_command_as_well() -> None:
    assert invoke("help").stdout == invoke("--help").stdout
    assert invoke("help", "put").stdout == invoke("put", "--help").stdout
    assert "no such command 'bogus'" in invoke("help", "bogus").stderr


def test_version_and_no_arguments() -> None:
    version = invoke("--version")
    assert (version.exit_code, version.stdout, version.stderr) == (0, f"raftkv {__version__}\n", "")
    nothing = invoke()
    assert (nothing.exit_code, nothing.stdout) == (Exit.USAGE, "")
    assert "Run a cluster:" in nothing.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["put"], "missing argument 'KEY'; usage: raftkv put [OPTIONS] KEY VALUE"),
        (
            ["put", "x", "-5"],
            "no such option: -5, and '--' goes before arguments that begin with a dash; usage:",
        ),
        (["put", "x", "--valeu"], "no such option: --valeu; usage: raftkv put"),
        (["get", "a", "b", "c"], "got unexpected extra arguments (b c); usage: raftkv get"),
        (["get", "--timeout", "x", "a"], "invalid value for '--timeout': 'x' is not a valid float; usage:"),
        (["bogus"], "no such command 'bogus'; 'raftkv --help' lists what there is"),
        (["--bogus"], "no such option: --bogus; those of a command go after it; 'raftkv --help' lists what"),
        (["--json", "get", "a"], "no such option: --json; those of a command go after it; 'raftkv --help'"),
        (["get", "a", "--prefix"], "option '--prefix' lacks its value; see 'raftkv help get'"),
        (["scan", "--prefix", "--json"], "option '--prefix' lacks its value; see 'raftkv help scan'"),
        (
            ["chaos", "link", "a", "b", "--drop", "--block"],
            "option '--drop' lacks its value; see 'raftkv help cha",
        ),
        (["up", "--data", "", "--headless"], "option '--data' is empty; see 'raftkv help up'"),
        (["get", "a", "--data="], "option '--data' is empty; see 'raftkv help get'"),
        (["help", "chaos", "kil"], "no such command 'kil'"),
        (["get", "a", "--json=1"], "option '--json' does not take a value; 'raftkv help COMMAND' explains"),
        (["staus"], "no such command 'staus'. Did you mean 'status'? 'raftkv --help' lists"),
        (["chaos", "kil"], "no such command 'kil'. Did you mean 'kill'? 'raftkv chaos --help' lists"),
    ],
)
def test_a_command_that_is_wrong_is_told_in_one_line(arguments: list[str], said: str) -> None:
    done = invoke(*arguments)
    assert (done.exit_code, done.stdout) == (Exit.USAGE, "")
    assert done.stderr.startswith(f"raftkv: {said}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "offered"), [("raftkv ge", "get"), ("raftkv foo ", ""), ("raftkv get --data ", "")]
)
def test_a_shell_completes_what_is_not_finished_yet(line: str, offered: str) -> None:
    """Which a command that lacks a value is not, nor one that there is not."""
    asked = {"_RAFTKV_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    program = "import sys; sys.argv[0] = 'raftkv'; from raftkv.cli.app import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **asked},
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    assert offered in done.stdout.decode().split("\n")


def test_help_runs_nothing_of_what_comes_after_two_dashes() -> None:
    done = invoke("help", "lock", "--", "make")
    assert (done.exit_code, done.stdout.split("\n")[0]) == (0, "Usage: raftkv lock [OPTIONS] NAME [COMMAND…]")
