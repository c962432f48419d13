"""Logs, network, verdict and ring as a reader sees them."""

from __future__ import annotations

import dataclasses

import pytest

from raftkv.observe import LinkFault, LoadReport, LogEntry
from raftkv.tui.checks import INVARIANTS, NONE, Finding, noted
from raftkv.tui.model import State, initial
from raftkv.tui.view.logbook import Window, bottom, logbook, term_of
from raftkv.tui.view.network import fault_list, grid, group_line, link_facts, link_text, network
from raftkv.tui.view.ring import HEIGHT_MIN, ring
from raftkv.tui.view.spans import length, plain
from raftkv.tui.view.verdict import digests, invariants, load_lines, verdict_line
from raftkv.types import LogIndex, Term
from tests.tui.fakes import START, event, leader_snapshot, process, snapshot
from tests.tui.scenes import BLOCK, FIVE, NAMES, NINE, SLOW, election, healthy, state_of

# -- the logs


def entry(index: int, term: int, text: str) -> LogEntry:
    return LogEntry(LogIndex(index), Term(term), "command", text)


FOLLOW = Window()


def book(state: State, window: Window = FOLLOW, height: int = 6, now: float = START) -> list[str]:
    return [plain(line).rstrip() for line in logbook(state, now, window, 80, height)]


def differing() -> State:
    """n3 has two entries of term 6 that never committed; n1 lags."""
    return state_of(
        snapshot("n1", last_index=9, commit_index=8, terms=(5, 7, 7, 7)),
        leader_snapshot("n2", last_index=10, commit_index=9, terms=(5, 7, 7, 7, 7)),
        snapshot("n3", last_index=8, commit_index=6, terms=(5, 6, 6)),
    )


def test_committed_and_differing_entries() -> None:
    assert book(differing()) == [
        "    index n1     n2     n3      entry",
        "        6 [5]    [5]    [5]",
        "        7 [7]    [7]     6✗",
        "        8 [7]    [7]     6✗",
        "        9  7     [7]",
        "       10         7",
    ]


def test_what_was_just_truncated_is_shown_for_a_while() -> None:
    state = state_of(
        *(differing().node(name).snapshot for name in NAMES),  # type: ignore[union-attr,arg-type]
        event(1, "n3", "EntriesTruncated", START - 1, term=7, first_index=7, last_index=8),
        snapshot("n3", last_index=6, commit_index=6, terms=(5,), time=START + 0.1, event_sequence=1),
    )
    rows = book(state)
    assert [row.count("╳") for row in rows] == [0, 0, 1, 1, 0, 0]
    assert "╳" not in "".join(book(state, now=START + 60))


def test_what_is_compacted_and_what_is_unknown() -> None:
    state = state_of(
        leader_snapshot("n1", last_index=9, commit_index=9, terms=(7, 7)),
        snapshot("n2", last_index=9, commit_index=9, first_index=7, terms=(7, 7)),
    )
    assert book(state, height=5) == [
        "    index n1     n2     n3      entry",
        "        6 [‥]     ▪",
        "        7 [‥]    [‥]",
        "        8 [7]    [7]",
        "        9 [7]    [7]",
    ]


def test_what_was_looked_up_fills_the_gaps_and_has_its_words() -> None:
    state = state_of(leader_snapshot("n1", last_index=9, commit_index=9, terms=(7, 7)), snapshot("n2"))
    window = Window(7, {"n1": {6: entry(6, 3, "put a=b"), 7: entry(7, 4, "no-op")}}, found=6)
    rows = book(state, window)
    assert rows[-1].startswith("        7 [4]")
    assert rows[-1].endswith("no-op")
    assert rows[-2].startswith("▸       6 [3]")
    assert rows[-2].endswith("put a=b")
    node = state.node("n1")
    assert node
    assert [term_of(node, window.entries, index) for index in (5, 6, 9, 10)] == [0, 3, 7, None]


def test_words_of_an_entry_that_was_replaced_are_not_shown() -> None:
    state = state_of(leader_snapshot("n1", last_index=9, commit_index=9, terms=(7, 7)))
    assert "stale" not in "".join(book(state, Window(entries={"n1": {9: entry(9, 6, "stale")}})))


def test_following_and_standing() -> None:
    state = state_of(*healthy())
    assert bottom(state, Window()) == 1042
    assert book(state)[-1].startswith("     1042")
    assert bottom(state, Window(last=500)) == 500
    assert book(state, Window(last=500))[-1].startswith("      500")
    assert bottom(state, Window(last=9999)) == 1042
    assert book(initial(NAMES)) == ["    index n1     n2     n3      entry"]


