"""A leader's book about one peer (thesis §10.2.1).

PROBE: how much of its log matches is unknown; one append at a time, none while one is open.
REPLICATE: it matches; appends are pipelined up to a bounded number of messages and bytes.

Invariants: ``match_index < next_index``; in PROBE the window is empty.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from raftkv.types import LogIndex


class ProgressState(Enum):
    PROBE = "probe"
    REPLICATE = "replicate"


class Progress:
    __slots__ = (
        "commit_sent",
        "inflight_bytes",
        "inflights",
        "match_at_heartbeat",
        "match_index",
        "next_index",
        "probe_open",
        "recent_active",
        "state",
    )

    def __init__(self, next_index: LogIndex) -> None:
        self.match_index = LogIndex(0)
        self.next_index = next_index
        self.state = ProgressState.PROBE
        self.probe_open = False
        self.inflights: deque[tuple[LogIndex, int]] = deque()
        """(last index, bytes) of every append not yet acknowledged."""
        self.inflight_bytes = 0
        self.recent_active = False
        """Heard from since the last check of the quorum."""
        self.commit_sent = LogIndex(0)
        self.match_at_heartbeat = LogIndex(0)

    def can_send(self, inflights_max: int, inflight_bytes_max: int) -> bool:
        if self.state is ProgressState.PROBE:
            return not self.probe_open
        return len(self.inflights) < inflights_max and self.inflight_bytes < inflight_bytes_max

    def sent(self, last_index: LogIndex, size: int) -> None:
        """An append up to ``last_index`` left; REPLICATE assumes that it arrives."""
        if self.state is ProgressState.PROBE:
            self.probe_open = True
        elif last_index >= self.next_index:
            self.next_index = LogIndex(last_index + 1)
            self.inflights.append((last_index, size))
            self.inflight_bytes += size

    def acknowledged(self, match_index: LogIndex) -> bool:
        """The peer holds everything up to ``match_index``. True when that is news."""
        while self.inflights and self.inflights[0][0] <= match_index:
            self.inflight_bytes -= self.inflights.popleft()[1]
        news = match_index > self.match_index
        if news:
            self.match_index = match_index
        if self.state is ProgressState.PROBE:
            self.state = ProgressState.REPLICATE
            self.probe_open = False
            self.next_index = LogIndex(self.match_index + 1)
        else:
            self.next_index = max(self.next_index, LogIndex(self.match_index + 1))
        return news

    def rejected(self, prev_log_index: LogIndex, next_index: LogIndex) -> bool:
        """The peer lacks ``prev_log_index``; go on from ``next_index``. False for an answer that is
        stale, or that takes back what the peer acknowledged before: to probe again at once would
        only get the same answer, as fast as the network can carry it."""
        if prev_log_index <= self.match_index:
            return False
        if self.state is ProgressState.PROBE and prev_log_index != self.next_index - 1:
            return False
        self.become_probe(next_index)
        return True

    def become_probe(self, next_index: LogIndex) -> None:
        self.state = ProgressState.PROBE
        self.probe_open = False
        self.inflights.clear()
        self.inflight_bytes = 0
        self.next_index = max(next_index, LogIndex(self.match_index + 1))
