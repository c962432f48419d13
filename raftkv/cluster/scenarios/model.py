"""What a scenario is, who tells it, and how it ends when it does not end well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from raftkv.cluster.scenarios.stage import Stage


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story that is played on a real cluster, and checks itself."""

    name: str
    title: str
    section: str
    """Of the Raft paper, or of the thesis."""
    summary: str
    """What there is to see, in two sentences."""
    nodes: int
    """So many voters at least."""
    act: Callable[[Stage], None]


class Narrator(Protocol):
    """Hears what happens, in the thread that plays."""

    def say(self, text: str) -> None:
        """A step: what is being done, and why."""
        ...

    def command(self, text: str) -> None:
        """The command line that does what was just done."""
        ...

    def ask(self, question: str, choices: tuple[str, ...], right: int, why: str) -> None:
        """What will happen? ``right`` is the position of the true answer. May wait for somebody's guess."""
        ...

    def checked(self, what: str, found: str) -> None:
        """An assertion held; ``found`` has the figures."""
        ...
