"""Looks a cluster over: what an operator would check by hand, one line each."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from raftkv.cluster.control import ControlClient, snapshots
from raftkv.cluster.discovery import Target
from raftkv.config import is_loopback
from raftkv.errors import counted
from raftkv.observe import NO_LEADER, NodeSnapshot, no_leader

SYNCS = 20
SYNC_SLOW_MS = 20.0
"""A heartbeat is 50 ms; a disk that takes half of it for one sync makes every write slow."""
FREE_BYTES_LOW = 1 << 30
LAG_ENTRIES_HIGH = 10_000
DIGEST_TRIES = 20
DIGEST_PAUSE_SECONDS = 0.05
CONNECT_SECONDS = 0.5
"""For a connection to one port of this machine."""
_ENDPOINTS = ("peer", "client", "control", "status")
"""In the order of a member's address."""


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    verdict: Verdict
    what: str


def examine(target: Target, timeout: float, folder: Path | None) -> Iterator[Finding]:
    """Everything, in the order of what depends on what. ``folder``: where this machine's nodes keep their
    data, None when that is not known."""
    assert target.controls is not None
    with ControlClient(target.key) as client:
        begin = time.monotonic()
        views = snapshots(client, target.controls, timeout)
        seconds = time.monotonic() - begin
        alive = [view for view in views.values() if view]
        yield from _reachable(views, target.controls, seconds)
        if not alive:
            yield Finding(Verdict.BAD, f"no node answers of those found through {target.source}")
            return
        yield from _ports(alive)
        yield from _members(alive, target)
        yield from _one_leader(alive)
        yield from _lag(alive)
        # Only of those that answered: each silent one would cost its whole patience at every look.
        answering = {name: target.controls[name] for name, view in views.items() if view}
        yield from _states(client, answering, timeout)
        yield from _complaints(alive)
    if folder:
        yield from _folders(alive, folder)
        yield from _disk(folder)


def _reachable(
    views: dict[str, NodeSnapshot | None], controls: dict[str, str], seconds: float
) -> Iterator[Finding]:
    silent = [name for name, view in views.items() if view is None]
    for name in silent:
        yield Finding(Verdict.BAD, f"{name} does not answer: {_why_silent(controls[name])}")
    if not silent:
        who = f"all {len(views)} nodes answer" if len(views) > 1 else "the only node answers"
        yield Finding(Verdict.OK, f"{who} ({seconds * 1000:.0f} ms)")
    clusters = {view.cluster for view in views.values() if view}
    if len(clusters) > 1:
        yield Finding(Verdict.BAD, f"the nodes belong to different clusters: {', '.join(sorted(clusters))}")


def _why_silent(control: str) -> str:
    refusal = _refusal(control)
    if refusal is None:
        return f"something listens on {control}, so it is paused or hangs, or another program has its port"
    if isinstance(refusal, ConnectionRefusedError):
        return f"nothing listens on {control}, so it does not run"
    return f"{control} cannot be reached from here ({refusal.strerror or refusal}); it may run"


def _ports(alive: list[NodeSnapshot]) -> Iterator[Finding]:
    """Where the nodes that run should be listening, as their newest configuration says."""
    names = {view.name for view in alive}
    deaf = [
        f"{member.name} does not listen on its {kind} endpoint {endpoint}"
        for member in _newest(alive).members
        if member.name in names
        for kind, endpoint in zip(_ENDPOINTS, member.address, strict=False)  # none of one never heard
        if not _listens(endpoint)
    ]
    for text in deaf:
        yield Finding(Verdict.BAD, text)
    if not deaf:
        yield Finding(Verdict.OK, "every node that answers listens on all of its ports")


def _members(alive: list[NodeSnapshot], target: Target) -> Iterator[Finding]:
    """Whether where we look and what the cluster says of itself are the same nodes."""
    assert target.controls is not None
    named = set(target.controls)
    members = {member.name for member in _newest(alive).members}
    missing, strangers = sorted(members - named), sorted(named - members)
    if missing:
        text = f"{target.source} does not name {', '.join(missing)}, of the cluster by its own account"
        yield Finding(Verdict.WARNING, text)
    if strangers:
        text = f"{target.source} names {', '.join(strangers)}, not of the cluster by its own account"
        yield Finding(Verdict.WARNING, text)
    if not missing and not strangers:
        same = f"{target.source} and the cluster name the same {counted(len(members), 'node')}"
        yield Finding(Verdict.OK, same)


def _newest(alive: list[NodeSnapshot]) -> NodeSnapshot:
    """Of those that answered, who knows the latest configuration."""
    return max(alive, key=lambda view: (view.configuration_index, view.term))


def _listens(endpoint: str) -> bool:
    return _refusal(endpoint) is None


