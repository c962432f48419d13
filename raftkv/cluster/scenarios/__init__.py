"""Guided scenarios: what Raft is for, played on a real cluster by faults that are really made, and checked by
what its nodes and clients report. ``raftkv scenario`` and the dashboard tell them."""

from raftkv.cluster.scenarios.model import Narrator, Scenario
from raftkv.cluster.scenarios.playing import play
from raftkv.cluster.scenarios.repertoire import SCENARIOS, Repertoire
from raftkv.cluster.scenarios.stage import Stage
from raftkv.errors import Left, ScenarioFailed

__all__ = ["SCENARIOS", "Left", "Narrator", "Repertoire", "Scenario", "ScenarioFailed", "Stage", "play"]
