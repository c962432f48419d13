"""The way to one peer.

On a slow line a large frame takes longer than an election timeout, and heartbeats or votes behind it come too
late. So while large frames may be under way, what says who leads takes a second connection, which is opened
when it is first needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from raftkv.actors.system import Port
from raftkv.observe import LinkFault
from raftkv.raft import messages
from raftkv.wire.peer import Item

URGENT = (
    messages.Heartbeat,
    messages.HeartbeatResponse,
    messages.PreVote,
    messages.PreVoteResponse,
    messages.RequestVote,
    messages.RequestVoteResponse,
    messages.TimeoutNow,
)
"""None of them loses anything by overtaking entries: a network might do the same."""
HEAVY_FRAME_BYTES = 64 << 10
"""A frame of more may be under way for a while,"""
SLOW_LINE_BYTES = 256 << 10
"""on a line that carries so much a second,"""
HEAVY_SECONDS_MAX = 10.0
"""as far as is looked ahead."""


class Link:
    __slots__ = (
        "_connect",
        "_heavy_until",
        "_urgent",
        "disowned_at",
        "dropped",
        "endpoint",
        "expires",
        "fault",
        "generation",
        "introduced_at",
        "outbox",
        "port",
        "sent",
    )

    def __init__(self, endpoint: str, connect: Callable[[bool], Port]) -> None:
        """``connect`` opens the first connection, or the second (True)."""
        self.outbox: list[Item] = []
        self.disowned_at = -math.inf
        self.fault: LinkFault | None = None
        self.expires: float | None = None
        self.generation = 0
        self.sent = 0
        self.dropped = 0
        self._begin(endpoint, connect)

    def _begin(self, endpoint: str, connect: Callable[[bool], Port]) -> None:
        self.endpoint = endpoint
        self._connect = connect
        self.port = connect(False)
        self._urgent: Port | None = None
        self._heavy_until = -math.inf
        """Large frames may be under way until then."""
        self.introduced_at = -math.inf

    def move(self, endpoint: str, connect: Callable[[bool], Port]) -> None:
        """The peer is reached elsewhere now."""
        self.close()
        self._begin(endpoint, connect)

    def close(self) -> None:
        self.port.close()
        if self._urgent:
            self._urgent.close()

    def take_urgent(self, now: float) -> list[Item]:
        """What must not wait behind large frames, if there are any."""
        if now >= self._heavy_until:
            return []
        urgent: list[Item] = [item for item in self.outbox if isinstance(item, URGENT)]
        if urgent:
            self.outbox = [item for item in self.outbox if not isinstance(item, URGENT)]
        return urgent

    def send(self, frame: bytes, urgent: bool, now: float) -> bool:
        """Whether it has left; ``urgent``: by the second connection, if that is there."""
        if urgent and self._urgent and self._urgent.send((frame,)):
            return True
        if not self.port.send((frame,)):
            return False
        if len(frame) > HEAVY_FRAME_BYTES:
            until = max(now, self._heavy_until) + len(frame) / SLOW_LINE_BYTES
            self._heavy_until = min(until, now + HEAVY_SECONDS_MAX)
            if self._urgent is None:
                self._urgent = self._connect(True)
        return True
