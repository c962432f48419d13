"""Every key and every symbol, on one screen of 80x24."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from raftkv.tui.commands import COMMANDS, Command
from raftkv.tui.dialogs.dialog import Dialog

_SYMBOLS = (
    "[b]links[/b] ● ok ✕ cut ◐ degraded  [b]nodes[/b] ★ leads ☠ dead ⏸ paused ? silent ! alarm\n"
    "[b]logs[/b]  \\[7] term 7, committed  7 not yet  7✗ differs  [b]timer[/b] ▓▓░ of an election"
)


class HelpDialog(Dialog[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter,space", "dismiss", "Close", show=False)
    ]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog help"):
            yield Static(_keys())
            yield Static(_SYMBOLS, classes="symbols")

    def on_mount(self) -> None:
        dialog = self.query_one(".dialog")
        dialog.border_title = "raftkv keys"
        dialog.border_subtitle = "esc, ? or q closes"


def _keys() -> str:
    def of(*groups: str) -> list[str]:
        return [_entry(command) for command in COMMANDS if command.group in groups]

    first = ["[b]the selected node[/b]", *of("node"), "[b]what is shown[/b]", *_PLAIN, *of("view")]
    second = [
        "[b]network and data[/b]",
        *of("net", "data"),
        "[b]time[/b]",
        *of("freeze"),
        *_PAIRS,
        *of("time"),
    ]
    height = max(len(first), len(second))
    first += [""] * (height - len(first))
    second += [""] * (height - len(second))
    return "\n".join(f"{one}{_pad(one)}{two}" for one, two in zip(first, second, strict=True))


def _entry(command: Command) -> str:
    return _row(command.key_label.replace("[", "\\["), command.title)


def _row(keys: str, title: str) -> str:
    shown = keys.replace("\\", "")
    return f"{' ' * max(0, 6 - len(shown))}[$primary]{keys}[/]  {title}"


_PAIRS = [
    _row("\\[ ]", "One event back, on"),
    _row("{ }", "Election before, next"),
    _row("< >", "Slower, faster"),
]
_PLAIN = [
    _row("F1-F8", "Screens (also tab)"),
    _row("1-9", "Select by number (↑ ↓, click)"),
    _row("PgUp", "Scroll"),
    _row("enter", "Open, change; del deletes"),
    _row("^p", "Every action by name"),
]
_COLUMN = 39


def _pad(entry: str) -> str:
    shown = entry.replace("[$primary]", "").replace("[/]", "").replace("[b]", "").replace("[/b]", "")
    return " " * (_COLUMN - len(shown.replace("\\", "")))
