"""Whatever a cluster is like, no view raises and no line is wider than its room."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftkv.observe import LinkFault, LoadReport, LogEntry
from raftkv.tui.frame import Frame, Mode, Times
from raftkv.tui.model import Item, RosterChanged, State, initial, reduce_all
from raftkv.tui.playback.tape import Mark
from raftkv.tui.ports import FeedItem
from raftkv.tui.view.detail import detail
from raftkv.tui.view.footer import footer
from raftkv.tui.view.header import header_line
from raftkv.tui.view.lanes import lanes
from raftkv.tui.view.lives import lives
from raftkv.tui.view.logbook import Window, logbook
from raftkv.tui.view.matrix import link_matrix, matrix_shape
from raftkv.tui.view.network import fault_list, grid, group_line, link_facts, network
from raftkv.tui.view.nodes import node_table
from raftkv.tui.view.reasons import reason_lines
from raftkv.tui.view.ring import ring
from raftkv.tui.view.spans import Line, brief, length, plain, shorten
from raftkv.tui.view.tabs import TABS, tab_line
from raftkv.tui.view.timeline import timeline
from raftkv.tui.view.verdict import digests, invariants, load_lines, verdict_line
from raftkv.types import LogIndex, Term
from tests.tui.fakes import NOON, START, event, leader_snapshot, process, snapshot
from tests.tui.scenes import NAMES, NINE, busy, election, healthy, state_of

SCENES: list[list[FeedItem]] = [[], healthy(), busy()[:30], election()]
ROLES = ("follower", "candidate", "pre_candidate", "leader", "learner")
numbers = st.sampled_from([0, 1, 9, 1042, 123_456, 9_876_543_210])
fractions = st.sampled_from([0.0, 0.5, 3.0, 12_345.6, float("inf")])
link_faults = st.builds(
    LinkFault,
    block=st.booleans(),
    drop=st.sampled_from([0.0, 0.05, 1.0]),
    delay_ms=st.sampled_from([0.0, 80.0, 12_345.0]),
    jitter_ms=st.sampled_from([0.0, 20.0]),
    duplicate=st.sampled_from([0.0, 0.3]),
    reorder=st.sampled_from([0.0, 0.3]),
)


@st.composite
def states(draw: st.DrawFn) -> State:
    if draw(st.booleans()):
        return reduce_all(initial(NAMES), draw(st.sampled_from(SCENES)))
    long = draw(st.sampled_from(["", "node-with-a-long-name-"]))
    names = tuple(long + name for name in NINE[: draw(st.integers(1, 9))])
    items: list[Item] = [RosterChanged(names)]
    for number, _ in enumerate(range(draw(st.integers(0, 8)))):
        name, time = draw(st.sampled_from(names)), START - 2 + number / 4
        match draw(st.integers(0, 4)):
            case 0:
                items.append(
                    process(name, draw(st.sampled_from(["running", "paused", "exited"])), since=time)
                )
            case 1:
                items.append(
                    event(number, name, "EntriesTruncated", time, term=1, first_index=3, last_index=9)
                )
            case 2:
                ok, failed, rounds = draw(numbers), draw(numbers), draw(numbers)
                items.append(LoadReport(time, draw(st.booleans()), ok, failed, ok, failed, rounds, None, 3))
            case _:
                items.append(_snapshot(draw, name, names, time))
    return reduce_all(initial(names), items)


def _snapshot(draw: st.DrawFn, name: str, names: tuple[str, ...], time: float) -> FeedItem:
    role = draw(st.sampled_from(ROLES))
    last = draw(numbers)
    others = [other for other in names if other != name]
    faults = {other: (draw(link_faults), draw(st.none() | fractions)) for other in others[:3]}
    changes: dict[str, Any] = {
        "terms": tuple([draw(st.sampled_from([1, 7, 123_456]))] * min(last, draw(st.integers(0, 30)))),
        "commit_index": draw(st.integers(0, last)),
        "first_index": draw(st.integers(1, last + 1)),
        "term": draw(numbers),
        "alarms": draw(st.sampled_from([(), ("NOSPACE", "CORRUPT")])),
        "disk_stalled": draw(st.booleans()),
        "faults": faults,
        "uptime": draw(fractions),
        "sync_ms_p99": draw(fractions),
        "write_ms_p99": draw(fractions),
        "log_bytes": draw(numbers),
        "keys": draw(numbers),
        "writes_total": draw(numbers),
        "transferee": draw(st.none() | st.sampled_from(names)),
        "leader": draw(st.none() | st.sampled_from(names)),
    }
    make = leader_snapshot if role == "leader" else snapshot
    return make(name, names, time=time, role=role, last_index=last, **changes)


MARKS = [
    Mark(number, START - 3 + number, "n1", symbol, "", symbol == "★") for number, symbol in enumerate("☠✕★!")
]


@given(
    states(),
    st.integers(80, 200),
    st.integers(2, 50),
    st.sampled_from(list(Mode)),
    st.sampled_from([0.0, 1.0, 9.0]),
)
@settings(max_examples=100, deadline=None)
def test_no_line_is_wider_than_its_room(
    state: State, width: int, height: int, mode: Mode, later: float
) -> None:
    now = START + later
    bar = Times(mode, START - 60, now, now - later / 2, NOON, MARKS)
    name = state.names[-1]
    picture = Frame(state, now, name, width, bar, load_on=height % 2 == 0)
    entries = {name: {5: LogEntry(LogIndex(5), Term(2), "command", "put " + "x" * 76)}}
    shape = grid(state, width)
    drawn: dict[str, tuple[Line, ...]] = {
        "timeline": (timeline(bar, width),),
        "lives": lives(state, bar, width),
        "logbook": logbook(state, now, Window(), width, height),
        "logbook, looked up": logbook(state, now, Window(6, entries, 5), width, height),
        "network": network(state, now, shape, (0, len(state.nodes) - 1)),
        "faults": fault_list(state, now, width, 9),
        "invariants": invariants(state.checks, width),
        "digests": digests(state, now),
        "load": load_lines(state, width, True),
        "verdict": (verdict_line(state),),
        "ring": ring(state, now, width, height),
        "reasons": reason_lines(state, width, height),
        "tabs": (tab_line(TABS[height % len(TABS)].name, width)[0],),
        "footer": (footer(picture, width),),
        "header": (header_line(state, now, width, times=bar, faults=height),),
        "lanes": lanes(state, now, width),
        "nodes": node_table(state, now, width, name),
    }
    for view, lines in drawn.items():
        for line in lines:
            assert length(line) <= width, view
    assert len(drawn["logbook"]) <= max(2, height)
    assert len(drawn["ring"]) in (0, height)
    # Of a room of their own, or cut off where the screen ends.
    group_line(state, now)
    for other in state.names:
        link_facts(state, name, other, now)
    detail(state, name, now, 60)
    link_matrix(state, now, matrix_shape(state, 30))


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("db-eu-west-1a-node", "db-eu-west-1b-node"), ["d…a-node", "d…b-node"]),
        (("node-10.raft", "node-11.raft"), ["n…0.raft", "n…1.raft"]),
        (("a-very-long-prefix-1-and-suffix", "a-very-long-prefix-2-and-suffix"), ["…-1-and…", "…-2-and…"]),
        (("n1", "db-frankfurt-01"), ["n1", "db-f…-01"]),
    ],
)
def test_long_names_are_cut_so_that_no_two_look_the_same(names: tuple[str, ...], shown: list[str]) -> None:
    assert [brief(name, 8, names) for name in names] == shown
    state = state_of(*(snapshot(name, names) for name in names), names=names)
    rows = [plain(line) for line in node_table(state, START, 80, names[0])]
    assert all(any(each in row for row in rows) for each in shown)


def test_long_names_that_differ_at_their_end_can_be_told_apart() -> None:
    assert [brief("db-frankfurt-01", width) for width in (15, 8, 5, 2, 1, 0)] == [
        "db-frankfurt-01",
        "db-f…-01",
        "db…01",
        "d…",
        "…",
        "",
    ]
    names = ("db-frankfurt-01", "db-frankfurt-02", "db-paris-01")
    state = state_of(*(snapshot(name, names) for name in names), names=names)
    for width in (80, 120):
        rows = [plain(line)[: width // 2] for line in node_table(state, START, width, names[0])[1:]]
        assert len({row.split()[0].removeprefix("▸") for row in rows}) == 3


def test_where_there_is_no_room_there_is_no_mark_either() -> None:
    assert [shorten("text", width) for width in (5, 4, 3, 1, 0, -1)] == ["text", "text", "te…", "…", "", ""]
