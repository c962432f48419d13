"""A client's watches: where they hang, how far they have come, and how they move on.

Theory of operation. A watch hangs on one node, the leader if it is known, and gets answers there until its
credit is used up; whoever consumes the events gives the credit back, so a slow consumer slows the node down
and nothing piles up. Each answer says from which revision to which it tells everything. What does not
follow on what we have, a node that falls silent, one that knows no leader or an old one: in each case the
watch begins anew from its own place, there or at a better node, under another request id. So every event
comes once, in order, whole transactions together.

Nodes are asked for a HELLO twice a second as long as anything is watched: a watch without events would not
notice that its node is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from raftkv.client.types import Event, event_of
from raftkv.errors import ClientError, Compacted, InvalidRequest, shown
from raftkv.kv.commands import Code
from raftkv.wire.client import HelloDetail, Kind, Request, Response

CREDIT = 32
"""Answers of up to 256 KiB that may be on their way or wait to be consumed."""
RENEW_SECONDS = 5.0
"""A node forgets a watch that it has not heard of for twelve times as long. What was lost just before a
quiet spell comes to light by this, and a connection that the node knows as another one now."""
PING_SECONDS = 0.5
RETRY_SECONDS = 0.1
"""After a node could not take a watch."""


class Watch:
    """One watch. ``on_events`` gets whole revisions, in order, and how many answers brought them, which are
    given back by ``Watches.consumed``; ``on_error`` gets the error that ends it."""

    __slots__ = (
        "_held",
        "_offset",
        "boot",
        "credit",
        "end",
        "endpoint",
        "flags",
        "not_before",
        "on_error",
        "on_events",
        "renewed_at",
        "request_id",
        "revision",
        "start",
        "unconsumed",
    )

    def __init__(
        self,
        start: bytes,
        end: bytes,
        after: int,
        flags: int,
        on_events: Callable[[list[Event], int], None],
        on_error: Callable[[ClientError], None],
    ) -> None:
        self.start = start
        self.end = end
        self.revision = after
        """Everything up to here has been handed on."""
        self.flags = flags
        self.on_events = on_events
        self.on_error = on_error
        self.request_id = 0
        self.endpoint: str | None = None
        """Where it hangs; None: nowhere yet."""
        self.credit = 0
        self.unconsumed = 0
        self.renewed_at = 0.0
        self.not_before = 0.0
        self._held: list[Any] = []
        """Of a revision that has not come whole."""
        self._offset = 0
        """Events of the next revision that were covered by what has come."""
        self.boot = 0
        """Of the node where it hangs: in another life that knows nothing of it."""

    def restart(self) -> None:
        self._held, self._offset = [], 0

    def take(self, response: Response) -> list[Event] | None:
        """The events that are whole now. None when the answer does not follow on what is here."""
        after, offset, next_offset, rows = response.detail
        if (after, offset) != (self.revision, self._offset) or response.revision < after:
            return None
        self._held += rows
        self._offset = next_offset
        events = [event_of(row, response.revision) for row in self._held]
        whole = len(events)
        while whole and events[whole - 1].mod_revision > response.revision:
            whole -= 1
        self._held = self._held[whole:]
        self.revision = response.revision
        return events[:whole]


class Surroundings(Protocol):
    """What watches need of the client they belong to."""

    def next_id(self) -> int: ...
    def send(self, endpoint: str, request: Request) -> None: ...
    def greet(self, now: float) -> None:
        """Send a HELLO to every node."""
        ...

    def heard_lately(self, now: float) -> dict[str, HelloDetail]:
        """By endpoint, the last HELLO of those that are not silent."""
        ...


class Watches:
    def __init__(self, client: Surroundings) -> None:
        self._client = client
        self._watches: dict[int, Watch] = {}
        self._homeless: dict[Watch, None] = {}
        self._greeted_at = -PING_SECONDS
        self._looked_at = -PING_SECONDS

    def __len__(self) -> int:
        return len(self._watches) + len(self._homeless)

    def begin(self, watch: Watch, now: float) -> None:
        self._homeless[watch] = None
        self._look(now)

    def end(self, watch: Watch) -> None:
        self._leave(watch)
        self._homeless.pop(watch, None)

    def consumed(self, watch: Watch, answers: int, now: float) -> None:
        """So many answers' events are with whoever wanted them."""
        watch.unconsumed -= answers
        if watch.endpoint is not None and watch.credit <= CREDIT // 2 and watch.unconsumed <= CREDIT // 2:
            self._ask(watch, now)

    def end_all(self, error: ClientError) -> None:
        for watch in [*self._watches.values(), *self._homeless]:
            self.end(watch)
            watch.on_error(error)

    # -- what the core feeds in

    def on_response(self, endpoint: str, response: Response, now: float) -> None:
        watch = self._watches.get(response.request_id)
        if watch is None or watch.endpoint != endpoint:
            return
        if response.code == Code.OK:
            self._on_events(watch, response, now)
        elif response.code == Code.COMPACTED:
            earliest = response.detail if type(response.detail) is int else 0
            self._fail(watch, Compacted(earliest))
        elif response.code == Code.INVALID:
            self._fail(watch, InvalidRequest(shown(response.detail)))
        else:
            self._leave(watch)
            watch.not_before = now + RETRY_SECONDS
            self._homeless[watch] = None

    def on_time(self, now: float) -> None:
        if not self:
            return
        # Sums, as 'next_timer' has them: a difference may round to just less, and then no time passes.
        if now >= self._greeted_at + PING_SECONDS:
            self._greeted_at = now
            self._client.greet(now)
        if self._homeless or now >= self._looked_at + PING_SECONDS:
            self._look(now)

    def on_hello(self, now: float) -> None:
        if self._homeless:
            self._look(now)

    def next_timer(self, now: float) -> float:
        if not self:
            return now + PING_SECONDS
        return now + RETRY_SECONDS if self._homeless else self._looked_at + PING_SECONDS

    # -- one watch

    def _on_events(self, watch: Watch, response: Response, now: float) -> None:
        watch.credit -= 1
        try:
            events = watch.take(response)
        except (TypeError, ValueError, IndexError):
            events = None
        if events is None:  # an answer was lost on the way, or makes no sense: from our own place, anew
            self._leave(watch)
            self._homeless[watch] = None
            self._look(now)
            return
        watch.unconsumed += 1
        if events:
            watch.on_events(events, 1)
        else:
            self.consumed(watch, 1, now)

    def _fail(self, watch: Watch, error: ClientError) -> None:
        self.end(watch)
        watch.on_error(error)

    def _leave(self, watch: Watch) -> None:
        if watch.endpoint is not None:
            self._client.send(watch.endpoint, (self._client.next_id(), Kind.UNWATCH, watch.request_id))
            self._watches.pop(watch.request_id, None)
            watch.endpoint = None

    def _look(self, now: float) -> None:
        """Everybody to where it is best served, and a word to nodes that would forget us."""
        self._looked_at = now
        best, boots = self._find_nodes(now)
        for watch in list(self._watches.values()):
            if best is None or watch.endpoint != best or watch.boot != boots[best]:
                self._leave(watch)
                self._homeless[watch] = None
            elif now - watch.renewed_at >= RENEW_SECONDS:
                self._ask(watch, now)
        if best is None:
            return
        for watch in list(self._homeless):
            if now >= watch.not_before:
                del self._homeless[watch]
                watch.request_id = self._client.next_id()
                watch.endpoint, watch.boot = best, boots[best]
                watch.restart()
                self._watches[watch.request_id] = watch
                self._ask(watch, now)

    def _ask(self, watch: Watch, now: float) -> None:
        assert watch.endpoint is not None
        watch.credit = max(0, CREDIT - watch.unconsumed)
        watch.renewed_at = now
        fields = (watch.start, watch.end, watch.revision, watch.flags, watch.credit)
        self._client.send(watch.endpoint, (watch.request_id, Kind.WATCH, *fields))

    def _find_nodes(self, now: float) -> tuple[str | None, dict[str, int]]:
        """(the endpoint to watch at, the boots of all that will do): those heard of late that know the latest
        leader."""
        heard = {
            endpoint: hello
            for endpoint, hello in self._client.heard_lately(now).items()
            if hello.leader is not None
        }
        if not heard:
            return None, {}
        newest = max(hello.term for hello in heard.values())
        good = {endpoint: hello.boot for endpoint, hello in heard.items() if hello.term == newest}
        for endpoint in sorted(good):
            if heard[endpoint].leader == heard[endpoint].node:
                return endpoint, good
        return sorted(good)[0], good
