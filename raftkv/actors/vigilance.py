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
SHYNESS_LEAST, SHYNESS_MOST = 16, 1024
"""Short waits for which a node that was robbed sleeps; twice as many each time, until it is left in peace."""


class Vigilance:
    """``seconds``: how long to stay awake at most; 0: never."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._score = 0
        """Below 0 after a robbery."""
        self._shyness = SHYNESS_LEAST

    @property
    def awake(self) -> bool:
        return self._score >= ENOUGH

    def waited(self, seconds: float) -> None:
        """For news, in one way or the other."""
        if seconds < self.seconds:
            if self._score == MOST:
                self._shyness = max(self._shyness - 1, SHYNESS_LEAST)
            self._score = min(self._score + 1, MOST)
        elif self._score > 0:
            self._score = max(self._score - LONG_WEIGH, 0)

    def robbed(self) -> None:
        """Somebody who was let on the core kept it for longer than the node would have stayed awake: another
        program that computes. Who sleeps gets it back at once when there is news, who yields does not."""
        self._score = -self._shyness
        self._shyness = min(2 * self._shyness, SHYNESS_MOST)
