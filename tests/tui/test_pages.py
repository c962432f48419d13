"""The eight screens by key and mouse: where a key leads, what it asks for, what is then shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from raftkv.observe import LinkFault, LoadReport
from raftkv.tui.dialogs.choice import ChoiceDialog
from raftkv.tui.frame import Mode
from raftkv.tui.pages.data import DataPage
from raftkv.tui.view.tabs import TABS
from tests.support.processes import await_condition
from tests.tui.driving import LARGE, SMALL, Session, session
from tests.tui.fakes import START, event, leader_snapshot, process, snapshot
from tests.tui.scenes import BLOCK, NAMES, election, healthy

SEEN = {
    "overview": "last/commit/applied",
    "node": "its lines",
    "network": "reach each other",
    "logs": "put k1040=v",
    "data": "color/blue",
    "timeline": "live; ",
    "scenarios": "A split vote",
    "verdict": "leader completeness",
}
"""What only that screen shows."""


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
async def test_every_screen_by_its_key(size: tuple[int, int]) -> None:
    async with session(election(), size=size) as running:
        for number, tab in enumerate(TABS, start=1):
            await running.press(f"f{number}")
            await running.until_shown(SEEN[tab.name])


async def test_every_screen_in_turn_by_mouse_and_by_palette() -> None:
    async with session(election()) as running:
        for tab in (*TABS[1:], TABS[0]):
            await running.press("tab")
            await running.until_shown(SEEN[tab.name])
        await running.press("shift+tab")
        await running.until_shown(SEEN["verdict"])
        assert await running.pilot.click("#tabs", offset=(27, 0))
        await running.until_shown(SEEN["network"])
        titles = [command.title for command in running.app.get_system_commands(running.app.screen)]
        assert {f"Screen: {tab.title}" for tab in TABS} <= set(titles)


async def test_enter_on_a_node_shows_it_in_full() -> None:
    async with session(election()) as running:
        await running.press("2", "enter")
        await running.until_shown("node n2")
        await running.press("3")
        await running.until_shown("node n3")


async def test_a_screen_does_not_change_under_a_dialog() -> None:
    async with session(election()) as running:
        await running.press("p", "f3")
        assert SEEN["network"] not in running.screen()


# -- the node ----------------------------------------------------------------------------------


async def test_a_node_shows_its_lines_and_those_of_its_life_before() -> None:
    def started(sequence: int, boot: int, time: float, entries: int) -> object:
        return event(sequence, "n1", "NodeStarted", time, boot=boot, entries=entries, snapshot=0, cut=None)

    items = [
        *healthy(),
        started(1, 7, START + 1, 11),
        event(2, "n1", "LeaderChanged", START + 2, term=8, leader_id="n2"),
        started(1, 8, START + 3, 22),
    ]
    async with session(items, size=LARGE) as running:  # type: ignore[arg-type]
        await running.press("f2")
        await running.until_shown("of its life before")
        before = running.screen().split("of its life before")[1]
        assert "started with 11 log entries" in before
        assert "leader n2, term 8" in before
        assert "started with 22 log entries" in running.screen().split("of its life before")[0]


# -- the network -------------------------------------------------------------------------------


async def test_links_are_broken_cell_by_cell() -> None:
    async with session(healthy()) as running:
        await running.press("f3", "right", "o")  # n1 -> n3
        await running.press("down", "enter")  # n2 -> n3
        await running.press("left", "left", "d")  # n2 -> n1
        await running.press("u", "x")
        double, shuffle = LinkFault(duplicate=0.2), LinkFault(reorder=0.2)
        assert [call[1:4] for call in running.actions.calls] == [
            ("n1", "n3", BLOCK),
            ("n2", "n3", BLOCK),
            ("n2", "n1", LinkFault(delay_ms=100.0, jitter_ms=20.0)),
            ("n2", "n1", double),
            ("n2", "n1", shuffle),
        ]


async def test_on_the_diagonal_the_peer_is_asked_for() -> None:
    async with session(healthy()) as running:
        await running.press("f3", "left", "o")
        assert isinstance(running.app.screen, ChoiceDialog)
        await running.press("2")
        assert running.actions.calls[0][1:4] == ("n1", "n2", BLOCK)


async def test_a_click_chooses_a_cell_and_the_next_blocks_it() -> None:
    async with session(healthy()) as running:
        await running.press("f3")
        await running.until_shown("reach each other")
        # Under the title and the heading; nine columns for the sender's name, eighteen a cell.
        place = (9 + 2 * 18 + 4, 2 + 1)  # n2 -> n3
        assert await running.pilot.click("#grid", offset=place)
        await running.until_shown("n2 → n3")
        assert running.actions.calls == []
        assert await running.pilot.click("#grid", offset=place)
        await running.press()
        assert running.actions.calls[0][1:4] == ("n2", "n3", BLOCK)


async def test_faults_are_listed_with_their_time() -> None:
    async with session(election()) as running:
        await running.press("f3")
        for text in ("✕ n2→n3 blocked  0:21 left", "◐ n3→n2 drops 5%", "[n1 n2 n3]"):
            await running.until_shown(text)


# -- undoing -----------------------------------------------------------------------------------


async def test_undo_takes_faults_back_one_by_one() -> None:
    async with session(healthy()) as running:
        await running.press("k", "2", "z", "f", "f", "c", "1")
        faults = ("disk full, 12 s left", "clock ×1.1, 12 s left")
        await running.push(
            process("n1", "exited", since=START + 1),
            process("n2", "paused", since=START + 1),
            replace(snapshot("n2", time=START + 0.9), faults=faults),
        )
        for _ in range(4):
            await running.press("backspace")
        assert [call[:2] for call in running.actions.calls[4:]] == [
            ("clock", "n2"),
            ("disk", "n2"),
            ("resume", "n2"),
            ("restart", "n1"),
        ]
        await running.press("backspace")
        await running.until_shown("nothing that was broken from here")


async def test_what_has_ended_or_was_mended_is_not_undone_by_breaking_it_again() -> None:
    """A node that is back, a pause that is over, links, a disk and a clock that were healed."""
    async with session(healthy()) as running:
        await running.press("k", "2", "z", "f", "f", "c", "1", "i", "3", "i")
        done = len(running.actions.calls)
        assert done == 6
        await running.push(process("n1", since=START + 2), process("n2", since=START + 2))
        await running.push(*(snapshot(name, time=START + 2) for name in ("n1", "n2", "n3")))
        await running.press("backspace")
        await running.until_shown("nothing that was broken from here")
        assert len(running.actions.calls) == done


async def test_undoing_a_cut_brings_back_what_was_before() -> None:
    async with session(
        [*healthy(), snapshot("n1", time=START + 0.5, faults={"n2": (BLOCK, None)})]
    ) as running:
        await running.press("i")
        now = {"n2": (BLOCK, 30.0), "n3": (BLOCK, 30.0)}
        await running.push(snapshot("n1", time=START + 1, faults=now))
        await running.press("backspace")
        assert running.actions.calls[1:] == [("link", "n1", "n3", LinkFault(), 30.0)]


# -- the logs ----------------------------------------------------------------------------------


async def test_logs_scroll_and_follow() -> None:
    async with session(election()) as running:
        await running.press("f4")
        await running.until_shown("put k1044=v")
        await running.press("pageup")
        running.clock.now += 1
        await running.until_shown("put k1020=v")
        assert "put k1044=v" not in running.screen()
        await running.press("up")
        await running.press("home")
        await running.until_shown("    1 ")
        await running.press("end")
        await running.until_shown("put k1044=v")


@pytest.mark.parametrize(("text", "index"), [("1010", 1010), ("t7", 573), ("k1005=", 1005)])
async def test_logs_are_searched_by_index_term_and_words(text: str, index: int) -> None:
    async with session(election()) as running:
        await running.press("f4", "slash", *text, "enter")
        await running.until_shown(f"▸{index:>8}")


async def test_a_search_in_vain_says_so() -> None:
    async with session(election()) as running:
        await running.press("f4", "slash", *"nowhere", "enter")
        await running.until_shown("no entry with 'nowhere'")


async def test_a_log_that_cannot_be_searched_says_why() -> None:
    async with session(election()) as running:
        running.lookups.fails = "n1 does not answer"
        await running.press("f4", "slash", *"word", "enter")
        await running.until_shown("n1 does not answer")


# -- the data ----------------------------------------------------------------------------------


async def test_keys_are_put_changed_and_deleted() -> None:
    async with session(healthy()) as running:
        await running.press("f5")
        await running.until_shown("color/red")
        await running.press("n", "a", "enter", "b", "enter")
        await running.press("down", "enter", "X", "enter")
        await running.press("delete")
        assert running.actions.calls == [
            ("put", b"a", b"b"),
            ("compare_and_set", b"color/red", b"RED", b"X"),
            ("delete", b"color/red"),
        ]


async def test_what_is_not_text_is_changed_deleted_and_put_back_byte_by_byte() -> None:
    key, value = b"\xff\x00", b"\xfe"
    async with session(healthy()) as running:
        running.lookups.rows = [(key, value, 1, 1)]
        await running.press("f5")
        await running.until_shown("base64:/wA=")
        await running.press("enter", "X", "enter", "delete", "backspace")
        assert running.actions.calls == [
            ("compare_and_set", key, value, b"X"),
            ("delete", key),
            ("compare_and_set", key, None, value),
        ]


async def test_only_a_key_that_is_on_the_screen_is_deleted_or_changed() -> None:
    async with session(healthy()) as running:
        await running.press("f5")
        await running.until_shown("color/red")
        await running.press("down", "space")
        await running.until_shown("data can be seen only as it is now")
        await running.press("delete", "enter")
        assert len(running.app.screen_stack) == 1
        await running.press("space")
        await running.until_shown("color/red")
        running.lookups.fails = "nobody answers"
        running.clock.now += 2
        await running.until_shown("nobody answers")
        await running.press("delete", "enter")
        assert running.actions.calls == []


async def test_the_cursor_stays_at_its_key_when_others_come_and_go() -> None:
    async with session(healthy()) as running:
        red = running.lookups.rows[1]
        await running.press("f5")
        await running.until_shown("color/red")
        await running.press("down")
        running.lookups.rows = [(b"a", b"1", 1, 1), (b"b", b"2", 1, 1), red]
        running.clock.now += 2
        await running.until_shown("keys: 3")
        await running.press("delete")
        running.lookups.rows = []
        running.clock.now += 2
        await running.until_shown("keys: 0")
        await running.press("delete")
        assert running.actions.calls == [("delete", b"color/red")]


async def test_what_was_found_and_is_not_drawn_yet_is_not_acted_on() -> None:
    async with session(healthy()) as running:
        await running.press("f5")
        await running.until_shown("color/red")
        page = running.app.query_one(DataPage)
        page.on_data_page_scanned(DataPage.Scanned("", [running.lookups.rows[1]], 1))
        assert page.selected == (b"color/blue", b"BLUE"), "that is under the cursor as drawn"


async def test_keys_are_looked_for_by_prefix() -> None:
    async with session(healthy()) as running:
        await running.press("f5", "slash", *"color/r", "enter")
        running.clock.now += 2
        await running.until_shown("keys under 'color/r': 1")
        await running.until(lambda: "color/blue" not in running.screen())


async def test_data_that_cannot_be_read_says_why() -> None:
    async with session(healthy()) as running:
        running.lookups.fails = "no leader answered within 2 s"
        await running.press("f5")
        await running.until_shown("no leader answered within 2 s")


# -- time --------------------------------------------------------------------------------------


async def lively(running: Session) -> None:
    """Three polls, each with an election."""
    for term in (8, 9, 10):
        running.clock.now += 1
        head = NAMES[term % 3]
        await running.push(
            event(
                term, head, "RoleChanged", running.clock.now, role="leader", term=term, reason="election-won"
            ),
            leader_snapshot(head, time=running.clock.now, term=term, boot=1, event_sequence=term),
        )


async def test_the_view_goes_back_event_by_event_and_returns() -> None:
    async with session(healthy()) as running:
        await lively(running)
        await running.until_shown("leader, term 10")
        await running.press("[")
        await running.until_shown("VIEW FROZEN")
        await running.until(lambda: "leader, term 10" not in running.screen())
        await running.press("]")
        await running.until_shown("leader, term 10")
        await running.press("escape")
        await running.until_shown("LIVE")


async def test_the_view_goes_from_election_to_election() -> None:
    async with session(healthy()) as running:
        await running.press("{")
        await running.until_shown("no earlier election is known")
        assert "VIEW FROZEN" not in running.screen()
        await lively(running)
        await running.press("{", "{")
        await running.until(lambda: "leader, term 10" not in running.screen())
        await running.until_shown("leader, term 9")
        await running.press("}")
        await running.until_shown("leader, term 10")
        await running.press("}")
        await running.until_shown("no later election is known")


async def test_a_click_on_an_event_goes_to_its_moment() -> None:
    async with session(healthy()) as running:
        await lively(running)
        await running.press("f6")
        await running.until_shown("leader, term 10")
        lines = running.screen().splitlines()
        row = next(y for y, line in enumerate(lines) if "leader, term 8" in line)
        assert await running.pilot.click(offset=(20, row))
        await running.until(lambda: running.app.viewer.mode is Mode.FROZEN)
        await running.until(lambda: "leader, term 9" not in running.screen())


@pytest.mark.parametrize("bar", ["#time-bar", "#footer"])
async def test_a_click_on_the_bar_goes_to_that_time(bar: str) -> None:
    async with session(healthy()) as running:
        await lively(running)
        await running.press("f6")
        await running.until_shown("leader, term 10")
        assert await running.pilot.click(bar, offset=(2, 0))
        await running.until_shown("VIEW FROZEN")
        assert "leader, term 9" not in running.screen()


async def test_the_reason_stands_below_the_event() -> None:
    async with session(healthy()) as running:
        await lively(running)
        await running.press("f6")
        await running.until_shown("A quorum voted for n2 in term 10")
        await running.until_shown("[§5.2, §8]")


async def test_events_are_filtered_until_escape() -> None:
    async with session(election()) as running:
        await running.press("slash", *"pre-vote", "enter")
        await running.until(lambda: "leader n2, term 7" not in running.screen())
        assert "refused pre-vote to n3" in running.screen()
        await running.press("escape")
        await running.until_shown("leader n2, term 7")


async def test_export_writes_a_page_a_summary_and_a_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with session(election()) as running:
        await running.press("E")
        await running.until_shown("$ raftkv replay raftkv-")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".html", ".md", ".rec"]


# -- scenarios ---------------------------------------------------------------------------------


async def test_a_scenario_is_told_asked_and_checked() -> None:
    async with session(healthy()) as running:
        await running.press("s")
        await running.until_shown("enter plays it on this cluster")
        await running.pilot.press("enter")
        await running.until_shown("Who will lead?")
        assert "Two nodes campaign at once." in running.screen(), "to guess, one has to see what was told"
        await running.pilot.press("2")
        await running.until_shown("it came out as it must")
        for text in (
            "Two nodes campaign at once.",
            "$ raftkv chaos campaign n1",
            "Right: nobody",
            "✓ one leader",
        ):
            assert text in running.screen()
        assert running.lessons.played == ["split-vote"]


async def test_what_a_scenario_told_is_there_until_it_is_played_again() -> None:
    async with session(healthy()) as running:
        await running.press("s")
        await running.pilot.press("enter")
        await running.until_shown("Who will lead?")
        await running.pilot.press("2")
        await running.until_shown("it came out as it must")
        await running.press("down")
        await running.until(lambda: "it came out as it must" not in running.screen())
        await running.press("up")
        await running.until_shown("it came out as it must")


async def test_a_scenario_is_played_only_where_the_screen_shows_the_cluster_as_it_is() -> None:
    async with session(healthy()) as running:
        await running.press("s", "space")
        await running.until_shown("scenarios are played on a running cluster")
        await running.press("enter")
        assert running.lessons.played == []


async def test_a_scenario_ends_with_the_dashboard_that_shows_it() -> None:
    async with session(healthy()) as running:
        await running.press("s")
        await running.pilot.press("enter")
        await running.until_shown("Who will lead?")
        running.app.exit()
    await_condition(lambda: running.lessons.stopped == ["split-vote"], "the scenario to end")


async def test_a_long_story_can_be_read_from_its_beginning() -> None:
    async with session(healthy()) as running:
        running.lessons.words = [f"word {number}." for number in range(60)]
        await running.press("s")
        await running.pilot.press("enter")
        await running.until_shown("Who will lead?")
        await running.pilot.press("2")
        await running.until_shown("it came out as it must")
        assert "word 0." not in running.screen()
        await running.press("home")
        await running.until_shown("word 0.")
        await running.press("pagedown", "pageup")
        await running.until_shown("word 0.")
        await running.press("end")
        await running.until_shown("it came out as it must")
        assert "word 0." not in running.screen()
        await running.press("pageup")
        await running.until(lambda: "it came out as it must" not in running.screen())
        await running.press(*["pagedown"] * 20)
        await running.until_shown("it came out as it must")


async def test_a_scenario_that_fails_says_what_did_not_hold() -> None:
    async with session(healthy()) as running:
        await running.press("s", "down")
        await running.pilot.press("enter")
        await running.until_shown("Who will lead?")
        await running.pilot.press("escape")
        await running.until_shown("✗ the promise did not hold: two leaders")
        await running.until_shown("✗ A broken promise")


async def test_escape_stops_a_scenario() -> None:
    async with session(healthy()) as running:
        await running.press("s")
        await running.pilot.press("enter")
        await running.until_shown("Who will lead?")
        await running.pilot.press("escape", "escape")
        await running.until(lambda: "healed again" in running.screen())


# -- the verdict -------------------------------------------------------------------------------


async def test_a_broken_promise_is_told() -> None:
    two = [leader_snapshot(name, term=9, time=START + 1) for name in ("n1", "n2")]
    async with session([*healthy(), *two]) as running:
        await running.press("f8")
        await running.until_shown("VIOLATED")
        await running.until_shown("n1 and n2 both lead term 9")


async def test_the_load_is_judged_while_it_runs() -> None:
    report = LoadReport(START, True, 4000, 12, 3, 3900, 2, None, 0)
    async with session([*healthy(), report]) as running:
        await running.press("f8")
        await running.until_shown("linearizable: 3,900 operations in 2 rounds")
        await running.push(LoadReport(START + 1, True, 4100, 12, 3, 4000, 3, "k1: a stale read", 0))
        await running.until_shown("NOT linearizable: k1: a stale read")


async def test_a_cluster_that_is_gone_is_shown_as_gone_and_as_back() -> None:
    async with session([snapshot(name) for name in NAMES]) as running:
        running.clock.now += 10
        await running.until_shown("GONE: waiting for its return")
        await running.push(*(snapshot(name, time=running.clock.now, boot=2) for name in NAMES))
        await running.until_shown("LIVE 3/3")


async def test_when_all_are_dead_the_header_says_how_to_go_on() -> None:
    async with session([*healthy(), *(process(name, "exited", since=START) for name in NAMES)]) as running:
        await running.until_shown("ALL DOWN: H restarts")


async def test_nodes_that_join_and_leave_come_and_go() -> None:
    async with session(healthy()) as running:
        for number in range(1, 9):
            await running.press(f"f{number}")
        await running.press("f1")
        running.feed.rename((*NAMES, "n4"))
        await running.push(snapshot("n4", (*NAMES, "n4"), leader="n2"))
        await running.until_shown(" n4   follower")
        await running.press("4", "k")
        assert running.actions.calls[-1][:2] == ("kill", "n4")
        running.feed.rename(("n1", "n2"))
        await running.until(lambda: " n4   follower" not in running.screen())
        for number in range(1, 9):
            await running.press(f"f{number}")


async def test_a_list_whose_room_has_grown_leaves_none_of_it_empty() -> None:
    async with session(healthy()) as running:
        running.lookups.rows = [(b"key/%03d" % number, b"v", 1, 1) for number in range(30)]
        await running.press("f5")
        await running.until_shown("key/000")
        await running.press("end")
        await running.until_shown("key/029")
        assert "key/000" not in running.screen()
        await running.pilot.resize_terminal(80, 50)
        await running.until_shown("key/000")
