"""All scenarios on a real cluster, as the command line plays them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from raftkv.cluster.scenarios import SCENARIOS
from tests.support.processes import raftkv

SAID_CHARACTERS_MAX = 150
PLAY_SECONDS = 170.0
"""Alone on a machine they take a fifth of that."""


@pytest.mark.cluster
@pytest.mark.xdist_group("scenarios")
def test_all_scenarios_pass_and_tell_their_story(tmp_path: Path) -> None:
    done = raftkv("scenario", "--all", "--json", folder=tmp_path, timeout=PLAY_SECONDS)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    ends = [event for event in events if event["event"] == "end"]
    assert [(end["scenario"], end["passed"]) for end in ends] == [(each.name, True) for each in SCENARIOS], (
        done.stderr.decode(),
        [end for end in ends if not end["passed"]],
    )
    assert done.returncode == 0
    for each in SCENARIOS:
        own = [event for event in events if event["scenario"] == each.name]
        kinds = Counter(event["event"] for event in own)
        assert kinds["ask"] == kinds["begin"] == kinds["end"] == 1, each.name
        assert kinds["say"] >= 2, each.name
        assert kinds["checked"] == own[-1]["checks"] >= 2, each.name
        for event in own:
            assert len(event.get("text", "")) <= SAID_CHARACTERS_MAX, event
            if event["event"] == "command":
                assert event["text"].startswith("raftkv "), event
            if event["event"] == "ask":
                assert 0 <= event["right"] < len(event["choices"])
                assert event["question"].endswith("?")
