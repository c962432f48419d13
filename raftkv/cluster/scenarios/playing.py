"""A scenario from beginning to end: a healthy cluster before, a whole one afterwards, whatever happens."""

from __future__ import annotations

from collections.abc import Callable

from raftkv.cluster.discovery import Target
from raftkv.cluster.scenarios.model import Narrator, Scenario
from raftkv.cluster.scenarios.stage import Stage
from raftkv.errors import ClientError, RaftkvError, ScenarioFailed


def play(
    scenario: Scenario, target: Target, narrator: Narrator, cancelled: Callable[[], bool] = lambda: False
) -> None:
    """Play it in this thread. Raises ``ScenarioFailed`` when an assertion does not hold, ``Left`` soon after
    ``cancelled`` says so, ``ConfigError`` or ``Unavailable`` when it cannot be played on this cluster."""
    stage = Stage(target, narrator, cancelled)
    try:
        perform(scenario, stage)
    finally:
        stage.close()


def perform(scenario: Scenario, stage: Stage) -> None:
    stage.prepare(scenario)
    try:
        scenario.act(stage)
    except BaseException as error:
        try:
            stage.clear_up()
        except RaftkvError as left_over:
            if isinstance(error, ScenarioFailed):
                raise ScenarioFailed(error.what, f"{error.found}; and {left_over}") from None
            raise
        if isinstance(error, ClientError):
            raise ScenarioFailed("the cluster does in time what the story needs", str(error)) from None
        raise
    stage.clear_up()
