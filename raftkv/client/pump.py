"""The thread behind a client: it owns the transport, and everybody else asks it for things.

Whatever is posted runs in that thread, in order. Callbacks of calls and watches run there as well and must
not block: a sync client's wake a waiting thread, an async client's post to its event loop.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from raftkv.client.calls import Call
from raftkv.client.core import ClientCore
from raftkv.client.requests import Request
from raftkv.client.transport import Transport
from raftkv.config import is_endpoint
from raftkv.errors import ClientError, InvalidRequest, SessionExpired

IDLE_SECONDS = 1.0
CLOSE_SECONDS = 10.0
PARTING_SECONDS = 0.3
"""At most, and only where something is given back on the way out."""

Action = Callable[[ClientCore, float], None]
"""Gets the core and the time."""
Done = Callable[[Call], None]


class Pump:
    def __init__(self, endpoints: Iterable[str]) -> None:
        """Raises ``InvalidRequest`` for what are no endpoints."""
        listed: Any = endpoints
        given = list(listed) if isinstance(listed, Iterable) and not isinstance(listed, str) else []
        if not given:
            raise InvalidRequest("a client needs a list with at least one endpoint")
        for endpoint in given:
            if not isinstance(endpoint, str) or not is_endpoint(endpoint):
                raise InvalidRequest(f"{endpoint!r} is no endpoint: expected tcp://host:port")
        self._transport = Transport(given)
        self._session = self._transport.core.new_session()
        self._posted: deque[Action | Call] = deque()
        self._woken = False
        """Since the thread last looked at what is posted: it need not be woken again."""
        self._lock = threading.Lock()
        self._partings: set[object] = set()
        self._closed = False
        self._process = os.getpid()
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="raftkv-client", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End at once; whatever is open ends with what is known of it. What is given back on the way out
        (``part``) is waited for, for a moment."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._transport.wake()
        if threading.current_thread() is not self._thread:  # else a callback closes its own client
            self._thread.join(CLOSE_SECONDS)

    def post(self, action: Action | Call) -> None:
        """Have ``action`` run soon, or a call submitted. Raises ``ClientError`` once it is closed."""
        if os.getpid() != self._process:
            raise ClientError("the client was made before this process was forked: make one here")
        with self._lock:
            if self._closed or self.failure:
                raise ClientError("the client is closed") from self.failure
            self._posted.append(action)
            if not self._woken:
                self._woken = True
                self._transport.wake()

    def submit(self, request: Request[Any], deadline: float, done: Done) -> None:
        """``done`` gets the call once it has an outcome."""
        session = self._session if request.writes else None
        ended = partial(self._on_written, done) if session else done
        self.post(Call(request.fields, deadline, ended, session, request.target))

    def part(self, request: Request[Any], deadline: float) -> None:
        """As ``submit``, with nobody who waits: what is given back on the way out. A client that is closed
        at once would take it along, and others would have to wait until its lease has ended."""
        mine = object()
        self._partings.add(mine)
        try:
            self.submit(request, deadline, lambda _: self._partings.discard(mine))
        except ClientError:
            self._partings.discard(mine)

    # -- in the thread

    def _run(self) -> None:
        transport = self._transport
        try:
            while not self._closed:
                self._act()
                transport.pump(IDLE_SECONDS)
            # Whatever is still open ends here, with what is known of it.
            self._act()
            until = time.monotonic() + PARTING_SECONDS
            while self._partings and (seconds := until - time.monotonic()) > 0:
                transport.pump(seconds)
            transport.core.abandon()
        except Exception as failure:  # a bug; but whoever waits must not wait for ever
            with self._lock:
                self.failure = failure
                left, self._posted = self._posted, deque()
            for call in (*transport.core.calls(), *(call for call in left if isinstance(call, Call))):
                call.error = ClientError(f"the client has failed and must be closed: {failure!r}")
                call.done(call)
            transport.core.watches.end_all(ClientError("the client has failed and must be closed"))
        finally:
            with self._lock:
                self._closed = True  # nobody wakes a transport that is closed
                transport.close()

    def _act(self) -> None:
        core = self._transport.core
        self._woken = False  # before the first is taken: whoever comes after the last wakes us again
        while self._posted:
            action, now = self._posted.popleft(), time.monotonic()
            if isinstance(action, Call):
                core.submit(action, now)
            else:
                action(core, now)

    def _on_written(self, done: Done, call: Call) -> None:
        """A write whose identity was forgotten, which was certainly not applied, goes out under a new one."""
        if isinstance(call.error, SessionExpired) and not self._closed:
            core, now = self._transport.core, time.monotonic()
            if self._session is call.session:
                self._session = core.renew()
            if now < call.deadline:
                core.submit(Call(call.fields, call.deadline, call.done, self._session, call.target), now)
                return
        done(call)
