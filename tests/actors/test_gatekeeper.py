"""Connections through real sockets: who is let in, what is told of the others, that a link knocks again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from raftkv import keys, sockets
from raftkv.actors import gatekeeper, zmq_ports
from raftkv.actors.gatekeeper import Gatekeeper
from raftkv.client import refusals
from raftkv.errors import LaunchError
from raftkv.keys import Key, Pair

DEADLINE_SECONDS = 30.0


def pair() -> Pair:
    return Pair(*zmq.curve_keypair())


class House:
    """The sockets of a node, which a test turns the handle of."""

    def __init__(self, folder: Path) -> None:
        mine = pair()
        self.folder = folder
        self.cluster = Key("cluster", mine, mine.public)
        keys.write_key(folder, self.cluster)
        self.admin, self.alice = (Key(name, pair(), mine.public) for name in ("admin", "alice"))
        people = [("admin", self.admin.pair.public, "admin"), ("client", self.alice.pair.public, "alice")]
        keys.write_list(folder, people)
        self.told: list[str] = []
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.gatekeeper = Gatekeeper(folder, self.told.append)
        self.gatekeeper.open(self.context)
        anywhere = "tcp://127.0.0.1:*"
        self.ports = {
            "client": zmq_ports.client_port(self.context, anywhere, self.gatekeeper),
            "control": zmq_ports.client_port(self.context, anywhere, self.gatekeeper, "control"),
            "peer": zmq_ports.peer_port(self.context, anywhere, self.gatekeeper),
        }

    def endpoint(self, name: str) -> str:
        return str(self.ports[name].socket.get_string(zmq.LAST_ENDPOINT))

    def until(self, reached: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            self.gatekeeper.socket.poll(10)
            self.gatekeeper.answer()
            if found := reached():
                return found
        raise AssertionError("it did not happen in time")

    def outcome(self, name: str, key: Key | None) -> str:
        """What becomes of a frame to that socket: "heard", or why it was refused."""
        outside: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            socket = outside.socket(zmq.DEALER)
            sockets.to_connect(socket, self.endpoint(name), key)
            monitor = refusals.monitor(socket)
            socket.connect(self.endpoint(name))
            socket.send(b"hello")

            def ended() -> str | None:
                if any(frame[-1] == b"hello" for frame in self.ports[name].receive(10)):
                    return "heard"
                return refusals.refusal(monitor, key) if monitor.poll(0) else None

            return str(self.until(ended))
        finally:
            outside.destroy(linger=0)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    try:
        yield made
    finally:
        made.context.destroy(linger=0)


def test_each_is_let_in_where_the_list_says(house: House) -> None:
    assert house.outcome("client", house.alice) == "heard"
    assert house.outcome("control", house.admin) == "heard"
    assert house.outcome("peer", house.cluster) == "heard"
    assert house.told == []


def test_others_are_told_why_not_and_so_is_the_operator(house: House) -> None:
    stranger = Key("mallory", pair(), house.cluster.cluster)
    assert house.outcome("client", stranger) == "the key of mallory is not on its list, or not for that"
    assert stranger.pair.public.decode() in house.told[0]
    assert "127.0.0.1 was refused at the client socket" in house.told[0]
    assert "not on its list" in house.outcome("control", house.alice)
    assert "not on its list" in house.outcome("peer", house.admin)
    assert "wants a key" in house.outcome("client", None)


def test_whoever_knocks_on_and_on_fills_no_log(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatekeeper, "TELL_SECONDS", 1e9)
    house.gatekeeper._told_at = -1e12
    for _ in range(3):
        house.outcome("client", Key("mallory", pair(), house.cluster.cluster))
    assert len(house.told) == 1
    house.gatekeeper._told_at = -1e12
    house.outcome("client", Key("mallory", pair(), house.cluster.cluster))
    assert house.told[1].endswith("(2 others before it)")


def test_a_list_that_cannot_be_read_is_named(house: House) -> None:
    (house.folder / "allowed").write_text("half a li")
    assert "not on its list" in house.outcome("client", house.alice)
    assert "allowed, line 1: expected a role" in house.told[0]


def test_a_link_to_a_node_that_spoke_openly_is_there_once_that_has_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ZeroMQ itself would never connect again: the node would be deaf to one of its peers for good."""
    monkeypatch.setattr(zmq_ports, "RELINK_SECONDS", 0.05)
    house = House(tmp_path)
    outside: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        open_port = zmq_ports.peer_port(outside, "tcp://127.0.0.1:*")
        endpoint = str(open_port.socket.get_string(zmq.LAST_ENDPOINT))
        monitor = refusals.monitor(open_port.socket)
        link = zmq_ports.peer_link(outside, endpoint, "tested/n2/n1", house.cluster)
        house.until(lambda: monitor.poll(0))
        monitor.close(linger=0)
        open_port.close()
        house.ports.pop("peer").close()

        def replaced() -> bool:
            try:
                house.ports["peer"] = zmq_ports.peer_port(house.context, endpoint, house.gatekeeper)
            except LaunchError:
                return False  # ZeroMQ closes in its own time
            return True

        house.until(replaced)
        house.until(lambda: link.send([b"hello"]))
        house.until(lambda: house.ports["peer"].receive(10) == [[b"tested/n2/n1", b"hello"]])
    finally:
        outside.destroy(linger=0)
        house.context.destroy(linger=0)
