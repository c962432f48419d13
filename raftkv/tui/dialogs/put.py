"""A key and a value: a put, or a compare-and-set of what was seen."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from raftkv.tui.dialogs.dialog import Dialog


class PutDialog(Dialog[tuple[str, str] | None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Cancel", show=False)]

    def __init__(self, key: str = "", value: str = "") -> None:
        """With a ``key``: that key's value is to be changed from ``value``, if it still is that."""
        super().__init__()
        self._key = key
        self._value = value

    def compose(self) -> ComposeResult:
        keys = "enter: change, if nobody else has" if self._key else "enter: put   tab: next"
        with Vertical(classes="dialog"):
            yield Input(self._key, placeholder="key", id="key", compact=True, disabled=bool(self._key))
            yield Input(self._value, placeholder="value", id="value", compact=True)
            yield Static(f"{keys}   esc: cancel", classes="hint")

    def on_mount(self) -> None:
        title = f"change {self._key}" if self._key else "put a key"
        self.query_one(".dialog").border_title = Content(title[:40])
        if self._key:
            self.query_one("#value", Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        key, value = self.query_one("#key", Input), self.query_one("#value", Input)
        if not key.value:
            self.app.notify("the key is empty; it has at least one byte", severity="warning")
            key.focus()
        elif event.input is key:
            value.focus()
        else:
            self.dismiss((key.value, value.value))
