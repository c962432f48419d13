"""A rate limit that many processes share: so many requests in a window.

    python examples/rate_limiter.py ENDPOINT… --limit 3 --window 60 --requests 5

The bucket of a window is one key, a count, on a lease of the window's length that nobody renews: a window
begins with its first request, for which the lease is granted, and ends, with its key, when the lease does.
So no process's clock decides anything, and nothing is left to clean up. The cluster never ends a lease
early, but may end it late (a margin of a tenth; after a change of leader the full time again): windows may
be longer than asked for.

Windows are fixed: up to twice the limit may pass within one window's time around the end of a window.
"""

from __future__ import annotations

import argparse
from contextlib import suppress

import raftkv
from raftkv import txn
from raftkv.client import Entry
from raftkv.errors import ClientError, LeaseNotFound, RaftkvError


class RateLimiter:
    """At most ``limit`` in ``window`` seconds, for all who use the same ``name``. Threads may share one."""

    def __init__(self, client: raftkv.Client, name: str, limit: int, window: float) -> None:
        self._client = client
        self._key = f"rate/{name}"
        self._limit = limit
        self._window = window

    def allow(self, cost: int = 1) -> bool:
        """Count ``cost`` and say True, or count nothing and say False.

        Raises ``OutcomeUnknown`` when it may or may not have been counted, another ``ClientError`` when it
        was not. The limit holds in each case; whether a request goes ahead while nobody can be asked is for
        the caller to say."""
        if cost > self._limit:
            return False
        while True:
            bucket = self._client.get(self._key)
            if bucket is None:
                done = self._open(cost)
            elif int(bucket.value) + cost > self._limit:
                return False
            else:
                done = self._count(bucket, cost)
            if done:
                return True  # else somebody else came first, or the window has just ended: look again

    def left(self) -> int:
        """How much the window still has room for."""
        bucket = self._client.get(self._key)
        return self._limit - (int(bucket.value) if bucket else 0)

    def _open(self, cost: int) -> bool:
        """Begin a window, unless there is one already."""
        lease = self._client.lease(self._window)  # not renewed: its end is the window's
        try:
            put = txn.put(self._key, str(cost), lease.id)
            done = self._client.txn([txn.absent(self._key)], [put]).succeeded
        except LeaseNotFound:  # this process slept for a whole window
            return False
        # An unknown outcome leaves the lease alone: others may be counting in its window already.
        if not done:
            with suppress(ClientError):  # it ends by itself as well
                lease.revoke()
        return done

    def _count(self, bucket: Entry, cost: int) -> bool:
        """Add to the window's count, unless it has changed since."""
        # With its lease: a put without one would let the key outlive the window.
        put = txn.put(self._key, str(int(bucket.value) + cost), bucket.lease)
        try:
            return self._client.txn([txn.mod_revision(self._key) == bucket.mod_revision], [put]).succeeded
        except LeaseNotFound:
            return False


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask a shared rate limiter, and print what it says.")
    parser.add_argument("endpoints", nargs="+", metavar="ENDPOINT", help="tcp://host:port of a node")
    parser.add_argument("--name", default="example")
    parser.add_argument("--limit", type=int, default=3, help="requests in a window")
    parser.add_argument("--window", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--requests", type=int, default=5, help="how many to ask for")
    arguments = parser.parse_args()
    with raftkv.Client(arguments.endpoints) as client:
        limiter = RateLimiter(client, arguments.name, arguments.limit, arguments.window)
        for _ in range(arguments.requests):
            print("allowed" if limiter.allow() else "refused", flush=True)


if __name__ == "__main__":
    try:
        main()
    except RaftkvError as error:
        raise SystemExit(str(error)) from None
