"""The bar of time and what belongs to it, as a reader sees them: lives, reasons, the footer, the tabs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftkv.tui.event_log import LogLine
from raftkv.tui.frame import Frame, Mode, Times
from raftkv.tui.model import CommandDone, State, initial, reduce_all
from raftkv.tui.playback.tape import Mark
from raftkv.tui.view.footer import bar_width, footer
from raftkv.tui.view.lives import lives
from raftkv.tui.view.reasons import explained, reason_lines
from raftkv.tui.view.spans import length, plain
from raftkv.tui.view.tabs import TABS, tab_line
from raftkv.tui.view.timeline import clock_text, column_at, letter, time_at, timeline
from tests.tui.fakes import NOON, START, event, leader_snapshot, process, snapshot
from tests.tui.scenes import BLOCK, NAMES, NINE, healthy, state_of


def times(
    start: float = 0.0,
    end: float = 10.0,
    position: float | None = None,
    mode: Mode = Mode.LIVE,
    marks: Sequence[Mark] = (),
) -> Times:
    return Times(mode, start, end, end if position is None else position, NOON, marks)


def mark(time: float, symbol: str = "·", *, elected: bool = False) -> Mark:
    return Mark(1, time, "n1", symbol, "", elected)


# -- the bar


def test_letters() -> None:
    marks = [mark(1, "★", elected=True), *(mark(1, symbol) for symbol in "☠✕!·$●▶★")]
    assert [letter(each) for each in marks] == ["E", "K", "P", "!", "", "", "", "", ""]


def test_the_bar() -> None:
    marks = [mark(0.5, "☠"), mark(3.2, "★", elected=True), mark(3.4, "☠"), mark(9.99, "✕"), mark(5.0, "$")]
    assert plain(timeline(times(marks=marks), 12)) == "◀K──E─────P▶"
    frozen = times(marks=marks, position=5.5, mode=Mode.FROZEN)
    assert plain(timeline(frozen, 12)) == "◀K──E─┃═══P▶"
    assert ("┃", "accent") in timeline(frozen, 12)
    assert plain(timeline(times(marks=marks, position=0.0, mode=Mode.REPLAY), 12)) == "◀┃══E═════P▶"


def test_the_most_telling_letter_of_a_column_is_shown_whatever_came_first() -> None:
    marks = [mark(5.0, "!"), mark(5.0, "✕"), mark(5.0, "☠"), mark(5.0, "★", elected=True)]
    for count, shown in ((1, "!"), (2, "P"), (3, "K"), (4, "E")):
        assert shown in plain(timeline(times(marks=marks[:count]), 12))
        assert shown in plain(timeline(times(marks=marks[:count][::-1]), 12))


def test_a_cause_goes_to_the_column_before_its_effect_where_there_is_room() -> None:
    """Within one column a leader is killed and the next one elected."""
    marks = [mark(5.1, "☠"), mark(5.4, "★", elected=True)]
    assert plain(timeline(times(marks=marks), 12)) == "◀────KE────▶"
    assert plain(timeline(times(marks=[mark(4.2, "✕"), *marks]), 12)) == "◀────PE────▶"
    assert plain(timeline(times(marks=[mark(0.1, "☠"), mark(0.2, "★", elected=True)]), 12)) == "◀E─────────▶"


def test_a_bar_of_no_time_at_all() -> None:
    still = times(5.0, 5.0, marks=[mark(5.0, "☠")])
    assert plain(timeline(still, 12)) == "◀─────────K▶"
    assert {time_at(still, column, 12) for column in range(-3, 20)} == {5.0}
    assert plain(timeline(still, 0)) == "◀K▶"


moments = st.floats(0, 1e7, allow_subnormal=False)


@given(moments, st.floats(1e-3, 1e5), st.integers(3, 300))
@settings(max_examples=200, deadline=None)
def test_a_click_leads_to_the_column_that_was_clicked(start: float, seconds: float, width: int) -> None:
    bar = times(start, start + seconds)
    for column in range(1, width - 1):
        time = time_at(bar, column, width)
        assert bar.start <= time <= bar.end
        assert column_at(bar, time, width - 2) == column - 1
    assert column_at(bar, time_at(bar, 0, width), width - 2) == 0
    assert time_at(bar, width - 1, width) == time_at(bar, width + 50, width) == bar.end


@given(moments, st.floats(1e-2, 1e5), st.floats(0, 1), st.integers(3, 300))
@settings(max_examples=200, deadline=None)
def test_a_letter_that_is_clicked_is_in_the_picture(
    start: float, seconds: float, share: float, width: int
) -> None:
    bar = times(start, start + seconds)
    happened = min(bar.end, start + share * seconds)
    column = column_at(bar, happened, width - 2) + 1
    assert time_at(bar, column, width) >= happened - 1e-9 * max(1.0, bar.end)


def test_the_clock() -> None:
    assert clock_text(times(position=3_661.5)) == "13:01:01"


# -- lives


def lived() -> State:
    state = initial(NAMES)
    return reduce_all(
        state,
        [
            leader_snapshot("n1", time=0.0, term=1),
            snapshot("n2", time=0.0, term=1),
            snapshot("n3", time=5.0, term=1),
            process("n1", "exited", since=4.0),
            snapshot("n2", time=5.0, role="pre_candidate", term=1),
            snapshot("n2", time=6.0, role="candidate", term=2),
            leader_snapshot("n2", time=7.0, term=2),
            process("n3", "paused", since=8.0),
        ],
    )


def test_lives_are_in_step_with_the_bar() -> None:
    rows = [plain(line) for line in lives(lived(), times(), 24)]
    assert [len(row) for row in rows] == [23, 23, 23]
    began = {"n1": (0.0, 4.0), "n2": (0.0, 5.0, 6.0, 7.0), "n3": (5.0, 8.0)}
    shown = {"n1": "█☠·", "n2": "▁░▒█", "n3": "▁⏸"}
    for row, (name, moments) in zip(rows, began.items(), strict=True):
        symbols = [symbol for number, symbol in enumerate(row[4:], 4) if row[number - 1] != symbol]
        assert "".join(symbols).strip() == shown[name]
        for symbol, moment in zip(shown[name], moments, strict=False):
            if moment:  # at the very start the name is in the way
                assert row.index(symbol) == column_at(times(), moment, 22) + 1, "as in the bar"


def test_terms_are_colours_and_the_future_is_blank() -> None:
    styles = {span.style for line in lives(lived(), times(), 60) for span in line if "█" in span.text}
    assert styles == {"term1", "term2"}
    early = lives(lived(), times(position=3.0, mode=Mode.FROZEN), 60)
    assert "☠" not in "".join(map(plain, early))
    assert plain(early[0]).rstrip().endswith("█")


def test_what_happens_now_is_in_the_last_column() -> None:
    """Also where the sum of the parts is a rounding more than the whole."""
    for end in (10.0, 0.7, 1 / 3, 123_456.789, 0.1 + 0.2):
        for start in (0.0, 0.1, 1e-3 / 3):
            state = reduce_all(initial(NAMES), [leader_snapshot("n1", time=start)])
            assert plain(lives(state, times(start, end), 80)[0]).endswith("█")


# -- the reason


def test_the_newest_event_with_a_reason() -> None:
    state = state_of(
        event(1, "n1", "RoleChanged", role="candidate", term=8, reason="pre-vote-won"),
        event(1, "n2", "Invented", anything=1),
    )
    found = explained(state)
    assert found
    assert found[0].node == "n1"
    lines = [plain(line) for line in reason_lines(state, 80, 4)]
    assert (
        lines
        == [
            " n1 ◆ candidate, term 8: pre-vote won",
            " A quorum has not heard a leader lately either and finds the log of n1 recent",
            " enough, so it enters term 8, votes for itself and asks for their votes. [§5.2]",
        ]
        or lines[0] == " n1 ◆ candidate, term 8: pre-vote won"
    )
    assert "[§5.2]" in "".join(lines)


def test_nothing_to_be_explained() -> None:
    assert plain(reason_lines(initial(NAMES), 80, 4)[0]).strip().startswith("nothing has happened yet")


@pytest.mark.parametrize("width", [30, 80, 160])
@pytest.mark.parametrize("height", range(1, 7))
def test_a_reason_keeps_within_its_room(width: int, height: int) -> None:
    state = state_of(event(1, "n1", "NodeStopping", reason="x" * 300))
    also = reduce_all(initial(NAMES), [CommandDone(1.0, "raftkv put " + "y" * 300)])
    for each in (state, also):
        lines = reason_lines(each, width, height)
        assert len(lines) <= max(2, height)
        assert all(length(line) <= width for line in lines)
    if height == 2:
        assert plain(reason_lines(state, 30, 2)[-1]).endswith("…")


# -- the footer and the tabs


def frame(state: State, bar: Times, **changes: object) -> Frame:
    made = Frame(state, START, "n1", 80, bar)
    return Frame(**{**{name: getattr(made, name) for name in Frame.__slots__}, **changes})


def test_the_footer_at_80_columns() -> None:
    line = plain(footer(frame(state_of(*healthy()), times(), seconds=30.0), 80))
    assert len(line) == 80
    assert line[: bar_width(80)] == "◀" + "─" * 24 + "▶"
    assert line[26:].rstrip() == " 12:00:10  no faults; new ones last 30 s"
    lasting = plain(footer(frame(state_of(*healthy()), times(), load_on=True), 80))
    assert len(lasting) == 80
    assert lasting.endswith(" load on ")


@pytest.mark.parametrize("load_on", [False, True])
def test_a_footer_of_many_faults_fits(load_on: bool) -> None:
    names = NINE
    items = [
        snapshot(name, names, faults={to: (BLOCK, 21.0) for to in names if (to < "n6") != (name < "n6")})
        for name in names
    ]
    state = state_of(*items, process("n9", "exited", since=START - 5, until=START + 20), names=names)
    for width in (80, 100, 160):
        line = plain(footer(frame(state, times(), load_on=load_on), width))
        assert len(line) == width
        assert "☠ n9" in line, "a node that is down comes first"
        assert "0:20" in line
        assert "✕ partit" in line or (load_on and width == 80)
        assert "more" in line
        assert ("left" in line) == (width == 160), "no word to spare"


def test_the_clock_of_the_past_stands_out() -> None:
    past = footer(frame(state_of(*healthy()), times(position=3.0, mode=Mode.FROZEN)), 80)
    assert (" 12:00:03 ", "accent") in past


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("current", [tab.name for tab in TABS])
def test_the_tabs_fit_and_every_one_can_be_hit(current: str, width: int) -> None:
    line, places = tab_line(current, width)
    text = plain(line)
    assert len(text) <= width
    assert text.count("▸") == 1
    assert [name for _, name in places] == [tab.name for tab in TABS]
    assert [column for columns, _ in places for column in columns] == list(range(len(text)))
    for (columns, name), tab in zip(places, TABS, strict=True):
        words = text[columns.start : columns.stop]
        assert words.startswith("▸" if name == current else " ")
        assert words.endswith((tab.title, tab.short))
    if width == 160:
        assert all(tab.title in text for tab in TABS)


def test_lines_without_a_node_are_commands() -> None:
    state = State((), (LogLine(1.0, "", "$", "command", "raftkv chaos heal"),), 1)
    assert plain(reason_lines(state, 80, 3)[0]) == " $ raftkv chaos heal"
