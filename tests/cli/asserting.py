"""What tests of the command line look at: exit code, stdout and stderr, each for itself.

``cluster.run`` starts the real command line, which takes a quarter of a second; ``invoke`` runs the
same command in this process, for tests that need many. Every command has tests of both kinds.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from raftkv.cli.app import app
from tests.support.processes import DEADLINE_SECONDS, LocalCluster, await_condition, environment, patient

Done = subprocess.CompletedProcess[bytes]
ENTRY_FIELDS = ["key", "value", "create_revision", "mod_revision", "version", "lease"]


def client_endpoint(cluster: LocalCluster, position: int = 0) -> str:
    return f"tcp://127.0.0.1:{cluster.base_port + position}"


def invoke(cluster: LocalCluster, *arguments: str | bytes, stdin: bytes = b"") -> Done:
    """A command in the cluster's folder, in this process."""
    texts = [os.fsdecode(argument) for argument in patient(arguments)]
    with contextlib.chdir(cluster.folder):
        result = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "120"}).invoke(app, texts, input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(texts, result.exit_code, result.stdout_bytes, result.stderr_bytes)


def ok(cluster: LocalCluster, *arguments: str | bytes, stdin: bytes = b"") -> bytes:
    """stdout of a command, in this process, that must succeed."""
    done = invoke(cluster, *arguments, stdin=stdin)
    assert done.returncode == 0, done
    return done.stdout


def status(cluster: LocalCluster) -> dict[str, Any]:
    return cluster.status()


def await_leader(cluster: LocalCluster) -> str:
    return str(await_condition(lambda: status(cluster)["leader"], "a leader"))


def pids(cluster: LocalCluster) -> dict[str, int]:
    """Of the nodes that answer."""
    return {node["name"]: node["pid"] for node in status(cluster)["nodes"] if node["alive"]}


def refused(done: Done, code: int) -> str:
    """The one line on stderr of a command that did nothing."""
    assert (done.returncode, done.stdout) == (code, b""), (done.returncode, done.stdout, done.stderr)
    text = done.stderr.decode()
    assert text.startswith("raftkv: "), text
    assert text.count("\n") == 1, text
    assert text.endswith("\n")
    return text.removeprefix("raftkv: ").rstrip("\n")


def quiet(done: Done) -> bytes:
    """stdout of a command that succeeded and had nothing else to say."""
    assert (done.returncode, done.stderr) == (0, b""), (done.returncode, done.stdout, done.stderr)
    return done.stdout


def document(cluster: LocalCluster, *arguments: str | bytes) -> dict[str, Any]:
    """The one JSON document on stdout of a command that succeeded."""
    stdout = quiet(invoke(cluster, *arguments))
    assert stdout.count(b"\n") == 1
    assert stdout.endswith(b"\n")
    found: dict[str, Any] = json.loads(stdout)
    return found


def run_with(
    arguments: list[str],
    folder: Path,
    *,
    variables: Mapping[str, str] | None = None,
    shell: str | None = None,
) -> Done:
    """With more in the environment, or through a shell line in which "$@" is the command."""
    command = [sys.executable, "-m", "raftkv", *arguments]
    if shell:
        command = ["bash", "-c", shell, "bash", *command]
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment(), **(variables or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=2 * DEADLINE_SECONDS,
        check=False,
    )
