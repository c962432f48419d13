"""Asking a node's or the launcher's control socket: one request, one answer, a deadline."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import zmq

from raftkv import sockets
from raftkv.client import refusals
from raftkv.errors import (
    AccessRefused,
    LaunchError,
    OutcomeUnknown,
    RaftkvError,
    Unavailable,
    WireError,
)
from raftkv.keys import Key
from raftkv.observe import NodeSnapshot
from raftkv.wire.control import FORBIDDEN, ControlRequest, decode_response, encode_request
from raftkv.wire.packing import FRAME_BYTES_MAX
from raftkv.wire.status import snapshot_from_map

LAUNCHER_SECONDS = 15.0
"""For an answer of the launcher's: a polite end may take its time before it is enforced."""
POLL_SECONDS = 0.02


class _Link:
    __slots__ = ("absent", "established", "monitor", "socket")

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket
        self.monitor = refusals.monitor(socket, all_news=True)
        self.established = False
        """The other end was there: what was sent may have got to it."""
        self.absent = False
        """Nothing has listened there since."""

    def refusal(self, key: Key | None) -> str | None:
        """Why it is of no use any more, by the next word of the monitor."""
        why = refusals.refusal(self.monitor, key)
        if why == refusals.WELCOME:
            self.established, self.absent = True, False
        elif why == refusals.ABSENT:
            self.absent = True
            return None
        return why or None

    def is_refused(self, key: Key | None) -> bool:
        """By all that the monitor has said until now."""
        while self.monitor.poll(0):
            if self.refusal(key):
                return True
        return False

    def close(self) -> None:
        refusals.close(self.socket, self.monitor)


