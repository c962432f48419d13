"""What the keys do to the cluster's processes, disks, clocks and data, and how actions are run.

Actions block, so each runs in a thread worker; what comes of it returns as an ``ActionEnded``
and goes through the reducer like everything else. Whoever keeps time ends the faults: the nodes
their links, disks and clocks, the launcher its processes; a dashboard that is killed leaves nothing
broken for good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from textual.app import App
from textual.content import Content
from textual.message import Message
from textual.notifications import SeverityLevel

from raftkv.errors import OutcomeUnknown, RaftkvError
from raftkv.observe import DiskFault, Mended
from raftkv.tui.commands import LIFETIMES
from raftkv.tui.dialogs.choice import ChoiceDialog
from raftkv.tui.model import EXITED, PAUSED, CommandDone, CommandFailed, Item, State
from raftkv.tui.ports import Actions
from raftkv.tui.view.health import leader
from raftkv.tui.view.spans import duration

CLOCK_RATES = ("1.1", "0.9", "2", "0.5", "1")
SLOW_MS = 50.0
NOTICE_SECONDS = 4.0
UNDER_WAY_SECONDS = 0.15
"""What takes longer is said to be under way."""
ACTIONS_MAX = 8
"""Actions under way at once; each holds a thread, and against a lost quorum a put waits long."""
UNDO_MAX = 100

Call = Callable[[], str]


def whole(mended: Mended) -> str:
    """The command. Raises ``RaftkvError`` where some node could not be asked, though the others have mended
    their faults."""
    if mended.unheard:
        left = ", ".join(mended.unheard)
        raise RaftkvError(f"healed, but {left} did not answer: what is broken there stays; H resumes it")
    return mended.command


Undo = Callable[[], Call | None]
"""Asked when the fault is to be taken back: how, or None where nothing is left of it, since it has ended by
itself or somebody has mended it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is said of the user's own doing."""

    text: str
    style: str
    until: float
    """By the clock of whoever looks, not by the one on the screen."""


_STYLES = {"information": "accent", "warning": "warn", "error": "bad"}


class ActionEnded(Message):
    """From a worker: the command line of a success or the one line of a failure, and how what came of it can
    be taken back."""

    def __init__(
        self,
        number: int,
        item: CommandDone | CommandFailed,
        then: Callable[[], None] | None,
        otherwise: Callable[[], None] | None,
        undo: Undo | None,
    ) -> None:
        super().__init__()
        self.number = number
        self.item = item
        self.then = then
        self.otherwise = otherwise
        self.undo = undo


