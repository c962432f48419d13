"""A key and a value to put."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class PutDialog(ModalScreen[tuple[str, str] | None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Cancel", show=False)]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Input(placeholder="key", id="key", compact=True)
            yield Input(placeholder="value", id="value", compact=True)
            yield Static("enter: put   tab: next   esc: cancel", classes="hint")

    def on_mount(self) -> None:
        self.query_one(".dialog").border_title = "put a key"

    def on_input_submitted(self, event: Input.Submitted) -> None:
        key, value = self.query_one("#key", Input), self.query_one("#value", Input)
        if event.input is key or not key.value:
            (value if key.value else key).focus()
        else:
            self.dismiss((key.value, value.value))
