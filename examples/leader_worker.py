"""Workers of which one at a time works, and whose deposed leader cannot write.

    python examples/leader_worker.py ENDPOINT… --name w1

Items wait under ``JOB/todo/``. Whoever holds the office takes the first, works on it, and moves it to
``JOB/done/`` by a transaction that holds only while that very office is held. Checking ``held`` before the
write would not do: the process may sleep between the two for longer than its lease lives.
"""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

import raftkv
from raftkv import txn
from raftkv.errors import ClientError, LockLost, OutcomeUnknown, RaftkvError, Unavailable
from raftkv.recipes import Election

CAMPAIGN_SECONDS = 1.0
"""After which a candidate looks whether it is to stop."""
IDLE_SECONDS = 0.05


class Worker:
    def __init__(
        self,
        client: raftkv.Client,
        name: str,
        perform: Callable[[bytes], bytes] = bytes.upper,
        *,
        job: str = "job",
        ttl: float = 2.0,
    ) -> None:
        """``ttl`` in seconds: how long nobody works after a worker has died."""
        self.name = name
        self.election = Election(client, f"{job}/office", ttl)
        self._client = client
        self._perform = perform
        self._todo = f"{job}/todo/".encode()
        self._done = f"{job}/done/".encode()

    def run(self, stop: threading.Event) -> None:
        """Stand for office, work while in office, stand again; until ``stop``."""
        while not stop.is_set():
            try:
                if self.election.campaign(self.name, timeout=CAMPAIGN_SECONDS):
                    self._lead(stop)
            except ClientError:  # no leader among the nodes, or the lease ended in the line: stand again
                stop.wait(IDLE_SECONDS)
            finally:
                with suppress(ClientError):  # the lease is not renewed any more, so it ends by itself
                    self.election.resign()

    def _lead(self, stop: threading.Event) -> None:
        # ``held`` only spares us work that would be refused; it is ``guard`` that keeps the data right.
        while self.election.held and not stop.is_set():
            try:
                if not self.work():
                    stop.wait(IDLE_SECONDS)
            except (OutcomeUnknown, Unavailable):
                continue  # look again what there is to do: an item that was done is gone

    def work(self) -> bool:
        """Do one item; False when there was none. Raises ``LockLost`` when the office is somebody else's:
        then nothing was written."""
        item = next(self._client.prefix(self._todo, limit=1), None)
        if item is None:
            return False
        token = self.election.token
        result = b"%b by %b, token %d" % (self._perform(item.value), self.name.encode(), token)
        # An earlier try of our own, whose outcome was unknown, may have moved it after we looked.
        there = txn.create_revision(item.key) == item.create_revision
        done_key = self._done + item.key.removeprefix(self._todo)
        move = txn.nested([there], [txn.delete(item.key), txn.put(done_key, result)])
        if not self._client.txn([self.election.guard()], [move]).succeeded:
            raise LockLost(f"{self.name} is in office no longer; {item.key!r} is left to others")
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description="Work while elected, until SIGINT or SIGTERM.")
    parser.add_argument("endpoints", nargs="+", metavar="ENDPOINT", help="tcp://host:port of a node")
    parser.add_argument("--name", required=True, help="whom the results are by")
    parser.add_argument("--ttl", type=float, default=2.0, metavar="SECONDS", help="of the office's lease")
    parser.add_argument("--item-seconds", type=float, default=0.0, metavar="SECONDS", help="of work an item")
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def perform(value: bytes) -> bytes:
        stop.wait(arguments.item_seconds)
        return value.upper()

    with raftkv.Client(arguments.endpoints) as client:
        Worker(client, arguments.name, perform, ttl=arguments.ttl).run(stop)


if __name__ == "__main__":
    try:
        main()
    except RaftkvError as error:
        raise SystemExit(str(error)) from None
