"""Matrix, lanes and faults as a reader sees them."""

from __future__ import annotations

import pytest

from raftkv.observe import LinkFault
from raftkv.tui.model import State, initial, reduce_all
from raftkv.tui.ports import FeedItem
from raftkv.tui.view.faults import fault_time, faults, faults_line
from raftkv.tui.view.lanes import lanes
from raftkv.tui.view.matrix import MatrixShape, link_matrix, matrix_shape
from raftkv.tui.view.spans import length, plain
from tests.tui.fakes import START, leader_snapshot, process, snapshot, tail
from tests.tui.scenes import BLOCK, FIVE, NAMES, NINE, SLOW, election, healthy, state_of

# -- the matrix --------------------------------------------------------------------------------


def test_link_symbols() -> None:
    state = state_of(
        snapshot("n1", faults={"n2": (BLOCK, 5.0), "n3": (SLOW, None)}),
        snapshot("n2"),
        snapshot("n3"),
        process("n3", "exited"),
    )
    shape = MatrixShape(label=3, cell=3, width=12)
    drawn = [plain(line) for line in link_matrix(state, START, shape)]
    assert drawn == ["    n1 n2 n3", "n1   ·  ✕  ◐", "n2   ●  ·  ☠", "n3   ☠  ☠  ·"], (
        "what is broken on the living side is told"
    )


def test_shapes() -> None:
    three, nine = initial(NAMES), initial(NINE)
    assert matrix_shape(three, 16) == MatrixShape(3, 3, 12)
    assert matrix_shape(three, 30) == MatrixShape(8, 5, 23)
    assert matrix_shape(nine, 18) == MatrixShape(0, 2, 18)


def test_cells_under_the_mouse() -> None:
    shape = MatrixShape(label=3, cell=3, width=12)
    assert [shape.receiver_at(x, 3) for x in (0, 2, 3, 5, 6, 11, 12)] == [None, None, 0, 0, 1, 2, None]


# -- lanes -------------------------------------------------------------------------------------


def lane_texts(state: State, now: float = START, width: int = 80) -> list[str]:
    return [plain(line).rstrip() for line in lanes(state, now, width)]


def test_lanes_of_an_election() -> None:
    assert lane_texts(state_of(*election())) == [
        " index 1029 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44",
        " n1      [6][6][6][6][6][6][6][6][7][7][7][7][7] 7",
        " n2      [6][6][6][6][6][6][6][6][7][7][7][7][7][7] 7  7",
        " n3      [6][6] 6  6  6  6  6  6  6✗ 6✗                   ✗ diverges at 1037",
    ]


def test_a_young_log_begins_at_the_left() -> None:
    fresh = [snapshot(name, last_index=3, terms=(1, 1, 2), commit_index=2) for name in ("n1", "n2")]
    assert lane_texts(state_of(*fresh))[0] == " index    1  2  3"
    assert lane_texts(state_of(*fresh))[1] == " n1      [1][1] 2"
    assert lane_texts(state_of(*fresh))[3].endswith("nothing heard yet")


def test_an_empty_log() -> None:
    state = state_of(*(snapshot(name, last_index=0, terms=()) for name in NAMES))
    assert lane_texts(state)[1].endswith("empty")


def test_two_digit_terms_take_wider_columns() -> None:
    state = state_of(snapshot("n1", last_index=2, terms=(9, 12), commit_index=1))
    assert lane_texts(state)[1] == " n1       [9] 12"


def test_a_node_far_behind_says_so() -> None:
    state = state_of(leader_snapshot("n1", last_index=90_000), snapshot("n2", last_index=1000))
    assert lane_texts(state)[2].endswith("‹ 89,000 behind")


def test_under_load_the_lanes_end_where_all_have_entries() -> None:
    """At 10,000 op/s two snapshots 100 ms apart differ by a thousand entries."""
    older = snapshot("n3", last_index=28_990, time=START - 0.1)
    items = [
        leader_snapshot(
            "n1", time=START - 1 + tenth / 10, last_index=20_000 + 1000 * tenth, writes_total=1000 * tenth
        )
        for tenth in range(11)
    ]
    state = state_of(*items, snapshot("n2", last_index=29_000), older, snapshot("n3", last_index=29_500))
    texts = lane_texts(state)
    assert texts[0].split()[-1] == "00"
    assert all("[7]" in text or " 7" in text for text in texts[1:])
    assert "behind" not in "".join(texts)


