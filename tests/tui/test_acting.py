"""What keys and clicks act on: the node, link or key that the user sees, and never twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual import events
from textual.widgets import Input

from raftkv.errors import OutcomeUnknown, RaftkvError, Unavailable
from raftkv.observe import LinkFault
from raftkv.tui.dialogs.choice import ChoiceDialog
from raftkv.tui.dialogs.put import PutDialog
from raftkv.tui.pages.data import SCAN_SECONDS, DataPage
from raftkv.tui.pages.network import NetworkPage
from raftkv.tui.ports import FeedItem
from raftkv.tui.terminal import Terminal
from raftkv.tui.view.data import edited, heading_line, row_line
from raftkv.tui.view.spans import length, plain
from tests.tui.driving import session
from tests.tui.fakes import START, process, snapshot
from tests.tui.scenes import BLOCK, election, healthy

SECONDS = 30.0
FIVE = ("n1", "n2", "n3", "n4", "n5")


# -- dialogs


async def test_two_keys_in_one_read_choose_once() -> None:
    async with session(healthy()) as running:
        await running.press("f")
        dialog = running.app.screen
        assert isinstance(dialog, ChoiceDialog)
        for _ in range(2):
            dialog.take(events.Key("s", "s"))
        await running.press()
        assert len(running.actions.calls) == 1
        assert len(running.app.screen_stack) == 1


async def test_two_enters_in_one_read_put_once() -> None:
    async with session(healthy()) as running:
        await running.press("n", "a", "tab", "b")
        dialog = running.app.screen
        assert isinstance(dialog, PutDialog)
        field = dialog.query_one("#value", Input)
        for _ in range(2):
            dialog.on_input_submitted(Input.Submitted(field, field.value))
        await running.press()
        assert running.actions.calls == [("put", b"a", b"b")]


async def test_a_question_goes_when_what_it_asks_about_has_happened() -> None:
    async with session(healthy()) as running:
        await running.press("f7")
        await running.until_shown("A split vote")
        await running.pilot.press("enter")
        await running.until_shown("what will happen?")
        running.app._pages["scenarios"].stop()  # type: ignore[attr-defined]
        await running.until(lambda: len(running.app.screen_stack) == 1)
        assert running.lessons.stopped == ["split-vote"]


async def test_a_question_waits_until_no_other_dialog_is_open() -> None:
    """What is typed there would answer it."""
    async with session(healthy()) as running:
        await running.press("f7")
        await running.until_shown("A split vote")
        await running.pilot.press("n")
        page = running.app._pages["scenarios"]
        page.choose()
        await running.until(lambda: running.lessons.played == ["split-vote"])
        await running.pilot.press("1")
        await running.pilot.pause(0.3)
        assert isinstance(running.app.screen, PutDialog)
        await running.pilot.press("escape")
        await running.until_shown("what will happen?")
        await running.press("2")
        await running.until_shown("Right: nobody, at first")


def test_a_byte_that_is_no_text_does_not_end_the_reading_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    terminal = Terminal.__new__(Terminal)

    class Exit:
        def is_set(self) -> bool:
            return len(reads) == 3

    def read(driver: object) -> None:
        reads.append("read")
        b"\xff".decode()

    terminal.exit_event = Exit()  # type: ignore[assignment]
    monkeypatch.setattr(Terminal.__mro__[1], "run_input_thread", read)
    terminal.run_input_thread()
    assert len(reads) == 3


# -- nodes and links


async def test_a_node_stays_selected_when_another_one_leaves() -> None:
    items: list[FeedItem] = [*(snapshot(name, FIVE) for name in FIVE), *map(process, FIVE)]
    async with session(items, FIVE) as running:
        await running.press("3")
        running.feed.rename(FIVE[1:])
        await running.until(lambda: len(running.app.state.names) == 4)
        await running.press("k")
        assert running.actions.calls == [("kill", "n3", SECONDS)]
        running.feed.rename(("n4", "n5"))
        await running.until_shown("n3 has left the cluster: n4 is selected")


async def test_the_link_that_is_chosen_stays_it_when_a_node_leaves() -> None:
    items: list[FeedItem] = [*(snapshot(name, FIVE) for name in FIVE), *map(process, FIVE)]
    async with session(items, FIVE) as running:
        await running.press("f3", "down", "down", "right", "right")
        page = running.app.query_one(NetworkPage)
        assert page.chosen == ("n3", "n4")
        running.feed.rename(FIVE[1:])
        await running.until(lambda: len(running.app.state.names) == 4)
        await running.press("o")
        assert running.actions.calls == [("link", "n3", "n4", BLOCK, SECONDS)]


async def test_a_click_in_a_picture_of_the_past_is_for_the_nodes_in_it() -> None:
    async with session(election()) as running:
        await running.press("space")
        running.feed.rename(("n2", "n3"))
        await running.until(lambda: len(running.app.state.names) == 2)
        assert await running.pilot.click("#matrix", offset=(1 + 3 + 8, 2 + 0))  # n1 → n3
        await running.press()
        assert running.actions.calls == []
        await running.until_shown("n1 is no node of the cluster")


# -- undo


async def test_what_was_healed_is_not_broken_again_by_an_undo() -> None:
    blocked = snapshot("n1", faults={"n2": (BLOCK, 9.0)})
    async with session([blocked, *map(process, ("n1", "n2", "n3"))]) as running:
        await running.press("o", "2")
        assert running.actions.calls == [("link", "n1", "n2", LinkFault(), None)]
        await running.push(replace(snapshot("n1"), time=START + 1))
        await running.press("backspace")
        await running.until_shown("nothing that was broken from here")
        assert len(running.actions.calls) == 1


async def test_an_undo_that_is_refused_does_not_stand_in_the_way_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody else has put the key meanwhile: nobody will bring the old value back."""
    async with session(healthy()) as running:
        await running.press("z")
        await running.push(process("n1", "paused", since=START + 1))
        await running.press("f5")
        await running.until_shown("color/red")
        await running.press("delete")

        def refuse(*call: object) -> str:
            raise RaftkvError("color/blue has another value by now")

        with monkeypatch.context() as patch:
            patch.setattr(running.actions, "_did", refuse)
            await running.press("backspace")
            await running.until_shown("another value by now")
        await running.press("backspace")
        assert running.actions.calls[2:] == [("resume", "n1")]
        await running.push(process("n1", since=START + 2))
        await running.press("backspace")
        assert running.actions.calls[3:] == [("compare_and_set", b"color/blue", None, b"BLUE")], "again"
        await running.press("backspace")
        await running.until_shown("nothing that was broken from here")


