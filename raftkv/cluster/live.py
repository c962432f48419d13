"""Watching a running cluster: the dashboard's ``Feed`` over the nodes' PUB sockets and the launcher."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import zmq

from raftkv import sockets
from raftkv.cluster.backlog import Backlog
from raftkv.cluster.discovery import Target
from raftkv.config import ENDPOINTS, is_endpoint
from raftkv.errors import WireError
from raftkv.observe import Earlier, Event, LoadReport, NodeSnapshot, ProcessSnapshot
from raftkv.wire import status as wire
from raftkv.wire.control import ControlRequest, decode_response, encode_request

Item = NodeSnapshot | Event | Earlier | ProcessSnapshot | LoadReport
ITEMS_A_POLL_MAX = 2000
PROCESSES_SECONDS = 0.25
"""How often the launcher is asked for its processes."""
SILENT_SECONDS = 3.0
"""Of a node that says something ten times a second; then it is connected to anew."""
LEFT_SECONDS = 60.0
"""Of a node that has left; so long it is still listened to."""
REPORT_SECONDS = 0.5
"""Between two reports of the load."""
Met = Callable[[Mapping[str, str]], None]
"""Told of the nodes' control endpoints by name, when others have joined or left."""


class LiveFeed:
    """Used by one thread. Reconnects by itself when a node, or all of them, come back."""

    def __init__(
        self,
        target: Target,
        load: Callable[[], LoadReport] | None = None,
        met: Met = lambda _: None,
    ) -> None:
        """``load`` reports on the built-in load."""
        assert target.statuses is not None, "a feed needs the nodes' status endpoints"
        self._load = load
        self._reported_at = 0.0
        self._met = met
        self._names = tuple(target.statuses)
        self._controls = dict(target.controls or {})
        self._context = sockets.open_context()
        self._status = self._context.socket(zmq.SUB)
        self._status.setsockopt(zmq.SUBSCRIBE, b"")
        self._key = target.key
        self._status.setsockopt(zmq.RCVHWM, ITEMS_A_POLL_MAX)
        self._status.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        self._statuses = dict(target.statuses)
        self._heard_at: dict[str, float] = {}
        self._said: dict[str, tuple[str, ...]] = {}
        """Where members are, by the word of whoever led last."""
        self._connected = set(self._statuses.values())
        self._left: dict[str, float] = {}
        """Of these: where nobody is any more, and since when."""
        for endpoint in self._connected:
            self._listen(endpoint)
        self._backlog = Backlog(self._context, target.key)
        self._launcher: zmq.Socket[bytes] | None = None
        self._asked_at = 0.0
        self._request_id = 0
        if target.launcher:
            self._launcher = self._context.socket(zmq.DEALER)
            self._launcher.setsockopt(zmq.SNDHWM, 4)
            self._launcher.connect(target.launcher)

    def names(self) -> Sequence[str]:
        return self._names

    def poll(self) -> Sequence[Item]:
        heard: list[NodeSnapshot | Event | ProcessSnapshot | LoadReport] = []
        try:
            while len(heard) < ITEMS_A_POLL_MAX:
                topic, data = self._status.recv_multipart(zmq.NOBLOCK)
                try:
                    item = wire.decode(topic, data)
                except WireError:
                    continue  # another version's node: what it says cannot be shown
                heard.append(item)
                self._heard_at[_speaker(item)] = time.monotonic()
                if control := self._controls.get(_speaker(item)):
                    self._backlog.hear(item, control)
                if isinstance(item, NodeSnapshot) and item.leads:
                    self._follow(item)
        except (zmq.Again, ValueError):
            pass
        heard += self._poll_launcher()
        now = time.monotonic()
        self._renew_the_silent(now)
        self._let_go(now)
        if self._load and now - self._reported_at >= REPORT_SECONDS:
            self._reported_at = now
            heard.append(self._load())
        # Each node's frames come in order, but what one heard may arrive before what the other said.
        heard.sort(key=_moment)
        return [*heard, *self._backlog.poll()]

    def _renew_the_silent(self, now: float) -> None:
        """A subscription asks for nothing, so nobody would ever notice that its connection is of no use: it
        was refused while a list was being copied, or something that was no node answered."""
        for name, endpoint in self._statuses.items():
            if now - self._heard_at.setdefault(name, now) >= SILENT_SECONDS:
                self._heard_at[name] = now
                self._status.disconnect(endpoint)
                self._listen(endpoint)

    def _follow(self, leader: NodeSnapshot) -> None:
        """Whoever has joined, or is elsewhere now, is listened to there, and whoever has left is not waited
        for. Who was found otherwise than they say stays where they were found."""
        members = {str(member.name): member.address for member in leader.members}
        if not members or not leader.configuration_committed:
            return
        if any(len(address) != ENDPOINTS or not is_endpoint(address[3]) for address in members.values()):
            return  # not heard yet, or no address
        moved = {name for name, address in members.items() if self._said.get(name, address) != address}
        self._said = members
        if not moved and set(members) == set(self._names):
            return
        kept = [name for name in self._names if name in members]
        self._names = (*kept, *(name for name in members if name not in kept))
        stay = set(kept) - moved
        for name in self._names:
            if name not in stay:
                self._statuses.pop(name, None)
                self._controls.pop(name, None)
        self._statuses = {name: self._statuses.get(name, address[3]) for name, address in members.items()}
        self._controls = {name: self._controls.get(name, address[2]) for name, address in members.items()}
        for endpoint in set(self._statuses.values()) - self._connected:
            self._connected.add(endpoint)
            self._listen(endpoint)
        now = time.monotonic()
        gone = self._connected - set(self._statuses.values())
        self._left = {endpoint: self._left.get(endpoint, now) for endpoint in gone}
        self._met(self._controls)

    def _let_go(self, now: float) -> None:
        """Whoever has left may still have had something to say."""
        for endpoint in [endpoint for endpoint, since in self._left.items() if now - since >= LEFT_SECONDS]:
            del self._left[endpoint]
            self._connected.discard(endpoint)
            self._status.disconnect(endpoint)
            self._heard_at = {name: at for name, at in self._heard_at.items() if name in self._statuses}
            self._backlog.keep(self._statuses)

    def _listen(self, endpoint: str) -> None:
        sockets.to_connect(self._status, endpoint, self._key)
        self._status.connect(endpoint)

    def close(self) -> None:
        self._context.destroy(linger=0)

    def _poll_launcher(self) -> list[ProcessSnapshot]:
        if self._launcher is None:
            return []
        found: list[ProcessSnapshot] = []
        now = time.monotonic()
        try:
            if now - self._asked_at >= PROCESSES_SECONDS:
                self._asked_at = now
                self._request_id += 1
                self._launcher.send(
                    encode_request(ControlRequest(self._request_id, "processes", {})), zmq.NOBLOCK
                )
            while True:
                response = decode_response(self._launcher.recv(zmq.NOBLOCK))
                found = [wire.process_from_map(fields) for fields in response.body]
        except zmq.Again:
            return found
        except (WireError, TypeError):
            return []


def _speaker(item: NodeSnapshot | Event) -> str:
    return item.node if isinstance(item, Event) else item.name


def _moment(item: NodeSnapshot | Event | ProcessSnapshot | LoadReport) -> float:
    return item.since if isinstance(item, ProcessSnapshot) else item.time
