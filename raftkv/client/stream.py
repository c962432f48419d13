"""A watch as an iterator, for threads."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from raftkv.client.core import ClientCore
from raftkv.client.pump import Pump
from raftkv.client.requests import to_wait
from raftkv.client.types import Event
from raftkv.client.watching import Watch
from raftkv.errors import ClientError


class WatchStream:
    """Events, in order; iterating waits for the next. Ends when it is closed; raises ``Compacted`` when what
    comes next is forgotten, and any other ``ClientError`` that ends the watch.

    Holds at most some megabytes: a node sends no more than that ahead of whoever reads here."""

    def __init__(self, client: object, pump: Pump, start: bytes, end: bytes, after: int, flags: int) -> None:
        self._client = client  # which ends when nobody holds it any more
        self._pump = pump
        self._arrived: queue.SimpleQueue[tuple[list[Event], int] | ClientError | None] = queue.SimpleQueue()
        self._events: deque[Event] = deque()
        self._answers = 0
        """That brought the events in hand."""
        self._ended = self._closed = False
        self._watch = Watch(start, end, after, flags, self._on_events, self._arrived.put)
        pump.post(lambda core, now: core.watches.begin(self._watch, now))

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

    @property
    def revision(self) -> int:
        """Everything up to here has come, though it may wait to be read."""
        return self._watch.revision

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None when none comes within ``timeout`` seconds, or the watch is closed."""
        timeout = to_wait(timeout)
        while self._closed or not self._events:
            if self._ended or self._closed:
                return None
            if self._answers:
                answers, self._answers = self._answers, 0
                self._give_back(answers)
            try:
                if timeout != 0 and self._arrived.empty():
                    self._pump.check_wait()
                arrived = self._arrived.get(timeout=timeout)
            except queue.Empty:
                return None
            if not isinstance(arrived, tuple):
                self._ended = True
                if arrived is not None:
                    raise arrived
                return None
            events, self._answers = arrived
            self._events.extend(events)
        return self._events.popleft()

    def close(self) -> None:
        """No further events; whoever waits for one in another thread gets None."""
        if self._ended or self._closed:
            return
        self._closed = True
        self._arrived.put(None)

        def end(core: ClientCore, now: float) -> None:
            del now
            core.watches.end(self._watch)

        with suppress(ClientError):  # closed with everything else
            self._pump.post(end)

    def _give_back(self, answers: int) -> None:
        with suppress(ClientError):  # closed meanwhile: what has come can be read all the same
            self._pump.post(lambda core, now: core.watches.consumed(self._watch, answers, now))

    def _on_events(self, events: list[Event], answers: int) -> None:
        self._arrived.put((events, answers))
