"""How long a client waits for an answer before it does something about it.

Where answers come at once, the times are short. Where they take longer, as large ones do on a slow line, they
are twice as long as the slowest of the latest took, and each time that was in vain twice as long again; where
much is under way, as long as a slow line takes for that. For every copy of a request, and the answer to it,
goes through the same line.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from raftkv.client.calls import Call
from raftkv.client.peers import Peer

DESERT_SECONDS = 0.6
"""Silent for this long, the leader may be out of our reach only: another node can forward."""
RESEND_SECONDS = 1.0
"""A request open for this long is sent again: a follower may have lost it on the way to the leader."""
PATIENCE_SECONDS_MAX = 8.0
SLOW_LINE_BYTES = 1 << 20
"""A second."""
DECAY = 7 / 8
"""Of the time that the slowest of the latest answers took, with each quicker one."""
_TIMES_MAX = 8


class Patience:
    """Seconds throughout."""

    def __init__(self) -> None:
        self._slowest = 0.0
        """Of the latest answers."""
        self._moves = 0
        """From one silent node to another, since anybody has answered anything."""
        self._overdue_at = -math.inf
        """No call is overdue before that."""

    def answered(self, call: Call, now: float) -> None:
        # Nobody knows which copy of a call that was asked again this answers.
        took = now - (call.started if call.tries else call.sent_at)
        self._slowest = took if took > self._slowest else self._slowest * DECAY
        self._moves = 0

    def moved(self) -> None:
        self._moves += 1

    def desert(self, open_bytes: int) -> float:
        """For a node that does not say anything, though it was asked something of so many bytes."""
        return self._after(DESERT_SECONDS, open_bytes, self._moves)

    def resend(self, call: Call, open_bytes: int) -> float:
        """For the answer to a request, one of so many bytes that are under way, since it was sent."""
        return self._after(RESEND_SECONDS, open_bytes, call.tries)

    def take_overdue(self, peers: Collection[Peer], now: float) -> list[Call]:
        """The calls that have waited for long enough, until they are sent again."""
        if now < self._overdue_at:
            return []
        self._overdue_at = now + RESEND_SECONDS  # of whatever is asked from now on
        overdue = []
        for peer in peers:
            for call in peer.calls.values():
                due = call.sent_at + self.resend(call, peer.open_bytes)
                if due <= now:
                    overdue.append(call)
                else:
                    self._overdue_at = min(self._overdue_at, due)
        return overdue

    def _after(self, seconds: float, open_bytes: int, times: int) -> float:
        once = max(seconds, 2 * self._slowest, open_bytes / SLOW_LINE_BYTES)
        return min(once * 2.0 ** min(times, _TIMES_MAX), PATIENCE_SECONDS_MAX)
