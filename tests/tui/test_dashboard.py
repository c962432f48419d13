"""Every key, click and dialog, driven as a user would, against a script and recording actions."""

from __future__ import annotations

import math
import threading

import pytest
from textual import events
from textual.command import CommandPalette
from textual.events import MouseScrollDown, MouseScrollUp
from textual.widgets import Input

from raftkv.observe import DiskFault, Earlier, Event, LinkFault
from raftkv.tui.commands import COMMANDS, LIFETIMES, digits, of_digit
from raftkv.tui.dialogs.choice import ChoiceDialog
from raftkv.tui.dialogs.help import HelpDialog
from raftkv.tui.dialogs.partition import PartitionDialog
from raftkv.tui.dialogs.put import PutDialog
from raftkv.tui.operations import ACTIONS_MAX
from raftkv.tui.pace import MOVING_SECONDS_MAX, Pace
from raftkv.tui.widgets.event_log import EventLog
from tests.tui.driving import LARGE, SMALL, session
from tests.tui.fakes import START, event, process, snapshot
from tests.tui.scenes import BLOCK, NAMES, NINE, election, healthy

SECONDS = LIFETIMES[0]
DELAY = LinkFault(delay_ms=100.0, jitter_ms=20.0)
LOSS = LinkFault(drop=0.2)
DOUBLE = LinkFault(duplicate=0.2)
SHUFFLE = LinkFault(reorder=0.2)

SIMPLE_KEYS: list[tuple[tuple[str, ...], tuple[object, ...]]] = [
    (("k",), ("kill", "n1", SECONDS)),
    (("2", "k"), ("kill", "n2", SECONDS)),
    (("down", "down", "k"), ("kill", "n3", SECONDS)),
    (("up", "k"), ("kill", "n3", SECONDS)),
    (("right", "left", "left", "k"), ("kill", "n3", SECONDS)),
    (("K",), ("kill", "n2", SECONDS)),
    (("w", "k"), ("kill", "n1", 120.0)),
    (("w", "w", "k"), ("kill", "n1", None)),
    (("t",), ("stop", "n1", SECONDS)),
    (("r",), ("restart", "n1")),
    (("z",), ("pause", "n1", SECONDS)),
    (("T",), ("transfer", "n1")),
    (("c", "1"), ("clock", "n1", 1.1, SECONDS)),
    (("c", "5"), ("clock", "n1", 1.0, None)),
    (("c", "down", "enter"), ("clock", "n1", 0.9, SECONDS)),
    (("f", "s"), ("disk", "n1", DiskFault(slow_ms=50.0), SECONDS)),
    (("f", "f"), ("disk", "n1", DiskFault(full=True), SECONDS)),
    (("f", "e"), ("disk", "n1", DiskFault(fail=True), None)),
    (("f", "h"), ("disk", "n1", DiskFault(), None)),
    (("i",), ("isolate", "n1", SECONDS)),
    (("h",), ("heal",)),
    (("H",), ("heal_all",)),
    (("e",), ("campaign", "n1")),
    (("L",), ("load", True)),
    (("o", "3"), ("link", "n1", "n3", BLOCK, SECONDS)),
    (("o", "down", "enter"), ("link", "n1", "n3", BLOCK, SECONDS)),
    (("d", "2"), ("link", "n1", "n2", DELAY, SECONDS)),
    (("l", "2"), ("link", "n1", "n2", LOSS, SECONDS)),
    (("u", "2"), ("link", "n1", "n2", DOUBLE, SECONDS)),
    (("x", "3"), ("link", "n1", "n3", SHUFFLE, SECONDS)),
    (("p", "g"), ("bridge", "n1", SECONDS)),
    (("p", "down", "g"), ("bridge", "n2", SECONDS)),
    (("p", "enter"), ("partition", (("n2", "n3"), ("n1",)), SECONDS)),
    (("p", "space", "down", "space", "enter"), ("partition", (("n1", "n3"), ("n2",)), SECONDS)),
    (("p", "a", "down", "down", "b", "enter"), ("partition", (("n1", "n2"), ("n3",)), SECONDS)),
    (("p", "m", "enter"), ("partition", (("n1", "n2"), ("n3",)), SECONDS)),
    (("p", "l", "enter"), ("partition", (("n1", "n3"), ("n2",)), SECONDS)),
    (("n", "a", "enter", "b", "c", "enter"), ("put", b"a", b"bc")),
]


