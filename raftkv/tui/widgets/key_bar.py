"""The footer: keys and what they do, as many as fit; a click does the same as the key."""

from __future__ import annotations

from textual import events

from raftkv.tui.commands import Command
from raftkv.tui.view.spans import Span
from raftkv.tui.widgets.lines import Lines


class KeyBar(Lines):
    def __init__(self, commands: tuple[Command, ...]) -> None:
        """``commands`` in the order of importance: the last are left out first."""
        super().__init__(id="keys")
        self._commands = commands
        self._places: list[tuple[range, str]] = []

    def on_mount(self) -> None:
        self._fill()

    def on_resize(self) -> None:
        self._fill()

    async def on_click(self, event: events.Click) -> None:
        for columns, action in self._places:
            if event.x in columns:
                await self.app.run_action(action)

    def _fill(self) -> None:
        self._places = []
        spans: list[Span] = []
        x = 0
        for command in self._chosen():
            text = f" {command.key_label} {command.short} "
            if x + len(text) > self.size.width:
                break
            self._places.append((range(x, x + len(text)), command.action))
            spans += [Span(f" {command.key_label}", "accent"), Span(f" {command.short} ", "dim")]
            x += len(text)
        self.show((tuple(spans),))

    def _chosen(self) -> list[Command]:
        """As many as fit, in the order in which the commands are listed everywhere."""
        room = self.size.width
        chosen: set[str] = set()
        for command in sorted(self._commands, key=lambda command: command.rank):
            needed = len(command.key_label) + len(command.short) + 3
            if needed <= room:
                room -= needed
                chosen.add(command.action)
        return [command for command in self._commands if command.action in chosen]
