"""Members that come and go under torture, over a cluster and a launcher that are not real."""

from __future__ import annotations

from typing import Any

import pytest

from raftkv.cluster.members import Row
from raftkv.cluster.process import EXIT_REMOVED
from raftkv.cluster.torture import churn as module
from raftkv.cluster.torture.churn import Churn
from raftkv.errors import Unavailable

CONTROLS = {name: f"tcp://127.0.0.1:{number}" for number, name in enumerate(("n1", "n2", "n3"), start=1)}


class Cluster:
    """Stands in for ``Members``, ``LocalNodes`` and the client that asks the launcher."""

    def __init__(self, *members: str) -> None:
        self.members = members
        self.processes: list[dict[str, Any]] = [
            {"name": name, "exit_code": None, "state": "running"} for name in CONTROLS
        ]
        self.dropped: list[str] = []

    def leader(self) -> None:
        """There is one."""

    def rows(self) -> list[Row]:
        return [
            Row(name, "voter", name == "n1", 0, "", ("", f"client of {name}", CONTROLS[name], ""))
            for name in self.members
        ]

    def ask(self, endpoint: str, verb: str, timeout: float) -> list[dict[str, Any]]:
        del endpoint, timeout
        assert verb == "processes"
        return self.processes

    def drop(self, name: str) -> None:
        self.dropped.append(name)
        self.processes = [process for process in self.processes if process["name"] != name]

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *details: object) -> None:
        """Nothing to close."""


def make(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> tuple[Churn, dict[str, str]]:
    controls = dict(CONTROLS)
    churn = Churn(controls, [], "tcp://127.0.0.1:9")
    monkeypatch.setattr(module, "ControlClient", lambda: cluster)
    monkeypatch.setattr(churn, "_tools", lambda client: (cluster, cluster))
    return churn, controls


def test_whoever_the_launcher_has_dropped_by_itself_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it to come back."""
    cluster = Cluster("n1", "n2")
    cluster.drop("n3")
    churn, controls = make(monkeypatch, cluster)
    churn.tidy()
    assert sorted(controls) == ["n1", "n2"]


def test_whoever_has_ended_as_a_node_that_was_removed_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster("n1", "n2")
    cluster.processes[2] |= {"exit_code": EXIT_REMOVED, "state": "exited"}
    churn, controls = make(monkeypatch, cluster)
    churn.settle()
    assert sorted(controls) == ["n1", "n2"]
    assert cluster.dropped == ["n3"]


def test_nothing_is_settled_while_somebody_runs_who_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster("n1", "n2")
    churn, controls = make(monkeypatch, cluster)
    knows = False
    monkeypatch.setattr(churn, "_knows_it_has_left", lambda client, name: knows)
    with pytest.raises(Unavailable, match="n3 is no member, and does not know it yet"):
        churn.settle()
    assert sorted(controls) == ["n1", "n2", "n3"]
    knows = True
    churn.settle()
    assert sorted(controls) == ["n1", "n2"]
    assert cluster.dropped == ["n3"]
