"""What actors live in: mailboxes, timers, and turns.

One turn: whatever arrived is put into mailboxes, due timers fire, mailboxes are run until all are
empty, then every actor's ``end_of_turn`` runs in a fixed order (again with what it sends). So
everything that arrived together is answered together: that is the batching. What cannot wait for a turn may
be handled ahead of it (``begin_turn``, ``run_mailboxes``).
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from raftkv.wire.packing import FRAME_BYTES_MAX

ActorName = Literal[
    "audit",
    "control",
    "faults",
    "gateway",
    "leases",
    "node",
    "peers",
    "raft",
    "status",
    "storage",
    "store",
    "watches",
]
PEAK_SECONDS = 0.1
"""How long the deepest mailboxes are remembered at least."""


class Port(Protocol):
    """The outside, as frames. Never blocks."""

    def receive(self, frames_max: int, bytes_max: int = FRAME_BYTES_MAX) -> list[list[bytes]]:
        """Whatever has arrived, oldest first, at most ``frames_max`` multipart frames, and none after that
        with which there are ``bytes_max`` in them."""
        ...

    def send(self, frame: Sequence[bytes]) -> bool:
        """False when the frame was dropped: nobody there, or too slow."""
        ...

    def close(self) -> None: ...


class Actor(Protocol):
    """One that gathers during a turn and acts at its end has ``end_of_turn()`` as well: everything that came
    in this turn has been handled then."""

    def handle(self, message: Any) -> None: ...


class Context(Protocol):
    """All that an actor may use of the world."""

    @property
    def random(self) -> random.Random: ...
    def now(self) -> float:
        """Seconds of a monotonic clock; the same throughout one turn."""
        ...

    def fresh_now(self) -> float:
        """The same clock, looked at now."""
        ...

    def lease_now(self) -> float:
        """As ``fresh_now``, by a clock that goes on while the machine sleeps."""
        ...

    def true_now(self) -> float:
        """Seconds of the world's clock, whatever was done to this node's own; the same throughout one turn.
        For what concerns the operator and not the protocol."""
        ...

    def send(self, to: ActorName, message: Any) -> None: ...
    def set_true_timer(self, to: ActorName, delay: float, message: Any) -> None:
        """As ``set_timer``, by the world's clock."""
        ...

    def set_timer(self, to: ActorName, delay: float, message: Any) -> None:
        """Put ``message`` into the mailbox after ``delay`` seconds, never before."""
        ...


class System:
    """Implements ``Context`` and runs turns. ``clock`` is anything that gives seconds; ``slept`` gives those
    that it has not counted, while the machine slept."""

    def __init__(self, clock: Any, rng: random.Random, slept: Callable[[], float] = lambda: 0.0) -> None:
        self._clock = clock
        self._slept = slept
        self._random = rng
        self._now = self._true_now = float(clock())
        self._rate = 1.0
        self._base = (self._now, self._now)
        """(the clock's time, ours) when the rate was last set."""
        self._mailboxes: dict[ActorName, _Mailbox] = {}
        self._endings: list[Callable[[], None]] = []
        self._awake: deque[_Mailbox] = deque()
        """Mailboxes with messages, in the order in which they got their first one."""
        self._timers: list[tuple[float, int, ActorName, Any]] = []
        self._true_timers: list[tuple[float, int, ActorName, Any]] = []
        self._timer_count = 0
        self._peaks_until = self._now + PEAK_SECONDS

    def add(self, name: ActorName, actor: Actor) -> None:
        """Actors that have an ``end_of_turn`` end their turns in the order in which they were added."""
        self._mailboxes[name] = _Mailbox(actor)
        end_of_turn: Callable[[], None] | None = getattr(actor, "end_of_turn", None)
        if end_of_turn:
            self._endings.append(end_of_turn)

    @property
    def random(self) -> random.Random:
        return self._random

    def now(self) -> float:
        return self._now

    def fresh_now(self) -> float:
        return self._ours(float(self._clock()))

    def lease_now(self) -> float:
        return self.fresh_now() + self._slept()

    def true_now(self) -> float:
        return self._true_now

    def _ours(self, time: float) -> float:
        true, ours = self._base
        return ours + (time - true) * self._rate

    def send(self, to: ActorName, message: Any) -> None:
        mailbox = self._mailboxes[to]
        if not mailbox.messages:
            self._awake.append(mailbox)
        mailbox.messages.append(message)

    def set_timer(self, to: ActorName, delay: float, message: Any) -> None:
        self._timer_count += 1  # orders equal times, and keeps messages from being compared
        heapq.heappush(self._timers, (self._now + delay, self._timer_count, to, message))

    def set_true_timer(self, to: ActorName, delay: float, message: Any) -> None:
        self._timer_count += 1
        heapq.heappush(self._true_timers, (self._true_now + delay, self._timer_count, to, message))

    def begin_turn(self) -> None:
        self._true_now = float(self._clock())
        self._now = self._ours(self._true_now)
        if self._true_now >= self._peaks_until:
            self._peaks_until = self._true_now + PEAK_SECONDS
            for mailbox in self._mailboxes.values():
                mailbox.before, mailbox.deepest = mailbox.deepest, 0

    def set_clock_rate(self, rate: float) -> None:
        """Let time pass faster or slower from now on: a node whose clock is wrong."""
        self._base = (float(self._clock()), self._now)
        self._rate = rate

    def finish_turn(self) -> None:
        """Fire due timers, run the mailboxes, end the turn."""
        for timers, now in ((self._timers, self._now), (self._true_timers, self._true_now)):
            while timers and timers[0][0] <= now:
                _, _, to, message = heapq.heappop(timers)
                self.send(to, message)
        self.run_mailboxes()
        for end_turn in self._endings:
            end_turn()
            if self._awake:
                self.run_mailboxes()

    def next_timer(self) -> float | None:
        """When the next timer is due, in seconds of the clock."""
        due = self._true_timers[0][0] if self._true_timers else None
        if not self._timers:
            return due
        true, ours = self._base
        own = true + (self._timers[0][0] - ours) / self._rate
        return own if due is None else min(own, due)

    def deepest_mailboxes(self) -> dict[str, int]:
        """The most messages that waited at once for each, in the last ``PEAK_SECONDS`` or twice that."""
        return {name: max(mailbox.deepest, mailbox.before) for name, mailbox in self._mailboxes.items()}

    def run_mailboxes(self) -> None:
        """Until they are empty."""
        while self._awake:
            mailbox = self._awake.popleft()
            handle, messages = mailbox.actor.handle, mailbox.messages
            if len(messages) > mailbox.deepest:
                mailbox.deepest = len(messages)
            while messages:
                # Read before it is removed: an actor that sends to itself is awake already.
                handle(messages[0])
                messages.popleft()


class _Mailbox:
    __slots__ = ("actor", "before", "deepest", "messages")

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.messages: deque[Any] = deque()
        self.deepest = self.before = 0