class ControlClient:
    """Used by one thread."""

    def __init__(self, key: Key | None = None) -> None:
        self._context = sockets.open_context()
        self._links: dict[str, _Link] = {}
        self.key = key
        self._last_id = 0
        self._unsure: set[str] = set()
        """Who has not answered the last question, and may have got it."""
        self._absent: set[str] = set()
        """Who has not, and nobody listens there."""

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._context.destroy(linger=0)

    def ask(self, endpoint: str, verb: str, timeout: float, **arguments: Any) -> Any:
        """Raises ``Unavailable`` without an answer, ``AccessRefused`` where it takes no connection of ours,
        ``RaftkvError`` with the node's own line."""
        answer = self.ask_all([endpoint], verb, timeout, **arguments)[endpoint]
        if answer is None:
            raise Unavailable(f"no answer from {endpoint} within {timeout:g} s")
        ok, body = answer
        if not ok:
            raise refused(body)
        return body

    def order(self, endpoint: str, verb: str, timeout: float, **arguments: Any) -> Any:
        """As ``ask``, of what changes something. Raises ``OutcomeUnknown`` where it may have, and
        ``Unavailable`` where the other end was not there."""
        try:
            return self.ask(endpoint, verb, timeout, **arguments)
        except Unavailable as error:
            if self.may_have_got(endpoint):
                raise OutcomeUnknown(f"{error}: it may or may not have happened") from None
            raise

    def may_have_got(self, endpoint: str) -> bool:
        """Whether the last question may have reached somebody who has not answered it."""
        return endpoint in self._unsure

    def is_absent(self, endpoint: str) -> bool:
        """Whether nobody listened there to the last question."""
        return endpoint in self._absent

    def ask_all(
        self,
        endpoints: Sequence[str],
        verb: str,
        timeout: float,
        *,
        until_absent: bool = False,
        **arguments: Any,
    ) -> dict[str, tuple[bool, Any] | None]:
        """Ask all at once; (ok, body) of each, None of those that did not answer in time. ``until_absent``:
        whoever does not listen now is not waited for; it may only just be starting.

        Raises ``AccessRefused`` where none takes a connection of ours.
        """
        self._last_id += 1
        frame = encode_request(ControlRequest(self._last_id, verb, arguments))
        answers: dict[str, tuple[bool, Any] | None] = dict.fromkeys(endpoints)
        poller = zmq.Poller()
        waiting: dict[zmq.Socket[bytes], str] = {}
        """For an answer, or for the news that none will come."""
        for endpoint in answers:
            link = self._sent(endpoint, frame)
            for source in (link.socket, link.monitor):
                poller.register(source, zmq.POLLIN)
                waiting[source] = endpoint
        refused: dict[str, str] = {}
        deadline = time.monotonic() + timeout
        while waiting and (left := deadline - time.monotonic()) > 0:
            for source, _ in poller.poll(int(left * 1000) + 1):
                endpoint = waiting[source]
                link = self._links[endpoint]
                if source is link.monitor:
                    why = link.refusal(self.key)
                    if why:
                        refused[endpoint] = f"{endpoint} refuses the connection: {why}"
                    ended = why is not None or (until_absent and link.absent)
                else:
                    ended = self._take(link, endpoint, answers)
                if ended:
                    for other in (link.socket, link.monitor):
                        poller.unregister(other)
                        del waiting[other]
                    break  # what else is readable may be of the same node
        self._unsure.clear()
        self._absent.clear()
        for endpoint in [endpoint for endpoint, answer in answers.items() if answer is None]:
            link = self._links.pop(endpoint)
            if not link.is_refused(self.key) and link.established:
                self._unsure.add(endpoint)
            if link.absent:
                self._absent.add(endpoint)
            link.close()  # a late answer must not meet the next question
        if refused and refused.keys() == answers.keys():  # one that was only silent may have done it
            raise AccessRefused(f"{next(iter(refused.values()))}; nothing happened")
        return answers

    def _sent(self, endpoint: str, frame: bytes) -> _Link:
        """Over the connection that there is, if it can be used: one that was refused since takes nothing."""
        link = self._links.get(endpoint)
        if link and not link.is_refused(self.key):
            try:
                link.socket.send(frame, zmq.NOBLOCK)
                return link
            except zmq.Again:
                pass
        if link:
            self._links.pop(endpoint).close()
        link = self._connect(endpoint)
        link.socket.send(frame, zmq.NOBLOCK)
        return link

    def _take(self, link: _Link, endpoint: str, answers: dict[str, tuple[bool, Any] | None]) -> bool:
        """Whether what has come is the answer to what was asked last."""
        try:
            response = decode_response(link.socket.recv())
        except WireError:
            return False
        if response.request_id != self._last_id:
            return False
        answers[endpoint] = response.ok, response.body
        return True

    def _connect(self, endpoint: str) -> _Link:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        sockets.to_connect(socket, endpoint, self.key)
        link = self._links[endpoint] = _Link(socket)
        socket.connect(endpoint)
        return link


def await_start(client: ControlClient, launcher: str, node: str, timeout: float) -> None:
    """Until a node that was started listens, or its time for that is up: a long log takes longer to be read.
    Raises ``LaunchError`` where it has ended again, ``OutcomeUnknown`` where nobody says."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            begun, failure = client.ask(launcher, "begun", LAUNCHER_SECONDS, node=node)
        except Unavailable as error:
            raise OutcomeUnknown(f"node {node} was started; whether it came up: {error}") from None
        if failure:
            raise LaunchError(f"node {node} was started and has ended again: {failure}")
        if begun:
            return
        time.sleep(POLL_SECONDS)


def refused(body: Any) -> RaftkvError:
    """What a node or the launcher said instead of doing what was asked."""
    if isinstance(body, dict) and FORBIDDEN in body:
        return AccessRefused(str(body[FORBIDDEN]))
    return RaftkvError(str(body))


def snapshots(
    client: ControlClient, endpoints: Mapping[str, str], timeout: float
) -> dict[str, NodeSnapshot | None]:
    """Every node's snapshot by name, None of those that do not answer; ``endpoints`` by name too."""
    answers = client.ask_all(list(endpoints.values()), "status", timeout, until_absent=True)
    found: dict[str, NodeSnapshot | None] = {}
    for name, endpoint in endpoints.items():
        answer = answers[endpoint]
        try:
            found[name] = snapshot_from_map(answer[1]) if answer and answer[0] else None
        except WireError:
            found[name] = None  # another version's node: what it says cannot be shown
    return found
