"""Exactly once: what each client was answered, bounded and the same on every node (§8).

A retry carries the (client id, sequence) of the first try and gets the first answer. Answers below
the client's ``floor`` are dropped: it has told us that it no longer waits for them.

At most ``SESSIONS_MAX`` clients are remembered, and ``ANSWERS_TOTAL_BYTES_MAX`` of what they were answered;
the one idle for longest (in log order) goes first. One that was idle for ``SESSION_IDLE_MS`` goes anyway.
Both are counted in the log, entries the one and the leaders' clock entries the other, so every node forgets
the same client at the same entry.
A retry from a forgotten client must not pass for a new one (PITFALLS 35). So each command carries
``born``, an index its client knew *before* its first write, and the table keeps a ``horizon``: the
highest last activity of any client it forgot. A client that was forgotten was active after its
birth and at or before the horizon, hence ``born < horizon``. An unknown client with
``born >= horizon`` therefore was never here, and any other is told that its session has expired.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

from raftkv.kv.limits import (
    ANSWERS_BYTES_MAX,
    ANSWERS_TOTAL_BYTES_MAX,
    SESSION_IDLE_MS,
    SESSIONS_MAX,
)

UNBOUNDED = 1 << 62
_VALUE_BYTES = 8


class Answer(NamedTuple):
    """What the client gets: ``code``, the store's revision then, and a detail by operation."""

    code: int
    revision: int
    detail: Any = None


class Session:
    __slots__ = ("answers", "floor", "highest", "last_index", "last_ms", "weight")

    def __init__(self) -> None:
        self.answers: dict[int, Answer] = {}
        self.floor = 0
        self.highest = 0
        """The highest sequence answered."""
        self.last_index = 0
        self.last_ms = 0
        """Log time of the last activity."""
        self.weight = 0
        """Of the details of all answers, about, in bytes. It decides what is refused, so it must follow from
        the answers alone: a node that has them from a snapshot weighs them anew."""

    def weigh(self) -> None:
        self.weight = sum([weight(answer.detail) for answer in self.answers.values() if answer.detail])

    def copy(self) -> Session:
        same = Session()
        same.answers = dict(self.answers)
        same.floor, same.highest = self.floor, self.highest
        same.last_index, same.last_ms = self.last_index, self.last_ms
        same.weight = self.weight
        return same

    def keep(self, sequence: int, answer: Answer) -> None:
        self.answers[sequence] = answer
        if answer.detail:
            self.weight += weight(answer.detail)
        if sequence > self.highest:
            self.highest = sequence

    def raise_floor(self, floor: int) -> None:
        """Forget every answer below ``floor``, which exceeds the present one."""
        if floor > self.highest:
            self.answers.clear()  # the usual case: a client with one request at a time
            self.weight = 0
        elif floor - self.floor <= len(self.answers):
            for sequence in range(self.floor, floor):
                answer = self.answers.pop(sequence, None)
                if answer is not None and answer.detail:
                    self.weight -= weight(answer.detail)
        else:  # the gap may be as wide as a hostile client likes
            self.answers = {kept: self.answers[kept] for kept in self.answers if kept >= floor}
            self.weigh()
        self.floor = floor


def weight(detail: Any) -> int:
    """About how many bytes an answer's detail has."""
    if type(detail) is bytes or type(detail) is str:
        return len(detail) + _VALUE_BYTES
    if isinstance(detail, tuple | list):
        return sum(map(weight, detail)) + _VALUE_BYTES
    return _VALUE_BYTES


class SessionLimits(NamedTuple):
    """The same on all nodes, or their tables come apart."""

    sessions_max: int = SESSIONS_MAX
    idle_ms: int = SESSION_IDLE_MS
    answers_bytes_max: int = ANSWERS_BYTES_MAX
    answers_total_bytes_max: int = ANSWERS_TOTAL_BYTES_MAX


class Sessions:
    def __init__(self, limits: SessionLimits) -> None:
        self.limits = limits
        self.now_ms = 0
        """Log time: what the leaders' clock entries add up to."""
        self._table: OrderedDict[int, Session] = OrderedDict()
        self._to_capture: dict[int, Session] = {}
        """Those of the moment at which a snapshot began that it has not taken yet."""
        self._captured: list[tuple[int, Session]] = []
        """Taken out of turn, because they were about to change."""
        self.horizon = 0
        self.weight = 0
        """Of all sessions together."""

    def __len__(self) -> int:
        return len(self._table)

    def enter(self, client_id: int, born: int, index: int) -> Session | None:
        """The client's session, now its most recent; None when it was, or may have been, forgotten, and where
        it began at a later entry than this one: that was in another log."""
        session = self._table.get(client_id)
        if session is None:
            if born < self.horizon or born >= index:
                return None
            session = self._table[client_id] = Session()
            if len(self._table) > self.limits.sessions_max:
                self._forget_oldest()
        else:
            self._table.move_to_end(client_id)
            if self._to_capture:
                before = self._to_capture.pop(client_id, None)
                if before is not None:
                    self._captured.append((client_id, before.copy()))
        session.last_index, session.last_ms = index, self.now_ms
        return session

    def raise_floor(self, session: Session, floor: int) -> None:
        self.weight -= session.weight
        session.raise_floor(floor)
        self.weight += session.weight

    def keep(self, session: Session, sequence: int, answer: Answer) -> None:
        """``session`` is the most recent."""
        self.weight -= session.weight
        session.keep(sequence, answer)
        self.weight += session.weight
        while self.weight > self.limits.answers_total_bytes_max and len(self._table) > 1:
            self._forget_oldest()

    def room(self, session: Session, sequence: int) -> int:
        """For the answer to ``sequence``, in bytes of ``weight``. Where there are none yet any finds room. So
        does the lowest that is waited for, or the floor could never rise to let go of the others."""
        if sequence == session.floor or not session.weight:
            return UNBOUNDED
        return self.limits.answers_bytes_max - session.weight

    def advance(self, elapsed_ms: int) -> None:
        """Log time goes on; whoever was idle for too long is forgotten."""
        self.now_ms += elapsed_ms
        oldest = self.now_ms - self.limits.idle_ms
        while self._table and next(iter(self._table.values())).last_ms < oldest:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, forgotten = self._table.popitem(last=False)
        self.horizon = max(self.horizon, forgotten.last_index)
        self.weight -= forgotten.weight

    # -- snapshots

    def begin_capture(self) -> None:
        self._to_capture = dict(self._table)

    def take_captured(self) -> tuple[int, Session] | None:
        """One session as it was when the capture began; None when there is none left."""
        if self._captured:
            return self._captured.pop()
        return self._to_capture.popitem() if self._to_capture else None

    def end_capture(self) -> None:
        self._to_capture, self._captured = {}, []

    def load(self, rows: Iterable[tuple[int, Session]]) -> None:
        """The sessions of a snapshot, the longest idle first."""
        self._table = OrderedDict(rows)
        self.weight = sum([session.weight for session in self._table.values()])
