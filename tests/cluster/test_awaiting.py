"""When a cluster that was just started is called ready, and what is said until then."""

from __future__ import annotations

from raftkv.cluster.awaiting import ASKED_SECONDS_MAX, ASKED_SECONDS_MIN, SILENT_SECONDS, Awaiting
from raftkv.observe import NodeSnapshot
from tests.tui.fakes import snapshot as node_snapshot


def leader(applied: int, last: int, term: int = 7, name: str = "n1") -> NodeSnapshot:
    return node_snapshot(name, role="leader", term=term, applied_index=applied, last_index=last)


def test_a_leader_serves_once_what_it_began_with_is_applied() -> None:
    awaiting = Awaiting(0.0)
    assert awaiting.look(0.0, [None, node_snapshot("n2")]) is None
    assert awaiting.look(0.1, [leader(9, 10)]) is None
    found = awaiting.look(0.2, [leader(10, 12), None])
    assert found, "clients may write all the time: it never has to have applied all"
    assert found.name == "n1"


def test_another_leader_begins_with_a_log_of_its_own() -> None:
    awaiting = Awaiting(0.0)
    assert awaiting.look(0.0, [leader(9, 10)]) is None
    assert awaiting.look(0.1, [leader(9, 10), leader(10, 11, term=8, name="n2")]) is None
    assert awaiting.look(0.2, [leader(10, 10), leader(10, 11, term=8, name="n2")]) is None, "deposed"
    assert awaiting.look(0.3, [leader(10, 10), leader(11, 11, term=8, name="n2")])


def test_what_one_leader_had_done_is_no_measure_for_the_next() -> None:
    awaiting = Awaiting(0.0)
    assert awaiting.look(0.0, [leader(900, 1000)]) is None
    for second in range(1, 100):
        assert awaiting.look(float(second), [leader(second, 1000, term=8, name="n2")]) is None
        assert not awaiting.over


def test_a_leader_with_a_long_log_is_waited_for_as_long_as_it_gets_on() -> None:
    awaiting = Awaiting(0.0)
    said = []
    for second in range(200):
        assert awaiting.look(float(second), [leader(1000 * second, 1_000_000)]) is None
        assert not awaiting.over
        said += [awaiting.line] if awaiting.line else []
    assert len(said) == 99, "one every two seconds"
    assert said[0] == "n1 leads, and has 998,000 entries to apply before it serves"
    assert awaiting.look(200.0 + SILENT_SECONDS, [leader(199_000, 1_000_000)]) is None
    assert awaiting.over
    assert awaiting.line == "the leader gets no further after 30 s; the nodes go on trying"


def test_no_leader_at_all_is_said_once_it_takes_too_long() -> None:
    awaiting = Awaiting(0.0)
    assert awaiting.look(SILENT_SECONDS, [node_snapshot("n1")]) is None
    assert (awaiting.line, awaiting.over) == (None, False)
    assert awaiting.look(SILENT_SECONDS + 0.1, [node_snapshot("n1")]) is None
    assert (awaiting.line, awaiting.over) == ("no leader after 30 s; the nodes go on trying", True)


def test_it_asks_less_often_as_time_goes_by() -> None:
    awaiting = Awaiting(100.0)
    assert awaiting.pause(100.0) == ASKED_SECONDS_MIN
    assert ASKED_SECONDS_MIN < awaiting.pause(105.0) < ASKED_SECONDS_MAX
    assert awaiting.pause(1000.0) == ASKED_SECONDS_MAX
