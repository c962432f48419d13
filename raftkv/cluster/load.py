"""A small load that runs until it is told to stop: the dashboard's ``L``."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial

from raftkv.client.calls import Call, Session
from raftkv.client.transport import Transport
from raftkv.kv.commands import Op

CLIENTS = 8
TIMEOUT_SECONDS = 5.0
PAUSE_SECONDS = 0.005
"""Between a client's answer and its next request: lively on the screen, light on the machine."""
KEYS = 200


class BackgroundLoad:
    def __init__(self, endpoints: Sequence[str]) -> None:
        self._endpoints = endpoints
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="raftkv-load", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        transport = Transport(self._endpoints)
        core = transport.core
        resting = deque((0.0, core.new_session()) for _ in range(CLIENTS))

        def on_done(session: Session, call: Call) -> None:
            del call
            resting.append((time.monotonic() + PAUSE_SECONDS, session))

        count = 0
        while not self._stop.is_set():
            now = time.monotonic()
            while resting and resting[0][0] <= now:
                session = resting.popleft()[1]
                count += 1
                fields = (Op.PUT, b"load/%03d" % (count % KEYS), b"%d" % count)
                core.submit(Call(fields, now + TIMEOUT_SECONDS, partial(on_done, session), session), now)
            transport.pump(PAUSE_SECONDS)
        transport.close()
