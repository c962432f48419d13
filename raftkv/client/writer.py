"""Under whose name one writes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from raftkv import clock
from raftkv.client.calls import Call
from raftkv.client.core import ClientCore
from raftkv.errors import SessionExpired


class Writer:
    """One identity, and another one once the cluster has forgotten the first for want of use."""

    def __init__(self, core: ClientCore) -> None:
        self._core = core
        self._session = core.new_session()

    def call(
        self,
        fields: tuple[Any, ...],
        deadline: float,
        done: Callable[[Call], None],
        target: str | None = None,
    ) -> Call:
        """A write, to be submitted to the core; see ``Call``."""
        return Call(fields, deadline, partial(self._on_done, done), self._session, target)

    def _on_done(self, done: Callable[[Call], None], call: Call) -> None:
        """A write whose identity was forgotten was certainly not applied: it goes out under a new one."""
        if isinstance(call.error, SessionExpired):
            if self._session is call.session:
                self._session = self._core.renew()
            now = clock.now()
            if now < call.deadline:
                self._core.submit(self.call(call.fields, call.deadline, done, call.target), now)
                return
        done(call)
