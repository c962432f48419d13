"""The reducer: what each item changes, what is bounded, and which gaps are noticed."""

from __future__ import annotations

from dataclasses import replace

from raftkv.observe import Earlier, events
from raftkv.tui import event_log, model
from raftkv.tui.model import CommandDone, CommandFailed, State, initial, lag, reduce, reduce_all
from raftkv.tui.ports import FeedItem
from tests.tui.fakes import START, event, leader_snapshot, peer_snapshot, process, snapshot
from tests.tui.scenes import NAMES, election


def texts(state: State) -> list[str]:
    return [line.text for line in state.lines]


def started(sequence: int, boot: int, time: float = START) -> events.Event:
    return event(sequence, "n1", events.NODE_STARTED, time, boot=boot, entries=0, cut=None)


def changed(sequence: int, time: float = START) -> events.Event:
    return event(sequence, "n1", "LeaderChanged", time, term=7, leader_id="n2")


def test_reducing_is_pure() -> None:
    before = initial(NAMES)
    once, again = reduce_all(before, election()), reduce_all(before, election())
    assert once == again
    assert before == initial(NAMES)


def test_strangers_are_ignored() -> None:
    state = initial(NAMES)
    items: list[FeedItem] = [snapshot("n9"), process("n9"), event(1, "n9", "LeaderChanged")]
    assert reduce_all(state, items) == state


def test_an_older_snapshot_of_the_same_boot_changes_nothing() -> None:
    state = reduce(initial(NAMES), snapshot("n1", time=START, last_index=50))
    assert reduce(state, snapshot("n1", time=START - 1, last_index=40)) == state


def test_whoever_joins_late_has_missed_nothing() -> None:
    state = reduce_all(initial(NAMES), [snapshot("n1", event_sequence=40), changed(41)])
    assert texts(state) == ["leader n2, term 7"]


def test_what_was_said_before_anybody_listened_stands_above_and_is_not_news() -> None:
    state = reduce_all(initial(NAMES), [snapshot("n1", event_sequence=40), changed(41)])
    past = [event(7, "n2", "LeaderChanged", START - 9, term=6, leader_id="n1"), started(1, 1, START - 20)]
    after = reduce(state, Earlier((*past, event(1, "n9", "LeaderChanged"), changed(40, time=1e300))))
    assert texts(after) == [*texts(reduce_all(initial(NAMES), past[::-1])), *texts(state)]
    assert after == replace(state, lines=after.lines), "nothing else knows of it"


def test_the_past_is_bounded_like_the_present() -> None:
    past = Earlier(tuple(changed(number, START - 9000 + number) for number in range(event_log.LINES_MAX + 5)))
    state = reduce_all(initial(NAMES), [changed(9999), past])
    assert len(state.lines) == event_log.LINES_MAX
    assert state.lines[-1].time == START


def test_a_gap_between_events_is_told() -> None:
    state = reduce_all(initial(NAMES), [started(1, 1), changed(5)])
    assert texts(state)[1:] == ["missed 3 events", "leader n2, term 7"]
    assert state.nodes[0].missed == 3


def test_a_gap_shows_in_the_next_snapshot_already() -> None:
    state = reduce_all(initial(NAMES), [started(1, 1), snapshot("n1", event_sequence=2)])
    assert texts(state)[1:] == ["missed 1 event"]
    assert reduce(state, snapshot("n1", event_sequence=2, time=START + 1)).lines == state.lines


def test_an_event_seen_before_is_not_told_again() -> None:
    state = reduce_all(initial(NAMES), [started(1, 1), changed(2), changed(2)])
    assert len(state.lines) == 2


def test_the_numbers_of_a_new_boot_begin_anew() -> None:
    state = reduce_all(
        initial(NAMES), [started(1, 1), changed(2), started(1, 2, START + 1), changed(2, START + 2)]
    )
    assert state.nodes[0].missed == 0
    assert len(state.lines) == 4


def test_a_new_boot_whose_start_was_missed() -> None:
    before = [started(1, 1), changed(2), changed(3)]
    state = reduce_all(initial(NAMES), [*before, changed(2, START + 2)])
    assert texts(state)[3:] == ["missed 1 event", "leader n2, term 7"]
    after = reduce(state, snapshot("n1", boot=2, event_sequence=2, time=START + 3))
    assert after.lines == state.lines
    by_snapshot = reduce_all(
        initial(NAMES), [*before, snapshot("n1", boot=2, event_sequence=2, time=START + 3)]
    )
    assert texts(by_snapshot)[3:] == ["missed 2 events"]


def test_a_boot_with_more_events_than_the_last_one_had() -> None:
    state = reduce_all(initial(NAMES), [started(1, 1), started(4, 2, START + 1)])
    assert state.nodes[0].missed == 3


def test_a_gap_goes_once_what_was_missed_is_told() -> None:
    before = [started(1, 1), changed(5, START + 5)]
    whole = reduce_all(initial(NAMES), [started(1, 1), *(changed(n, START + n) for n in range(2, 6))])
    state = reduce_all(initial(NAMES), before)
    assert texts(state)[1] == "missed 3 events"
    part = reduce(state, Earlier((changed(4, START + 4), changed(5, START + 5))))
    assert texts(part)[1:] == ["missed 2 events", "leader n2, term 7", "leader n2, term 7"]
    again = reduce(part, Earlier(tuple(changed(number, START + number) for number in range(2, 6))))
    told = [[line.event for line in state.lines[1:]] for state in (again, whole)]
    assert told[0] == told[1], "each once, in order"
    assert reduce(again, Earlier((changed(3, START + 3),))).lines == again.lines