@pytest.mark.parametrize(("keys", "call"), SIMPLE_KEYS, ids=["-".join(keys) for keys, _ in SIMPLE_KEYS])
async def test_a_key_does_what_it_says_and_shows_the_command(
    keys: tuple[str, ...], call: tuple[object, ...]
) -> None:
    async with session(healthy()) as running:
        await running.press(*keys)
        assert running.actions.calls == [call]
        await running.until_shown(f"$ raftkv chaos {call[0]}")
        assert threading.get_ident() not in running.actions.threads


@pytest.mark.parametrize("key", ["o", "d", "l", "u", "x", "c", "f", "p", "n", "question_mark"])
async def test_escape_cancels_a_dialog(key: str) -> None:
    async with session(healthy()) as running:
        await running.press(key)
        assert isinstance(running.app.screen, ChoiceDialog | PartitionDialog | PutDialog | HelpDialog)
        await running.press("escape")
        assert running.app.screen is running.app.screen_stack[0]
        assert running.actions.calls == []


async def test_what_already_ails_a_link_is_kept_or_taken_back() -> None:
    faults = {"n2": (BLOCK, 9.0), "n3": (DELAY, 9.0)}
    async with session([snapshot("n1", faults=faults), *map(process, NAMES)]) as running:
        await running.press("o", "2")
        await running.press("d", "3")
        await running.press("l", "3")
        both = LinkFault(drop=0.2, delay_ms=100.0, jitter_ms=20.0)
        assert running.actions.calls == [
            ("link", "n1", "n2", LinkFault(), None),
            ("link", "n1", "n3", LinkFault(), None),
            ("link", "n1", "n3", both, SECONDS),
        ]


async def test_a_click_on_a_cell_toggles_that_one_direction() -> None:
    async with session(election()) as running:
        # Under the title and the heading, three columns for the sender's name, three a cell.
        assert await running.pilot.click("#matrix", offset=(1 + 3 + 8, 2 + 0))
        assert await running.pilot.click("#matrix", offset=(1 + 3 + 8, 2 + 1))
        assert await running.pilot.click("#matrix", offset=(1 + 3 + 5, 2 + 1))  # n2 to itself
        assert await running.pilot.click("#matrix", offset=(1, 2))  # a name
        await running.press()
        assert running.actions.calls == [
            ("link", "n1", "n3", BLOCK, SECONDS),
            ("link", "n2", "n3", LinkFault(), None),
        ]


async def test_a_click_on_a_row_selects_the_node() -> None:
    async with session(healthy()) as running:
        assert await running.pilot.click("#nodes", offset=(10, 4))
        await running.until_shown("▸n3")
        await running.press("9")  # there is none
        assert "▸n3" in running.screen()


async def test_what_is_said_can_be_read_to_its_end_on_the_smallest_screen() -> None:
    async with session(healthy()) as running:
        longer = "this is longer than what the line has room for beside the bar and the clock"
        running.app.notify(longer, timeout=60)
        await running.until_shown(longer)
        running.app.notice = None
        longest = f"{longer}, and longer than the line as a whole: the rest would be lost"
        running.app.notify(longest, timeout=60)
        assert running.app.notice is None
        await running.until_shown("rest would be lost")


def test_a_digit_means_the_node_of_that_number_wherever_it_stands() -> None:
    """After a node was replaced rows and names differ, and the next key would kill another one."""
    assert digits(("n2", "n3", "n4")) == {"n2": "2", "n3": "3", "n4": "4"}
    assert digits(("red", "green")) == {"red": "1", "green": "2"}
    assert digits(("n9", "n10")) == {"n9": "9"}
    assert of_digit(("n2", "n3", "n4"), 2) == "n2"
    assert of_digit(("n2", "n3", "n4"), 4) == "n4"
    assert of_digit(("n2", "n3", "n4"), 1) is None
    assert of_digit(("a1", "b1", "c12"), 1) == "a1"
    assert of_digit(("red", "green"), 2) == "green"
    assert of_digit(("red", "green"), 3) is None
    assert of_digit(("node01", "node02"), 2) == "node02"
    assert of_digit(("db10", "db20"), 2) == "db20"
    assert of_digit(("alpha", "beta2", "gamma"), 1) == "alpha"


