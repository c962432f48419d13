"""A cluster of the scenarios' own: fresh, in a temporary folder, gone with the program."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raftkv.cluster.discovery import Target, running_in
from raftkv.cluster.hosting import Hosted
from raftkv.cluster.launcher import Launcher
from raftkv.config import SnapshotConfig
from raftkv.errors import LaunchError

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
        hosted = _start(folder, nodes)
        try:
            yield running_in(folder)
        finally:
            hosted.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, nodes: int) -> Hosted:
    for attempt in range(STARTS_MAX):
        hosted = Hosted(Launcher(folder, nodes=nodes, fresh=True, segment_mib=SEGMENT_MIB, snapshot=SNAPSHOT))
        try:
            hosted.await_ready(READY_SECONDS)
        except BaseException as error:
            hosted.end()
            if isinstance(error, LaunchError) and "in use" in str(error) and attempt < STARTS_MAX - 1:
                continue
            raise
        return hosted
    raise AssertionError("unreachable")
