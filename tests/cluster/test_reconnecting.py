"""Whoever talks to nodes finds them again, whatever stood at their ports meanwhile; and what is known of a
question that some refused and some never answered."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import zmq

from raftkv import clock, keys
from raftkv.actors import zmq_ports
from raftkv.actors.gatekeeper import Gatekeeper
from raftkv.client import transport as transports
from raftkv.client.calls import Call
from raftkv.client.transport import Transport
from raftkv.cluster import live
from raftkv.cluster.control import ControlClient, snapshots
from raftkv.cluster.discovery import Target
from raftkv.cluster.live import LiveFeed
from raftkv.errors import AccessRefused, LaunchError
from raftkv.keys import Key, Pair
from raftkv.kv.commands import Code
from raftkv.observe import NodeSnapshot
from raftkv.wire import status
from raftkv.wire.client import Kind, decode_requests, encode_responses
from raftkv.wire.control import ControlResponse, decode_request, encode_response
from tests.support.processes import await_condition, free_base_port
from tests.tui.fakes import leader_snapshot

BANNERS = [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"]


def pair() -> Pair:
    return Pair(*zmq.curve_keypair())


MINE = pair()
KEY = Key("cluster", MINE, MINE.public)


@pytest.fixture
def endpoint() -> str:
    return f"tcp://127.0.0.1:{free_base_port()}"


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        yield made
    finally:
        made.destroy(linger=0)


@contextmanager
def impostor(endpoint: str, banner: bytes) -> Iterator[Callable[[], bool]]:
    """Something that is no node, and says so; yields whether anybody has come, and gone again."""
    met = threading.Event()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(endpoint.rpartition(":")[2])))
        listener.listen(8)
        listener.settimeout(0.05)
        over = threading.Event()

        def answer() -> None:
            while not over.is_set():
                try:
                    visitor, _ = listener.accept()
                except TimeoutError:
                    continue
                with visitor, suppress(OSError):
                    visitor.settimeout(5.0)
                    visitor.sendall(banner)
                    while visitor.recv(1000):
                        pass
                met.set()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield met.is_set
        finally:
            over.set()
            thread.join()


def secure(
    context: zmq.Context[zmq.Socket[bytes]], kind: zmq.SocketType, endpoint: str, mine: Pair
) -> zmq_ports.ZmqPort:
    """Takes connections of whoever knows its key."""
    socket = context.socket(kind)
    socket.curve_server = True
    socket.curve_secretkey = mine.secret
    try:
        socket.bind(endpoint)
    except zmq.ZMQError:
        socket.close(linger=0)
        raise LaunchError("in use") from None
    return zmq_ports.ZmqPort(socket)


def opened(open_port: Callable[[], zmq_ports.ZmqPort]) -> zmq_ports.ZmqPort:
    """As soon as the one before has let go of the address."""

    def there() -> zmq_ports.ZmqPort | None:
        try:
            return open_port()
        except LaunchError:
            return None

    return await_condition(there, "the address to be free")


@pytest.mark.parametrize("banner", BANNERS)
def test_a_link_finds_the_node_that_is_there_after_something_else(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, banner: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zmq_ports, "RELINK_SECONDS", 0.5)
    with ExitStack() as stack:
        with impostor(endpoint, banner) as met:
            link = stack.enter_context(closing(zmq_ports.peer_link(context, endpoint, "tested/n1/n2", KEY)))
            await_condition(met, "the link to meet something else")
        port = stack.enter_context(closing(opened(lambda: secure(context, zmq.ROUTER, endpoint, KEY.pair))))

        def heard() -> bool:
            link.send([b"hello"])
            return [b"tested/n1/n2", b"hello"] in port.receive(10)

        await_condition(heard, "the node to hear the link")


def test_a_client_that_is_answered_keeps_its_connection(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that always has something open: it has been heard all the same."""
    monkeypatch.setattr(transports, "RENEW_SECONDS", 0.0)
    renewed: list[str] = []
    monkeypatch.setattr(Transport, "_forget", lambda _, endpoint: renewed.append(endpoint))
    transport = Transport([endpoint], 1)
    with closing(zmq_ports.client_port(context, endpoint)) as port, closing(transport):
        hello = ("c", "n1", "leader", 1, "n1", 0, (("n1", endpoint, endpoint, endpoint),), 0)
        answered: list[Call] = []

        def ask() -> None:
            call = Call((Kind.GET, b"k", 0, False), clock.now() + 600, done)
            transport.core.submit(call, clock.now())

        def done(call: Call) -> None:
            answered.append(call)
            ask()  # within the turn that brought the answer

        def turn() -> bool:
            transport.flush()
            assert port.socket.poll(60_000)
            for identity, frame in port.receive(10):
                kinds = [(request[0], request[1]) for request in decode_requests(frame)[1]]
                replies = [
                    (number, Code.OK, 0, hello if kind == Kind.HELLO else None) for number, kind in kinds
                ]
                port.send((identity, encode_responses(replies)))
            assert transport._poller.poll(60_000)
            transport.pump(0.0)
            return len(answered) >= 50

        ask()
        await_condition(turn, "fifty answers")
    assert renewed == []


