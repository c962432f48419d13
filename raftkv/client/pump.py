"""The thread behind a client: it owns the transport, and everybody else asks it for things.

Whatever is posted runs in that thread, in order. Callbacks of calls and watches run there as well and must
not block: a sync client's wake a waiting thread, an async client's post to its event loop.

``post`` takes no lock. It may be interrupted at any place, by a signal whose handler uses the client, or by
the garbage collector that runs a finaliser which does; a lock held there would never be given back. Instead
whoever appends to ``_posted`` looks afterwards whether the thread is over, and takes it back if so.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from raftkv import clock
from raftkv.client.calls import Call
from raftkv.client.core import ClientCore
from raftkv.client.requests import Request
from raftkv.client.transport import Transport
from raftkv.client.unique import Unique
from raftkv.client.writer import Writer
from raftkv.config import is_endpoint, no_endpoint
from raftkv.errors import ClientError, InvalidRequest, OutcomeUnknown, Unavailable
from raftkv.keys import Key

ACTIONS_A_PASS_MAX = 256
IDLE_SECONDS = 1.0
CLOSE_SECONDS = 10.0
PARTING_SECONDS = 0.3
"""At most, and only where something is given back on the way out."""

Action = Callable[[ClientCore, float], None]
"""Gets the core and the time."""
Done = Callable[[Call], None]


class Pump(Unique):
    def __init__(self, endpoints: Iterable[str], key: Key | None = None) -> None:
        """Raises ``InvalidRequest`` for what are no endpoints."""
        listed: Any = endpoints
        given = list(listed) if isinstance(listed, Iterable) and not isinstance(listed, str) else []
        if not given:
            what = f", not {listed!r:.80}" if isinstance(listed, str) else ""
            raise InvalidRequest(f"a client needs a list with at least one endpoint{what}")
        for endpoint in given:
            if not isinstance(endpoint, str) or not is_endpoint(endpoint):
                raise InvalidRequest(no_endpoint(endpoint))
        self.endpoints = tuple(given)
        self._transport = Transport(given, key=key)
        self._writer = Writer(self._transport.core)
        self._posted: deque[Action | Call] = deque()
        self._woken = False
        """Since the thread last looked at what is posted: it need not be woken again."""
        self._partings: set[object] = set()
        self._closing = False
        self._over = False
        """The thread looks at nothing more."""
        self._process = os.getpid()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="raftkv-client", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """As ``close``, without waiting for it."""
        self._closing = True
        self._transport.wake()

    def close(self) -> None:
        """End at once; whatever is open ends with what is known of it. What is given back on the way out
        (``part``) is waited for, for a moment."""
        if os.getpid() != self._process:
            return  # the thread and its sockets did not come along
        self.end()
        if not self._is_here():  # else a callback closes its own client
            self._thread.join(CLOSE_SECONDS)

    def describe(self, timeout: float) -> str:
        """The arguments of its client, for a ``repr``."""
        return f"{list(self.endpoints)}, timeout={timeout:g}" + (", closed" if self._closing else "")

    def check(self) -> None:
        """Raises ``ClientError`` where nothing can be asked."""
        self._check_process()
        if self._closing:
            raise ClientError(self._end_text()) from self._failure
        if sys.is_finalizing():
            raise ClientError("the interpreter ends, and the client's thread has ended")

    def check_wait(self) -> None:
        """Raises ``InvalidRequest`` in the thread itself, which would wait for what it has to do itself, and
        ``ClientError`` where there is no such thread."""
        self._check_process()
        if self._is_here():
            raise InvalidRequest(
                "this would wait in the client's own thread, where callbacks run: hand it to another thread"
            )

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise ClientError("the client was made before this process was forked: make one here")

    def post(self, action: Action | Call) -> None:
        """Have ``action`` run soon, or a call submitted. Raises ``ClientError`` once it is closed."""
        self.check()
        self._posted.append(action)
        if not self._woken:
            self._woken = True
            self._transport.wake()
        if self._over:
            with suppress(ValueError):  # it was still taken
                self._posted.remove(action)
                raise ClientError(self._end_text()) from self._failure

    def submit(self, request: Request[Any], deadline: float, done: Done) -> None:
        """``done`` gets the call once it has an outcome."""
        make = self._writer.call if request.writes else Call
        self.post(make(request.fields, deadline, done, target=request.target))

    def part(self, request: Request[Any], deadline: float) -> None:
        """As ``submit``, with nobody who waits: what is given back on the way out. A client that is closed
        at once would take it along, and others would have to wait until its lease has ended."""
        mine = object()
        self._partings.add(mine)
        try:
            self.submit(request, deadline, lambda _: self._partings.discard(mine))
        except ClientError:
            self._partings.discard(mine)

    def lost(self, request: Request[Any]) -> ClientError:
        """For whoever has waited beyond all deadlines: something holds the thread up."""
        text = "the client's thread does not answer, a callback may be blocking it"
        if request.writes:
            return OutcomeUnknown(f"{text}: the request may or may not have happened")
        return Unavailable(f"{text}: nothing happened")

    # -- in the thread

    def _is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        transport = self._transport
        try:
            while not self._closing:
                self._act()
                transport.pump(0 if self._posted else IDLE_SECONDS)
            while self._posted:
                self._act()
            until = clock.now() + PARTING_SECONDS
            while self._partings and (seconds := until - clock.now()) > 0:
                transport.pump(seconds)
        except BaseException as failure:  # a bug, or a callback's own; but whoever waits must not for ever
            self._failure = failure
        finally:
            self._closing = self._over = True
            self._end_open()
            transport.close()

    def _end_open(self) -> None:
        """Whatever is still open ends here, with what is known of it."""
        core = self._transport.core
        for _ in range(core.calls_open + 1):
            try:
                core.abandon(self._end_text())
                break
            except BaseException:  # of a callback: the others are to be told as well
                sys.excepthook(*sys.exc_info())
        while self._posted:
            action = self._posted.popleft()
            with suppress(Exception):  # of a callback, again
                if isinstance(action, Call):
                    action.error = ClientError(f"{self._end_text()}: nothing happened")
                    action.done(action)
                else:
                    action(core, clock.now())
        core.watches.end_all(Unavailable(self._end_text()))  # those that began just now

    def _end_text(self) -> str:
        return f"the client has failed: {self._failure!r}" if self._failure else "the client was closed"

    def _act(self) -> None:
        """Of what is posted only so much: threads that post as fast as they can must not keep the pump from
        leases that are to be renewed, and from deadlines."""
        core = self._transport.core
        self._woken = False  # before the first is taken: whoever comes after the last wakes us again
        for _ in range(min(len(self._posted), ACTIONS_A_PASS_MAX)):
            action, now = self._posted.popleft(), clock.now()
            if isinstance(action, Call):
                core.submit(action, now)
            else:
                action(core, now)
