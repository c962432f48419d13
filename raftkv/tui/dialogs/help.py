"""Every key and every symbol, on one screen of 80x24."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from raftkv.tui.commands import COMMANDS, FAULT_SECONDS, Command

_SYMBOLS = (
    "[b]links[/b]  ● ok  ✕ blocked  ◐ delayed or lossy  ? sender not alive  (click one)\n"
    "[b]nodes[/b]  ★ leader, stale? when deposed  ☠ dead  ⏸ paused  n1! alarm\n"
    "[b]timer[/b]  ▓▓░ full after the leader's word; empty: the node campaigns\n"
    "[b]logs [/b]  \\[7] term 7, committed   7  not committed   7✗ not the leader's"
)


class HelpDialog(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter,space", "dismiss", "Close", show=False)
    ]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog help"):
            yield Static(_keys())
            yield Static(_SYMBOLS, classes="symbols")
            yield Static(
                f"Link faults and pauses end by themselves after {FAULT_SECONDS:g} s. esc, ? or q closes.",
                classes="hint",
            )

    def on_mount(self) -> None:
        self.query_one(".dialog").border_title = "raftkv keys"


def _keys() -> str:
    node = [command for command in COMMANDS if command.group == "node"]
    net = [command for command in COMMANDS if command.group == "net"]
    rest = [command for command in COMMANDS if command.group in ("data", "view")]
    first = ["[b]the selected node[/b]", *map(_entry, node), "", *_PLAIN]
    second = ["[b]network[/b]", *map(_entry, net), "", *map(_entry, rest)]
    height = max(len(first), len(second))
    first += [""] * (height - len(first))
    second += [""] * (height - len(second))
    return "\n".join(f"{one}{_pad(one)}{two}" for one, two in zip(first, second, strict=True))


def _entry(command: Command) -> str:
    return f"[$primary]{command.key_label:>5}[/]  {command.title}"


_PLAIN = [
    "[$primary]  1-9[/]  Select a node (↑ ↓, click)",
    "[$primary] PgUp[/]  Scroll the events",
    "[$primary]   ^p[/]  Every action by name",
]
_COLUMN = 35


def _pad(entry: str) -> str:
    shown = entry.replace("[$primary]", "").replace("[/]", "").replace("[b]", "").replace("[/b]", "")
    return " " * (_COLUMN - len(shown))
