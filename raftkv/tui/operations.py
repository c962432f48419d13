"""What the keys do to the cluster: every action of the dashboard that is not about the view.

Actions block, so each runs in a thread worker; what comes of it returns as an ``ActionEnded``
and goes through the reducer like everything else. Faults made here end after ``FAULT_SECONDS``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from textual.app import App
from textual.message import Message

from raftkv.errors import RaftkvError
from raftkv.observe import LinkFault
from raftkv.tui.commands import FAULT_SECONDS
from raftkv.tui.dialogs.partition import Groups, PartitionDialog
from raftkv.tui.dialogs.peer import PeerDialog
from raftkv.tui.dialogs.put import PutDialog
from raftkv.tui.model import PAUSED, CommandDone, CommandFailed, PauseLimit, State, reduce
from raftkv.tui.ports import Actions
from raftkv.tui.view.faults import describe_fault, due_resumes
from raftkv.tui.view.health import leader
from raftkv.tui.view.matrix import link
from raftkv.tui.widgets.link_matrix import LinkMatrix

DELAY_MS, JITTER_MS = 100.0, 20.0
LOSS = 0.2
ACTIONS_MAX = 8
"""Actions under way at once; each holds a thread, and against a lost quorum a put waits long."""

Call = Callable[[], str]


class ActionEnded(Message):
    """From a worker: the command line of a success or the one line of a failure."""

    def __init__(self, item: CommandDone | CommandFailed, then: Callable[[], None] | None) -> None:
        super().__init__()
        self.item = item
        self.then = then


class Operations(App[None]):
    """Keeps the state, and what the user has chosen of it."""

    def __init__(self, actions: Actions, state: State, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.actions = actions
        self.state = state
        self.clock = clock
        self.load_on = False
        self._selected = 0
        self._under_way = 0

    @property
    def selected_name(self) -> str:
        return self.state.names[self._selected]

    def draw(self) -> None:
        """Show the state as it now is."""
        raise NotImplementedError

    def act(self, call: Call, then: Callable[[], None] | None = None) -> None:
        """Run ``call`` in a thread; afterwards, if it succeeded, ``then`` on the UI thread."""
        if self._under_way >= ACTIONS_MAX:
            self.notify(f"{ACTIONS_MAX} actions are still under way", severity="warning")
            return
        self._under_way += 1

        def work() -> None:
            item: CommandDone | CommandFailed
            try:
                item = CommandDone(self.clock(), call())
            except RaftkvError as error:
                item = CommandFailed(self.clock(), str(error))
            self.post_message(ActionEnded(item, then))

        self.run_worker(work, thread=True)

    def on_action_ended(self, message: ActionEnded) -> None:
        self._under_way -= 1
        self.state = reduce(self.state, message.item)
        if isinstance(message.item, CommandFailed):
            self.notify(message.item.text, severity="error", markup=False)
        elif message.then:
            message.then()
        self.draw()

    def end_pauses(self) -> None:
        """``Actions.pause`` has no lifetime of its own, so the dashboard ends the pauses it made."""
        for name in due_resumes(self.state, self.clock()):
            self.state = reduce(self.state, PauseLimit(name, None))
            self.act(partial(self.actions.resume, name))

    def action_kill(self) -> None:
        name = self.selected_name
        self.act(lambda: self.actions.kill(name))

    def action_kill_leader(self) -> None:
        head = leader(self.state, self.clock())
        if head is None:
            self.notify("there is no leader to kill", severity="warning")
            return
        self.act(lambda: self.actions.kill(head.name))

    def action_stop(self) -> None:
        name = self.selected_name
        self.act(lambda: self.actions.stop(name))

    def action_restart(self) -> None:
        name = self.selected_name
        self.act(lambda: self.actions.restart(name))

    def action_pause(self) -> None:
        name = self.selected_name
        node = self.state.node(name)
        if node and node.process and node.process.state == PAUSED:
            self.act(lambda: self.actions.resume(name))
            return

        def limit() -> None:
            self.state = reduce(self.state, PauseLimit(name, self.clock() + FAULT_SECONDS))

        self.act(lambda: self.actions.pause(name), limit)

    def action_campaign(self) -> None:
        name = self.selected_name
        self.act(lambda: self.actions.campaign(name))

    def action_isolate(self) -> None:
        name = self.selected_name
        self.act(lambda: self.actions.isolate(name, FAULT_SECONDS))

    def action_heal(self) -> None:
        self.act(self.actions.heal)

    def action_heal_all(self) -> None:
        self.act(self.actions.heal_all)

    def action_load(self) -> None:
        wanted = not self.load_on

        def switched() -> None:
            self.load_on = wanted

        self.act(lambda: self.actions.load(wanted), switched)

    def action_partition(self) -> None:
        head = leader(self.state, self.clock())

        def apply(groups: Groups | None) -> None:
            if groups:
                self.act(lambda: self.actions.partition(groups, FAULT_SECONDS))

        dialog = PartitionDialog(self.state.names, head.name if head else None, self.selected_name)
        self.push_screen(dialog, apply)

    def action_put(self) -> None:
        def put(pair: tuple[str, str] | None) -> None:
            if pair:
                self.act(lambda: self.actions.put(*pair))

        self.push_screen(PutDialog(), put)

    # -- links ---------------------------------------------------------------------------------

    def action_block(self) -> None:
        self._choose_peer(f"block {self.selected_name} → …", self._toggle_block)

    def action_delay(self) -> None:
        title = f"delay {self.selected_name} → … by {DELAY_MS:g}±{JITTER_MS:g} ms"
        self._choose_peer(title, self._toggle_delay)

    def action_loss(self) -> None:
        self._choose_peer(f"lose {LOSS:.0%} of {self.selected_name} → …", self._toggle_loss)

    def on_link_matrix_toggled(self, message: LinkMatrix.Toggled) -> None:
        names = self.state.names
        self._toggle_block(names[message.from_number], names[message.to_number])

    def _choose_peer(self, title: str, then: Callable[[str, str], None]) -> None:
        sender = self.selected_name
        peers = []
        for number, name in enumerate(self.state.names, start=1):
            if name != sender:
                fault = self._fault(sender, name)
                peers.append((str(number), name, "ok" if fault == LinkFault() else describe_fault(fault)))

        def chosen(peer: str | None) -> None:
            if peer:
                then(sender, peer)

        self.push_screen(PeerDialog(title, peers), chosen)

    def _fault(self, sender: str, to: str) -> LinkFault:
        node = self.state.node(sender)
        way = link(node, to) if node else None
        return (way.fault if way else None) or LinkFault()

    def _toggle_block(self, sender: str, to: str) -> None:
        self._set_link(sender, to, replace(self._fault(sender, to), block=not self._fault(sender, to).block))

    def _toggle_delay(self, sender: str, to: str) -> None:
        before = self._fault(sender, to)
        delay, jitter = (0.0, 0.0) if before.delay_ms else (DELAY_MS, JITTER_MS)
        self._set_link(sender, to, replace(before, delay_ms=delay, jitter_ms=jitter))

    def _toggle_loss(self, sender: str, to: str) -> None:
        before = self._fault(sender, to)
        self._set_link(sender, to, replace(before, drop=0.0 if before.drop else LOSS))

    def _set_link(self, sender: str, to: str, fault: LinkFault) -> None:
        """The action replaces the whole fault, so what else the link suffers is passed along."""
        seconds = None if fault == LinkFault() else FAULT_SECONDS
        self.act(
            lambda: self.actions.link(
                sender,
                to,
                seconds,
                block=fault.block,
                drop=fault.drop,
                delay_ms=fault.delay_ms,
                jitter_ms=fault.jitter_ms,
            )
        )
