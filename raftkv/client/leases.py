"""Leases that a client holds, and how they are kept alive in its pump's thread."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

from raftkv import clock
from raftkv.client import requests
from raftkv.client.core import ClientCore
from raftkv.client.keeping import Kept
from raftkv.client.pump import Pump
from raftkv.errors import ClientError


class _Fate:
    """What has become of a lease, and who wants to know. It knows nothing of the client, whose thread holds
    it for as long as the lease is kept: a client that is forgotten ends, and with it what it keeps."""

    def __init__(self) -> None:
        self.lost = False
        self.listeners: list[Callable[[], None]] = []

    def on_lost(self, error: ClientError) -> None:
        del error
        self.lost = True
        self.tell()

    def tell(self) -> None:
        """In the client's thread, everybody once."""
        while self.listeners:
            action = self.listeners.pop(0)
            try:
                action()
            except BaseException:  # a listener's own, even of 'sys.exit'; the client serves others as well
                sys.excepthook(*sys.exc_info())


class HeldLease:
    """What ``Lease`` and ``AsyncLease`` share. ``ttl`` in seconds."""

    def __init__(self, pump: Pump, lease_id: int, ttl: float, asked_at: float) -> None:
        """``asked_at``: before it was granted, by ``clock.now``."""
        self._pump = pump
        self._fate = _Fate()
        self._kept = Kept(lease_id, ttl, asked_at + ttl, self._fate.on_lost)

    def __repr__(self) -> str:
        state = "lost" if self.lost else f"valid for {self.valid_for:.1f}"
        return f"<{type(self).__name__} {self.id}: {self.ttl:g} s, {state}>"

    @property
    def id(self) -> int:
        return self._kept.id

    @property
    def ttl(self) -> float:
        return self._kept.ttl

    @property
    def valid_for(self) -> float:
        """Seconds for which the lease certainly lives, by this process's clock; 0 when nobody can say so."""
        return 0.0 if self._fate.lost else max(0.0, self._kept.valid_until - clock.now())

    @property
    def lost(self) -> bool:
        """Whether it has ended, or cannot be said to live any more."""
        return self._fate.lost or not self.valid_for

    def on_lost(self, action: Callable[[], None]) -> None:
        """Have ``action`` called, once, in the client's thread, when the lease is found lost: while it is
        kept alive, by ``keep_alive``, or now, if it is lost already. Of one that nobody keeps alive nobody
        finds out. It must not block, as everything else of this client waits meanwhile. Raises
        ``ClientError`` once the client is closed."""

        def listen(core: ClientCore, now: float) -> None:
            del core, now
            self._fate.listeners.append(action)
            if self.lost:
                self._fate.tell()

        self._pump.post(listen)

    def _start(self) -> None:
        kept = self._kept
        self._pump.post(lambda core, now: core.keeper.keep(kept, now))

    def _stop(self) -> None:
        lease_id = self.id

        def release(core: ClientCore, now: float) -> None:
            del now
            core.keeper.release(lease_id)

        self._pump.post(release)

    def abandon(self) -> None:
        """Revoke it without waiting for anything: for whoever is interrupted."""
        with contextlib.suppress(ClientError):
            self._stop()
            self._pump.part(requests.revoke(self.id), clock.now() + self.ttl)

    def _end(self) -> None:
        """By our own word: nobody need be told."""
        self._stop()
        self._fate.lost = True

    def _has_ended(self) -> None:
        """As it turned out when it was to be renewed by hand."""

        def tell(core: ClientCore, now: float) -> None:
            del core, now
            self._fate.tell()

        self._end()
        with contextlib.suppress(ClientError):  # it was closed meanwhile
            self._pump.post(tell)

    def _renewed(self, asked_at: float, ttl: float) -> None:
        self._kept.valid_until = max(self._kept.valid_until, asked_at + ttl)
