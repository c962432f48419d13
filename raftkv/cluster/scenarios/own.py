"""A cluster of the scenarios' own: fresh, in a temporary folder, gone with the program."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raftkv.cluster.discovery import Target, running_in
from raftkv.cluster.launcher import Launcher
from raftkv.config import SnapshotConfig
from raftkv.errors import LaunchError, RaftkvError

READY_SECONDS = 45.0
STARTS_MAX = 3
"""Another process may take the ports between the look and the start."""
SEGMENT_MIB = 4
"""Small: they are preallocated."""
SNAPSHOT = SnapshotConfig(entries=300, retain_entries=50)
"""So that a node that was away for a moment needs a snapshot."""


@contextmanager
def own_cluster(nodes: int) -> Iterator[Target]:
    """Of so many nodes, on free ports. Raises ``LaunchError``."""
    folder = Path(tempfile.mkdtemp(prefix="raftkv-scenario-"))
    try:
        launcher, thread = _start(folder, nodes)
        try:
            yield running_in(folder)
        finally:
            launcher.stop()
            thread.join()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, nodes: int) -> tuple[Launcher, threading.Thread]:
    for attempt in range(STARTS_MAX):
        launcher = Launcher(folder, nodes=nodes, fresh=True, segment_mib=SEGMENT_MIB, snapshot=SNAPSHOT)
        failures: list[RaftkvError] = []
        thread = threading.Thread(target=_run, args=(launcher, failures), name="launcher")
        thread.start()
        try:
            _await_ready(launcher, thread, failures)
        except BaseException as error:
            launcher.stop()
            thread.join()
            if isinstance(error, LaunchError) and "in use" in str(error) and attempt < STARTS_MAX - 1:
                continue
            raise
        return launcher, thread
    raise AssertionError("unreachable")


def _run(launcher: Launcher, failures: list[RaftkvError]) -> None:
    try:
        launcher.run()
    except RaftkvError as error:
        failures.append(error)


def _await_ready(launcher: Launcher, thread: threading.Thread, failures: list[RaftkvError]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not launcher.ready.wait(0.05):
        if failures:
            raise failures[0]
        if not thread.is_alive() or time.monotonic() > deadline:
            raise LaunchError(f"no leader after {READY_SECONDS:g} s")
