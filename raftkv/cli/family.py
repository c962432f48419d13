"""A command of the user's, with every process that it started: ended together.

Whoever ends only the command leaves what a shell had begun for it at work.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

END_SECONDS = 5.0
"""That all of them are given to end by themselves."""


def end(child: subprocess.Popen[bytes], seconds: float = END_SECONDS) -> None:
    """SIGTERM for the child and its descendants, SIGKILL for those that are there ``seconds`` later. Whoever
    was left by its parent before, as daemons are, is not found."""
    deadline = time.monotonic() + seconds
    family = _Family(child)
    try:
        family.signal(signal.SIGTERM)
        family.wait(deadline)
        family.meet()  # those that came in the meantime
        family.signal(signal.SIGKILL)
    finally:
        family.close()
    child.wait()


class _Family:
    """Held by descriptors: the number of a process that has ended may be another's already. The child itself
    needs none, as long as nobody else waits for it."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self._members: dict[int, int] = {}
        """Descriptors by number of process."""
        self.meet()

    def meet(self) -> None:
        if self._child.poll() is None:
            for pid in descendants(self._child.pid):
                if pid not in self._members:
                    with suppress(OSError):  # it has ended, or there are more than this process may hold
                        self._members[pid] = os.pidfd_open(pid)

    def signal(self, number: signal.Signals) -> None:
        self._child.send_signal(number)
        for descriptor in self._members.values():
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(descriptor, number)

    def wait(self, deadline: float) -> None:
        """Until all have ended, or for so long."""
        poll = select.poll()
        left = set(self._members.values())
        for descriptor in left:
            poll.register(descriptor, select.POLLIN)
        while left and (seconds := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(seconds * 1000):
                poll.unregister(descriptor)
                left.discard(descriptor)
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        for descriptor in self._members.values():
            os.close(descriptor)


def descendants(pid: int) -> list[int]:
    """Those that ``pid`` started, and those that they did, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # After the name, which may hold anything: state and parent.
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found[1:]
