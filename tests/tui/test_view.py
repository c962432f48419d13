"""Lines as a reader sees them: the pure half of the screen."""

from __future__ import annotations

import dataclasses
from datetime import datetime

import pytest

from raftkv.observe import MemberSnapshot
from raftkv.tui.dialogs.partition import majority_minority
from raftkv.tui.event_log import LogLine, Row
from raftkv.tui.frame import Mode, Times
from raftkv.tui.model import State, initial, reduce
from raftkv.tui.ports import FeedItem
from raftkv.tui.view import spans
from raftkv.tui.view.detail import detail
from raftkv.tui.view.event_log import event_line
from raftkv.tui.view.header import header_line
from raftkv.tui.view.health import Health, health, leader, stale_leader
from raftkv.tui.view.matrix import link_matrix, matrix_shape
from raftkv.tui.view.nodes import node_table
from raftkv.tui.view.spans import Line, length, plain
from raftkv.types import NodeId
from tests.tui.fakes import START, leader_snapshot, peer_snapshot, process, snapshot
from tests.tui.scenes import FIVE, NAMES, NINE, election, healthy, state_of

NOON = datetime(2026, 1, 1, 12)


def table(state: State, now: float = START, width: int = 66) -> list[str]:
    return [plain(line).rstrip() for line in node_table(state, now, width, "n1")]


def header(state: State, width: int = 80, now: float = START, frozen: bool = False, count: int = 0) -> str:
    times = Times(Mode.FROZEN if frozen else Mode.LIVE, START, now, now, NOON)
    return plain(header_line(state, now, width, times=times, faults=count))


# -- spans -------------------------------------------------------------------------------------


def test_durations() -> None:
    seconds = (-1, 0, 12.9, 61, 3599, 3600, 90_061)
    assert [spans.duration(value) for value in seconds] == [
        "0:00",
        "0:00",
        "0:12",
        "1:01",
        "59:59",
        "1h00",
        "1d01h",
    ]


def test_bars() -> None:
    assert [spans.bar(value, 4) for value in (-1, 0, 0.01, 0.5, 1, 3)] == [
        "░░░░",
        "░░░░",
        "▓░░░",
        "▓▓░░",
        "▓▓▓▓",
        "▓▓▓▓",
    ]


def test_sparks() -> None:
    assert spans.spark([0, 4, 8], 8) == "▁▄█"
    assert spans.spark([0, 0], 8) == "▁▁"
    assert spans.spark([9, 1, 1], 2) == "██"
    assert spans.spark([], 8) == ""


def test_sizes() -> None:
    assert [spans.size(value) for value in (0, 1023, 5_242_880, 2**50)] == [
        "0 B",
        "1023 B",
        "5.0 MiB",
        "1024.0 TiB",
    ]
    assert spans.milliseconds(1.84) == "1.8 ms"
    assert spans.milliseconds(1840) == "1,840 ms"
    assert spans.shorten("abcdef", 4) == "abc…"


# -- health ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "now", "expected"),
    [
        ([], START, Health.WAITING),
        ([process("n1", since=START)], START + 1, Health.WAITING),
        ([process("n1", since=START)], START + 14, Health.WAITING),
        ([process("n1", since=START)], START + 16, Health.SILENT),
        ([snapshot("n1")], START + 1.4, Health.ALIVE),
        ([snapshot("n1")], START + 1.6, Health.SILENT),
        ([process("n1"), snapshot("n1")], START + 1.6, Health.SILENT),
        ([snapshot("n1"), process("n1", "exited", since=START)], START, Health.EXITED),
        ([snapshot("n1"), process("n1", "paused", since=START)], START + 60, Health.PAUSED),
        ([snapshot("n1", pid=4242), process("n1", since=START + 60)], START + 60.1, Health.ALIVE),  # resumed
        ([snapshot("n1", pid=1), process("n1", since=START + 60, pid=2)], START + 60.1, Health.WAITING),
        ([snapshot("n1", pid=1), process("n1", since=START + 60, pid=2)], START + 76, Health.SILENT),
    ],
)
def test_health(items: list[FeedItem], now: float, expected: Health) -> None:
    assert health(state_of(*items).nodes[0], now) is expected


def test_a_process_that_has_just_begun_is_no_stale_leader() -> None:
    """What was last heard is of the one before, which led."""
    state = state_of(leader_snapshot("n1", pid=1), process("n1", since=START + 60, pid=2))
    assert not stale_leader(state, state.nodes[0], START + 62)


def test_the_header_says_that_a_cluster_is_starting() -> None:
    begun = [process(name, since=START + 60, pid=99) for name in ("n1", "n2", "n3")]
    state = state_of(*(snapshot(name, pid=1) for name in ("n1", "n2", "n3")), *begun)
    assert "STARTING 0/3" in header(state, now=START + 63)
    assert "GONE" in header(state, now=START + 80)


