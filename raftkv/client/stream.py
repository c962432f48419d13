"""A watch as an iterator: what those for threads and for event loops have in common, and the one for threads.

The client's thread knows of a stream only its ``Arrivals``. So one that is forgotten can be collected, with
its client if nobody else holds that, and its watch ends.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from raftkv import clock
from raftkv.client.core import ClientCore
from raftkv.client.pump import Pump
from raftkv.client.requests import to_wait
from raftkv.client.types import Event
from raftkv.client.watching import Watch
from raftkv.errors import ClientError

Arrived = tuple[Iterator[Event], int] | ClientError | None
"""Events, and how many answers brought them; the error that ended the watch; None: it was closed."""


class Arrivals:
    """What has come and was not read yet."""

    def __init__(self) -> None:
        self.waiting: deque[Arrived] = deque()

    def on_events(self, events: list[Event], answers: int) -> None:
        """In the client's thread."""
        self.put((iter(events), answers))

    def put(self, arrived: Arrived) -> None:
        """In any thread."""
        raise NotImplementedError


class Stream:
    def __init__(
        self, client: object, pump: Pump, arrivals: Arrivals, start: bytes, end: bytes, after: int, flags: int
    ) -> None:
        self._client = client  # which ends when nobody holds it any more
        self._pump = pump
        self._waiting = arrivals.waiting
        self._put = arrivals.put
        self._reading = threading.RLock()  # or two that read at once would both let go of a batch
        self._over = False
        watch = self._watch = Watch(start, end, after, flags, arrivals.on_events, arrivals.put)
        pump.post(lambda core, now: core.watches.begin(watch, now))
        self._end = weakref.finalize(self, _end, pump, watch)
        self._end.atexit = False

    @property
    def revision(self) -> int:
        """Everything up to here has come, though it may wait to be read."""
        return self._watch.revision

    def close(self) -> None:
        """No further events; whoever waits for one elsewhere gets None."""
        if not self._over:
            self._over = True
            self._put(None)
            self._end()

    def _take(self) -> Event | None:
        """The next event of those that have come. Raises the error that ended the watch, once."""
        with self._reading:
            while self._waiting and not self._over:
                first = self._waiting[0]
                if not isinstance(first, tuple):
                    self._over = True
                    if first:
                        raise first
                    break
                events, answers = first
                for event in events:
                    return event
                # Only now: whoever reads slowly is to be sent no more. And only if no signal handler, which
                # may read as well, has come to its end before us.
                if self._waiting and self._waiting[0] is first:
                    self._waiting.popleft()
                    self._give_back(answers)
        return None

    def _give_back(self, answers: int) -> None:
        watch = self._watch
        with suppress(ClientError):  # closed meanwhile: what has come can be read all the same
            self._pump.post(lambda core, now: core.watches.consumed(watch, answers, now))


def _end(pump: Pump, watch: Watch) -> None:
    def end(core: ClientCore, now: float) -> None:
        del now
        core.watches.end(watch)

    with suppress(ClientError):  # closed with everything else
        pump.post(end)


class _ThreadArrivals(Arrivals):
    """Nothing is lost where whoever waits is interrupted: what has come is not handed over by what wakes."""

    def __init__(self) -> None:
        super().__init__()
        self._wakings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def put(self, arrived: Arrived) -> None:
        self.waiting.append(arrived)
        self.wake()

    def wake(self) -> None:
        """One of those that wait here, who wakes the next if there is more to be had."""
        if self._wakings.empty():
            self._wakings.put(None)

    def wait(self, seconds: float | None) -> bool:
        """Until something comes, perhaps a little less; whether the time was not up."""
        if not self.waiting:
            with suppress(queue.Empty):
                self._wakings.get(timeout=seconds)
                return True
        return bool(self.waiting)


class WatchStream(Stream):
    """Events, in order; iterating waits for the next. Ends when it is closed; raises ``Compacted`` when what
    comes next is forgotten, and any other ``ClientError`` that ends the watch.

    Holds at most some megabytes: a node sends no more than that ahead of whoever reads here."""

    def __init__(self, client: object, pump: Pump, start: bytes, end: bytes, after: int, flags: int) -> None:
        self._arrivals = _ThreadArrivals()
        super().__init__(client, pump, self._arrivals, start, end, after, flags)

    def __enter__(self) -> WatchStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = self.get()
        if event is None:
            raise StopIteration
        return event

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None when none comes within ``timeout`` seconds, or the watch is closed."""
        try:
            return self._get(to_wait(timeout))
        finally:
            if self._over or self._waiting:
                self._arrivals.wake()

    def _get(self, timeout: float | None) -> Event | None:
        until = None if timeout is None else clock.now() + timeout
        while True:
            event = self._take()
            if event or self._over:
                return event
            seconds = None if until is None else max(0.0, until - clock.now())
            if seconds != 0:
                self._pump.check_wait()
            if not self._arrivals.wait(seconds):
                return None
