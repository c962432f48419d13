"""All scenarios, in the order in which they are told, and whoever plays them by name."""

from __future__ import annotations

from collections.abc import Callable

from raftkv.cluster.discovery import Target
from raftkv.cluster.scenarios.disks import DISK_FULL, POWER_LOSS, SLOW_DISK
from raftkv.cluster.scenarios.elections import ONE_WAY_LINK, PAUSED_LEADER, SPLIT_VOTE, STALE_LEADER
from raftkv.cluster.scenarios.logs import FIGURE_8, LOG_DIVERGENCE, SNAPSHOT_CATCH_UP
from raftkv.cluster.scenarios.model import Narrator, Scenario
from raftkv.cluster.scenarios.partitions import MEMBERSHIP_UNDER_PARTITION, MINORITY_PARTITION
from raftkv.cluster.scenarios.playing import play

SCENARIOS: tuple[Scenario, ...] = (
    SPLIT_VOTE,
    STALE_LEADER,
    LOG_DIVERGENCE,
    FIGURE_8,
    MINORITY_PARTITION,
    ONE_WAY_LINK,
    PAUSED_LEADER,
    SLOW_DISK,
    DISK_FULL,
    SNAPSHOT_CATCH_UP,
    MEMBERSHIP_UNDER_PARTITION,
    POWER_LOSS,
)


class Repertoire:
    """Implements ``tui.ports.Lessons`` on one cluster."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def listed(self) -> tuple[Scenario, ...]:
        return SCENARIOS

    def play(self, name: str, narrator: Narrator, cancelled: Callable[[], bool]) -> None:
        """Raises as ``playing.play``."""
        play(next(each for each in SCENARIOS if each.name == name), self._target, narrator, cancelled)