def test_long_terms_keep_to_their_cells() -> None:
    state = state_of(*(snapshot(name, NINE, terms=(1_234_567,), term=1_234_567) for name in NINE), names=NINE)
    for line in logbook(state, START, Window(), 80, 4):
        assert length(line) <= 80
    assert "[…4567]" in book(state)[-1]


# -- the network


def test_a_grid_of_links() -> None:
    state = state_of(
        snapshot("n1", faults={"n2": (BLOCK, 5.0), "n3": (SLOW, None)}),
        snapshot("n2"),
        snapshot("n3"),
        process("n3", "exited"),
    )
    rows = [plain(line).rstrip() for line in network(state, START, grid(state, 80), (0, 1))]
    assert rows == [
        " from\\to  n1                n2                n3",
        " n1       ·                ▸✕ blocked         ◐ 100±20ms -5%",
        " n2       ● ok              ·                 ☠ dead",
        " n3       ☠ dead            ☠ dead            ·",
    ]
    assert plain(link_facts(state, "n1", "n2", START)).startswith(
        " n1 → n2 ✕ blocked, 5 s left   4,711 frames sent"
    )
    assert plain(link_facts(state, "n1", "n9", START)).endswith("nothing heard of it")


def test_every_cell_can_be_hit() -> None:
    for names in (NAMES, FIVE, NINE):
        shape = grid(initial(names), 80)
        assert shape.label + shape.cell * len(names) <= 80
        for row in range(len(names)):
            for column in range(len(names)):
                x = shape.label + column * shape.cell
                for place in (x, x + shape.cell - 1):
                    assert shape.cell_at(place, row + 1, len(names)) == (row, column)
        assert shape.cell_at(shape.label - 1, 1, len(names)) is None
        assert shape.cell_at(shape.label, 0, len(names)) is None
        assert shape.cell_at(shape.label, len(names) + 1, len(names)) is None
        assert shape.cell_at(shape.label + shape.cell * len(names), 1, len(names)) is None


def test_everything_at_once_on_one_link() -> None:
    fault = LinkFault(delay_ms=80, jitter_ms=20, drop=0.05, duplicate=0.02, reorder=0.01)
    state = state_of(snapshot("n1", faults={"n2": (fault, None)}))
    assert link_text(state, state.nodes[0], "n2", START, 40).text == "◐ 80±20ms -5% ×2 2% ⇄ 1%"
    assert link_text(state, state.nodes[0], "n2", START, 9).text == "◐ 80±20m…"


def test_groups_and_faults() -> None:
    assert plain(group_line(state_of(*healthy()), START)) == " reach each other  [n1 n2 n3]"
    cut = {"n3": (BLOCK, 9.0)}
    state = state_of(
        snapshot("n1", faults=cut),
        snapshot("n2", faults=cut),
        snapshot("n3", faults=dict.fromkeys(("n1", "n2"), (BLOCK, 9.0))),
    )
    assert plain(group_line(state, START)) == " reach each other  [n1 n2] [n3]"
    assert [plain(line) for line in fault_list(state, START, 80, 9)] == [" ✕ partition n1 n2 | n3  0:09 left"]
    assert plain(group_line(state, START + 60)) == " no node answers"
    assert plain(fault_list(state_of(*healthy()), START, 80, 9)[0]) == " nothing is broken"


def test_faults_that_have_no_room_are_counted() -> None:
    ways = {name: dict.fromkeys((other for other in NAMES if other != name), (SLOW, 9.0)) for name in NAMES}
    state = state_of(*(snapshot(name, faults=ways[name]) for name in NAMES))
    whole = [plain(line) for line in fault_list(state, START, 80, 9)]
    assert len(whole) == 6
    assert [plain(line) for line in fault_list(state, START, 80, 4)] == [*whole[:3], " and 3 more"]


# -- the verdict


def test_the_verdict_in_one_line() -> None:
    state = state_of(*healthy())
    assert "nothing has been checked yet" in plain(verdict_line(initial(NAMES)))
    assert plain(verdict_line(state)) == f" ✓ everything holds  {sum(state.checks.counts):,} checks"
    report = LoadReport(1.0, True, 9, 0, 0, 9, 2, None, 0)
    assert "2 rounds of the load linearizable" in plain(verdict_line(dataclasses.replace(state, load=report)))
    for broken in (
        dataclasses.replace(state, load=dataclasses.replace(report, problem="key a")),
        dataclasses.replace(state, checks=noted(state.checks, Finding(0, 1.0, "two leaders"))),
    ):
        assert "VIOLATED" in plain(verdict_line(broken))


