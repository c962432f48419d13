"""A leader's book about one peer (thesis §10.2.1).

PROBE: how much of its log matches is unknown; one append at a time, none while one is open.
REPLICATE: it matches; appends are pipelined up to a bounded number of messages and bytes.
SNAPSHOT: what it lacks is not in the log any more; chunks are sent, a few at a time.

Invariants: ``match_index < next_index``; the window is empty but in REPLICATE; ``stream`` exists exactly
in SNAPSHOT.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from raftkv.raft.messages import SnapshotMark
from raftkv.types import LogIndex

NEVER = -(1 << 62)
"""Before any tick."""


class ProgressState(Enum):
    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


SLOWEST_DECAY = 7 / 8
"""Of how long the slowest of the latest chunks took, with each quicker one."""
CHECKS_MAX = 256
"""That are waited for before anything is sent again, however long it took before."""


class Stream:
    """How far a snapshot has come on its way to a peer."""

    __slots__ = (
        "_slowest",
        "_tries",
        "_unsent",
        "_waited",
        "acked",
        "acked_at_check",
        "doubtful",
        "mark",
        "sent",
    )

    def __init__(self, mark: SnapshotMark) -> None:
        self.mark = mark
        self.sent = 0
        """Chunks below this were sent."""
        self.acked = 0
        self.acked_at_check = 0
        self._waited = 0
        """Checks in a row that found nothing acknowledged since the one before,"""
        self._unsent = 0
        """and those since something was sent again."""
        self._tries = 0
        """How often that was, since anything was acknowledged."""
        self._slowest = 0.0
        """The most checks that it lately took: over a long way, or to a slow disk."""
        self.doubtful = False
        """Nothing came back of what was in flight: one at a time, until something does."""

    def take(self, inflights_max: int) -> range:
        """The chunks to be sent now."""
        window = 1 if self.doubtful else inflights_max
        first, self.sent = self.sent, max(self.sent, min(self.mark.chunks, self.acked + window))
        return range(first, self.sent)

    def acknowledged(self, next_number: int) -> None:
        """Less than before: the peer has started over."""
        self.doubtful = False
        self._slowest = max(self._waited, self._slowest * SLOWEST_DECAY)
        self._waited = self._unsent = self._tries = 0
        if next_number < self.acked:
            self.sent = next_number
        self.acked = min(next_number, self.mark.chunks - 1)
        self.sent = max(self.sent, self.acked)

    def begun_anew(self) -> None:
        """At the other end, where nothing is left of what was in flight."""
        self._waited = self._unsent = self._tries = 0
        self._slowest = 0.0

    def check(self) -> None:
        """Nothing acknowledged for twice as long as it took lately, and then for twice as long each time:
        what is in flight may be lost."""
        if self.acked != self.acked_at_check:
            self.acked_at_check = self.acked
            return
        self._waited += 1
        self._unsent += 1
        if self._unsent >= min(max(1.0, 2 * self._slowest) * 2**self._tries, CHECKS_MAX):
            self._unsent = 0
            self._tries = min(self._tries + 1, 8)
            self.sent = self.acked
            self.doubtful = True


class Progress:
    __slots__ = (
        "acked_us",
        "behind",
        "book",
        "check_due",
        "clients_heard_at",
        "commit_sent",
        "full",
        "inflight_bytes",
        "inflights",
        "match_index",
        "match_when_judged",
        "next_index",
        "probe_open",
        "recent_active",
        "round_sent",
        "state",
        "stream",
        "was_active",
    )

    def __init__(self, next_index: LogIndex, book: int = 0) -> None:
        """``book``: tells this one from an earlier one about the same peer, in the same term."""
        self.book = book
        self.acked_us = 0
        """When the latest heartbeat was sent that the peer has answered, by this leader's clock."""
        self.match_index = LogIndex(0)
        self.next_index = next_index
        self.state = ProgressState.PROBE
        self.probe_open = False
        self.inflights: deque[tuple[LogIndex, int]] = deque()
        """(last index, bytes) of every append not yet acknowledged."""
        self.inflight_bytes = 0
        self.stream: Stream | None = None
        self.recent_active = False
        """Heard from since the last check of the quorum."""
        self.was_active = False
        """Heard from between the last check of the quorum and the one before."""
        self.behind = False
        """With applying: it would not take over."""
        self.full = False
        """Its disk, as it said last."""
        self.clients_heard_at = NEVER
        """When it last asked something for clients of its own, in ticks of this leadership."""
        self.commit_sent = LogIndex(0)
        """The highest commit index that an append or a heartbeat has told it."""
        self.round_sent = 0
        """The round of reads that the latest heartbeat told it."""
        self.check_due = False
        """A regular heartbeat was sent since ``judge_silence`` was asked last."""
        self.match_when_judged = LogIndex(0)
        """``match_index`` when something was in flight then."""

    @property
    def alive(self) -> bool:
        """Right after a check nobody has been heard from yet."""
        return self.recent_active or self.was_active

    def can_send(self, inflights_max: int, inflight_bytes_max: int) -> bool:
        if self.state is not ProgressState.REPLICATE:
            return self.state is ProgressState.PROBE and not self.probe_open
        return len(self.inflights) < inflights_max and self.inflight_bytes < inflight_bytes_max

    def sent(self, last_index: LogIndex, size: int) -> None:
        """An append up to ``last_index`` left; REPLICATE assumes that it arrives."""
        if self.state is ProgressState.PROBE:
            self.probe_open = True
        elif self.state is ProgressState.REPLICATE and last_index >= self.next_index:
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
        if self.stream and match_index < self.stream.mark.index:
            # An answer from before: the log may not be able to go on from there.
            self.next_index = max(self.next_index, LogIndex(self.match_index + 1))
            return news
        if self.state is not ProgressState.REPLICATE:
            self.state = ProgressState.REPLICATE
            self.stream = None
            self.probe_open = False
            self.next_index = LogIndex(self.match_index + 1)
        else:
            self.next_index = max(self.next_index, LogIndex(self.match_index + 1))
        return news

    def judge_silence(self) -> bool:
        """At an answer to a heartbeat, whose peer is there: was something lost that it should have had?
        Chunks of a snapshot may be sent again from then on. True: it is to be asked whether it holds what
        goes before ``next_index``.

        Judged once for each regular heartbeat. Rounds of reads bring thousands more in a second, and what was
        sent a millisecond ago is not lost."""
        if not self.check_due:
            return False
        self.check_due = False
        if self.stream:
            self.stream.check()
        if self.probe_open:
            return True  # may carry a mebibyte, which heartbeats overtake: a question is small
        if self.state is not ProgressState.REPLICATE or self.next_index - 1 == self.match_index:
            return False
        # Something is in flight, and was at the last check that found this: has any of it arrived since?
        stalled = self.match_index == self.match_when_judged
        self.match_when_judged = self.match_index
        return stalled

    def begun_anew(self) -> None:
        """The peer has started again: how long it lately took to answer was of its last life."""
        if self.stream:
            self.stream.begun_anew()

    def rejected(self, prev_log_index: LogIndex, next_index: LogIndex) -> None:
        """The peer lacks ``prev_log_index``; go on from ``next_index``. Not for an answer that is stale, or
        that takes back what the peer acknowledged before: to probe again at once would only get the same
        answer, as fast as the network can carry it."""
        if prev_log_index <= self.match_index or self.stream:
            return
        if self.state is ProgressState.PROBE and prev_log_index != self.next_index - 1:
            return
        self.become_probe(next_index)

    def become_probe(self, next_index: LogIndex) -> None:
        self.state = ProgressState.PROBE
        self.probe_open = False
        self.inflights.clear()
        self.inflight_bytes = 0
        self.next_index = max(next_index, LogIndex(self.match_index + 1))

    def become_snapshot(self, mark: SnapshotMark) -> None:
        """Entries from ``next_index`` on are gone; the peer gets ``mark`` first."""
        self.become_probe(self.next_index)
        self.state = ProgressState.SNAPSHOT
        self.stream = Stream(mark)
