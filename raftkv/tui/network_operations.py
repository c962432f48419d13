"""What the keys do to the network: partitions, and what one directed link suffers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from raftkv.observe import LinkFault, describe_link_fault
from raftkv.tui.commands import digits
from raftkv.tui.dialogs.choice import ChoiceDialog
from raftkv.tui.dialogs.partition import Cut, PartitionDialog
from raftkv.tui.model import EXITED
from raftkv.tui.operations import Call, Operations, Undo
from raftkv.tui.view.health import leader
from raftkv.tui.view.matrix import link

DELAY_MS, JITTER_MS = 100.0, 20.0
SHARE = 0.2
"""Of frames that are lost, doubled or reordered: much, so that it is seen to matter."""


class NetworkOperations(Operations):
    def action_isolate(self) -> None:
        actions, name, seconds = self.breakable(), self.selected_name, self.seconds
        if actions and self.is_up(name):  # or its own half of the links would stay open
            undo = self._links_as_they_are()
            self.act(f"isolate {name}", lambda: actions.isolate(name, seconds), undo=undo)

    def action_partition(self) -> None:
        actions = self.breakable()
        if actions is None:
            return
        head = leader(*self.scene())

        def apply(cut: Cut | None) -> None:
            seconds = self.seconds
            if cut is None:
                return
            call: Call
            match cut.shape:
                case "bridge":
                    what, call = f"bridge over {cut.node}", partial(actions.bridge, cut.node, seconds)
                case "ring":
                    what, call = "ring", partial(actions.ring, seconds)
                case _:
                    what, call = "partition", partial(actions.partition, cut.groups, seconds)
            self.act(what, call, self._tell_half_cut, self._links_as_they_are())

        names = self.acted_on.names
        cut = any(self._fault(a, b).block for a in names for b in names if a != b)
        dialog = PartitionDialog(names, head.name if head else None, self.selected_name, cut)
        self.push_screen(dialog, apply)

    def _tell_half_cut(self) -> None:
        down = [node.name for node in self.state.nodes if node.process and node.process.state == EXITED]
        if down:
            text = f"cut, but for what {', '.join(down)} will send: whoever is down cannot be told"
            self.notify(text, severity="warning")

    def action_block(self) -> None:
        self._degrade("block", lambda before: replace(before, block=not before.block))

    def action_delay(self) -> None:
        def change(before: LinkFault) -> LinkFault:
            delay, jitter = (0.0, 0.0) if before.delay_ms else (DELAY_MS, JITTER_MS)
            return replace(before, delay_ms=delay, jitter_ms=jitter)

        self._degrade(f"delay by {DELAY_MS:g}±{JITTER_MS:g} ms", change)

    def action_loss(self) -> None:
        self._degrade(f"drop {SHARE:.0%}", lambda before: replace(before, drop=0.0 if before.drop else SHARE))

    def action_duplicate(self) -> None:
        def change(before: LinkFault) -> LinkFault:
            return replace(before, duplicate=0.0 if before.duplicate else SHARE)

        self._degrade(f"duplicate {SHARE:.0%}", change)

    def action_reorder(self) -> None:
        def change(before: LinkFault) -> LinkFault:
            return replace(before, reorder=0.0 if before.reorder else SHARE)

        self._degrade(f"reorder {SHARE:.0%}", change)

    def chosen_link(self) -> tuple[str, str] | None:
        """The link that is chosen on the screen; None: the peer is asked for."""
        return None

    def _degrade(self, what: str, change: Callable[[LinkFault], LinkFault]) -> None:
        if self.breakable() is None:
            return
        chosen = self.chosen_link()
        sender = chosen[0] if chosen else self.selected_name
        if not self.is_up(sender):
            return
        if chosen:
            self.set_link(*chosen, change(self._fault(*chosen)))
            return
        choices = []
        for name, digit in digits(self.acted_on.names).items():
            if name != sender:
                fault = self._fault(sender, name)
                note = "ok" if fault == LinkFault() else describe_link_fault(fault)
                choices.append((digit, name, f"{name:<8}  {note}"))
        choices.sort()

        def then(peer: str | None) -> None:
            if peer:
                self.set_link(sender, peer, change(self._fault(sender, peer)))

        self.push_screen(ChoiceDialog(f"{what}: {sender} → …", choices), then)

    def toggle_block(self, sender: str, to: str) -> None:
        """What is shown may be of a time when other nodes were there."""
        if not (self.is_up(sender) and self.is_member(to)):
            return
        before = self._fault(sender, to)
        self.set_link(sender, to, replace(before, block=not before.block))

    def set_link(self, sender: str, to: str, fault: LinkFault) -> None:
        """The action replaces the whole fault, so what else the link suffers is passed along."""
        actions = self.breakable()
        if actions:
            seconds = None if fault == LinkFault() else self.seconds
            before = self._fault(sender, to)

            def back() -> Call | None:
                as_set = self._fault(sender, to) == fault
                return partial(actions.link, sender, to, before, self.seconds) if as_set else None

            undo = None if fault == LinkFault() else back  # what was mended is not broken again
            self.act(f"{sender} → {to}", lambda: actions.link(sender, to, fault, seconds), undo=undo)

    def _fault(self, sender: str, to: str) -> LinkFault:
        node = self.acted_on.node(sender)
        way = link(node, to) if node else None
        return (way.fault if way else None) or LinkFault()

    def _links_as_they_are(self) -> Undo:
        """What brings back every link that will be blocked then and is not now."""
        actions = self.actions
        names = self.acted_on.names
        before = {(a, b): self._fault(a, b) for a in names for b in names if a != b}
        seconds = self.seconds

        def undo() -> Call | None:
            assert actions
            now = {pair: self._fault(*pair) for pair in before}
            cut = [pair for pair, fault in before.items() if now[pair].block and now[pair] != fault]
            return partial(self._set_back, [(*pair, before[pair]) for pair in cut], seconds) if cut else None

        return undo

    def _set_back(self, links: Sequence[tuple[str, str, LinkFault]], seconds: float | None) -> str:
        assert self.actions
        lines = [self.actions.link(*link, seconds) for link in links]
        return lines[0] if len(lines) == 1 else f"{lines[0]} … and {len(lines) - 1} more"
