"""The signals that ask a command to end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def when_told_to_end(act: Callable[[int], None]) -> dict[signal.Signals, Any]:
    """Have ``act`` called with the number of each such signal, from now on; what was in its place before.

    A hang-up that is ignored from birth (``nohup``) stays ignored."""
    before: dict[signal.Signals, Any] = {}
    for number in ENDINGS:
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        before[number] = signal.signal(number, lambda number, _: act(number))
    return before


@contextmanager
def told_to_end(act: Callable[[int], None]) -> Iterator[None]:
    """The same for a while: a shell goes on, and ends as it did before."""
    before = when_told_to_end(act)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
