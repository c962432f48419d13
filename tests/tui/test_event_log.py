"""Which lines of the event log are one row."""

from __future__ import annotations

from raftkv.observe import Event
from raftkv.tui.event_log import LogLine, folded, of_event
from tests.tui.fakes import START, event


def campaign(sequence: int, node: str = "n3", term: int = 2) -> Event:
    fields = {"term": term, "role": "pre_candidate", "reason": "election-timeout"}
    return event(sequence, node, "RoleChanged", START + sequence, **fields)


def granted(sequence: int, node: str = "n3", pre: bool = True) -> Event:
    fields = {"term": 3, "voter": "n4", "granted": True, "pre": pre, "votes": 2, "needed": 3}
    return event(sequence, node, "VoteReceived", START + sequence, **fields)


def heard(sequence: int, node: str = "n3") -> Event:
    return event(sequence, node, "LeaderChanged", START + sequence, term=2, leader_id="n1")


def rows(*events: Event) -> list[tuple[str, str, int, float]]:
    """Of each row its node, the first word, how often, and since when."""
    shown = folded([of_event(each) for each in events])
    return [(row.line.node, row.line.text.split()[0], row.times, row.since - START) for row in shown]


def test_what_a_node_cut_off_says_again_and_again_is_one_row_at_the_last_time() -> None:
    assert rows(heard(1), campaign(2), campaign(3), campaign(4)) == [
        ("n3", "leader", 1, 1.0),
        ("n3", "pre-candidate,", 3, 2.0),
    ]
    assert folded([of_event(campaign(2)), of_event(campaign(3))])[0].line.time == START + 3


def test_a_minority_that_answers_itself_is_a_row_for_each_thing_it_says() -> None:
    told = rows(campaign(1), granted(2), campaign(3), granted(4), campaign(5))
    assert told == [("n3", "n4", 2, 2.0), ("n3", "pre-candidate,", 3, 1.0)]


def test_two_nodes_that_are_cut_off_at_once_are_two_rows() -> None:
    told = rows(campaign(1), campaign(2, "n2"), campaign(3), campaign(4, "n2"))
    assert told == [("n3", "pre-candidate,", 2, 1.0), ("n2", "pre-candidate,", 2, 2.0)]


def test_another_word_of_the_node_ends_a_row_and_that_of_another_node_does_not() -> None:
    told = rows(campaign(1), heard(2, "n1"), campaign(3), heard(4), campaign(5))
    assert [(node, times) for node, _, times, _ in told] == [("n1", 1), ("n3", 2), ("n3", 1), ("n3", 1)]


def test_terms_are_told_apart() -> None:
    assert [times for *_, times, _ in rows(campaign(1), campaign(2, term=3), campaign(3, term=3))] == [1, 2]


def test_everything_else_stays_a_row_each_however_often_it_is_said() -> None:
    assert len(rows(heard(1), heard(2), granted(3, pre=False), granted(4, pre=False))) == 4
    command = LogLine(START, "", "$", "command", "raftkv chaos heal")
    assert [row.times for row in folded([command, command])] == [1, 1]
