"""A ``ClientCore`` to talk with: no sockets, and a clock that stands until it is told."""

from __future__ import annotations

import random
from typing import Any

from raftkv.client.calls import Call, Session
from raftkv.client.core import (
    ClientCore,
)
from raftkv.client.watching import Watch
from raftkv.errors import (
    ClientError,
)
from raftkv.kv.commands import Code, Command, Op
from raftkv.wire.client import (
    Kind,
    Reply,
    Request,
    decode_requests,
    encode_responses,
)

N1, N2, N3 = "tcp://n1:1", "tcp://n2:1", "tcp://n3:1"
NODES = {"n1": N1, "n2": N2, "n3": N3}
TIMEOUT = 5.0


class Talk:
    """A core, a clock, and what was sent to whom."""

    def __init__(self, *endpoints: str) -> None:
        self.core = ClientCore(endpoints or (N1, N2, N3), random.Random(1))
        self.session = self.core.new_session()
        self.now = 100.0
        self.frames: list[tuple[str, bytes]] = []
        self.done: list[Call] = []

    def put(
        self, key: bytes = b"k", value: bytes = b"v", timeout: float = TIMEOUT, session: Session | None = None
    ) -> Call:
        fields = (Op.PUT, key, value)
        return self._submit(Call(fields, self.now + timeout, self.done.append, session or self.session))

    def get(self, stale: bool = False, target: str | None = None, timeout: float = TIMEOUT) -> Call:
        fields = (Kind.GET, b"k", 0, stale)
        return self._submit(Call(fields, self.now + timeout, self.done.append, None, target))

    def _submit(self, call: Call) -> Call:
        self.core.submit(call, self.now)
        return call

    def sent(self) -> dict[str, list[Request]]:
        """The requests that left since the last look, hellos apart, by endpoint."""
        self.frames = self.core.take_frames()
        found: dict[str, list[Request]] = {}
        for endpoint, frame in self.frames:
            requests = decode_requests(frame)[1]
            kept = [request for request in requests if request[1] != Kind.HELLO]
            if kept:
                found.setdefault(endpoint, []).extend(kept)
        return found

    def greeted(self) -> set[str]:
        """Whom a HELLO went to since the last look."""
        self.frames = self.core.take_frames()
        return {
            endpoint
            for endpoint, frame in self.frames
            if any(request[1] == Kind.HELLO for request in decode_requests(frame)[1])
        }

    def hello(
        self,
        node: str,
        leader: str | None,
        term: int = 1,
        cluster: str = "c",
        applied: int = 7,
        nodes: dict[str, str] = NODES,
    ) -> None:
        rows = tuple((name, endpoint, endpoint + "1", endpoint + "2") for name, endpoint in nodes.items())
        role = "leader" if node == leader else "follower"
        self.reply(NODES[node], (0, Code.OK, 0, (cluster, node, role, term, leader, applied, rows)))

    def reply(self, endpoint: str, *replies: Reply) -> None:
        self.core.on_frame(endpoint, encode_responses(replies), self.now)

    def answer(self, endpoint: str, call: Call, code: Code, detail: Any = None) -> None:
        self.reply(endpoint, (call.request_id, code, 9, detail))

    def wait(self, seconds: float, step: float = 0.01) -> None:
        """Let time pass as a shell would, in which nothing arrives."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            self.core.on_time(self.now)

    def refused_by_all(self, why: str = "not on its list") -> None:
        for endpoint in (N1, N2, N3):
            self.core.on_refused(endpoint, why, self.now)

    def led_by(self, leader: str, term: int = 1) -> Talk:
        """Past discovery."""
        warm_up = self.get()
        self.hello(leader, leader, term)
        self.answer(NODES[leader], warm_up, Code.OK)
        self.sent()
        self.done.clear()
        return self


def command_of(request: Request) -> Command:
    return Command.decode(request[4])


def names(request: Request) -> tuple[int, int]:
    """(client id, sequence) of a write."""
    assert request[1] == Kind.WRITE
    return request[2], request[3]


def watched(talk: Talk) -> list[ClientError]:
    """What ends a watch."""
    errors: list[ClientError] = []
    talk.core.watches.begin(Watch(b"k", b"l", 0, 0, lambda *_: None, errors.append), talk.now)
    return errors