async def test_a_click_in_the_footer_is_the_key() -> None:
    async with session(healthy()) as running:
        assert await running.pilot.click("#keys", offset=(7, 0))
        await running.press()
        assert running.actions.calls == [("kill", "n1", SECONDS)]


async def test_dialogs_by_mouse() -> None:
    async with session(healthy()) as running:
        await running.press("p")
        for button in ("#leader", "#apply"):
            assert await running.pilot.click(button)
        await running.press("p")
        assert await running.pilot.click("#majority")
        assert await running.pilot.click("OptionList", offset=(2, 0))
        assert await running.pilot.click("#apply")
        await running.press("p")
        assert await running.pilot.click("#cancel")
        await running.press()
        assert running.actions.calls == [
            ("partition", (("n1", "n3"), ("n2",)), SECONDS),
            ("partition", (("n2",), ("n1", "n3")), SECONDS),
        ]


async def test_a_partition_needs_two_groups() -> None:
    async with session(healthy()) as running:
        await running.press("p", "a", "enter")
        assert isinstance(running.app.screen, PartitionDialog)
        await running.until_shown("both groups need a node")


async def test_enter_on_a_focused_button_presses_that_button() -> None:
    async with session(healthy()) as running:
        await running.press("p", "tab", "tab", "enter")
        assert isinstance(running.app.screen, PartitionDialog)
        await running.until_shown("B  n2")


async def test_a_put_needs_a_key() -> None:
    async with session(healthy()) as running:
        await running.press("n", "enter", "tab", "v", "enter")
        assert running.actions.calls == []
        await running.until_shown("the key is empty")
        assert running.app.screen.query_one("#key", Input).has_focus


async def test_pause_and_resume() -> None:
    async with session(healthy()) as running:
        await running.press("z")
        await running.push(process("n1", "paused", since=START, until=START + 30))
        await running.until_shown("⏸ n1 paused 0:30 left")
        await running.press("z")
        assert running.actions.calls == [("pause", "n1", SECONDS), ("resume", "n1")]


async def test_load_goes_on_and_off() -> None:
    async with session(healthy()) as running:
        await running.press("L")
        await running.until_shown("load on")
        await running.press("L")
        assert running.actions.calls == [("load", True), ("load", False)]
        await running.until(lambda: "load on" not in running.screen())


async def test_there_may_be_no_leader_to_kill() -> None:
    async with session([snapshot("n1")]) as running:
        await running.press("K")
        await running.until_shown("there is no leader to kill")
        assert running.actions.calls == []


async def test_a_failed_action_is_one_line() -> None:
    async with session(healthy()) as running:
        running.actions.fails = "n1 does not [answer]"
        await running.press("L")
        await running.until_shown("! n1 does not [answer]")
        assert running.app.notice
        assert running.app.notice.text == "n1 does not [answer]"
        assert "load on" not in running.screen()


async def test_healing_that_did_not_reach_everybody_is_no_success() -> None:
    """A paused node keeps what it suffers, and shows it once it goes on."""
    async with session(healthy()) as running:
        running.actions.deaf = ["n2"]
        await running.press("h")
        await running.until_shown("! healed, but n2 did not answer")
        running.actions.deaf = []
        await running.press("h")
        await running.until_shown("$ raftkv chaos heal")


async def test_nothing_is_done_behind_a_terminal_that_is_too_small() -> None:
    async with session(healthy()) as running:
        await running.pilot.resize_terminal(60, 20)
        await running.until_shown("the dashboard needs 80x24")
        await running.press("k", "K", "question_mark", "f")
        assert running.actions.calls == []
        assert len(running.app.screen_stack) == 1
        await running.pilot.resize_terminal(80, 24)
        await running.press("k")
        assert running.actions.calls == [("kill", "n1", SECONDS)]


@pytest.mark.parametrize(("keys", "asked"), [("fs", "disk"), ("fe", "disk"), ("c2", "clock")])
async def test_a_key_may_be_typed_ahead_of_its_dialog(keys: str, asked: str) -> None:
    async with session(healthy()) as running:
        for key in keys:
            running.app.post_message(events.Key(key, key))  # both before anything is drawn
        await running.until(lambda: [call[0] for call in running.actions.calls] == [asked])
        assert len(running.app.screen_stack) == 1


async def test_a_filter_says_that_it_hides_something() -> None:
    async with session(election()) as running:
        await running.press("slash", *"zzz", "enter")
        await running.until_shown("with 'zzz'  esc: all")
        await running.press("escape")
        await running.until(lambda: "zzz" not in running.screen())


