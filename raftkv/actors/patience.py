"""Whether the loop waits for its disk: what the threads of a real node (``relay``) and a simulated node
(``sim.machine``) go by.
"""

from __future__ import annotations

from raftkv.storage import Append, DiskJob

PATIENCE_SECONDS = 0.025
"""The loop waits at least so long for a job, and at most twice as long: a heartbeat."""
QUICK_SECONDS = 0.002
"""Where batches take longer than this on average, it does not wait for them at all."""
LATEST_WEIGHT = 1 / 8
"""Of the latest batch in that average; none counts for more than the loop would have waited."""


class Patience:
    """Seconds throughout."""

    def __init__(self, most: float = PATIENCE_SECONDS, quick: float = QUICK_SECONDS) -> None:
        self.most = most
        self._quick = quick
        self._average = 0.0

    def waits_for(self, job: DiskJob) -> bool:
        """Chunks of snapshots are large, and nobody waits for their answer."""
        return isinstance(job, Append) and self._average < self._quick

    def took(self, job: DiskJob, seconds: float) -> None:
        if isinstance(job, Append):
            self._average += LATEST_WEIGHT * (min(seconds, self.most) - self._average)
