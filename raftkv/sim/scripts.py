"""Runs the client library's scripts in a simulated world: one step, one callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raftkv.client import requests
from raftkv.client.calls import Call, Session
from raftkv.client.keeping import Kept
from raftkv.client.requests import Request
from raftkv.client.scripts import Changed, Hold, LetGo, Now, Pause, Script, Within
from raftkv.client.types import Event
from raftkv.client.watching import Watch
from raftkv.errors import ClientError, SessionExpired
from raftkv.sim.clients import SimClient
from raftkv.wire.client import WatchFlag


class SimLease:
    """Implements ``client.scripts.Holding``."""

    def __init__(self, client: SimClient, lease_id: int, ttl: float, asked_at: float) -> None:
        self._client = client
        self.kept = Kept(lease_id, ttl, asked_at + ttl, lambda _: None)

    @property
    def id(self) -> int:
        return self.kept.id

    @property
    def lost(self) -> bool:
        return self.kept.valid_until <= self._client.now()

    def keep(self) -> None:
        self._client.act(lambda core, now: core.keeper.keep(self.kept, now))

    def abandon(self) -> None:
        self._client.core.keeper.release(self.id)


class Runner:
    """One tenant's scripts, one after the other. ``on_lease`` gets every lease that is granted to it."""

    def __init__(
        self, client: SimClient, request_timeout: float, on_lease: Callable[[SimLease], None]
    ) -> None:
        self._client = client
        self._timeout = request_timeout
        self._on_lease = on_lease
        self._session: Session = client.core.new_session()

    def run(
        self,
        script: Script[Any],
        done: Callable[[Any], None],
        failed: Callable[[ClientError], None],
    ) -> None:
        self._resume(script, done, failed, None, None)

    def _resume(
        self,
        script: Script[Any],
        done: Callable[[Any], None],
        failed: Callable[[ClientError], None],
        outcome: Any,
        error: ClientError | None,
    ) -> None:
        try:
            step = script.throw(error) if error else script.send(outcome)
        except StopIteration as end:
            done(end.value)
            return
        except ClientError as raised:
            failed(raised)
            return

        def go_on(outcome: Any = None, error: ClientError | None = None) -> None:
            self._resume(script, done, failed, outcome, error)

        self._do(step, go_on)

    def _do(self, step: Any, go_on: Callable[..., None]) -> None:
        client = self._client
        match step:
            case Request():
                self._do(Within(step, self._timeout), go_on)
            case Within(request, seconds):
                seconds = min(self._timeout, seconds)
                self._ask(request, lambda answer: go_on(answer), lambda error: go_on(None, error), seconds)
            case Changed():
                self._await_change(step, go_on)
            case Hold():
                asked_at = client.now()

                def granted(lease_id: int) -> None:
                    lease = SimLease(client, lease_id, step.ttl, asked_at)
                    self._on_lease(lease)
                    go_on(lease)

                self._ask(requests.grant(step.ttl), granted, lambda error: go_on(None, error))
            case LetGo():
                step.lease.abandon()
                self._ask(requests.revoke(step.lease.id), lambda keys: go_on(keys), lambda _: go_on(0))
            case Pause():
                client.later(step.seconds, go_on)
            case Now():
                client.later(0.0, lambda: go_on(client.now()))
            case _:
                raise AssertionError(f"no way to do {step}")

    def _ask(
        self,
        request: Request[Any],
        done: Callable[[Any], None],
        failed: Callable[[ClientError], None],
        seconds: float | None = None,
    ) -> None:
        def finish(call: Call) -> None:
            if isinstance(call.error, SessionExpired):
                self._session = self._client.core.renew()
            if call.error:
                failed(call.error)
            else:
                assert call.response is not None
                done(request.decode(call.response))

        deadline = self._client.now() + (self._timeout if seconds is None else seconds)
        session = self._session if request.writes else None
        self._client.submit(Call(request.fields, deadline, finish, session, request.target))

    def _await_change(self, step: Changed, go_on: Callable[..., None]) -> None:
        client = self._client
        ended = False

        def end(outcome: bool) -> None:
            nonlocal ended
            if not ended:
                ended = True
                client.act(lambda core, _: core.watches.end(watch))
                go_on(outcome)

        def on_events(events: list[Event], answers: int) -> None:
            del events, answers
            end(True)

        flags = WatchFlag(0 if step.puts else WatchFlag.NO_PUTS)
        flags |= WatchFlag(0 if step.deletes else WatchFlag.NO_DELETES)
        watch = Watch(step.start, step.end, step.after, int(flags), on_events, lambda _: end(True))
        client.act(lambda core, now: core.watches.begin(watch, now))
        if step.seconds is not None:
            client.later(step.seconds, lambda: end(False))
