"""The dashboard: polls the feed, keeps the state, turns keys into actions.

Theory of operation: one timer, ``FRAME_SECONDS`` apart, drains the feed into the reducer and onto the
tape, and draws what changed, so floods of events are coalesced by construction. What tells of something
is drawn at once; numbers that merely move, as often as a tenth of a core allows (``Pace``): the cluster
needs the machine more. Only the page on screen is filled. Actions block and run in thread workers; what
comes of them returns as a message, and through the reducer like all else. Which moment is shown is the
viewer's business (``viewing``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar, cast

from textual import events
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Static

from raftkv.errors import RaftkvError
from raftkv.tui.commands import COMMANDS, MENU, of_digit, shell_line
from raftkv.tui.dialogs.choice import ChoiceDialog
from raftkv.tui.dialogs.help import HelpDialog
from raftkv.tui.dialogs.quit import Choice, QuitDialog
from raftkv.tui.dialogs.text import TextDialog
from raftkv.tui.frame import Frame, Mode
from raftkv.tui.model import CommandDone, Item, RosterChanged, State, initial, reduce_all
from raftkv.tui.operations import ActionEnded, whole
from raftkv.tui.pace import Pace
from raftkv.tui.pages.data import DataPage
from raftkv.tui.pages.logs import LogsPage
from raftkv.tui.pages.network import LinkGrid, NetworkPage
from raftkv.tui.pages.node import NodePage
from raftkv.tui.pages.overview import OverviewPage
from raftkv.tui.pages.page import Page
from raftkv.tui.pages.scenarios import ScenariosPage
from raftkv.tui.pages.timeline import TimelinePage
from raftkv.tui.pages.verdict import VerdictPage
from raftkv.tui.playback.files import Recording, RecordingFile
from raftkv.tui.playback.tape import Tape
from raftkv.tui.ports import Actions, Feed, Lessons, Lookups, Simulation
from raftkv.tui.staging import Staging
from raftkv.tui.terminal import Terminal
from raftkv.tui.theme import THEME, style_variables
from raftkv.tui.time_operations import TimeOperations
from raftkv.tui.view.faults import fault_time, faults
from raftkv.tui.view.footer import bar_width, footer
from raftkv.tui.view.header import header_line
from raftkv.tui.view.health import Health, health
from raftkv.tui.view.tabs import TABS
from raftkv.tui.viewing import Viewer
from raftkv.tui.widgets.key_bar import KeyBar
from raftkv.tui.widgets.lines import Lines, Palette
from raftkv.tui.widgets.link_matrix import LinkMatrix
from raftkv.tui.widgets.node_table import NodeTable
from raftkv.tui.widgets.tab_bar import TabBar
from raftkv.tui.widgets.time_bar import TimeBar

FRAME_SECONDS = 0.1
WIDTH_MIN, HEIGHT_MIN = 80, 24
_WITH_EVENTS = ("overview", "timeline")
"""Pages that show every line of the event log, and so the command that does what a key did."""
_NOT_OURS = ("Keys", "Screenshot")
"""Textual's own: '?' and 'E' show and keep what can be seen here."""
_COMMAND_ACTIONS = frozenset(command.action for command in COMMANDS)


