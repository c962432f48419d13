"""Whether to sleep until there is news, or to go on asking for it: busy polling.

A thread that sleeps has to be woken, and a core that had nothing else to do as well: together that takes as
long as a turn of the loop, and a request waits for it at each of its hops. Under load the next message is
mostly there within a fraction of a millisecond, and whoever asks for it again and again has it at once. Where
it is not, asking would only burn the core, so a node does it while what came lately came soon.
"""

from __future__ import annotations

ENOUGH = 8
"""So many more short waits than ``LONG_WEIGH`` times the long ones, before polling pays."""
MOST = 16
"""No past counts for more: three long waits in a row end it."""
LONG_WEIGH = 4
"""A request now and then is two or three short waits between two long ones: never enough."""
BACKOFF_MIN, BACKOFF_MAX = 16, 1024
"""Short waits for which a node sleeps that was preempted; twice as many each time, until it is left alone."""


class BusyPoll:
    """``seconds``: how long to poll at most in one wait; 0: never."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._score = 0
        """Below 0 while backing off."""
        self._backoff = BACKOFF_MIN

    @property
    def pays(self) -> bool:
        return self._score >= ENOUGH

    def waited(self, seconds: float) -> None:
        """For news, in one way or the other."""
        if seconds < self.seconds:
            if self._score == MOST:
                self._backoff = max(self._backoff - 1, BACKOFF_MIN)
            self._score = min(self._score + 1, MOST)
        elif self._score > 0:
            self._score = max(self._score - LONG_WEIGH, 0)

    def preempted(self) -> None:
        """Somebody who was let on the core kept it for longer than the node would have polled: another
        program that computes. Who sleeps gets it back at once when there is news, who yields does not."""
        self._score = -self._backoff
        self._backoff = min(2 * self._backoff, BACKOFF_MAX)
