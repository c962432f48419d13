"""tui, replay: looking at a cluster, and at what was recorded of one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raftkv.cli.options import (
    DEFAULT_TIMEOUT,
    Config,
    Data,
    Endpoints,
    Json,
    Timeout,
    connect,
    find_whole_cluster,
)
from raftkv.cli.output import emit, emit_json, note, on_a_terminal
from raftkv.cli.progress import Progress
from raftkv.cli.showing import show
from raftkv.errors import ConfigError, RaftkvError

if TYPE_CHECKING:
    from raftkv.cluster.discovery import Target
    from raftkv.tui.app import Dashboard
    from raftkv.tui.playback.files import Recording, RecordingFile

WEB_PORT = 8484
LOOPBACK = "127.0.0.1"
WEB_DRIVER = "TEXTUAL_DRIVER"
"""Set in the environment of a dashboard that a browser looks at."""
PARENT_SECONDS = 1.0
KEY_SECONDS = 1.0
"""For the nodes to say that they take no connection of ours."""
Record = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Record all that is seen; 'raftkv replay FILE' shows it again."),
]


def register(app: typer.Typer) -> None:
    app.command()(tui)
    app.command()(replay)


def tui(
    record: Record = None,
    web: Annotated[
        bool, typer.Option("--web", help="Serve it to browsers of this machine (needs the extra 'web').")
    ] = False,
    port: Annotated[
        int, typer.Option(metavar="P", help="Of --web, on loopback.", min=1, max=65535)
    ] = WEB_PORT,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Attach the dashboard to a running cluster."""
    if web:
        if record:
            raise ConfigError("--web opens a dashboard a visitor; record with 'raftkv up --record FILE'")
        target = find_whole_cluster(endpoints, config, data, timeout)
        if target.key:
            raise ConfigError("--web asks nobody who they are, so it shows no cluster that has keys")
        serve([*_whereabouts(endpoints, config, data)], port, target.source)
        return
    require_terminal("the dashboard needs a terminal; 'raftkv status' does not")
    if WEB_DRIVER in os.environ:
        _end_with_the_server()
    target = find_whole_cluster(endpoints, config, data, timeout)
    if target.launcher is None and target.key is None:
        with connect(target, timeout) as client:
            client.hello()  # or it would wait for ever, and say that nothing is wrong
    check_key(target, timeout)
    with dashboard_of(target, owns_cluster=False, record=record) as (dashboard, close):
        show(dashboard, close)


def check_key(target: Target, timeout: float) -> None:
    """Whoever is not let in would look at a dashboard on which nothing ever happens."""
    from raftkv.cluster.control import ControlClient

    if target.key and target.controls:
        with ControlClient(target.key) as client:
            client.ask_all(list(target.controls.values()), "ping", min(timeout, KEY_SECONDS))


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording.", show_default=False)],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page of it that needs nothing else.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a summary of it.")] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Print the summary; open nothing.")] = False,
    json: Json = False,
) -> None:
    """Show a recording in the dashboard. Play, step, jump from election to election, export."""
    found = _read(file)
    if found.cut:
        note(f"{file} breaks off: whoever recorded it was ended before the last second was written")
    if html or markdown or summary or json:
        _tell(found, html, markdown, summary, json)
        return
    require_terminal("the dashboard needs a terminal; --summary, --html and --markdown do not")
    from raftkv.tui.app import Dashboard
    from raftkv.tui.playback.replay import NoFeed

    names = found.state.names  # those of its end: which there were at a moment is on the tape
    show(Dashboard(NoFeed(names), None, owns_cluster=False, source=found.about.source, recording=found))


def _tell(found: Recording, html: Path | None, markdown: Path | None, summary: bool, json: bool) -> None:
    from datetime import datetime

    from raftkv.tui.playback import report
    from raftkv.tui.playback.chronicle import chronicle
    from raftkv.tui.playback.export import write_text

    told = chronicle(found.about.names, found.tape.blocks())
    origin = datetime.fromtimestamp(found.about.origin)
    if html:
        write_text(html, report.html(told, found.about.source, origin))
        note(f"wrote {html}")
    if markdown:
        write_text(markdown, report.markdown(told, found.about.source, origin))
        note(f"wrote {markdown}")
    if json:
        emit_json(report.document(told, found.about.source, origin))
    elif summary:
        emit(report.markdown(told, found.about.source, origin).rstrip())