async def test_what_was_deleted_can_be_put_back() -> None:
    async with session(healthy()) as running:
        await running.press("f5")
        await running.until_shown("color/blue")
        await running.press("delete")
        await running.press("backspace")
        deleted, put_back = running.actions.calls
        assert (deleted[0], put_back[:2], put_back[2]) == ("delete", ("compare_and_set", deleted[1]), None)


async def test_a_node_that_falls_silent_is_told_of() -> None:
    async with session(healthy()) as running:
        running.clock.now += 3
        await running.until_shown("? n1 silent")
        assert "no faults" not in running.screen()


async def test_only_so_many_actions_at_once() -> None:
    async with session(healthy()) as running:
        running.actions.gate = threading.Event()
        await running.pilot.press(*"k" * (ACTIONS_MAX + 1))
        await running.until_shown("still under way")
        running.actions.gate.set()
        await running.until(lambda: not running.app._under_way)
        await running.press("k")
        assert len(running.actions.calls) == ACTIONS_MAX + 1


async def test_a_frozen_view_says_so_and_stands_still() -> None:
    async with session(healthy()) as running:
        await running.press("space")
        await running.until_shown("VIEW FROZEN")
        await running.push(event(1, "n1", "LeaderChanged", term=9, leader_id="n3"))
        assert "leader n3" not in running.screen()
        await running.press("k")  # the cluster does not stand still
        assert running.actions.calls == [("kill", "n1", SECONDS)]
        await running.until(lambda: "$ raftkv chaos kill n1" in running.screen())
        await running.press("space")
        await running.until_shown("leader n3, term 9")
        assert "FROZEN" not in running.screen()


async def test_help_names_every_command_on_one_screen() -> None:
    async with session(healthy()) as running:
        await running.press("question_mark")
        screen = running.screen()
        assert len(screen.splitlines()) == 24
        for command in COMMANDS:
            shown = command.key_label if command.group == "pair" else command.title
            assert shown in screen
        assert "esc, ? or q closes" in screen
        await running.press("q")
        assert not isinstance(running.app.screen, HelpDialog)


async def test_every_command_is_in_the_palette() -> None:
    async with session(healthy()) as running:
        titles = [command.title for command in running.app.get_system_commands(running.app.screen)]
        assert {command.title for command in COMMANDS} - set(titles) <= {"Quit (also ctrl+q)", "This help"}
        await running.pilot.press("ctrl+p")
        await running.until(lambda: isinstance(running.app.screen, CommandPalette))
        await running.pilot.press(*"Kill the leader")
        await running.until_shown("key K")
        await running.pilot.press("down", "enter")
        await running.until(lambda: running.actions.calls == [("kill", "n2", SECONDS)])


async def test_the_event_log_scrolls_and_follows() -> None:
    items = [event(number, "n1", "LeaderChanged", term=number, leader_id="n2") for number in range(1, 61)]
    async with session([*healthy(), *items]) as running:
        log = running.app.query_one("#overview-events", EventLog)
        await running.until_shown("term 60")
        await running.press("home")
        await running.until_shown("leader n2, term 1\n")
        await running.push(event(61, "n1", "LeaderChanged", term=61, leader_id="n2"))
        assert "term 61" not in running.screen()
        await running.press("pagedown")
        assert log.scroll_offset.y > 0
        await running.press("end", "pageup", "end")
        await running.until_shown("term 61")
        await running.push(event(62, "n1", "LeaderChanged", term=62, leader_id="n2"))
        await running.until_shown("term 62")


async def test_whoever_pages_back_down_stays_there_though_lines_come() -> None:
    def line(number: int) -> Event:
        return event(number, "n1", "LeaderChanged", START + number / 100, term=number, leader_id="n2")

    async with session([*healthy(), *map(line, range(1, 61))]) as running:
        await running.until_shown("term 60")
        log = running.app.query_one("#overview-events", EventLog)
        await running.press("pageup")
        await running.push(*map(line, range(61, 101)))
        await running.press("pagedown", "pagedown")
        place = log.scroll_offset.y
        assert place < log.max_scroll_y
        await running.push(line(101))
        assert log.scroll_offset.y == place
        await running.press("end")
        await running.push(line(102))
        await running.until_shown("term 102")


