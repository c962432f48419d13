"""How long a client waits for an answer before it does something about it.

Where answers come at once, the times are short. On a slow line they take longer, and every copy of a request,
and the answer to it, goes through the same line. So whoever does not answer is asked again, or left, after
twice as long as the slowest of the latest answers took, or as a slow line takes for what is under way, within
bounds; and each time that was in vain after twice as long again.

But connections keep the order: a node that has answered a HELLO, which was sent after a request, has got the
request, and its answer is not under way. It may be lost, and is asked for as often as ever.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from raftkv.client.calls import Call
from raftkv.client.peers import Peer

DESERT_SECONDS, DESERT_SECONDS_MAX = 0.6, 4.0
"""Silent for this long, the leader may be out of our reach only: another node can forward."""
SLOW_LINE_BYTES = 1 << 20
"""A second."""
SLOW_SECONDS_MAX = 2.0
"""More is not made of either by what is slow."""
RESEND_SECONDS, RESEND_SECONDS_MAX = 1.0, 8.0
"""A request open for this long is sent again: a follower may have lost it on the way to the leader."""
OVERTAKEN_SECONDS = 0.15
"""A HELLO that is answered so long after a request was sent was sent after it: at silence of so long."""
SLOW_SECONDS = 10.0
"""For so long an answer says something of the next ones."""
LOOK_SECONDS = 0.1
"""Between two looks for what is overdue, where some is and some is not yet."""


class Patience:
    """Seconds throughout."""

    def __init__(self) -> None:
        self._slowest = 0.0
        """Of the latest answers,"""
        self._slowest_at = -math.inf
        """and when that was."""
        self._moves = 0
        """From one silent node to another, since anybody has answered anything."""
        self._overdue_at = -math.inf
        """No call is overdue before that."""

    def answered(self, call: Call, endpoint: str, now: float) -> None:
        self._moves = 0
        if endpoint != call.first_asked:
            return  # that one did not take long: we waited for another first
        took = now - call.sent_at  # at least, where it was asked again
        if took >= self._slowest or now - self._slowest_at > SLOW_SECONDS:
            self._slowest, self._slowest_at = took, now

    def moved(self) -> None:
        self._moves += 1

    def _slow(self, open_bytes: int, now: float) -> float:
        lately = self._slowest if now - self._slowest_at <= SLOW_SECONDS else 0.0
        return min(max(2 * lately, open_bytes / SLOW_LINE_BYTES), SLOW_SECONDS_MAX)

    def desert(self, open_bytes: int, now: float) -> float:
        """For a node that does not say anything, though it was asked something of so many bytes."""
        once = max(DESERT_SECONDS, self._slow(open_bytes, now))
        return min(once * 2.0 ** min(self._moves, 8), DESERT_SECONDS_MAX)

    def resend(self, call: Call, peer: Peer, now: float) -> float:
        """For the answer of ``peer`` to a request, since it was sent."""
        if peer.hello_at - call.sent_at >= OVERTAKEN_SECONDS:
            return RESEND_SECONDS
        once = max(RESEND_SECONDS, self._slow(peer.open_bytes, now))
        return min(once * 2.0 ** min(call.tries, 8), RESEND_SECONDS_MAX)

    def take_overdue(self, peers: Collection[Peer], now: float) -> list[Call]:
        """The calls that have waited for long enough, until they are sent again."""
        if now < self._overdue_at:
            return []
        due_next = now + RESEND_SECONDS  # of whatever is asked from now on
        overdue = []
        for peer in peers:
            for call in peer.calls.values():
                due = call.sent_at + self.resend(call, peer, now)
                if due <= now:
                    overdue.append(call)
                else:
                    due_next = min(due_next, due)
        # A HELLO may make one due sooner than it was.
        self._overdue_at = max(now + LOOK_SECONDS, min(due_next, now + RESEND_SECONDS / 4))
        return overdue