def _read(file: Path) -> Recording:
    from raftkv.tui.playback.files import read_recording

    with Progress() as progress:
        return read_recording(file, lambda share: progress.show(lambda: f"reading {file}: {share:.0%}"))


# -- what 'up' and 'sim' need as well ----------------------------------------------------------


def require_terminal(otherwise: str) -> None:
    """A browser's dashboard has no terminal, and brings a driver of its own."""
    if WEB_DRIVER not in os.environ and not on_a_terminal():
        raise ConfigError(otherwise)


@contextmanager
def dashboard_of(
    target: Target, *, owns_cluster: bool, record: Path | None
) -> Iterator[tuple[Dashboard, Callable[[], None]]]:
    """To be shown; what it does to the cluster is ended afterwards, or by the call that comes with it."""
    from raftkv.cluster.chaos import Chaos
    from raftkv.cluster.live import LiveFeed
    from raftkv.cluster.scenarios import Repertoire
    from raftkv.tui.app import Dashboard

    chaos = Chaos(target)
    feed = LiveFeed(target, chaos.load_report, chaos.meet)
    recorder = open_recording(record, feed.names(), target.source) if record else None
    try:
        dashboard = Dashboard(
            feed,
            chaos,
            chaos,
            Repertoire(target),
            owns_cluster=owns_cluster,
            source=target.source,
            recorder=recorder,
        )
        yield dashboard, chaos.close
    finally:
        chaos.close()
    if recorder:
        _tell_recorded(recorder)


def _tell_recorded(file: RecordingFile) -> None:
    show = f"'raftkv replay {file.path}' shows"
    note(f"{file.ended}; {show} what came before" if file.ended else f"recorded into {file.path}; {show} it")


def check_recordable(path: Path | None) -> None:
    """Before anything is started that is to be recorded there."""
    if path is None:
        return
    if path.exists():
        raise ConfigError(f"--record: {path} exists already; remove it, or record into another file")
    if not path.parent.is_dir():
        raise ConfigError(f"--record: cannot record into {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"--record: cannot record into {path}: {path.parent} cannot be written to")


def open_recording(path: Path, names: Any, source: str) -> RecordingFile:
    from raftkv.tui.playback.files import RecordingFile

    return RecordingFile(path, names, source, time.time(), time.time() - time.monotonic())


@contextmanager
def recording(target: Target, path: Path | None) -> Iterator[None]:
    """Record what happens meanwhile, without a dashboard."""
    if path is None:
        yield
        return
    from raftkv.cluster.live import LiveFeed
    from raftkv.tui.playback.recorder import record

    feed = LiveFeed(target)
    file = open_recording(path, feed.names(), target.source)
    over = threading.Event()

    def work() -> None:
        try:
            record(feed, file, over.wait)
        except RaftkvError as error:
            note(str(error))

    thread = threading.Thread(target=work, name="recorder")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _tell_recorded(file)


def serve(arguments: list[str], port: int, source: str) -> None:
    """The same dashboard in a browser: every visitor has a process of its own."""
    import shlex
    import socket

    from raftkv.cluster.ourselves import own_command

    try:
        from textual_serve.server import Server
    except ImportError:
        raise ConfigError("--web needs the extra 'web': pip install 'raftkv[web]'") from None
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise ConfigError(f"--port {port}: cannot listen there: {error.strerror}; give another") from None
    # A shell runs it, and is to be replaced: so the visitor's process knows whose child it is.
    command = "exec " + shlex.join(own_command("tui", *arguments))
    note(f"the dashboard of {source} is at http://{LOOPBACK}:{port}; Ctrl-C ends it")
    server = Server(command, host=LOOPBACK, port=port, title="raftkv")
    server.console.quiet = True
    server.serve()


def _end_with_the_server() -> None:
    """A visitor who leaves while the page still loads is not told of; none may outlive the server."""
    server = os.getppid()

    def watch() -> None:
        while os.getppid() == server:
            time.sleep(PARENT_SECONDS)
        os._exit(0)  # there is no terminal to be left in order, and its driver heeds no signal

    threading.Thread(target=watch, name="server", daemon=True).start()


def _whereabouts(endpoints: str | None, config: Path | None, data: Path | None) -> Iterator[str]:
    """The options that lead to the same cluster from any folder."""
    if endpoints:
        yield from ("--endpoints", endpoints)
    if config:
        yield from ("--config", str(config.absolute()))
    if data:
        yield from ("--data", str(data.absolute()))
