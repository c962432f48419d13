"""The partition editor: every node in group A or B; links between the groups will be blocked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, OptionList, Static
from textual.widgets.option_list import Option

from raftkv.tui.dialogs.dialog import Dialog

Groups = tuple[tuple[str, ...], tuple[str, ...]]
RING_NODES_MIN = 4
"""Among three, everybody is everybody's neighbour."""


@dataclass(frozen=True, slots=True)
class Cut:
    shape: Literal["groups", "bridge", "ring"]
    groups: Groups = ((), ())
    node: str = ""
    """The middle of a bridge."""


def majority_minority(names: Sequence[str], leader: str | None) -> set[str]:
    """The minority: as many as can be cut off without the rest losing the quorum, never the leader."""
    others = [name for name in names if name != leader]
    return set(others[len(others) - (len(names) - 1) // 2 :])


class PartitionDialog(Dialog[Cut | None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Cancel", show=False),
        Binding("space", "flip", "Other group", show=False),
        Binding("a,left", "assign('A')", "Group A", show=False),
        Binding("b,right", "assign('B')", "Group B", show=False),
        Binding("m", "majority", "Majority | minority", show=False),
        Binding("l", "leader", "Isolate the leader", show=False),
        Binding("g", "bridge", "Bridge", show=False),
        Binding("r", "ring", "Ring", show=False),
        Binding("enter", "apply", "Apply", show=False, priority=True),
    ]

    def __init__(self, names: Sequence[str], leader: str | None, selected: str, cut: bool = False) -> None:
        """``cut``: some links are already, which the new cut adds to."""
        super().__init__()
        self._names = tuple(names)
        self._leader = leader
        self._selected = selected
        self._cut = cut
        self._minority = {selected} if len(names) > 1 else set()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog partition"):
            yield OptionList(*(Option(self._row(name), id=name) for name in self._names))
            yield Static(self._summary(), id="summary")
            with Horizontal(classes="buttons"):
                yield Button("majority | minority (m)", id="majority", compact=True)
                yield Button("isolate leader (l)", id="leader", compact=True, disabled=self._leader is None)
            with Horizontal(classes="buttons"):
                yield Button(self._bridge_label(), id="bridge", compact=True, disabled=self._few(3))
                yield Button("ring (r)", id="ring", compact=True, disabled=self._few(RING_NODES_MIN))
            with Horizontal(classes="buttons"):
                yield Button("apply (enter)", id="apply", variant="primary", compact=True)
                yield Button("cancel (esc)", id="cancel", compact=True)
            if self._cut:
                yield Static("what is cut already stays cut: h heals", classes="hint")
            yield Static("↑ ↓ choose   space other group   a b assign", classes="hint")

    def _few(self, nodes: int) -> bool:
        return len(self._names) < nodes

    def on_mount(self) -> None:
        self.query_one(".dialog").border_title = "partition"
        self.query_one(OptionList).highlighted = self._names.index(self._selected)

    def on_option_list_option_highlighted(self) -> None:
        self.query_one("#bridge", Button).label = self._bridge_label()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self._flip(str(event.option.id))  # a click

    def on_button_pressed(self, event: Button.Pressed) -> None:
        match event.button.id:
            case "majority":
                self.action_majority()
            case "leader":
                self.action_leader()
            case "bridge":
                self.action_bridge()
            case "ring":
                self.action_ring()
            case "apply":
                self._apply()
            case _:
                self.dismiss(None)

    def action_flip(self) -> None:
        name = self._highlighted()
        if name:
            self._flip(name)

    def action_assign(self, group: str) -> None:
        name = self._highlighted()
        if name:
            self._set(self._minority | {name} if group == "B" else self._minority - {name})

    def action_majority(self) -> None:
        self._set(majority_minority(self._names, self._leader))

    def action_leader(self) -> None:
        if self._leader:
            self._set({self._leader})

    def action_bridge(self) -> None:
        """Two halves that hear each other only through the node that is chosen."""
        name = self._highlighted() or self._selected
        if len(self._names) < 3:
            self.notify("a bridge needs three nodes", severity="warning")
        else:
            self.dismiss(Cut("bridge", node=name))

    def action_ring(self) -> None:
        if len(self._names) < RING_NODES_MIN:
            self.notify("in a ring of three everybody hears everybody", severity="warning")
        else:
            self.dismiss(Cut("ring"))

    def action_apply(self) -> None:
        """Enter: on a focused button, that button."""
        if isinstance(self.focused, Button):
            self.focused.press()
        else:
            self._apply()

    def _apply(self) -> None:
        first, second = self._groups()
        if not first or not second:
            self.notify("both groups need a node", severity="warning")
        else:
            self.dismiss(Cut("groups", (first, second)))

    def _flip(self, name: str) -> None:
        self._set(self._minority ^ {name})

    def _set(self, minority: set[str]) -> None:
        self._minority = minority
        options = self.query_one(OptionList)
        for name in self._names:
            options.replace_option_prompt(name, self._row(name))
        self.query_one("#summary", Static).update(self._summary())

    def _bridge_label(self) -> str:
        options = self.query(OptionList)
        return f"bridge over {(options and self._highlighted()) or self._selected} (g)"

    def _highlighted(self) -> str | None:
        option = self.query_one(OptionList).highlighted_option
        return option.id if option else None

    def _groups(self) -> Groups:
        return (
            tuple(name for name in self._names if name not in self._minority),
            tuple(name for name in self._names if name in self._minority),
        )

    def _row(self, name: str) -> Content:
        star = "★" if name == self._leader else " "
        group = "  [B]" if name in self._minority else "[A]  "
        return Content(f"{name:<8} {star}  {group}")

    def _summary(self) -> Content:
        first, second = (" ".join(group) or "–" for group in self._groups())
        return Content(f"A  {first}\nB  {second}")
