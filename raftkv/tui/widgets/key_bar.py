"""The last line: whom the keys act on, and what they do, as many as fit; a click does the same."""

from __future__ import annotations

from dataclasses import replace

from textual import events

from raftkv.tui.commands import Command
from raftkv.tui.frame import Frame, Mode
from raftkv.tui.view.nodes import NAME_MAX
from raftkv.tui.view.spans import Span, brief
from raftkv.tui.widgets.lines import Lines

_OF_TIME = ("freeze", "pair")
_OF_SPEED = ("slower", "faster")
_OF_CLUSTER = ("node", "net", "data")


class KeyBar(Lines):
    def __init__(self, commands: tuple[Command, ...]) -> None:
        """``commands``: in this order, and where there is no room for all, those of the highest rank."""
        super().__init__(id="keys")
        self._commands = commands
        self._mode = Mode.LIVE
        self._target = ""
        self._places: list[tuple[range, str]] = []

    def on_mount(self) -> None:
        self._fill()

    def on_resize(self) -> None:
        self._fill()

    def show_for(self, frame: Frame) -> None:
        # What is done while the past is shown is done now, and not to what is on the screen.
        present = frame.breakable and frame.times.mode is not Mode.FROZEN
        target = brief(frame.selected, NAME_MAX, frame.state.names) if present else ""
        if (self._mode, self._target) != (frame.times.mode, target):
            self._mode, self._target = frame.times.mode, target
            self._fill()

    async def on_click(self, event: events.Click) -> None:
        for columns, action in self._places:
            if event.x in columns:
                await self.app.run_action(action)

    def _fill(self) -> None:
        self._places = []
        # Pages that do not show the nodes do not show either which of them is selected.
        spans = [Span(f" {self._target}", "bold"), Span(" ▸", "dim")] if self._target else []
        x = sum(len(span.text) for span in spans)
        for command in self._chosen(self.size.width - x):
            text = f" {command.key_label} {command.short} "
            if x + len(text) > self.size.width:
                break
            self._places.append((range(x, x + len(text)), command.action))
            spans += [Span(f" {command.key_label}", "accent"), Span(f" {command.short} ", "dim")]
            x += len(text)
        self.show((tuple(spans),))

    def _chosen(self, room: int) -> list[Command]:
        """As many as fit, in the order in which the commands are listed everywhere."""
        known = [_in(self._mode, command) for command in self._commands]
        if self._mode in (Mode.LIVE, Mode.FROZEN):
            known = [command for command in known if command.action not in _OF_SPEED]
        if not self._target:
            known = [command for command in known if command.group not in _OF_CLUSTER]
        chosen: set[str] = set()
        for command in sorted(known, key=lambda command: command.rank):
            needed = len(command.key_label) + len(command.short) + 3
            if needed <= room:
                room -= needed
                chosen.add(command.action)
        return [command for command in known if command.action in chosen]


def _in(mode: Mode, command: Command) -> Command:
    """Where the past is shown, the keys that move in it come first."""
    if mode not in (Mode.FROZEN, Mode.REPLAY) or command.group not in _OF_TIME:
        return command
    short = command.short
    if command.action == "freeze":
        short = "return" if mode is Mode.FROZEN else "play"
    return replace(command, short=short, rank=command.rank - 100)