class Operations(App[None]):
    """Keeps the state, and what the user has chosen of it."""

    def __init__(
        self, actions: Actions | None, state: State, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``actions`` None: there is nothing that could be broken, as in a recording."""
        super().__init__()
        self.actions = actions
        self.state = state
        self.clock = clock
        self.load_on = False
        self.seconds = LIFETIMES[0]
        self._selected = state.names[0]
        self.notice: Notice | None = None
        self._under_way: dict[int, tuple[float, str]] = {}
        """By number: when it began, and what it is."""
        self._acts = 0
        self._undo: list[Undo] = []

    @property
    def shown(self) -> State:
        """What is on the screen: the state, or what it was at another moment."""
        return self.state

    def scene(self) -> tuple[State, float]:
        """What is acted on, and its time: the present, whatever moment is on the screen."""
        return self.state, self.clock()

    @property
    def acted_on(self) -> State:
        return self.scene()[0]

    @property
    def selected_name(self) -> str:
        names = self.shown.names
        return self._selected if self._selected in names else names[0]

    def ingest(self, items: Sequence[Item]) -> None:
        """Let the reducer have these."""
        raise NotImplementedError

    def draw(self) -> None:
        """Show the state as it now is."""
        raise NotImplementedError

    def preparation(self) -> Callable[[], None] | None:
        """Asked for before every action: what has to be done first, in the action's own thread."""
        return None

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """In the footer, where the latest is seen: a box would cover what it speaks of. Over a dialog, which
        has no footer of its own, it is one, and where the footer is too narrow for it."""
        text = Content.from_markup(message).plain if markup else message
        if len(self.screen_stack) > 1 or len(text) >= self.size.width:
            super().notify(message, title=title, severity=severity, timeout=timeout, markup=markup)
            return
        self.notice = Notice(text, _STYLES[severity], time.monotonic() + (timeout or NOTICE_SECONDS))
        self.draw()

    def said(self) -> tuple[str, str] | None:
        """(text, style): what was said a moment ago, or else what takes its time."""
        now, notice = time.monotonic(), self.notice
        if notice and now < notice.until:
            return notice.text, notice.style
        long = [(began, what) for began, what in self._under_way.values() if now - began > UNDER_WAY_SECONDS]
        if long:
            began, what = min(long)
            more = f", and {len(long) - 1} more" if len(long) > 1 else ""
            return f"… {what}, {duration(now - began)}{more}", "accent"
        return None

    def act(
        self,
        what: str,
        call: Call,
        then: Callable[[], None] | None = None,
        undo: Undo | None = None,
        otherwise: Callable[[], None] | None = None,
    ) -> None:
        """Run ``call`` in a thread; afterwards, on the UI thread, ``then`` if it succeeded, or ``otherwise``.
        ``what`` it is is said while it takes its time; ``undo`` takes back what it did."""
        if len(self._under_way) >= ACTIONS_MAX:
            self.notify(f"{ACTIONS_MAX} actions are still under way", severity="warning")
            if otherwise:
                otherwise()
            return
        prepare = self.preparation()
        self._acts += 1
        number = self._acts
        self._under_way[number] = (time.monotonic(), what)

        def work() -> None:
            item: CommandDone | CommandFailed
            left = undo
            try:
                if prepare:
                    prepare()  # which may turn the clock back
                began = self.clock()
                item = CommandDone(began, call())  # what it does is told of while it is under way
            except RaftkvError as error:
                item = CommandFailed(self.clock(), str(error))
                if not isinstance(error, OutcomeUnknown):
                    left = None  # nothing happened that could be taken back
            self.post_message(ActionEnded(number, item, then, otherwise, left))

        self.run_worker(work, thread=True)

    def on_action_ended(self, message: ActionEnded) -> None:
        del self._under_way[message.number]
        self.ingest([message.item])
        if message.undo:
            self._undo = [*self._undo, message.undo][-UNDO_MAX:]
        if isinstance(message.item, CommandFailed):
            self.notify(message.item.text, severity="error", markup=False)
        after = message.otherwise if isinstance(message.item, CommandFailed) else message.then
        if after:
            after()
        self.draw()

    def breakable(self) -> Actions | None:
        if self.actions is None:
            self.notify("this is a recording: nothing in it can be changed", severity="warning")
        return self.actions

    def is_member(self, name: str) -> bool:
        """Says so where it is none."""
        if self.acted_on.node(name) is None:
            self.notify(f"{name} is no node of the cluster", severity="warning")
            return False
        return True

    def is_up(self, name: str) -> bool:
        """Whether its process runs, as far as is known; says so where it does not. Nobody is there who could
        be asked, and to wait for that would take a while."""
        if not self.is_member(name):
            return False
        node = self.acted_on.node(name)
        down = node is not None and node.process is not None and node.process.state == EXITED
        if down:
            self.notify(f"{name} is down: r starts it", severity="warning")
        return not down

    # -- processes -----------------------------------------------------------------------------

    def action_kill(self) -> None:
        self._kill(self.selected_name)

    def action_kill_leader(self) -> None:
        head = leader(*self.scene())
        if self.breakable() is None:
            return
        if head is None:
            self.notify("there is no leader to kill", severity="warning")
            return
        self._kill(head.name)

    def _kill(self, name: str) -> None:
        actions, seconds = self.breakable(), self.seconds
        if actions:
            undo = self._revival(name, EXITED, actions.restart)
            self.act(f"kill {name}", lambda: actions.kill(name, seconds), undo=undo)

    def action_stop(self) -> None:
        actions, name, seconds = self.breakable(), self.selected_name, self.seconds
        if actions:
            undo = self._revival(name, EXITED, actions.restart)
            self.act(f"stop {name}", lambda: actions.stop(name, seconds), undo=undo)

    def action_restart(self) -> None:
        actions, name = self.breakable(), self.selected_name
        if actions:
            self.act(f"restart {name}", lambda: actions.restart(name))

    def action_pause(self) -> None:
        actions, name, seconds = self.breakable(), self.selected_name, self.seconds
        if actions is None:
            return
        node = self.acted_on.node(name)
        if node and node.process and node.process.state == PAUSED:
            self.act(f"resume {name}", lambda: actions.resume(name))
        else:
            undo = self._revival(name, PAUSED, actions.resume)
            self.act(f"pause {name}", lambda: actions.pause(name, seconds), undo=undo)

    def action_campaign(self) -> None:
        actions, name = self.breakable(), self.selected_name
        if actions and self.is_up(name):
            self.act(f"election of {name}", lambda: actions.campaign(name))

    def action_transfer(self) -> None:
        actions, name = self.breakable(), self.selected_name
        if actions and self.is_up(name):
            self.act(f"transfer to {name}", lambda: actions.transfer(name))

    def action_clock(self) -> None:
        actions, name = self.breakable(), self.selected_name
        if actions is None or not self.is_up(name):
            return

        def chosen(rate: str | None) -> None:
            seconds = self.seconds
            if rate and float(rate) == 1:
                self.act(f"clock of {name}", lambda: actions.clock(name, 1.0, None))
            elif rate:
                undo = self._mending(name, "clock", partial(actions.clock, name, 1.0, None))
                self.act(f"clock of {name}", lambda: actions.clock(name, float(rate), seconds), undo=undo)

        choices = [
            (str(number), rate, "true again" if rate == "1" else f"×{rate}")
            for number, rate in enumerate(CLOCK_RATES, start=1)
        ]
        self.push_screen(ChoiceDialog(f"clock of {name}", choices), chosen)

    def action_disk(self) -> None:
        actions, name = self.breakable(), self.selected_name
        if actions is None or not self.is_up(name):
            return
        faults = {
            "slow": DiskFault(slow_ms=SLOW_MS),
            "full": DiskFault(full=True),
            "fail": DiskFault(fail=True),
            "sound": DiskFault(),
        }

        def chosen(word: str | None) -> None:
            seconds = self.seconds
            if word:
                undo = self._mending(name, "disk", partial(actions.disk, name, DiskFault(), None))
                if word == "fail":
                    undo = self._revival(name, EXITED, actions.restart)
                lasting = None if word in ("sound", "fail") else seconds
                breaks = undo if word != "sound" else None
                self.act(f"disk of {name}", lambda: actions.disk(name, faults[word], lasting), undo=breaks)

        choices = [
            ("s", "slow", f"slow: every write takes {SLOW_MS:g} ms more"),
            ("f", "full", "full: there is no space left"),
            ("e", "fail", "error: the next write fails, the node ends"),
            ("h", "sound", "heal: sound again"),
        ]
        self.push_screen(ChoiceDialog(f"disk of {name}", choices), chosen)

    # -- mending, data -------------------------------------------------------------------------

    def action_undo(self) -> None:
        if self.breakable() is None:
            return
        while self._undo:
            undo = self._undo.pop()
            call = undo()
            if call:
                self.act("undo", call, otherwise=partial(self._put_off, undo))
                return
        self.notify("nothing that was broken from here is still broken")

    def _put_off(self, undo: Undo) -> None:
        """What could not be taken back stays to be, after all others: perhaps nobody was there to be asked,
        and what is refused for good must not stand in their way."""
        self._undo = [undo, *self._undo][-UNDO_MAX:]

    def _revival(self, name: str, state: str, call: Callable[[str], str]) -> Undo:
        """Of a process that is in ``state`` still."""

        def undo() -> Call | None:
            node = self.state.node(name)
            gone = node is not None and node.process is not None and node.process.state == state
            return partial(call, name) if gone else None

        return undo

    def _mending(self, name: str, part: str, call: Call) -> Undo:
        """Of a disk or a clock that is broken still."""

        def undo() -> Call | None:
            node = self.state.node(name)
            faults = node.snapshot.faults if node and node.snapshot else ()
            return call if any(fault.startswith(part) for fault in faults) else None

        return undo

    def action_heal(self) -> None:
        actions = self.breakable()
        if actions:
            self.act("heal", lambda: whole(actions.heal()))

    def action_heal_all(self) -> None:
        actions = self.breakable()
        if actions:
            self.act("heal all", lambda: whole(actions.heal_all()))

    def action_lifetime(self) -> None:
        self.seconds = LIFETIMES[(LIFETIMES.index(self.seconds) + 1) % len(LIFETIMES)]
        lasting = "until they are healed" if self.seconds is None else f"{self.seconds:g} seconds"
        self.notify(f"faults last {lasting}")
        self.draw()
