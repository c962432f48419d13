"""The language of the stories: what is wrong is said with file and line, prose survives a rewrite."""

from __future__ import annotations

import pytest

from tests.golden.language import Block, StoryError, parse, play, recorded, render
from tests.golden.player import Player

STORY = """\
# A cluster of one (§5.2).
#
#   Indented prose, and blank lines, stay.


add-nodes 1

campaign n1
----
what nobody has ever seen

# The end.
"""


def told(text: str) -> str:
    story = parse("story.txt", text)
    return render(story, play("story.txt", story, Player().execute))


def test_rewriting_keeps_the_prose_and_fills_in_the_rest() -> None:
    assert (
        told(STORY)
        == """\
# A cluster of one (§5.2).
#
#   Indented prose, and blank lines, stay.


add-nodes 1
----
up: n1

campaign n1
----
n1: pre_candidate, term 0: election timeout
n1: candidate, term 1: pre-vote won
n1: writes term 1 vote n1
n1: leader n1, term 1
n1: leader, term 1: election won
n1: writes entry 1/1
n1: commit 1, applies 1 no_op

# The end.
"""
    )


def test_a_rewritten_story_is_rewritten_to_itself() -> None:
    once = told(STORY)
    assert told(once) == once
    story = parse("story.txt", once)
    assert render(story, recorded("story.txt", story)) == once


def test_bare_commands_may_stand_without_blank_lines_between_them() -> None:
    assert told("add-nodes 1\nlog\n") == "add-nodes 1\n----\nup: n1\n\nlog\n----\nn1  |\n"


def test_a_command_that_shows_nothing_says_so() -> None:
    assert told("add-nodes 1\n\ntick n1\n").endswith("tick n1\n----\n(nothing happens)\n")


def test_quiet_shows_where_everybody_stands() -> None:
    assert told("add-nodes 1\n\ntick n1 quiet\n").endswith(
        "n1 follower, term 0, vote none, leader unknown, log 0/0, commit 0\n"
    )


@pytest.mark.parametrize(
    ("text", "place_and_fault"),
    [
        ("# prose\n----\n", "story.txt:2: ---- without a command"),
        ("\n\n----\nn1\n", "story.txt:3: ---- without a command"),
        ("add-nodes 1\n----\nup: n1\nlog\n----\nn1\n", "story.txt:5: the output above is not ended"),
        ("add-nodes 1\n----\nup: n1\n# prose\n", "story.txt:4: the output above is not ended"),
        ("  add-nodes 1\n", "story.txt:1: stray blanks"),
    ],
)
def test_a_malformed_block_is_refused_with_its_place(text: str, place_and_fault: str) -> None:
    with pytest.raises(StoryError) as caught:
        parse("story.txt", text)
    assert str(caught.value).startswith(place_and_fault)


def test_a_command_without_its_separator_is_not_taken_for_prose() -> None:
    story = parse("story.txt", "# prose\n\nadd-nodes 1\n")
    with pytest.raises(StoryError, match=r"story\.txt:3: no ---- below 'add-nodes 1'; --rewrite adds it"):
        recorded("story.txt", story)


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("sing n1", "unknown command; there are add-nodes, block,"),
        ("campaign n4", "unknown node n4; there are n1, n2, n3"),
        ("deliver to=n4", "unknown node n4"),
        ("deliver whom=n1", "unknown option whom; deliver takes at, from, to, type"),
        ("deliver type=Append", "unknown type Append; there are AppendEntries,"),
        ("deliver at=1", "1 is not in 1..0"),
        ("deliver to=n1 to=n2", "to is given twice"),
        ("campaign", "usage: campaign NODE"),
        ("stabilize n1 n2 n3 n1 n2 n3 n1 n2 n3 n1", "usage: stabilize [NODE…]"),
        ("tick n1 many", "'many' is no number"),
        ("tick n1 100000", "100000 is not in 1..1000"),
        ("persist n1", "the disk of n1 is auto"),
        ("restart n1", "n1 is not down"),
        ("crash n1\nlog\ntick n2\ncampaign n1", "n1 is down"),
        ("add-nodes 3 persist=never", "persist is auto or manual"),
        ("boot n1 log=1,2 term=1", "1 is not in 2.."),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_with_its_place(command: str, fault: str) -> None:
    text = f"add-nodes 3\n{command}\n"
    story = parse("story.txt", text)
    line = len(text.splitlines())
    with pytest.raises(StoryError) as caught:
        play("story.txt", story, Player().execute)
    last = command.splitlines()[-1]
    assert str(caught.value).startswith(f"story.txt:{line}: {last!r}: {fault}")


def test_a_story_begins_with_nodes() -> None:
    story = parse("story.txt", "log\n")
    with pytest.raises(StoryError, match=r"story\.txt:1: 'log': no nodes yet"):
        play("story.txt", story, Player().execute)


def test_a_broken_invariant_fails_the_story_at_its_line() -> None:
    player = Player()
    story = parse("story.txt", "add-nodes 3\nelect n1\nlog\n")
    *before, last = (block for block in story if isinstance(block, Block))
    play("story.txt", [*before], player.execute)
    # A disk that lost what it had confirmed: entry 1 is committed, and durable on one node only.
    for name in ("n2", "n3"):
        player.cluster.disks[player.cluster[name].node_id].entries.clear()
    with pytest.raises(StoryError, match=r"story\.txt:3: 'log' breaks a rule: entry 1/1 is committed, but"):
        play("story.txt", [last], player.execute)
