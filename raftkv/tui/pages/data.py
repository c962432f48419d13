"""The data: keys under a prefix as they are now, to be put, changed and deleted; the load."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.message import Message

from raftkv.errors import RaftkvError
from raftkv.tui.frame import NOW, Frame
from raftkv.tui.pages.page import Page, heading
from raftkv.tui.ports import Lookups, Row
from raftkv.tui.view.data import heading_line, row_line
from raftkv.tui.view.spans import Span
from raftkv.tui.view.verdict import load_lines
from raftkv.tui.widgets.lines import Lines
from raftkv.tui.widgets.rows import Rows

SCAN_SECONDS = 1.0
SCAN_PATIENCE = 10
"""So many times as long as the last one took, until the next."""
ROWS_MAX = 500
HINT = "n put · enter change · delete delete · / prefix · L load"


class DataPage(Page):
    class Scanned(Message):
        def __init__(
            self,
            prefix: str,
            rows: Sequence[Row],
            total: int,
            seconds: float = 0.0,
            problem: str | None = None,
        ) -> None:
            """``seconds``: that it took."""
            super().__init__()
            self.prefix = prefix
            self.rows = rows
            self.total = total
            self.seconds = seconds
            self.problem = problem

    class Changing(Message):
        """The user wants to change this key, which was seen with this value."""

        def __init__(self, key: bytes, value: bytes) -> None:
            super().__init__()
            self.key = key
            self.value = value

    def __init__(self, lookups: Lookups | None) -> None:
        super().__init__("data")
        self._lookups = lookups
        self._heading = Lines(id="data-heading")
        self._rows = Rows("data-rows")
        self._load = Lines(id="data-load", rows=2)
        self._found: Sequence[Row] = ()
        self._shown: Sequence[Row] = ()
        """What the screen shows of it: nothing else is changed or deleted."""
        self._key: bytes | None = None
        """Under the cursor when rows were last shown."""
        self._total = 0
        self._problem: str | None = None
        self._answered = False
        self._scanned_at = -math.inf
        self._pause = 0.0
        """Seconds between two scans; many megabytes are not fetched each second."""
        self._under_way = False
        self.prefix = ""

    def compose(self) -> ComposeResult:
        yield self._heading
        yield self._rows
        yield self._load

    def on_mount(self) -> None:
        self._load.border_title = heading("built-in load")

    @property
    def selected(self) -> tuple[bytes, bytes] | None:
        """The key under the cursor and the value that it was seen with."""
        at = self._rows.cursor
        return self._shown[at][:2] if at < len(self._shown) else None

    def fill(self, frame: Frame) -> None:
        width = self._rows.size.width
        shown = f"keys under {self.prefix!r}" if self.prefix else "keys"
        most = f", the first {len(self._found):,} of them" if self._total > len(self._found) > 0 else ""
        self.retitle(self._heading, f"{shown}: {self._total:,}{most}")
        self._heading.show((heading_line(width),))
        self._rows.border_subtitle = HINT if frame.breakable else ""
        excuse = self._excuse(frame)
        if excuse:
            self._shown = ()
            self._rows.excuse((excuse,))
        else:
            self._show(self._found, width)
        self._load.show(load_lines(frame.state, width, frame.breakable))
        if frame.times.mode in NOW:
            self._scan(frame.now)

    def _excuse(self, frame: Frame) -> Span | None:
        """Said where no keys can be listed."""
        if frame.times.mode not in NOW or self._lookups is None:
            return Span(" data can be seen only as it is now, in a running cluster", "dim")
        if self._problem:
            return Span(f" {self._problem}", "bad")
        if not self._answered:
            return Span(" asking …", "dim")
        if not self._found:
            return Span(" no key" + (f" under {self.prefix!r}" if self.prefix else " yet: n puts one"), "dim")
        return None

    def _scan(self, now: float) -> None:
        lookups, prefix = self._lookups, self.prefix
        if lookups is None or self._under_way:
            return
        if self._scanned_at <= now < self._scanned_at + self._pause:
            return
        self._scanned_at, self._pause = now, SCAN_SECONDS
        self._under_way = True

        def work() -> None:
            began = time.monotonic()
            try:
                rows, total = lookups.scan(prefix, ROWS_MAX)
                scanned = self.Scanned(prefix, rows, total, time.monotonic() - began)
            except RaftkvError as error:
                scanned = self.Scanned(prefix, (), 0, problem=str(error))
            self.post_message(scanned)

        self.run_worker(work, thread=True)

    def on_data_page_scanned(self, message: Scanned) -> None:
        self._under_way = False
        if message.prefix != self.prefix:
            return
        if self._pause and message.problem is None:  # or something was changed, and is to be seen at once
            self._pause = max(SCAN_SECONDS, SCAN_PATIENCE * message.seconds)
        self._problem = message.problem
        self._answered = self._answered or message.problem is None
        if message.problem is None:
            self._found, self._total = message.rows, message.total

    def _show(self, found: Sequence[Row], width: int) -> None:
        """The cursor stays at its key, wherever that stands now."""
        if found is not self._shown:
            if self.selected:
                self._key = self.selected[0]
            keys = [key for key, _, _, _ in found]
            if self._key in keys:
                self._rows.cursor = keys.index(self._key)
            self._shown = found
        self._rows.show_rows(len(found), lambda number: row_line(found[number], width))
        self._key = self.selected[0] if self.selected else None

    def look_under(self, prefix: str) -> None:
        self.prefix, self._pause = prefix, 0.0
        self._found, self._total, self._answered, self._key, self._rows.cursor = (), 0, False, None, 0

    def look_again(self) -> None:
        """Something was changed from here."""
        self._pause = 0.0

    def move(self, columns: int, rows: int) -> bool:
        del columns
        self._rows.step(rows)
        return bool(rows)

    def turn(self, way: str) -> None:
        self._rows.turn(way)

    def choose(self) -> None:
        if self.selected:
            self.post_message(self.Changing(*self.selected))

    def on_rows_chosen(self) -> None:
        self.choose()