def test_the_leader_is_the_living_one_of_the_highest_term() -> None:
    state = state_of(leader_snapshot("n1", term=6), leader_snapshot("n2", term=7))
    head = leader(state, START)
    assert head is not None
    assert head.name == "n2"
    assert leader(state, START + 2) is None


# -- header ------------------------------------------------------------------------------------


def test_header_at_80_columns() -> None:
    expected = " ● LIVE 3/3  term 7  leader n2  commit 1,042  0 op/s  p99 11 ms  no faults"
    assert header(state_of(*healthy())) == expected
    assert header(state_of(*healthy()), 120).endswith("p99 11 ms  no faults  cluster demo")


@pytest.mark.parametrize("width", range(60, 161, 4))
def test_the_header_keeps_what_matters_and_its_width(width: int) -> None:
    items = healthy()
    items[-1] = snapshot("n3", last_index=123_456_789, commit_index=123_456_789, write_ms_p99=12_345.0)
    text = header(state_of(*items), width, count=3)
    assert len(text) <= width
    assert "LIVE 3/3" in text
    assert "leader n2" in text
    assert "3 faults" in text


def test_header_without_leader_and_frozen() -> None:
    state = state_of(*healthy())
    assert "no leader" in header(state, now=START + 9)
    assert "GONE: waiting for its return" in header(state, now=START + 9)
    assert "VIEW FROZEN" in header(state, frozen=True)


def test_a_long_name_of_the_leader_is_cut_where_nothing_is_left_to_leave_out() -> None:
    names = tuple(f"a-node-with-a-name-of-some-length-{number}" for number in (1, 2, 3))
    state = state_of(leader_snapshot(names[1], names), names=names)
    text = header(state, frozen=True)
    assert len(text) <= 80
    assert "leader a-node" in text
    assert "-2  no faults" in text
    assert header(state, 160, frozen=True).count(names[1]) == 1


# -- the table of nodes ------------------------------------------------------------------------


def test_a_healthy_cluster() -> None:
    assert table(state_of(*healthy())) == [
        " node role          term vote   last/commit/applied timer",
        "▸n1   follower         7 n2     1042/1042/1042      ▓▓▓▓▓▓░░",
        " n2   LEADER ★         7 n2     1042/1042/1042      quorum 3/3",
        " n3   follower         7 n2     1042/1042/1042      ▓▓▓▓▓▓░░",
    ]


def test_nobody_heard_yet() -> None:
    assert table(initial(NAMES))[1] == "▸n1   starting…        – –      –                   –"


def test_a_dead_node_has_its_exit_code_and_its_time() -> None:
    state = state_of(*healthy(), process("n1", "exited", since=START - 12, exit_code=-9))
    assert "☠ exit -9" in table(state)[1]
    assert table(state)[1].endswith("down 0:12")


def test_a_paused_leader_may_be_stale() -> None:
    state = state_of(
        *healthy(), process("n2", "paused", since=START - 5), process("n3", "paused", since=START - 5)
    )
    assert "⏸ ★ stale?" in table(state)[2]
    assert "⏸ follower" in table(state)[3]
    assert table(state)[2].endswith("for 0:05")


def test_a_silent_node_is_said_to_be_silent() -> None:
    row = table(state_of(*healthy()), START + 4)
    assert "silent " in row[1]
    assert row[1].endswith("for 0:04")
    assert "silent ★?" in row[2]


def test_a_leader_is_stale_when_a_later_one_is_known_not_for_a_candidate() -> None:
    candidate = snapshot("n3", role="candidate", term=8)
    assert "LEADER ★" in table(state_of(*healthy(), snapshot("n3"), candidate))[2]
    state = state_of(*healthy()[:-1], snapshot("n3", term=8, leader="n1"))
    assert "★ stale?" in table(state)[2]


def test_a_candidate_counts_its_votes() -> None:
    state = state_of(snapshot("n1", role="candidate", votes=1), snapshot("n2", role="pre_candidate", votes=2))
    assert "candidate        7 1 of 2" in table(state)[1]
    assert "pre-candidate    7 2 of 2" in table(state)[2]


def test_a_leader_without_quorum() -> None:
    peers = (peer_snapshot("n1", 1, active=False), peer_snapshot("n3", 1, active=False))
    line = node_table(state_of(leader_snapshot("n2", peers=peers)), START, 66, "n1")[2]
    assert ("quorum 1/3", "bad") in [(span.text.strip(), span.style) for span in line]


def test_the_quorum_is_one_of_voters_wherever_they_are() -> None:
    """n4 and n5 have joined since the dashboard was opened; n5 only learns."""
    parts = {"n1": "voter", "n2": "voter", "n3": "voter", "n4": "incoming", "n5": "learner"}
    members = tuple(MemberSnapshot(NodeId(name), part, "", ()) for name, part in parts.items())
    peers = tuple(peer_snapshot(name, 1, active=name in ("n4", "n5")) for name in ("n1", "n3", "n4", "n5"))
    leader = dataclasses.replace(leader_snapshot("n2", peers=peers), members=members)
    line = node_table(state_of(leader), START, 66, "n1")[2]
    assert ("quorum 2/4", "bad") in [(span.text.strip(), span.style) for span in line]


