"""Every story in this folder shows what it says it shows. ``pytest --rewrite`` writes them anew."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from tests.golden.language import parse, play, recorded, render
from tests.golden.player import Player

FOLDER = Path(__file__).parent
STORIES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=[path.stem for path in STORIES])
def test_a_story_still_goes_as_it_is_told(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text(encoding="utf-8")
    story = parse(path.name, text)
    rewrite = request.config.getoption("--rewrite")
    if not rewrite:
        recorded(path.name, story)  # complains of blocks that have no output yet
    told = render(story, play(path.name, story, Player().execute))
    if rewrite:
        path.write_text(told, encoding="utf-8")
        return
    if told != text:
        diff = difflib.unified_diff(
            text.splitlines(), told.splitlines(), path.name, "what happens", lineterm=""
        )
        pytest.fail("\n".join(diff), pytrace=False)


def test_the_stories_are_here() -> None:
    assert len(STORIES) >= 28
