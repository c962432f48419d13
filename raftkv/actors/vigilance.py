"""Whether to sleep until there is news, or to go on asking for it.

A thread that sleeps has to be woken, and a core that had nothing else to do as well: together that takes as
long as a turn of the loop, and a request waits for it at each of its hops. Under load the next message is
mostly there within a fraction of a millisecond, and whoever asks for it again and again has it at once. Where
it is not, asking would only burn the core, so a node does it while what came lately came soon.
"""

from __future__ import annotations

ENOUGH = 8
"""So many more short waits than ``LONG_WEIGH`` times the long ones, before it pays to stay awake."""
MOST = 16
"""No past counts for more: three long waits in a row end it."""
LONG_WEIGH = 4
"""A request now and then is two or three short waits between two long ones: never enough."""


class Vigilance:
    """``seconds``: how long to stay awake at most; 0: never."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._score = 0

    @property
    def awake(self) -> bool:
        return self._score >= ENOUGH

    def waited(self, seconds: float) -> None:
        """For news, in one way or the other."""
        if seconds < self.seconds:
            self._score = min(self._score + 1, MOST)
        else:
            self._score = max(self._score - LONG_WEIGH, 0)