async def test_another_height_keeps_what_is_read_and_follows_where_it_followed() -> None:
    items = [event(number, "n1", "LeaderChanged", term=number, leader_id="n2") for number in range(1, 61)]
    async with session([*healthy(), *items]) as running:
        await running.until_shown("term 60")
        for height in (30, 24, 40, 24):
            await running.pilot.resize_terminal(80, height)
            await running.until_shown("term 60")
        log = running.app.query_one("#overview-events", EventLog)
        await running.press("home")
        await running.until(lambda: log.scroll_offset.y == 0)
        for height in (30, 24, 40, 24):
            await running.pilot.resize_terminal(80, height)
            await running.push(event(height, "n2", "LeaderChanged", term=height, leader_id="n2"))
            assert log.scroll_offset.y == 0


async def test_a_terminal_that_grows_in_steps_goes_on_following() -> None:
    """As it does where more panes appear when it is wider: the log is high for a moment, and then less so."""

    def line(number: int) -> Event:
        return event(number, "n1", "LeaderChanged", START + number / 100, term=number, leader_id="n2")

    async with session([*healthy(), *map(line, range(1, 121))]) as running:
        await running.until_shown("term 120")
        for number, (width, height) in enumerate(
            ((160, 50), (80, 24), (120, 40), (80, 24), (200, 60)), start=121
        ):
            log = running.app.query_one("#overview-events", EventLog)
            log.scroll_to(y=log.max_scroll_y // 2, animate=False, immediate=True, force=True)  # clamped there
            await running.pilot.resize_terminal(width, height)
            await running.push(line(number))
            await running.until(lambda log=log: log.scroll_offset.y == log.max_scroll_y > 0)  # type: ignore[misc]


async def test_the_wheel_leaves_the_newest_line_and_comes_back_to_it() -> None:
    def line(number: int) -> Event:
        return event(number, "n1", "LeaderChanged", START + number / 100, term=number, leader_id="n2")

    async with session([*healthy(), *map(line, range(1, 61))]) as running:
        await running.until_shown("term 60")
        log = running.app.query_one("#overview-events", EventLog)
        log.post_message(turned(MouseScrollUp, log))
        await running.until(lambda: log.scroll_offset.y < log.max_scroll_y)
        place = log.scroll_offset.y
        await running.push(line(61))
        assert log.scroll_offset.y == place
        for _ in range(log.max_scroll_y):
            log.post_message(turned(MouseScrollDown, log))
        await running.until(lambda: log.scroll_offset.y == log.max_scroll_y)
        await running.push(line(62))
        await running.until_shown("term 62")


def turned(kind: type[MouseScrollUp | MouseScrollDown], widget: EventLog) -> MouseScrollUp | MouseScrollDown:
    return kind(widget, 1, 1, 0, 0, 0, False, False, False, 1, 1)


async def test_what_a_node_cut_off_repeats_neither_fills_the_event_log_nor_moves_what_is_read() -> None:
    items = [event(number, "n1", "LeaderChanged", term=number, leader_id="n2") for number in range(1, 61)]
    campaign = {"term": 9, "role": "pre_candidate", "reason": "election-timeout"}
    async with session([*healthy(), *items]) as running:
        await running.until_shown("term 60")
        for number in range(1, 31):
            await running.push(event(number, "n3", "RoleChanged", START + number, **campaign))
        await running.until_shown("pre-candidate, term 9: election timeout  ×30 since")
        assert "leader n2, term 60" in running.screen()
        await running.press("pageup")
        log = running.app.query_one("#overview-events", EventLog)
        assert "leader n2, term 50" in running.screen()
        place = log.scroll_offset.y
        await running.push(event(31, "n3", "RoleChanged", START + 31, **campaign))
        assert log.scroll_offset.y == place
        assert "leader n2, term 50" in running.screen()
        await running.press("end")
        await running.until_shown("×31 since")


async def test_a_quiet_cluster_shows_what_happened_before_the_dashboard_came() -> None:
    async with session(healthy()) as running:
        await running.push(Earlier((event(1, "n1", "LeaderChanged", START - 60, term=5, leader_id="n3"),)))
        await running.until_shown("leader n3, term 5")


async def test_a_small_terminal_says_so_and_recovers() -> None:
    async with session(healthy(), size=(79, 24)) as running:
        await running.until_shown("the dashboard needs 80x24; this terminal has 79x24")
        assert "follower" not in running.screen()
        await running.pilot.resize_terminal(80, 24)
        await running.until_shown("follower")
        await running.pilot.resize_terminal(80, 10)
        await running.until_shown("this terminal has 80x10")
        await running.pilot.resize_terminal(160, 50)
        await running.until_shown("sync p99")


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
async def test_nine_nodes_fit(size: tuple[int, int]) -> None:
    async with session(healthy(NINE), NINE, size=size) as running:
        await running.until_shown("LEADER ★")
        screen = running.screen()
        assert screen.count("follower") >= 8
        assert "k kill" in screen
        assert screen.count("[7]") >= 9 * 10


def test_what_merely_moves_is_drawn_as_often_as_there_is_time_for_it() -> None:
    now = 100.0
    hurried, calm = Pace(0.0), Pace(math.inf)
    assert hurried.allows(now)
    for pace in (hurried, calm):
        pace.drawn(now)
        sum(range(100_000))  # takes some of the processor
    assert calm.allows(now + 0.01)
    assert not hurried.allows(now + MOVING_SECONDS_MAX / 2)
    assert hurried.allows(now + MOVING_SECONDS_MAX)


async def test_an_event_that_is_cut_off_shows_it_beside_a_scrollbar_too() -> None:
    told = [
        event(999 + number, "n2", "SnapshotTaken", START + 5 + number / 100, index=66_768, bytes=9_821_123)
        for number in range(40)
    ]
    async with session([*election(), *told], size=(120, 40)) as running:
        await running.until_shown("snapshot of entry 66,768 taken, 9,821… ")


# -- what the keys act on, and what is said of it ------------------------------------------------


async def test_whom_the_keys_act_on_is_told_on_every_page() -> None:
    async with session(healthy()) as running:
        for page in ("f3", "f4", "f5", "f8"):
            await running.press(page, "2")
            await running.until_shown(" n2 ▸ k kill")
        await running.press("f3", "down")
        await running.until_shown(" n3 ▸ k kill")
        await running.press("k")
        assert running.actions.calls == [("kill", "n3", SECONDS)]


async def test_while_the_past_is_shown_the_keys_that_move_in_it_are_told() -> None:
    async with session(healthy()) as running:
        await running.press("space")
        await running.until_shown(" space return  [ back  ] on")
        assert "k kill" not in running.screen()
        await running.press(">")
        await running.until_shown("the cluster has its own speed")
        await running.press("space")
        await running.until_shown(" n1 ▸ k kill")


async def test_nothing_is_asked_of_a_node_that_is_down() -> None:
    async with session([*healthy(), process("n1", "exited")]) as running:
        for key in ("i", "e", "c", "f", "o"):
            running.app.notice = None
            await running.press(key)
            await running.until_shown("n1 is down: r starts it")
            assert len(running.app.screen_stack) == 1
        assert running.actions.calls == []


async def test_a_cut_that_leaves_out_who_is_down_says_so() -> None:
    async with session([*healthy(), process("n3", "exited")]) as running:
        await running.press("p", "m", "enter")
        await running.until_shown("cut, but for what n3 will send")


async def test_what_takes_its_time_is_said_to_be_under_way() -> None:
    async with session(healthy()) as running:
        running.actions.gate = threading.Event()
        await running.pilot.press("k")
        await running.until_shown("… kill n1")
        running.actions.gate.set()
        await running.until(lambda: "… kill n1" not in running.screen())


async def test_of_what_is_said_the_last_counts_and_it_covers_nothing() -> None:
    async with session(healthy()) as running:
        await running.press("w", "w")
        await running.until_shown("faults last until they are healed")
        assert not running.app._notifications


async def test_the_partition_dialog_begins_at_the_selected_node_and_says_what_stays_cut() -> None:
    async with session(healthy()) as running:
        await running.press("3", "p")
        await running.until_shown("bridge over n3 (g)")
        assert "stays cut" not in running.screen()
        await running.press("up")
        await running.until_shown("bridge over n2 (g)")
        await running.press("g")
        assert running.actions.calls == [("bridge", "n2", SECONDS)]


async def test_a_dashboard_that_nobody_answers_ends_without_a_question() -> None:
    """There is nobody who could mend anything, and nothing that would run on."""
    async with session(healthy(), owns_cluster=False) as running:
        running.clock.now += 60
        await running.until_shown("GONE")
        await running.pilot.press("q")
        await running.until(lambda: running.app._exit)
