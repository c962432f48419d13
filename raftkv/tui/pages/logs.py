"""The logs side by side, over their whole length: what is not published is looked up while it is seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from textual.app import ComposeResult
from textual.message import Message

from raftkv.errors import RaftkvError
from raftkv.observe import LogEntry
from raftkv.tui.frame import NOW, Frame
from raftkv.tui.pages.page import Page, heading
from raftkv.tui.ports import Lookups
from raftkv.tui.view.health import alive
from raftkv.tui.view.logbook import LEGEND, Window, bottom, logbook
from raftkv.tui.widgets.lines import Lines

LOOKUP_SECONDS = 0.5
"""Between two look-ups of what is on the screen."""
ENTRIES_MAX = 2000
"""Kept of each node; a few screens."""


class LogsPage(Page):
    class Fetched(Message):
        def __init__(self, entries: Mapping[str, Mapping[int, LogEntry]], problem: str | None) -> None:
            super().__init__()
            self.entries = entries
            self.problem = problem

    class Found(Message):
        def __init__(self, text: str, index: int | None) -> None:
            super().__init__()
            self.text = text
            self.index = index

    def __init__(self, lookups: Lookups | None) -> None:
        super().__init__("logs")
        self._lookups = lookups
        self._book = Lines(id="logbook")
        self._window = Window()
        self._frame: Frame | None = None
        self._asked: tuple[float, int, int] | None = None
        """When, and for which rows, entries were last looked up."""
        self._under_way = False

    def compose(self) -> ComposeResult:
        yield self._book

    def on_mount(self) -> None:
        self._book.border_title = heading("logs")
        self._book.border_subtitle = LEGEND

    def fill(self, frame: Frame) -> None:
        self._frame = frame
        height = max(2, self._book.size.height)
        self._book.show(logbook(frame.state, frame.now, self._window, self._book.size.width, height))
        if frame.times.mode in NOW:
            self._look_up(frame, height - 1)

    # -- moving

    def move(self, columns: int, rows: int) -> bool:
        del columns
        if rows:
            self._scroll(rows)
        return bool(rows)

    def turn(self, way: str) -> None:
        page = max(1, self._book.size.height - 2)
        match way:
            case "page_up":
                self._scroll(-page)
            case "page_down":
                self._scroll(page)
            case "home":
                self._window = replace(self._window, last=page)
            case _:
                self._window = replace(self._window, last=None)

    def go_to(self, index: int) -> None:
        """Into the middle of the screen."""
        self._window = replace(self._window, last=index + self._book.size.height // 2, found=index)

    def _scroll(self, rows: int) -> None:
        if self._frame is None:
            return
        newest = bottom(self._frame.state, Window())
        last = bottom(self._frame.state, self._window) + rows
        least = min(newest, max(1, self._book.size.height - 1))
        self._window = replace(self._window, last=None if last >= newest else max(least, last))

    # -- looking up

    def find(self, text: str) -> None:
        """An index, ``t7`` for the first entry of a term, or words of an entry. Answers with ``Found``."""
        frame = self._frame
        if frame is None or not text.strip():
            return
        text = text.strip()
        if text.isdecimal() and len(text) < 19:
            self.post_message(self.Found(text, int(text)))
        elif text[0] in "tT" and text[1:].isdecimal():
            term = int(text[1:9])
            runs = [run for node in frame.state.nodes for run in node.terms.runs if run[1] == term]
            self.post_message(self.Found(text, min((run[0] for run in runs), default=None)))
        elif self._lookups is not None:
            # All hold the same, and one that is down can search nothing.
            up = [node.name for node in frame.state.nodes if alive(node, frame.now)]
            node = frame.selected if frame.selected in up or not up else up[0]
            self._search(self._lookups, node, text)
        else:
            self.post_message(self.Found(text, None))

    def _search(self, lookups: Lookups, node: str, text: str) -> None:
        begin = (self._window.found or 0) + 1

        def work() -> None:
            try:
                index = lookups.search(node, text, begin)
                if index is None and begin > 1:
                    index = lookups.search(node, text, 1)
            except RaftkvError as error:
                self.post_message(self.Fetched({}, str(error)))
            else:
                self.post_message(self.Found(text, index))

        self.run_worker(work, thread=True)

    def on_logs_page_found(self, message: Found) -> None:
        if message.index is None:
            self.app.notify(f"no entry with {message.text!r} in that log", markup=False)
        else:
            self.go_to(message.index)

    def _look_up(self, frame: Frame, rows: int) -> None:
        last = bottom(frame.state, self._window)
        first = max(1, last - rows + 1)
        wanted = (first, last)
        if self._lookups is None or self._under_way:
            return
        if self._asked and self._asked[1:] == wanted and frame.now - self._asked[0] < 10 * LOOKUP_SECONDS:
            return
        if self._asked and frame.now - self._asked[0] < LOOKUP_SECONDS:
            return
        self._asked = (frame.now, *wanted)
        self._under_way = True
        names = [node.name for node in frame.state.nodes if alive(node, frame.now)]
        self.run_worker(_fetch(self._lookups, names, first, last - first + 1, self), thread=True)

    def on_logs_page_fetched(self, message: Fetched) -> None:
        self._under_way = False
        if message.problem:
            self.app.notify(message.problem, severity="warning", markup=False)
        kept = {name: dict(entries) for name, entries in self._window.entries.items()}
        for name, entries in message.entries.items():
            merged = {**kept.get(name, {}), **entries}
            kept[name] = dict(list(merged.items())[-ENTRIES_MAX:])
        self._window = replace(self._window, entries=kept)


def _fetch(lookups: Lookups, names: list[str], first: int, count: int, page: LogsPage) -> Callable[[], None]:
    def work() -> None:
        entries: dict[str, dict[int, LogEntry]] = {}
        for name in names:
            try:
                entries[name] = {entry.index: entry for entry in lookups.entries(name, first, count)}
            except RaftkvError:
                continue  # it has just died, or is paused; the others' logs are worth seeing
        page.post_message(page.Fetched(entries, None))

    return work
