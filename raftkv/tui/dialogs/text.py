"""One line of text: what to look for."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from raftkv.tui.dialogs.dialog import Dialog


class TextDialog(Dialog[str | None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Cancel", show=False)]

    def __init__(self, title: str, before: str, hint: str) -> None:
        super().__init__()
        self._title = title
        self._before = before
        self._hint = hint

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Input(self._before, id="text", compact=True)
            yield Static(Content(self._hint), classes="hint")

    def on_mount(self) -> None:
        self.query_one(".dialog").border_title = Content(self._title)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)
