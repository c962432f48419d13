"""Guided scenarios: what Raft is for, played on a real cluster by faults that are really made, and checked by
what its nodes and clients report. ``raftkv scenario`` and the dashboard tell them."""

from raftkv.cluster.scenarios.disks import DISK_FULL, POWER_LOSS, SLOW_DISK
from raftkv.cluster.scenarios.elections import ONE_WAY_LINK, PAUSED_LEADER, SPLIT_VOTE, STALE_LEADER
from raftkv.cluster.scenarios.logs import FIGURE_8, LOG_DIVERGENCE, SNAPSHOT_CATCH_UP
from raftkv.cluster.scenarios.model import Narrator, Scenario
from raftkv.cluster.scenarios.partitions import MEMBERSHIP_UNDER_PARTITION, MINORITY_PARTITION
from raftkv.cluster.scenarios.playing import play
from raftkv.cluster.scenarios.stage import Stage
from raftkv.errors import Left, ScenarioFailed

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

__all__ = ["SCENARIOS", "Left", "Narrator", "Scenario", "ScenarioFailed", "Stage", "play"]
