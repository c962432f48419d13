"""A client of raftkv in pyzmq and msgpack, written from docs/protocol.md: nothing of raftkv is imported.

    python examples/minimal_client.py tcp://127.0.0.1:7400

It stays with one node, waits for answers one by one, and keeps what the page says about identities, so that a
write that is sent again happens once. A client for real use also moves on when its node falls silent.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from typing import Any

import msgpack
import zmq

VERSION = 1
HELLO, WRITE, GET, RANGE, WATCH, UNWATCH, LEASES = range(7)
PUT, DELETE, DELETE_RANGE, COMPARE_AND_SET, MULTI_PUT, TXN, GRANT, REVOKE, KEEP_ALIVE, COMPACT = range(1, 11)
OK, COMPARE_FAILED = 0, 1
ANSWERED_BY_A_NODE = 10
"""Codes from here on mean: ask again."""
AGAIN_SECONDS = 0.05
CREDIT = 16


class MinimalClient:
    def __init__(self, endpoint: str, timeout_seconds: float = 10.0) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, int(timeout_seconds * 1000))
        self.socket.connect(endpoint)
        self.cluster: str | None = None
        self.request_id = 0
        self.early: list[list[Any]] = []
        """Answers to a watch that came while something else was waited for."""
        self.client_id = random.getrandbits(63)
        self.sequence = 0
        hello = self.ask(HELLO)[3]
        self.cluster, self.node, _, _, self.leader, self.born, nodes, _ = hello
        self.endpoints = {name: client for name, client, _, _ in nodes}

    def close(self) -> None:
        self.context.destroy(linger=0)

    # -- frames

    def send(self, request_id: int, kind: int, *fields: Any) -> None:
        self.socket.send(msgpack.packb([VERSION, self.cluster, [[request_id, kind, *fields]]]))

    def receive(self, request_id: int) -> list[Any]:
        """The next answer to that request: [request id, code, revision, detail]."""
        while True:
            for response in self.early:
                if response[0] == request_id:
                    self.early.remove(response)
                    return response
            version, responses = msgpack.unpackb(self.socket.recv())
            assert version == VERSION
            self.early += responses

    def ask(self, kind: int, *fields: Any) -> list[Any]:
        self.request_id += 1
        self.send(self.request_id, kind, *fields)
        return self.receive(self.request_id)

    # -- writes, each applied once however often it is sent

    def command(self, sequence: int, op: int, *arguments: Any) -> bytes:
        packed: bytes = msgpack.packb([self.client_id, self.born, sequence, sequence, op, *arguments])
        return packed

    def write(self, op: int, *arguments: Any) -> list[Any]:
        self.sequence += 1
        command = self.command(self.sequence, op, *arguments)
        while True:
            response = self.ask(WRITE, self.client_id, self.sequence, command)
            if response[1] < ANSWERED_BY_A_NODE:
                return response
            time.sleep(AGAIN_SECONDS)

    def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        """The store's new revision."""
        _, code, revision, detail = self.write(PUT, key, value, lease)
        assert code == OK, detail
        return int(revision)

    def grant(self, ttl_ms: int) -> int:
        """A new lease's id."""
        return int(self.write(GRANT, ttl_ms)[3][0])

    def keep_alive(self, lease_id: int) -> int:
        """Its time to live in ms, from now; 0 when it has ended."""
        return int(self.write(KEEP_ALIVE, [lease_id])[3][0])

    # -- reads

    def get(self, key: bytes) -> bytes | None:
        while True:
            _, code, _, detail = self.ask(GET, key, 0, False)
            if code == OK:
                return None if detail is None else bytes(detail[0])
            time.sleep(AGAIN_SECONDS)

    def revision(self) -> int:
        """The store's, now: a range of one key that is only counted is the cheapest way to ask."""
        while True:
            _, code, revision, _ = self.ask(RANGE, b"", b"\0", 0, False, True, True, 0, False)
            if code == OK:
                return int(revision)
            time.sleep(AGAIN_SECONDS)

    def watch(self, start: bytes, end: bytes, after: int) -> Iterator[tuple[int, bytes, bytes | None]]:
        """(revision, key, value or None where it was deleted) of every change after that revision."""
        self.request_id += 1
        watch_id, credit, offset = self.request_id, CREDIT, 0
        held: list[Any] = []
        self.send(watch_id, WATCH, start, end, after, 0, credit)
        while True:
            _, code, upto, detail = self.receive(watch_id)
            assert code == OK, f"the watch has ended with code {code}: {detail}"
            its_after, its_offset, next_offset, events = detail
            assert (its_after, its_offset) == (after, offset), "an answer was lost: begin anew from here"
            held += events
            after, offset, credit = upto, next_offset, credit - 1
            if credit < CREDIT // 2:
                credit = CREDIT
                self.send(watch_id, WATCH, start, end, after, 0, credit)
            while held and held[0][1][2] <= upto:
                key, (value, _, mod_revision, version, _), _ = held.pop(0)
                yield mod_revision, key, value if version else None


def main(endpoint: str) -> None:
    client = MinimalClient(endpoint)
    after = client.revision()
    lease = client.grant(5000)
    client.put(b"minimal/a", b"1")
    client.put(b"minimal/b", b"2", lease)
    print("a is", client.get(b"minimal/a"), "and the lease lives for", client.keep_alive(lease), "ms")
    for count, (revision, key, value) in enumerate(client.watch(b"minimal/", b"minimal0", after), start=1):
        print(f"revision {revision}: {key!r} is {value!r}")
        if count == 2:
            break
    client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Puts two keys, one of them on a lease, and watches them.")
    parser.add_argument("endpoint", help="where a node listens for clients, such as tcp://127.0.0.1:7400")
    main(parser.parse_args().endpoint)
