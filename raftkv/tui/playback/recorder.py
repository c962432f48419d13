"""Recording without a screen: what a feed brings, onto a tape and into a file."""

from __future__ import annotations

import time
from collections.abc import Callable

from raftkv.tui.model import Item, RosterChanged, initial, reduce_all
from raftkv.tui.playback.files import RecordingFile
from raftkv.tui.playback.tape import Tape
from raftkv.tui.ports import Feed

POLL_SECONDS = 0.1


def record(feed: Feed, file: RecordingFile, stopped: Callable[[float], bool]) -> None:
    """Until ``stopped``, which waits up to so many seconds and says whether it is over. Closes both.
    Raises ``RecordingError`` when the file cannot be written any more."""
    state = initial(feed.names())
    tape = Tape(feed.names())

    def write(block: bytes | None) -> None:
        if block:
            file.write(block)

    try:
        over = False
        while not over:
            over = stopped(POLL_SECONDS)
            names = tuple(feed.names())
            items: list[Item] = [RosterChanged(names)] if names != state.names else []
            items += feed.poll()
            if items:
                before, state = state, reduce_all(state, items)
                write(tape.add(time.monotonic(), items, before, state))
        write(tape.seal())
    finally:
        feed.close()
        file.close()
