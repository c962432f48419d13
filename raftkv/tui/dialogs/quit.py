"""Quitting while something is broken: say what, and offer to mend it first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Static

from raftkv.tui.dialogs.dialog import Dialog

Choice = Literal["heal", "quit"]
LISTED_MAX = 8
"""Faults named; a screen of 24 rows holds no more beside the question."""


class QuitDialog(Dialog[Choice | None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,c", "dismiss", "Cancel", show=False),
        Binding("h", "choose('heal')", "Heal and quit", show=False),
        Binding("q", "choose('quit')", "Quit", show=False),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def __init__(self, broken: Sequence[str], *, owns_cluster: bool) -> None:
        super().__init__()
        self._broken = broken
        self._owns_cluster = owns_cluster

    def compose(self) -> ComposeResult:
        listed = [f"  {line}" for line in self._broken[:LISTED_MAX]]
        if len(self._broken) > LISTED_MAX:
            listed.append(f"  … and {len(self._broken) - LISTED_MAX} more")
        end = (
            "Quit stops the cluster."
            if self._owns_cluster
            else "Quit detaches: the cluster runs on like this."
        )
        with Vertical(classes="dialog"):
            yield Static(Content("\n".join(listed)), id="broken")
            yield Static(Content(end), id="consequence")
            with Horizontal(classes="buttons"):
                yield Button("heal and quit (h)", id="heal", variant="success", compact=True)
                yield Button("quit (q)", id="quit", variant="error", compact=True)
                yield Button("cancel (esc)", id="cancel", compact=True)

    def on_mount(self) -> None:
        self.query_one(".dialog").border_title = "still broken"

    def on_button_pressed(self, event: Button.Pressed) -> None:
        choices: dict[str | None, Choice] = {"heal": "heal", "quit": "quit"}
        self.dismiss(choices.get(event.button.id))

    def action_choose(self, choice: Choice) -> None:
        self.dismiss(choice)
