"""The dashboard: polls the feed, keeps the state, turns keys into actions.

Theory of operation: one timer, ``FRAME_SECONDS`` apart, drains the feed into the reducer and
draws what changed, so floods of events are coalesced by construction. Actions block and run in
thread workers; what comes of them returns as a message, and through the reducer like all else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import ClassVar

from textual import events
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static

from raftkv.tui.commands import COMMANDS
from raftkv.tui.dialogs.help import HelpDialog
from raftkv.tui.dialogs.quit import Choice, QuitDialog
from raftkv.tui.model import CommandDone, State, initial, reduce_all
from raftkv.tui.operations import ActionEnded, Operations
from raftkv.tui.overview import Overview
from raftkv.tui.ports import Actions, Feed
from raftkv.tui.theme import TERM_VARIABLES, THEME
from raftkv.tui.view.faults import fault_time, faults
from raftkv.tui.widgets.node_table import NodeTable

FRAME_SECONDS = 0.1
WIDTH_MIN, HEIGHT_MIN = 80, 24


class Dashboard(Operations):
    """``owns_cluster``: quitting stops the cluster, and is worded so. ``clock`` is the monotonic
    clock that stamps what the feed brings, ``wall`` the clock shown beside events."""

    TITLE = "raftkv"
    CSS_PATH = "dashboard.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-normal"), (120, "-wide")]  # noqa: RUF012  (Textual's own annotation)
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(command.key, command.action, command.title, show=False) for command in COMMANDS),
        *(Binding(str(number), f"select({number})", show=False) for number in range(1, 10)),
        Binding("up", "step(-1)", show=False),
        Binding("down", "step(1)", show=False),
        Binding("pageup", "scroll_events('page_up')", show=False),
        Binding("pagedown", "scroll_events('page_down')", show=False),
        Binding("home", "scroll_events('home')", show=False),
        Binding("end", "scroll_events('end')", show=False),
    ]

    def __init__(
        self,
        feed: Feed,
        actions: Actions,
        *,
        owns_cluster: bool,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = datetime.now,
    ) -> None:
        super().__init__(actions, initial(feed.names()), clock)
        self.feed = feed
        self._owns_cluster = owns_cluster
        self._origin = wall() - timedelta(seconds=clock())
        self._overview = Overview(self.state, self._origin)
        self._still: tuple[State, float] | None = None
        """What a frozen view shows, and the moment it shows."""

    # -- life ----------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield self._overview
        yield Static(id="too-small")

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return TERM_VARIABLES

    def on_mount(self) -> None:
        self.register_theme(THEME)
        self.theme = THEME.name
        self.set_interval(FRAME_SECONDS, self._frame)
        self.call_after_refresh(self._frame)

    def on_unmount(self) -> None:
        self.feed.close()

    def on_resize(self, event: events.Resize) -> None:
        width, height = event.size.width, event.size.height
        small = width < WIDTH_MIN or height < HEIGHT_MIN
        base = self.screen_stack[0]
        base.set_class(small, "-too-small")
        base.query_one("#too-small", Static).update(
            f"the dashboard needs {WIDTH_MIN}x{HEIGHT_MIN}; this terminal has {width}x{height}\n\nq quits"
        )
        self.call_after_refresh(self.draw)

    def _frame(self) -> None:
        self.state = reduce_all(self.state, self.feed.poll())
        self.end_pauses()
        self.draw()

    def draw(self) -> None:
        state, now = self._still or (self.state, self.clock())
        self._overview.show(state, now, self.selected_name, frozen=self._still is not None, load=self.load_on)

    # -- the view ------------------------------------------------------------------------------

    def on_node_table_picked(self, message: NodeTable.Picked) -> None:
        self.action_select(message.number + 1)

    def action_select(self, number: int) -> None:
        if number <= len(self.state.nodes):
            self._selected = number - 1
            self.draw()

    def action_step(self, rows: int) -> None:
        self._selected = (self._selected + rows) % len(self.state.nodes)
        self.draw()

    def action_scroll_events(self, way: str) -> None:
        self._overview.event_log.turn(way)

    def action_freeze(self) -> None:
        self._still = None if self._still else (self.state, self.clock())
        self.draw()

    def on_action_ended(self, message: ActionEnded) -> None:
        """Beside the handler of ``Operations``, which Textual calls as well."""
        if self._still and isinstance(message.item, CommandDone):
            # The event log, where the command is shown, stands still.
            self.notify(f"$ {message.item.command}", markup=False)

    def action_help(self) -> None:
        self.push_screen(HelpDialog())

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        for command in COMMANDS:
            if command.action not in ("quit", "help"):
                call = getattr(self, f"action_{command.action}")
                yield SystemCommand(command.title, f"key {command.key_label}", call)
        yield from super().get_system_commands(screen)

    # -- the end -------------------------------------------------------------------------------

    async def action_quit(self) -> None:
        now = self.clock()
        listed = faults(self.state, now)
        if not listed:
            self.exit()
            return
        if isinstance(self.screen, QuitDialog):
            return
        broken = [f"{fault.mark} {fault.text}  {fault_time(fault, now)}" for fault in listed]
        self.push_screen(QuitDialog(broken, owns_cluster=self._owns_cluster), self._quit_as)

    def _quit_as(self, choice: Choice | None) -> None:
        if choice == "quit":
            self.exit()
        elif choice == "heal":
            self.notify("healing …")
            self.act(self.actions.heal_all, self.exit)