def test_a_connection_that_was_given_up_before_it_took_anything_is_made_anew(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports, "RENEW_SECONDS", 0.0)
    monkeypatch.setattr(transports, "LOOK_SECONDS", 0.0)

    class GivenUp:
        def send(self, *_: object) -> None:
            raise zmq.Again

    renewed: list[str] = []
    monkeypatch.setattr(Transport, "_connected", lambda *_: GivenUp())
    monkeypatch.setattr(Transport, "_forget", lambda _, endpoint: renewed.append(endpoint))
    with closing(Transport([endpoint], 1)) as transport:
        call = Call((Kind.GET, b"k", 0, False), clock.now() + 600, lambda _: None)
        transport.core.submit(call, clock.now())
        transport.pump(0.0)
        transport.pump(0.0)
    assert endpoint in renewed


@pytest.mark.parametrize("banner", BANNERS)
def test_a_client_finds_the_node_that_is_there_after_something_else(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, banner: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports, "RENEW_SECONDS", 0.5)
    transport = Transport([endpoint], 1, KEY)
    call = Call((Kind.GET, b"k", 0, False), clock.now() + 600, lambda _: None)
    transport.core.submit(call, clock.now())

    def pumped(reached: Callable[[], bool]) -> bool:
        transport.pump(0.01)
        return reached()

    with ExitStack() as stack:
        stack.callback(transport.close)
        with impostor(endpoint, banner) as met:
            await_condition(lambda: pumped(met), "the client to meet something else")
        port = stack.enter_context(closing(opened(lambda: secure(context, zmq.ROUTER, endpoint, KEY.pair))))

        def greeted() -> bool:
            requests = [decode_requests(frame[-1])[1] for frame in port.receive(10)]
            return any(request[1] == Kind.HELLO for frame in requests for request in frame)

        await_condition(lambda: pumped(greeted), "the node to hear the client")


def test_the_dashboard_hears_a_node_that_refused_it_once(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key was not on the list yet; after such a refusal ZeroMQ connects no more."""
    monkeypatch.setattr(live, "SILENT_SECONDS", 0.5)
    admin = Key("admin", pair(), MINE.public)
    keys.write_key(tmp_path, KEY)
    keys.write_list(tmp_path, [])
    refused: list[str] = []
    gatekeeper = Gatekeeper(tmp_path, refused.append)
    gatekeeper.open(context)
    with (
        closing(gatekeeper.socket),
        closing(zmq_ports.status_port(context, endpoint, gatekeeper)) as port,
        closing(LiveFeed(Target("tests", (), {"n1": endpoint}, {"n1": endpoint}, key=admin))) as feed,
    ):

        def turned_away() -> bool:
            gatekeeper.answer()
            return bool(refused)

        await_condition(turned_away, "the dashboard to be refused")
        keys.write_list(tmp_path, [("admin", admin.pair.public, "admin")])

        def heard() -> bool:
            gatekeeper.answer()
            port.send([status.TOPIC_SNAPSHOT, status.encode_snapshot(leader_snapshot("n1", term=7))])
            return any(isinstance(item, NodeSnapshot) for item in feed.poll())

        await_condition(heard, "the dashboard to hear the node")


class Answering:
    """A control socket, openly, that answers or does not, until it is closed."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], answers: bool) -> None:
        self.heard: list[str] = []
        self._answers = answers
        self.port = zmq_ports.client_port(context, "tcp://127.0.0.1:*")
        self.endpoint = str(self.port.socket.get_string(zmq.LAST_ENDPOINT))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            self.port.socket.poll(20)
            for identity, frame in self.port.receive(10):
                request = decode_request(frame)
                self.heard.append(request.verb)
                if self._answers:
                    response: Any = encode_response(ControlResponse(request.request_id, True, None))
                    self.port.send((identity, response))

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self.port.close()


def test_what_one_refused_and_another_may_have_done_is_not_said_to_have_failed(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str
) -> None:
    with (
        closing(Answering(context, answers=False)) as silent,
        closing(secure(context, zmq.ROUTER, endpoint, pair())),
        ControlClient() as client,
    ):
        with pytest.raises(AccessRefused, match="it wants a key"):
            client.ask_all([endpoint], "heal", 60.0)
        answers = client.ask_all([endpoint, silent.endpoint], "heal", 1.0)
        assert answers == {endpoint: None, silent.endpoint: None}
        await_condition(lambda: silent.heard == ["heal"], "the other to have heard it")


def test_a_question_to_a_node_that_refuses_since_does_not_wait_for_ever(
    context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    node = Answering(context, answers=True)
    with ControlClient() as client:
        client.ask(node.endpoint, "ping", 60.0)
        node.close()
        with closing(opened(lambda: secure(context, zmq.ROUTER, node.endpoint, pair()))):
            monitor = client._links[node.endpoint].monitor
            await_condition(lambda: monitor.poll(0), "the connection to be refused")
            with pytest.raises(AccessRefused, match="it wants a key"):
                client.ask(node.endpoint, "ping", 60.0)


def test_whoever_does_not_listen_is_not_waited_for_where_the_present_is_asked_for(endpoint: str) -> None:
    """A dead node cost 'raftkv status' a second, each time."""
    waited = 600.0
    with ControlClient() as client:
        began = time.monotonic()
        assert client.ask_all([endpoint], "status", waited, until_absent=True) == {endpoint: None}
        assert snapshots(client, {"n1": endpoint}, waited) == {"n1": None}
        assert not client.may_have_got(endpoint)
        assert time.monotonic() - began < waited / 10