class Dashboard(TimeOperations):
    """``owns_cluster``: quitting stops the cluster, and is worded so. ``clock`` is the monotonic
    clock that stamps what the feed brings, ``wall`` the clock shown beside events."""

    TITLE = "raftkv"
    NOTIFICATION_TIMEOUT = 4
    CSS_PATH = Path(__file__).with_name("dashboard.tcss")  # a subclass may live elsewhere
    HORIZONTAL_BREAKPOINTS = [(0, "-normal"), (120, "-wide")]  # noqa: RUF012  (Textual's own annotation)
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(command.key, command.action, command.title, show=False) for command in COMMANDS),
        *(Binding(str(number), f"select({number})", show=False) for number in range(1, 10)),
        *(
            Binding(f"f{number}", f"page('{tab.name}')", tab.title, show=False, priority=True)
            for number, tab in enumerate(TABS, start=1)
        ),
        Binding("tab", "next_page(1)", show=False, priority=True),
        Binding("shift+tab", "next_page(-1)", show=False, priority=True),
        *(
            Binding(key, f"move({columns}, {rows})", show=False)
            for key, columns, rows in (("up", 0, -1), ("down", 0, 1), ("left", -1, 0), ("right", 1, 0))
        ),
        *(Binding(key.replace("_", ""), f"turn('{key}')", show=False) for key in ("page_up", "page_down")),
        *(Binding(key, f"turn('{key}')", show=False) for key in ("home", "end")),
        Binding("enter", "choose", show=False),
        Binding("delete", "delete", show=False),
        Binding("escape", "leave", show=False),
    ]

    def __init__(
        self,
        feed: Feed,
        actions: Actions | None,
        lookups: Lookups | None = None,
        lessons: Lessons | None = None,
        *,
        owns_cluster: bool,
        source: str = "",
        recording: Recording | None = None,
        recorder: RecordingFile | None = None,
        simulation: Simulation | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = datetime.now,
    ) -> None:
        """``recording`` is to be replayed; ``recorder`` gets what the feed brings."""
        super().__init__(actions, initial(feed.names()), clock)
        self.feed = feed
        self._lookups = lookups
        self._owns_cluster = owns_cluster
        self.source = source
        self._recorder = recorder
        self.staging = Staging(simulation, feed) if simulation else None
        origin = wall() - timedelta(seconds=clock())
        if recording:
            self.state = recording.state
            origin = datetime.fromtimestamp(recording.about.origin)
        tape = recording.tape if recording else Tape(feed.names())
        mode = Mode.REPLAY if recording else Mode.SIMULATED if simulation else Mode.LIVE
        self.viewer = Viewer(tape, origin, mode)
        self._ticked_at = time.monotonic()
        self.pace = Pace()
        self._filter = ""
        self._page = TABS[0].name
        self._header = Lines(id="header")
        self._tabs = TabBar()
        self._footer = TimeBar("footer")
        self._keys = KeyBar((*COMMANDS, MENU))
        self._network = NetworkPage()
        self._pages: dict[str, Page] = {
            "overview": OverviewPage(self.state),
            "node": NodePage(),
            "network": self._network,
            "logs": LogsPage(lookups),
            "data": DataPage(lookups),
            "timeline": TimelinePage(),
            "scenarios": ScenariosPage(lessons),
            "verdict": VerdictPage(),
        }

    # -- life ----------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield Palette()
        with Vertical(id="whole"):
            yield self._header
            yield self._tabs
            with ContentSwitcher(initial=f"page-{self._page}"):
                yield self._pages[self._page]
            yield self._footer
            yield self._keys
        yield Static(id="too-small")

    def get_driver_class(self) -> type[Driver]:
        chosen = super().get_driver_class()  # a browser's has no terminal
        return Terminal if chosen is LinuxDriver else chosen

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return style_variables(self.current_theme)

    def on_mount(self) -> None:
        self.register_theme(THEME)
        self.theme = THEME.name
        self.set_interval(FRAME_SECONDS, self._tick)
        self.call_after_refresh(self._tick)

    def on_unmount(self) -> None:
        cast(ScenariosPage, self._pages["scenarios"]).stop()  # nobody would see how it goes on
        self.feed.close()
        self.record(self.viewer.tape.seal())
        if self._recorder:
            with suppress(RaftkvError):  # whoever opened it says so
                self._recorder.close()

    def on_resize(self, event: events.Resize) -> None:
        width, height = event.size.width, event.size.height
        small = width < WIDTH_MIN or height < HEIGHT_MIN
        base = self.screen_stack[0]
        base.set_class(small, "-too-small")
        base.query_one("#too-small", Static).update(
            f"the dashboard needs {WIDTH_MIN}x{HEIGHT_MIN}; this terminal has {width}x{height}\n\nq quits"
        )
        self.call_after_refresh(self.draw)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is done blind, nor by a key that was meant for a dialog which is not there yet."""
        if action != "quit" and self.screen_stack:
            blind = self.screen_stack[0].has_class("-too-small")
            if blind or (len(self.screen_stack) > 1 and action in _COMMAND_ACTIONS):
                return False
        return super().check_action(action, parameters)

    def on_key(self, event: events.Key) -> None:
        """One that was typed ahead of its dialog comes past it."""
        if isinstance(self.screen, ChoiceDialog):
            self.screen.take(event)

    def _tick(self) -> None:
        now = time.monotonic()
        passed, self._ticked_at = min(1.0, max(0.0, now - self._ticked_at)), now
        self.viewer.advance(passed)
        names = tuple(self.feed.names())
        roster = [RosterChanged(names)] if names != self.state.names else []
        if roster and self._selected not in names:
            self.notify(f"{self._selected} has left the cluster: {names[0]} is selected", severity="warning")
            self._select(names[0])
        news = self.staging.tick(passed if self.present else 0.0) if self.staging else self.feed.poll()
        told = self.state.lines_total
        self.ingest([*roster, *news])
        if self.state.lines_total != told or self.viewer.mode is not Mode.LIVE or self.pace.allows(now):
            self.draw()
            self.pace.drawn(now)

    def ingest(self, items: Sequence[Item]) -> None:
        if items:
            before = self.state
            self.state = reduce_all(before, items)
            if self.viewer.mode is not Mode.REPLAY:
                self.record(self.viewer.tape.add(self.clock(), items, before, self.state))

    def record(self, block: bytes | None) -> None:
        if block and self._recorder:
            try:
                self._recorder.write(block)
            except RaftkvError as error:
                self._recorder = None
                self.notify(str(error), severity="error", markup=False)

    def draw(self) -> None:
        frame = self.picture()
        width = self.size.width
        if not self._header.is_mounted or not width:
            return
        count = len(faults(frame.state, frame.now))
        self._header.show((header_line(frame.state, frame.now, width, times=frame.times, faults=count),))
        self._tabs.show_current(self._page)
        self._pages[self._page].show(frame)
        self._keys.show_for(frame)
        self._footer.show_times(frame.times, footer(frame, width), bar_width(width))

    @property
    def shown(self) -> State:
        return self.viewer.moment(self.state, self.clock())[0]

    def picture(self) -> Frame:
        state, now = self.viewer.moment(self.state, self.clock())
        run = self.staging.simulation if self.staging else None
        playing, speed = (run.playing, run.speed) if run else (True, 1.0)
        times = self.viewer.times(self.clock(), playing, speed)
        return Frame(
            state,
            now,
            self.selected_name,
            self.size.width,
            times,
            self.load_on,
            self.seconds,
            self._filter,
            breakable=self.actions is not None,
            said=self.said(),
        )

    # -- the view ------------------------------------------------------------------------------

    def action_page(self, name: str) -> None:
        if len(self.screen_stack) > 1:
            return  # under a dialog
        self._page = name
        switcher, page = self.query_one(ContentSwitcher), self._pages[name]
        if not page.is_attached:  # made when first looked at: a dashboard starts sooner
            switcher.mount(page)
        switcher.current = f"page-{name}"
        self.call_after_refresh(self.draw)

    def action_next_page(self, step: int) -> None:
        if len(self.screen_stack) > 1:  # a dialog: on to its next field
            self.screen.focus_next() if step > 0 else self.screen.focus_previous()
            return
        names = [tab.name for tab in TABS]
        self.action_page(names[(names.index(self._page) + step) % len(names)])

    def action_scenarios(self) -> None:
        self.action_page("scenarios")

    def on_tab_bar_picked(self, message: TabBar.Picked) -> None:
        self.action_page(message.page)

    def on_node_table_picked(self, message: NodeTable.Picked) -> None:
        self._select(message.name)
        self.draw()

    def action_select(self, number: int) -> None:
        name = of_digit(self.shown.names, number)
        if name:
            self._select(name)
            self.draw()
        else:
            self.notify(f"no node has the number {number}")

    def action_move(self, columns: int, rows: int) -> None:
        if not self._pages[self._page].move(columns, rows):
            names = self.shown.names
            self._select(names[(names.index(self.selected_name) + rows + columns) % len(names)])
        elif self._page == "network" and self._network.sender:
            self._selected = self._network.sender
        self.draw()

    def _select(self, name: str) -> None:
        self._selected = name
        self._network.select(name)

    def on_link_grid_picked(self, message: LinkGrid.Picked) -> None:
        """The keys act on whoever sends over the link that is chosen."""
        self._selected = message.link[0]
        self.draw()

    def action_turn(self, way: str) -> None:
        self._pages[self._page].turn(way)
        self.draw()

    def action_choose(self) -> None:
        if self._page == "overview":
            self.action_page("node")
        else:
            self._pages[self._page].choose()

    def action_leave(self) -> None:
        """Escape: stop a scenario, forget a filter, return to the present; one at a time."""
        if cast(ScenariosPage, self._pages["scenarios"]).stop():
            self.notify("the scenario stops, and heals what it broke")
        elif self._filter:
            self._filter = ""
        else:
            self.viewer.present()
        self.draw()

    def action_find(self) -> None:
        logs, data = cast(LogsPage, self._pages["logs"]), cast(DataPage, self._pages["data"])

        def found(text: str | None) -> None:
            if text is None:
                return
            if self._page == "logs":
                logs.find(text)
            elif self._page == "data":
                data.look_under(text)
            else:
                self._filter = text
            self.draw()

        match self._page:
            case "logs":
                dialog = TextDialog("find in the log", "", "an index, t7 for a term, or words of an entry")
            case "data":
                dialog = TextDialog("keys under a prefix", data.prefix, "empty: all keys")
            case _:
                dialog = TextDialog("filter events", self._filter, "a node or words; empty: all events")
        self.push_screen(dialog, found)

    def action_help(self) -> None:
        self.push_screen(HelpDialog())

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        for command in COMMANDS:
            if command.action not in ("quit", "help"):
                call = getattr(self, f"action_{command.action}")
                yield SystemCommand(command.title, f"key {command.key_label}", call)
        for number, tab in enumerate(TABS, start=1):
            name = tab.name
            yield SystemCommand(
                f"Screen: {tab.title}", f"key F{number}", lambda name=name: self.action_page(name)
            )
        for found in super().get_system_commands(screen):
            if found.title not in _NOT_OURS:
                yield found

    # -- pages that ask ------------------------------------------------------------------------

    def on_network_page_toggled(self, message: NetworkPage.Toggled) -> None:
        self.toggle_block(*message.link)

    def on_link_matrix_toggled(self, message: LinkMatrix.Toggled) -> None:
        self.toggle_block(*message.link)

    def chosen_link(self) -> tuple[str, str] | None:
        return self._network.chosen if self._page == "network" else None

    def chosen_pair(self) -> tuple[bytes, bytes] | None:
        return cast(DataPage, self._pages["data"]).selected if self._page == "data" else None

    def on_action_ended(self, message: ActionEnded) -> None:
        """Beside the handler of ``Operations``, which Textual calls as well."""
        cast(DataPage, self._pages["data"]).look_again()
        if self.viewer.mode is Mode.FROZEN and isinstance(message.item, CommandDone):
            # The event log, where the command is shown, stands still.
            self.notify(f"now: {shell_line(message.item.command)}", markup=False)
        elif self._page not in _WITH_EVENTS and isinstance(message.item, CommandDone):
            self.notify(shell_line(message.item.command), markup=False)

    # -- the end -------------------------------------------------------------------------------

    async def action_quit(self) -> None:
        now = self.clock()
        listed = faults(self.state, now) if self.actions and not self.staging else ()
        gone = all(health(node, now) is Health.SILENT for node in self.state.nodes)
        if not listed or (gone and not self._owns_cluster):  # nobody is there who could mend anything
            self.exit()
            return
        if isinstance(self.screen, QuitDialog):
            return
        broken = [f"{fault.mark} {fault.text}  {fault_time(fault, now)}" for fault in listed]
        self.push_screen(QuitDialog(broken, owns_cluster=self._owns_cluster), self._quit_as)

    def _quit_as(self, choice: Choice | None) -> None:
        if choice == "quit":
            self.exit()
        elif choice == "heal" and self.actions:
            actions = self.actions
            self.act("heal all", lambda: whole(actions.heal_all()), self.exit)