@pytest.mark.parametrize("error", [Unavailable("no leader"), OutcomeUnknown("no answer")])
async def test_an_undo_that_failed_can_be_tried_again(
    error: RaftkvError, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with session(healthy()) as running:
        await running.press("f5")
        await running.until_shown("color/red")
        await running.press("delete")

        def fail(*call: object) -> str:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(running.actions, "_did", fail)
            await running.press("backspace")
            await running.until_shown(str(error))
        await running.press("backspace")
        assert running.actions.calls[1:] == [("compare_and_set", b"color/blue", None, b"BLUE")]


@pytest.mark.parametrize("unknown", [True, False])
async def test_a_deletion_that_may_have_happened_can_be_undone(
    unknown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with session(healthy()) as running:
        await running.press("f5")
        await running.until_shown("color/red")

        def fail(key: bytes) -> str:
            raise OutcomeUnknown("no answer") if unknown else RaftkvError("no answer")

        monkeypatch.setattr(running.actions, "delete", fail)
        await running.press("delete")
        await running.until_shown("no answer")
        await running.press("backspace")
        undone = [("compare_and_set", b"color/blue", None, b"BLUE")]
        assert running.actions.calls == (undone if unknown else [])


# -- keys


async def test_the_cursor_is_at_its_key_again_after_there_was_nothing_to_list() -> None:
    async with session(healthy()) as running:
        running.lookups.rows = [(b"k%d" % number, b"v", 1, 1) for number in range(9)]
        await running.press("f5")
        await running.until_shown("k8")
        await running.press("down", "down", "down")
        page = running.app.query_one(DataPage)
        assert page.selected == (b"k3", b"v")
        await running.press("space")
        await running.until(lambda: page.selected is None)
        running.lookups.rows.insert(0, (b"a", b"v", 1, 2))
        await running.press("space")
        running.clock.now += 2
        await running.until(lambda: page.selected is not None and "keys: 10" in running.screen())
        assert page.selected == (b"k3", b"v")


async def test_under_another_prefix_the_first_key_is_chosen_and_no_other_one_listed() -> None:
    async with session(healthy()) as running:
        running.lookups.rows = [(b"a%d" % number, b"v", 1, 1) for number in range(3)]
        running.lookups.rows += [(b"b%d" % number, b"v", 1, 1) for number in range(3)]
        await running.press("f5")
        await running.until_shown("b2")
        await running.press("end")
        page = running.app.query_one(DataPage)
        page.look_under("b")
        page.on_data_page_scanned(DataPage.Scanned("", running.lookups.rows, 6))
        running.app.draw()
        assert page.selected is None, "that was asked for before"
        await running.until_shown("keys under 'b': 3")
        assert page.selected == (b"b0", b"v")


async def test_what_was_changed_during_a_scan_is_seen_at_once_however_long_scans_take() -> None:
    async with session(healthy()) as running:
        await running.press("f5")
        await running.until_shown("color/red")
        page = running.app.query_one(DataPage)
        page.on_data_page_scanned(DataPage.Scanned("", running.lookups.rows, 2, seconds=5.0))
        assert page._pause == 50.0
        page.look_again()
        page.on_data_page_scanned(DataPage.Scanned("", running.lookups.rows, 2, seconds=5.0))
        running.lookups.rows = []
        await running.until_shown("keys: 0")


async def test_a_scan_that_failed_is_tried_again_soon() -> None:
    async with session(healthy()) as running:
        running.lookups.fails = "no leader answered"
        await running.press("f5")
        await running.until_shown("no leader answered")
        page = running.app.query_one(DataPage)
        page.on_data_page_scanned(DataPage.Scanned("", (), 0, seconds=9.0, problem="no leader answered"))
        running.lookups.fails = None
        running.clock.now += SCAN_SECONDS
        await running.until_shown("color/red")


async def test_what_is_no_text_is_shown_to_be_changed_and_comes_back_as_it_was() -> None:
    value = b"\xde\xad\xbe\xef"
    async with session(healthy()) as running:
        running.lookups.rows = [(b"k", value, 1, 1), (b"lines", b"a\nb", 1, 2)]
        await running.press("f5")
        await running.until_shown("base64:3q2+7w==")
        await running.press("enter", "enter", "down", "enter", "enter")
        assert running.actions.calls == [
            ("compare_and_set", b"k", value, value),
            ("compare_and_set", b"lines", b"a\nb", b"a\nb"),
        ]
        await running.press("up", "enter", *"base64:x", "enter")
        await running.until_shown("nothing was changed")
        assert len(running.actions.calls) == 2


def test_only_what_was_shown_as_base64_is_taken_for_it() -> None:
    assert edited("base64:/wA=", b"text") == b"base64:/wA="
    assert edited("base64:/wA=", b"\xff") == b"\xff\x00"
    assert edited("text", b"\xff") == b"text"


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("日本語キー".encode(), "日本語キー"),
        (b"a\tb\nc", "a\\tb\\nc"),
        (b"x" * 1_000_000, "xxx"),
        ("é".encode() * 1_000_000, "ééé"),
        (b"\xff" * 1_000_000, "base64:////"),
        ("日本".encode()[:4], "base64:5pel5g=="),
        (b"a\\n", "a\\\\n"),
    ],
    ids=["wide", "control", "long", "long-wide", "binary", "cut", "backslash"],
)
def test_a_row_has_the_width_of_the_screen_whatever_is_in_it(key: bytes, shown: str) -> None:
    line = row_line((key, key, 7, 901), 80)
    assert length(line) == length(heading_line(80))
    assert shown in plain(line)
    assert plain(line).endswith("       7        901")
