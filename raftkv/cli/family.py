"""A command of the user's, with every process that it started: ended together.

Whoever ends only the command leaves what a shell had begun for it at work. And whoever looks once for what
that is, misses what is begun just then, by a process that then ends: so orphans come to this process
(``adopting``), and it looks until nobody is left.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

END_SECONDS = 5.0
"""That all of them are given to end by themselves, and then to be gone."""
LOOK_SECONDS = 0.05
_SET_CHILD_SUBREAPER = 36
"""Of Linux's ``prctl``: orphans below this process become its children, and not those of the first one."""


@contextmanager
def adopting() -> Iterator[frozenset[int]]:
    """Meanwhile, where the kernel can do that; yields the children that there are already, which are nobody's
    orphans."""
    before = frozenset(_processes().get(os.getpid(), {}))
    _adopt(1)
    try:
        yield before
    finally:
        _adopt(0)


def _adopt(whether: int) -> None:
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, whether, 0, 0, 0)


def end(
    child: subprocess.Popen[bytes], before: Collection[int] | None = None, seconds: float = END_SECONDS
) -> bool:
    """SIGTERM for the child and all that it started, SIGKILL for those that are there ``seconds`` later.
    ``before``: what ``adopting`` gave when the child was started; without it those whose parents have ended
    are not found. Whether the child has ended: one that runs as another user by now is not ours to end."""
    family = _Family(child, before)
    try:
        family.end(signal.SIGTERM, seconds)
        family.end(signal.SIGKILL, END_SECONDS)
    finally:
        family.close()
    return child.poll() is not None


class _Family:
    """Held by descriptors: the number of a process that has ended may be another's already. The child itself
    needs none, as long as nobody else waits for it."""

    def __init__(self, child: subprocess.Popen[bytes], before: Collection[int] | None) -> None:
        self._child = child
        self._before = before
        self._members: dict[int, int] = {}
        """Descriptors by number of process."""

    def end(self, number: signal.Signals, seconds: float) -> None:
        """Send it to everybody, to whoever comes meanwhile as well, until nobody is left, or for so long."""
        deadline = time.monotonic() + seconds
        told: set[int] = set()
        left = self._left()  # before the child's end makes orphans of them
        if self._child.poll() is None:
            with suppress(PermissionError):
                self._child.send_signal(number)
        left = left or self._left()
        while left:
            for pid in left - told:
                with suppress(ProcessLookupError, PermissionError):
                    signal.pidfd_send_signal(self._members[pid], number)
            told |= left
            if time.monotonic() >= deadline:
                return
            self._let_go(LOOK_SECONDS)
            left = self._left() or self._left()  # one may have come while the first look went on
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(max(0.0, deadline - time.monotonic()))

    def _left(self) -> set[int]:
        """Those that have not ended, but for the child."""
        for pid in self._find():
            if pid not in self._members:
                with suppress(OSError):  # it has ended, or there are more than this process may hold
                    self._members[pid] = os.pidfd_open(pid)
        self._let_go(0.0)
        return set(self._members)

    def _find(self) -> list[int]:
        processes = _processes()
        orphans: dict[int, bool] = {}
        if self._before is not None:
            ours = processes.get(os.getpid(), {})
            orphans = {pid: ours[pid] for pid in ours.keys() - self._before - {self._child.pid}}
            for pid in orphans:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        found = [pid for pid, ended in orphans.items() if not ended]
        parents = [*orphans, *([self._child.pid] if self._child.poll() is None else [])]
        for parent in parents:
            for pid, ended in processes.get(parent, {}).items():
                parents.append(pid)
                if not ended:
                    found.append(pid)
        return found

    def _let_go(self, seconds: float) -> None:
        """Of those that have ended; wait for the first of them for so long."""
        poll = select.poll()
        numbers = {descriptor: pid for pid, descriptor in self._members.items()}
        for descriptor in numbers:
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(seconds * 1000):
            del self._members[numbers[descriptor]]
            os.close(descriptor)

    def close(self) -> None:
        for descriptor in self._members.values():
            os.close(descriptor)


def descendants(pid: int) -> list[int]:
    """Those that ``pid`` started, and those that they did, parents first."""
    processes, found = _processes(), [pid]
    for parent in found:
        found += processes.get(parent, {})
    return found[1:]


def _processes() -> dict[int, dict[int, bool]]:
    """By parent, every process, and whether it has ended and only waits to be asked how."""
    children: dict[int, dict[int, bool]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # After the name, which may hold anything: state and parent.
                state, parent = (entry / "stat").read_bytes().rpartition(b")")[2].split()[:2]
                children.setdefault(int(parent), {})[int(entry.name)] = state in (b"Z", b"X")
    return children
