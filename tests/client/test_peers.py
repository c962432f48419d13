"""How many endpoints a client keeps, however often members come and go."""

from __future__ import annotations

from raftkv.client.peers import ENDPOINTS_MAX, Peers
from raftkv.client.transport import Transport
from raftkv.raft.configuration import MEMBERS_MAX
from raftkv.wire.client import Kind
from tests.client.talk import N1, N2, Talk

GIVEN = ("tcp://given:1", "tcp://given:2")


def named(number: int) -> list[str]:
    """A cluster of three, of which one leaves and one joins with each number."""
    return [f"tcp://node:{number + place}" for place in range(3)]


def test_those_that_have_gone_are_forgotten_once_they_are_many() -> None:
    peers = Peers(GIVEN)
    for number in range(10 * ENDPOINTS_MAX):
        peers.learn(named(number), None)
        assert peers.keys() >= {*GIVEN, *named(number)}
        assert len(peers) <= ENDPOINTS_MAX + 1
    assert 3 * MEMBERS_MAX < ENDPOINTS_MAX


def test_whoever_is_asked_or_owes_an_answer_stays() -> None:
    peers = Peers(GIVEN)
    peers.learn(["tcp://asked:1", "tcp://owes:1", "tcp://is-to-hear:1"], None)
    peers["tcp://owes:1"].calls[7] = None  # type: ignore[assignment]
    peers["tcp://is-to-hear:1"].outbox.put((1, Kind.HELLO), 0)
    for number in range(ENDPOINTS_MAX):
        peers.learn(named(number), "tcp://asked:1")
    assert peers.keys() >= {"tcp://asked:1", "tcp://owes:1", "tcp://is-to-hear:1"}
    peers["tcp://owes:1"].calls.clear()
    for number in range(ENDPOINTS_MAX, 2 * ENDPOINTS_MAX):
        peers.learn(named(number), None)
    assert peers.keys().isdisjoint({"tcp://asked:1", "tcp://owes:1"})


def test_a_client_greets_no_more_than_it_keeps() -> None:
    talk = Talk(N1, N2)
    for number in range(3 * ENDPOINTS_MAX):
        nodes = {f"n{place}": endpoint for place, endpoint in enumerate(named(number))}
        talk.hello("n1", leader="n0", nodes=nodes)
        talk.core.take_frames()
    assert len(talk.core.endpoints) <= ENDPOINTS_MAX + 1
    talk.core.greet(talk.now)
    assert talk.greeted() == set(talk.core.endpoints)


def test_a_socket_goes_with_its_endpoint() -> None:
    transport = Transport(["tcp://127.0.0.1:1"])
    try:
        core = transport.core
        for port in (1, 2, 3):
            core.send(f"tcp://127.0.0.1:{port}", (1, Kind.HELLO))
            transport.flush()
        assert len(transport._sockets) == 3
        del core._peers["tcp://127.0.0.1:2"]
        core.send("tcp://127.0.0.1:4", (1, Kind.HELLO))
        transport.flush()
        assert sorted(transport._sockets) == [f"tcp://127.0.0.1:{port}" for port in (1, 3, 4)]
        transport.pump(0.0)
    finally:
        transport.close()