def test_invariants_and_what_broke_them() -> None:
    checks = dataclasses.replace(NONE, counts=(1, 2, 0, 1_000_000, 5))
    lines = [plain(line) for line in invariants(checks, 80)]
    assert len(lines) == len(INVARIANTS)
    assert [line[1] for line in lines] == list("✓✓·✓✓")
    assert "1,000,000" in lines[3]
    assert lines[0].endswith("§5.2")
    broken = [plain(line) for line in invariants(noted(checks, Finding(3, 1.0, "x" * 200)), 80)]
    assert broken[3][1] == "✗"
    assert broken[-1].startswith("   ✗ xxx")
    assert all(len(line) <= 80 for line in broken)


def test_digests() -> None:
    state = state_of(
        snapshot("n1", state_digest="aa", applied_index=40),
        snapshot("n2", state_digest="aa", applied_index=40),
        snapshot("n3", state_digest="cc", applied_index=41),
    )
    words = [plain(line).split()[-1] for line in digests(state, START)]
    assert words == ["2", "2", "now"]
    differ = state_of(snapshot("n1", state_digest="aa"), snapshot("n2", state_digest="bb"))
    assert [plain(line).split()[-1] for line in digests(differ, START)] == ["differs!", "differs!", "compare"]


def test_the_load() -> None:
    state = initial(NAMES)
    assert "load is off" in plain(load_lines(state, 80, True)[0])
    assert plain(load_lines(state, 80, False)[0]) == " There was no built-in load."
    report = LoadReport(1.0, True, 5, 1, 2, 0, 0, None, 0)
    for changes, words in (
        ({}, "the first round is not over yet"),
        ({"rounds": 2, "checked": 1234}, "linearizable: 1,234 operations in 2 rounds"),
        ({"problem": "key a: lost"}, "NOT linearizable: key a: lost"),
    ):
        made = dataclasses.replace(report, **changes)
        lines = [plain(line) for line in load_lines(dataclasses.replace(state, load=made), 80, True)]
        assert "● running 5 answered, 1 refused, 2 of unknown outcome" in lines[0]
        assert words in lines[1]
    undecided = dataclasses.replace(state, load=dataclasses.replace(report, undecided=3, running=False))
    lines = [plain(line) for line in load_lines(undecided, 80, True)]
    assert lines[0].startswith(" ○ stopped")
    assert lines[2] == " 3 rounds were too long to judge"


# -- the ring


@pytest.mark.parametrize("count", range(1, 10))
def test_a_ring_of_any_size_keeps_within_its_room(count: int) -> None:
    names = NINE[:count]
    cuts = dict.fromkeys(names[1:], (BLOCK, 1.0))
    items = [snapshot(name, names, faults=cuts if name == names[0] else {}) for name in names]
    state = state_of(*items, *(dataclasses.replace(item, time=START + 0.1) for item in items), names=names)
    for width in (*range(24, 44), 80, 160):
        for height in (HEIGHT_MIN, 10, 17, 40):
            lines = ring(state, START + 0.1, width, height)
            assert len(lines) == height
            assert all(length(line) == width for line in lines)
    assert ring(state, START, 23, 40) == ring(state, START, 80, HEIGHT_MIN - 1) == ()


@pytest.mark.parametrize("count", range(2, 10))
def test_a_blocked_way_is_marked_whatever_else_passes(count: int) -> None:
    names = NINE[:count]
    for sender in {names[0], names[count // 2]}:
        for to in names:
            if sender == to:
                continue
            items = [
                snapshot(name, names, faults={to: (BLOCK, None)} if name == sender else {}) for name in names
            ]
            moved = [
                dataclasses.replace(
                    item,
                    time=START + 0.1,
                    links=tuple(
                        dataclasses.replace(way, frames_sent=way.frames_sent + 9) for way in item.links
                    ),
                )
                for item in items
            ]
            state = state_of(*items, *moved, names=names)
            for second in range(2):
                drawn = "".join(plain(line) for line in ring(state, START + 0.1 + second / 3, 100, 30))
                assert drawn.count("✕") == 1
                assert "●" in drawn or count == 2


def test_what_the_nodes_are() -> None:
    state = state_of(
        *election(), process("n1", "exited", since=START), process("n3", "paused", since=START), names=NAMES
    )
    drawn = "".join(plain(line) for line in ring(state, START, 60, 15))
    assert "n1☠" in drawn
    assert "n2★" in drawn
    assert "n3⏸" in drawn
    assert "n1?" in "".join(plain(line) for line in ring(initial(NAMES), START, 60, 15))