def test_a_dead_leaders_longer_log_stays_in_sight() -> None:
    state = state_of(
        *healthy(), leader_snapshot("n1", last_index=1045, time=START + 0.1), process("n1", "exited")
    )
    assert lane_texts(state)[0].endswith("45")
    far = state_of(
        *healthy(), leader_snapshot("n1", last_index=2045, time=START + 0.1), process("n1", "exited")
    )
    assert lane_texts(far)[1].endswith("… up to 2045")


@pytest.mark.parametrize("width", [80, 100, 160])
def test_lanes_fit(width: int) -> None:
    assert all(length(line) <= width for line in lanes(state_of(*election()), START, width))


@pytest.mark.parametrize("width", range(80, 100))
def test_lanes_fit_where_a_log_of_lower_terms_has_taken_the_place_of_another(width: int) -> None:
    """The cluster behind a name began anew; what the old one's log held is still in sight."""
    before = snapshot("n1", last_index=1006, tail=tail(1001, *[123456] * 6))
    after = snapshot("n1", last_index=1006, tail=tail(1006, 1), time=START + 0.1)
    state = state_of(before, after, snapshot("n2", last_index=0), snapshot("n3", last_index=0))
    drawn = lanes(state, START, width)
    assert "123456" in plain(drawn[1])
    assert all(length(line) <= width for line in drawn)


# -- faults ------------------------------------------------------------------------------------


def fault_texts(state: State, now: float = START) -> list[str]:
    return [f"{fault.mark} {fault.text} {fault_time(fault, now)}".strip() for fault in faults(state, now)]


def partitioned(names: tuple[str, ...], minority: set[str]) -> list[FeedItem]:
    def cuts(name: str) -> dict[str, tuple[LinkFault, float]]:
        return {to: (BLOCK, 20.0) for to in names if (to in minority) != (name in minority)}

    return [snapshot(name, names, faults=cuts(name)) for name in names]


def test_single_links() -> None:
    assert fault_texts(state_of(*election())) == [
        "✕ n2→n3 blocked 0:21 left",
        "◐ n3→n2 drops 5%, delayed by 100±20 ms 0:24 left",
    ]


def test_a_partition_is_told_as_one() -> None:
    state = state_of(*partitioned(FIVE, {"n2", "n4"}), names=FIVE)
    assert fault_texts(state, START + 1) == ["✕ partition n1 n3 n5 | n2 n4 0:19 left"]


def test_a_link_fault_within_a_group_is_told_apart() -> None:
    items = partitioned(FIVE, {"n2", "n4"})
    items.append(
        snapshot(
            "n1",
            FIVE,
            time=START + 0.1,
            faults={**dict.fromkeys(("n2", "n4"), (BLOCK, 20.0)), "n3": (SLOW, None)},
        )
    )
    state = state_of(*items, names=FIVE)
    assert fault_texts(state) == [
        "✕ partition n1 n3 n5 | n2 n4 0:20 left",
        "◐ n1→n3 drops 5%, delayed by 100±20 ms",
    ]


def test_dead_and_paused_nodes_are_faults() -> None:
    state = state_of(
        *healthy(), process("n1", "exited", since=START - 7), process("n3", "paused", since=START - 3)
    )
    assert fault_texts(state) == ["☠ n1 down 0:07", "⏸ n3 paused 0:03"]
    limited = reduce_all(state, [process("n3", "paused", since=START - 3, until=START + 27)])
    assert fault_texts(limited) == ["☠ n1 down 0:07", "⏸ n3 paused 0:27 left"]


def test_a_dead_nodes_link_faults_died_with_it() -> None:
    state = state_of(snapshot("n1", faults={"n2": (BLOCK, 9.0)}), process("n1", "exited", since=START))
    assert fault_texts(state) == ["☠ n1 down 0:00"]


def test_alarms_are_listed() -> None:
    state = state_of(snapshot("n1", alarms=("NOSPACE",), disk_stalled=True))
    assert fault_texts(state) == ["! n1 disk stalled", "! n1 NOSPACE"]


def test_the_fault_line_counts_what_does_not_fit() -> None:
    state = state_of(
        *partitioned(FIVE, {"n2"}), *(process(name, "paused", since=START) for name in FIVE), names=FIVE
    )
    line = plain(faults_line(state, START, 80, True, "30 s"))
    assert len(line) == 80
    assert line.endswith("load on ")
    assert "more" in line
    assert (
        plain(faults_line(state_of(*healthy()), START, 80, False, "30 s")).strip()
        == "no faults; new ones last 30 s"
    )