def _refusal(endpoint: str) -> OSError | None:
    """Why no connection can be made; None: one can."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS):
            return None
    except OSError as error:
        return error


def _one_leader(alive: list[NodeSnapshot]) -> Iterator[Finding]:
    term = max(view.term for view in alive)
    leaders = [view.name for view in alive if view.leads and view.term == term]
    voters = {member.name for member in _newest(alive).members if member.part != "learner"}
    followers = [
        view for view in alive if view.leader in leaders and view.term == term and view.name in voters
    ]
    agree = f"{len(followers)} of {len(voters)} voters agree"
    if len(leaders) == 1 and len(followers) > len(voters) // 2:
        yield Finding(Verdict.OK, f"{leaders[0]} leads term {term}, {agree}")
    elif leaders:
        text = f"{', '.join(leaders)} claims to lead term {term}, but {agree}"
        yield Finding(Verdict.BAD, text)
    elif (told := no_leader(alive)) != NO_LEADER:
        yield Finding(Verdict.WARNING if term else Verdict.BAD, told)
    else:
        yield Finding(Verdict.BAD, f"nobody leads in term {term}: writes and fresh reads wait")


def _lag(alive: list[NodeSnapshot]) -> Iterator[Finding]:
    commit = max(view.commit_index for view in alive)
    behind = {view.name: commit - view.applied_index for view in alive}
    if len(alive) == 1:
        yield Finding(Verdict.WARNING, "only one node answers: nobody to compare its log with")
        return
    worst = max(behind, key=lambda name: behind[name])
    if behind[worst] > LAG_ENTRIES_HIGH:
        yield Finding(Verdict.WARNING, f"{worst} is {behind[worst]:,} entries behind")
    else:
        lag = f"more than {behind[worst]:,} entries behind" if behind[worst] else "behind"
        yield Finding(Verdict.OK, f"nobody is {lag}")


def _states(client: ControlClient, controls: dict[str, str], timeout: float) -> Iterator[Finding]:
    """Of nodes that were seen at the same applied index, at whatever moments."""
    seen: dict[int, tuple[str, str]] = {}
    compared: set[frozenset[str]] = set()
    for _ in range(DIGEST_TRIES):
        for view in snapshots(client, controls, timeout).values():
            if view is None:
                continue
            name, digest = seen.setdefault(view.applied_index, (view.name, view.state_digest))
            if digest != view.state_digest:
                text = f"{view.name} and {name} hold different states at entry {view.applied_index}"
                yield Finding(Verdict.BAD, text)
                return
            if name != view.name:
                compared.add(frozenset((name, view.name)))
        if len(compared) >= len(controls) - 1:
            break
        time.sleep(DIGEST_PAUSE_SECONDS)
    if compared:
        yield Finding(Verdict.OK, f"equal states at equal entries (pairs of nodes compared: {len(compared)})")
    elif len(controls) > 1:
        yield Finding(Verdict.WARNING, "no two nodes were seen at the same entry: states not compared")


def _complaints(alive: list[NodeSnapshot]) -> Iterator[Finding]:
    for view in alive:
        for alarm in view.alarms:
            yield Finding(Verdict.BAD, f"{view.name} raises {alarm}")
        if view.disk_stalled:
            yield Finding(Verdict.BAD, f"the disk of {view.name} does not answer")
        faults = [*view.faults, *(f"the link to {link.to}" for link in view.links if link.fault)]
        if faults:
            text = f"{view.name} is broken on purpose ({', '.join(faults)}); 'raftkv chaos heal' mends it"
            yield Finding(Verdict.WARNING, text)


def _folders(alive: list[NodeSnapshot], folder: Path) -> Iterator[Finding]:
    """A node goes on with files that were deleted under it, and promises what nobody will find again."""
    for view in alive:
        its = folder / view.name
        if is_loopback(view.client_endpoint) and not _is_there(its / "wal"):
            text = f"{view.name} runs, and its data folder {its} is gone: what it holds is lost when it ends"
            yield Finding(Verdict.BAD, f"{text}; 'raftkv members replace {view.name}' while it runs")


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:
        return True  # as far as we may know
    except OSError:
        return False
    return True


def _disk(folder: Path) -> Iterator[Finding]:
    """By writing and syncing a small file where the data is."""
    free = shutil.disk_usage(folder).free
    text = f"{free / (1 << 30):.1f} GiB free in {folder}"
    yield Finding(Verdict.OK if free >= FREE_BYTES_LOW else Verdict.WARNING, text)
    path = folder / f".doctor-{os.getpid()}"
    times = []
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            for _ in range(SYNCS):
                os.pwrite(fd, bytes(4096), 0)
                begin = time.perf_counter()
                os.fdatasync(fd)
                times.append((time.perf_counter() - begin) * 1000)
        finally:
            os.close(fd)
    except OSError as error:
        yield Finding(Verdict.BAD, f"cannot write and sync in {folder}: {error.strerror}")
        return
    finally:
        with suppress(OSError):
            path.unlink()
    median, worst = statistics.median(times), max(times)
    verdict = Verdict.OK if median < SYNC_SLOW_MS else Verdict.WARNING
    yield Finding(verdict, f"one fdatasync takes {median:.2f} ms (longest of {SYNCS}: {worst:.2f})")
