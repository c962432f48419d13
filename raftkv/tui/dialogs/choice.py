"""One of a few things, by key, by enter or by click."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from raftkv.tui.dialogs.dialog import Dialog

Choices = Sequence[tuple[str, str, str]]
"""(the key that chooses it, what the dialog then ends with, what is shown)"""


class ChoiceDialog(Dialog[str | None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Cancel", show=False)]

    def __init__(self, title: str, choices: Choices, text: str = "", *, aside: bool = False) -> None:
        """``aside``: at the left, with what stands at the right to be seen."""
        super().__init__(classes="aside" if aside else None)
        self._title = title
        self._choices = choices
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            if self._text:
                yield Static(Content(self._text), classes="question")
            options = (Option(Content(f"{key}  {shown}"), id=value) for key, value, shown in self._choices)
            yield OptionList(*options)
            yield Static("enter, click or key: choose   esc: cancel", classes="hint")

    def on_mount(self) -> None:
        self.query_one(".dialog").border_title = Content(self._title)

    def on_key(self, event: events.Key) -> None:
        self.take(event)

    def take(self, event: events.Key) -> None:
        for key, value, _ in self._choices:
            if event.character == key:
                event.stop()
                event.prevent_default()
                self.dismiss(value)
                return

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)