def test_a_gap_of_an_earlier_life_is_not_filled_by_the_next() -> None:
    state = reduce_all(initial(NAMES), [started(1, 1), changed(5, START + 5), started(1, 2, START + 9)])
    after = reduce(state, Earlier(tuple(changed(number, START + 10 + number) for number in range(1, 6))))
    assert "missed 3 events" in texts(after)


def test_lines_are_bounded_and_counted() -> None:
    state = initial(NAMES)
    for number in range(event_log.LINES_MAX + 7):
        state = reduce(state, CommandDone(START, f"raftkv status {number}"))
    assert len(state.lines) == event_log.LINES_MAX
    assert state.lines_total == event_log.LINES_MAX + 7
    assert state.lines[-1].text.endswith(str(event_log.LINES_MAX + 6))


def test_what_the_user_did_and_what_failed() -> None:
    state = reduce_all(
        initial(NAMES), [CommandDone(START, "raftkv chaos kill n1"), CommandFailed(START, "no\nway")]
    )
    assert [(line.mark, line.text) for line in state.lines] == [
        ("$", "raftkv chaos kill n1"),
        ("!", "no way"),
    ]


def test_lines_are_printable_and_short() -> None:
    assert event_log.clean("a\x1b[31m\tb\n c" + "x" * 1000) == "a�[31m b c" + "x" * (event_log.TEXT_MAX - 10)


def test_an_event_of_another_version_is_told_raw() -> None:
    state = reduce_all(
        initial(NAMES), [event(1, "n1", "LeaderChanged", surprise=1), event(2, "n1", "Teleported", to="n2")]
    )
    assert texts(state) == ["LeaderChanged surprise=1", "Teleported to='n2'"]


def test_rates_come_from_counters() -> None:
    state = initial(NAMES)
    for tenth in range(30):
        made = leader_snapshot("n1", time=START + tenth / 10, writes_total=40 * tenth, reads_total=10 * tenth)
        state = reduce(state, made)
    node = state.nodes[0]
    assert round(model.operations_per_second(node) or 0) == 500
    assert len(node.counters) == model.COUNTERS_MAX
    restarted = reduce(state, leader_snapshot("n1", time=START + 9, boot=2, writes_total=3)).nodes[0]
    assert model.operations_per_second(restarted) is None


def test_one_sample_a_second_is_kept_for_a_minute() -> None:
    state = initial(NAMES)
    for tenth in range(10 * (model.HISTORY_MAX + 5)):
        state = reduce(state, snapshot("n1", time=START + tenth / 10, sync_ms_p99=float(tenth)))
    history = state.nodes[0].history
    assert len(history) == model.HISTORY_MAX
    assert 1.0 <= history[1].time - history[0].time < 1.2


def test_lag_is_what_the_leader_of_the_highest_term_knows() -> None:
    old = leader_snapshot("n1", term=6, peers=(peer_snapshot("n3", 7),))
    new = leader_snapshot("n2", term=8, last_index=1042, peers=(peer_snapshot("n3", 1030),))
    state = reduce_all(initial(NAMES), [old, new])
    assert [lag(state, name) for name in NAMES] == [None, 0, 12]
    assert lag(initial(NAMES), "n1") is None


def test_a_new_leader_does_not_know_what_others_lack_before_it_has_heard_them() -> None:
    new = leader_snapshot(
        "n2", term=8, last_index=1042, peers=(peer_snapshot("n1", 0), peer_snapshot("n3", 1))
    )
    assert [lag(reduce(initial(NAMES), new), name) for name in NAMES] == [None, 0, 1041]


def test_what_is_heard_of_late_stands_in_its_place() -> None:
    state = reduce_all(initial(NAMES), [changed(1, START), changed(2, START + 2)])
    state = reduce(state, CommandFailed(START + 1, "no"))
    state = reduce(state, CommandDone(START + 0.5, "raftkv chaos kill n1"))
    assert [line.time - START for line in state.lines] == [0, 0.5, 1, 2]
    assert state.lines_total == 4


def test_a_process_is_followed_through_its_states() -> None:
    state = reduce_all(
        initial(NAMES),
        [
            process("n1"),
            process("n1", "paused", since=START),
            process("n1", since=START + 1),
            process("n1", "exited", since=START + 2, exit_code=-9),
            process("n1", since=START + 3, pid=5000),
        ],
    )
    expected = [
        "process paused",
        "process resumed",
        "process exited with code -9",
        "process started, pid 5000",
    ]
    assert texts(state) == expected


def test_a_node_found_dead_is_told_a_running_one_is_not() -> None:
    state = reduce_all(initial(NAMES), [process("n1", "exited"), process("n2")])
    assert texts(state) == ["process exited"]


def test_a_truncation_makes_the_old_terms_unknown() -> None:
    cut = event(1, "n1", "EntriesTruncated", term=8, first_index=1040, last_index=1042)
    state = reduce_all(initial(NAMES), [snapshot("n1"), cut])
    assert state.nodes[0].terms.last == 1039
