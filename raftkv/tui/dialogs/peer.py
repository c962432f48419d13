"""Choose the peer at the far end of a link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option


class PeerDialog(ModalScreen[str | None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Cancel", show=False)]

    def __init__(self, title: str, peers: Sequence[tuple[str, str, str]]) -> None:
        """``peers``: the digit that chooses it, its name, and a word about the link to it."""
        super().__init__()
        self._title = title
        self._peers = peers

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield OptionList(
                *(Option(Content(f"{key}  {name:<8}  {note}"), id=name) for key, name, note in self._peers)
            )
            yield Static("enter, click, digit: choose   esc: cancel", classes="hint")

    def on_mount(self) -> None:
        self.query_one(".dialog").border_title = self._title

    def on_key(self, event: events.Key) -> None:
        for key, name, _ in self._peers:
            if event.key == key:
                event.stop()
                self.dismiss(name)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)
