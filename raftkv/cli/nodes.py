"""up, down, node: starting clusters, and ending them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raftkv.cli.dashboard import Record, check_recordable, dashboard_of, recording
from raftkv.cli.endings import when_told_to_end
from raftkv.cli.output import fail, note, on_a_terminal, telling
from raftkv.errors import ConfigError, OutcomeUnknown, RaftkvError, Unavailable, counted

if TYPE_CHECKING:
    from raftkv.cluster.launcher import Launcher

DETACH_SECONDS = 45.0
"""Without a word of the launcher."""
DOWN_SECONDS = 20.0
ROOM_BYTES = 64 << 10
"""With less a disk is full."""
RESIZE_SECONDS = 120.0
LAUNCHER_LOG = "launcher.log"
_TOLD = re.compile(r"raftkv: |ready: |node \S+ |without |no leader |the leader |\S+ leads, ")
"""What the lines of a launcher begin with; its nodes write into the same log, and so does Python."""


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(node)


def up(
    nodes: Annotated[
        int | None, typer.Option(metavar="N", help="How many nodes [default: 3, or as it was]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The cluster's folder [default: .raftkv]")
    ] = None,
    base_port: Annotated[
        int | None,
        typer.Option(metavar="P", help="First of the 50 ports to use [default: 7400 or free ones]"),
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="No dashboard: a line an event.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background until 'down'.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the folder's cluster first.")] = False,
    degraded: Annotated[
        bool, typer.Option("--degraded", help="Go without nodes that cannot start, if a majority can.")
    ] = False,
    record: Record = None,
) -> None:
    """Start a local cluster, or the one in DIR, and its dashboard.

    The dashboard opens on a terminal. Where one runs in DIR already, --nodes makes it grow or shrink while
    it works.
    """
    from raftkv.cluster.discovery import DEFAULT_DATA

    folder = data or DEFAULT_DATA
    if nodes is not None and not fresh and base_port is None and _resize_running(folder, nodes):
        return
    if detach:
        if record:
            raise ConfigError("--record needs this process to stay: leave --detach out")
        _up_detached(folder, nodes, base_port, fresh, degraded)
        return
    from raftkv.cluster.launcher import Launcher

    check_recordable(record)
    # The dashboard draws on stderr, so that is the one that must be a terminal too.
    attended = not headless and on_a_terminal()
    with nullcontext(note) if attended else telling() as report:
        launcher = Launcher(
            folder,
            nodes=nodes,
            base_port=base_port,
            fresh=fresh,
            degraded=degraded,
            echo=not attended,
            report=report,
        )
        if attended:
            _up_with_dashboard(launcher, folder, record)
            return
        when_told_to_end(lambda _: launcher.stop())
        _run_headless(launcher, folder, record)
        report("stopped")


def down(
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The cluster's folder [default: .raftkv]")
    ] = None,
) -> None:
    """Stop the cluster that runs in DIR and wait until it has ended."""
    from raftkv.cluster import run_state
    from raftkv.cluster.control import ControlClient
    from raftkv.cluster.discovery import DEFAULT_DATA
    from raftkv.cluster.local import is_locked

    folder = data or DEFAULT_DATA
    state = run_state.load(folder)
    if state is None:
        raise Unavailable(f"no cluster runs in {folder}")
    with ControlClient() as client:
        client.order(state.launcher, "down", DOWN_SECONDS)
    deadline = time.monotonic() + DOWN_SECONDS
    while is_locked(folder):
        if time.monotonic() > deadline:
            raise OutcomeUnknown(
                f"the cluster in {folder} does not end; its launcher is process {state.launcher_pid}"
            )
        time.sleep(0.02)
    note("stopped")


def node(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A node of the file.", show_default=False)],
    config: Annotated[Path, typer.Option(metavar="FILE", help="The cluster's file.")] = Path("cluster.toml"),
) -> None:
    """Run one node in the foreground: for one node a machine. SIGTERM or Ctrl-C ends it."""
    from datetime import datetime

    from raftkv.actors.loop import run_node
    from raftkv.config import load

    cluster = load(config)
    endpoint = cluster.node(name).client
    with telling() as tell:

        def report(text: str) -> None:
            tell(f"{datetime.now():%H:%M:%S.%f}"[:-3] + f" {name} {text}")

        run_node(cluster, name, report=report, ready=lambda: report(f"listening for clients on {endpoint}"))
        report("stopped")


def _resize_running(folder: Path, nodes: int) -> bool:
    """False when no cluster runs there, or none that would have to change."""
    from raftkv.cluster import run_state
    from raftkv.cluster.control import ControlClient
    from raftkv.cluster.members import LocalNodes, Members, resize
    from raftkv.config import NODES_MAX

    state = run_state.load(folder)
    if state is None:
        return False
    if not 1 <= nodes <= NODES_MAX:
        raise ConfigError(f"--nodes {nodes}: a local cluster has 1 to {NODES_MAX} nodes")
    with ControlClient() as client:
        controls = {node.name: node.control for node in state.nodes}
        members, local = Members(client, controls, RESIZE_SECONDS), LocalNodes(client, state.launcher)
        if sum(row.part == "voter" for row in members.rows()) == nodes:
            return False  # a second 'up' of the same cluster, which is refused
        resize(members, local, nodes, note)
    note(f"the cluster in {folder} has {counted(nodes, 'voter')}")
    return True


def _run_headless(launcher: Launcher, folder: Path, record: Path | None) -> None:
    """Nodes are recorded from the moment their endpoints are known."""
    from raftkv.cluster.discovery import running_in

    if record is None:
        launcher.run()
        return
    over = threading.Event()

    def watch() -> None:
        while not launcher.started.wait(0.05):
            if over.is_set():
                return
        try:
            with recording(running_in(folder), record):
                over.wait()
        except RaftkvError as error:  # the cluster goes on without
            note(str(error))

    thread = threading.Thread(target=watch, name="recording")
    thread.start()
    try:
        launcher.run()
    finally:
        over.set()
        thread.join()


def _up_with_dashboard(launcher: Launcher, folder: Path, record: Path | None) -> None:
    """The launcher in a thread of its own, which lives until the last node has ended. The dashboard does not
    outlive it: whoever says ``down`` elsewhere ends both."""
    from raftkv.cli.showing import Screen
    from raftkv.cluster.discovery import running_in
    from raftkv.cluster.hosting import Hosted

    when_told_to_end(lambda _: launcher.stop())
    hosted = Hosted(launcher)
    try:
        with Screen(lambda: not hosted.running, hosted.end) as screen:
            while hosted.running and not launcher.ready.wait(0.05):
                pass
            if hosted.running:
                target = running_in(folder)
                with dashboard_of(target, owns_cluster=True, record=record) as (dashboard, _):
                    screen.show(dashboard)
    finally:
        hosted.end()
    hosted.check()
    note(f"stopped; the data is in {folder}, 'raftkv up' goes on from there")


def _up_detached(folder: Path, nodes: int | None, base_port: int | None, fresh: bool, degraded: bool) -> None:
    """Start ourselves again in a session of our own, and wait for the line that says it is ready."""
    from raftkv.cluster.local import is_locked
    from raftkv.cluster.ourselves import own_command
    from raftkv.cluster.process import open_log

    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    log_path = folder / LAUNCHER_LOG
    command = own_command("up", "--headless", "--data", str(folder))
    command += ["--nodes", str(nodes)] if nodes is not None else []
    command += ["--base-port", str(base_port)] if base_port is not None else []
    command += ["--fresh"] if fresh else []
    command += ["--degraded"] if degraded else []
    with os.fdopen(open_log(log_path, is_locked(folder)), "ab") as log:
        begin = log.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        failure = _await_ready(process, log_path, begin)
    except KeyboardInterrupt:
        _end_launcher(process)
        raise
    except typer.Exit:
        if new and not (folder / "cluster.toml").exists():  # refused before there was anything
            with suppress(OSError):
                log_path.unlink()
                folder.rmdir()
        raise
    if failure:
        _end_launcher(process)
        raise Unavailable(f"{failure}; see {log_path}")


def _await_ready(process: subprocess.Popen[bytes], log_path: Path, begin: int) -> str | None:
    """Tell what the launcher says until it is ready, as long as it gets on; why it is not, in the end.

    The log holds what its nodes have to say too, and those without a leader never fall silent."""
    from raftkv.cluster.awaiting import GOES_ON

    heard, deadline = 0, time.monotonic() + DETACH_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        with log_path.open("rb") as log:
            log.seek(begin)
            text = log.read().decode("utf-8", "replace")
        lines = [line for line in text.split("\n")[:-1] if _TOLD.match(line)]
        for line in lines[heard:]:
            deadline = time.monotonic() + DETACH_SECONDS
            if line.endswith(GOES_ON):
                return line.removesuffix(GOES_ON)
            if not line.startswith("raftkv: "):
                note(line)
            if line.startswith("ready: "):
                return None
        heard = len(lines)
        if ended:
            reasons = [line for line in lines if line.startswith("raftkv: ")]
            if reasons:
                fail(reasons[-1].removeprefix("raftkv: "))
            elif shutil.disk_usage(log_path.parent).free < ROOM_BYTES:  # nor is there for what it had to say
                fail(f"it ended early: there is no room left in {log_path.parent}")
            else:
                fail(f"it ended early; see {log_path}")
            raise typer.Exit(process.returncode or 1)
        time.sleep(0.02)
    return f"the cluster is not ready after {DETACH_SECONDS:g} s"


def _end_launcher(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(DOWN_SECONDS)