def test_an_alarm_is_a_badge() -> None:
    assert table(state_of(snapshot("n1", alarms=("NOSPACE",))))[1].startswith("▸n1!")


def test_seven_digit_indexes_fit_and_longer_ones_shrink_to_what_is_lacking() -> None:
    def row(last: int) -> str:
        return table(
            state_of(snapshot("n1", last_index=last, commit_index=last - 1, applied_index=last - 5))
        )[1]

    assert " 1042317/1042316/1042312 ▓" in row(1_042_317)
    assert " 9991042317/-1/-5" in row(9_991_042_317)


def test_wide_tables_have_more_columns() -> None:
    heading, *rows = table(state_of(*healthy()), width=130)
    for title in ("lag", "op/s", "sync p99", "log", "keys", "up", "pid"):
        assert title in heading
    assert rows[0].split()[-7:] == ["1.8", "ms", "5.0", "MiB", "512", "12:34", "4242"]


@pytest.mark.parametrize("names", [("alpha-centauri", "b", "c"), FIVE, NINE])
@pytest.mark.parametrize("width", [80, 100, 160])
def test_table_and_matrix_fit_beside_each_other(names: tuple[str, ...], width: int) -> None:
    state = state_of(*(snapshot(name, names, last_index=654_321) for name in names), names=names)
    shape = matrix_shape(state, width - 62 - 2)
    rows: tuple[Line, ...] = node_table(state, START, width - shape.width - 2, names[0])
    assert all(length(line) <= width - shape.width - 2 for line in rows)
    assert all(length(line) == shape.width for line in link_matrix(state, START, shape))


# -- detail, events, groups --------------------------------------------------------------------


def test_the_leaders_detail_has_its_book_of_peers() -> None:
    lines = [plain(line) for line in detail(state_of(*election()), "n2", START, 60)]
    assert lines[0] == " n2  LEADER ★  quorum 2/3"
    assert [line.split() for line in lines[-2:]] == [
        ["n1", "1043", "1044", "2", "replicate"],
        ["n3", "1036", "1037", "0", "probe,", "silent"],
    ]
    assert any("5.0 MiB" in line for line in lines)
    assert all(len(line) <= 60 for line in lines)


def test_a_followers_detail_has_its_links() -> None:
    lines = [plain(line) for line in detail(state_of(*election()), "n3", START, 60)]
    assert [line.split()[-1] for line in lines[-2:]] == ["ok", "-5%"]


def test_detail_of_troubles_and_of_nothing() -> None:
    state = state_of(snapshot("n1", alarms=("NOSPACE",), frames_rejected=3, disk_stalled=True))
    lines = [plain(line).strip() for line in detail(state, "n1", START, 60)]
    assert "alarms    ! disk stalled, NOSPACE" in lines
    assert "frames    3 rejected" in lines
    assert plain(detail(initial(NAMES), "n1", START, 60)[2]).strip() == "nothing heard of it yet"
    assert detail(state, "n9", START, 60) == ()


def test_the_last_words_of_a_dead_node_do_not_pass_for_news() -> None:
    state = state_of(*election())
    dead = reduce(state, process("n2", "exited", since=START, exit_code=-9))
    told, faded = (detail(each, "n2", START, 60) for each in (state, dead))
    assert " as it was when last heard" not in map(plain, told)
    last = [plain(line) for line in faded].index(" as it was when last heard")
    assert {span.style for line in faded[last:] for span in line} == {"dim"}
    assert [plain(line) for line in faded[last + 1 :]] == [plain(line) for line in told[last + 1 :]]


def test_an_event_line_has_the_wall_clock() -> None:
    line = LogLine(12.5, "n1", "★", "leader", "leader, term 7: election won")
    assert (
        plain(event_line(Row(line, 1, line.time), NOON, 4))
        == " 12:00:12.500 n1   ★ leader, term 7: election won"
    )


def test_a_row_of_several_lines_says_how_many_and_since_when() -> None:
    line = LogLine(72.5, "n3", "◇", "candidate", "pre-candidate, term 2: election timeout")
    told = plain(event_line(Row(line, 1204, 12.5), NOON, 4))
    assert told == " 12:01:12.500 n3   ◇ pre-candidate, term 2: election timeout  ×1,204 since 12:00:12"


def test_the_minority_leaves_a_quorum_that_holds_the_leader() -> None:
    assert majority_minority(NAMES, "n3") == {"n2"}
    assert majority_minority(FIVE, None) == {"n4", "n5"}
    assert majority_minority(("n1",), "n1") == set()
