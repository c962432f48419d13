"""The one table of what the user can do: bindings, footer, help and palette are made from it."""

from __future__ import annotations

from dataclasses import dataclass

FAULT_SECONDS = 30.0
"""Lifetime of every fault made here: long enough to watch what it does, short enough to forget."""


@dataclass(frozen=True, slots=True)
class Command:
    key: str
    """As Textual names it; several separated by commas."""
    key_label: str
    action: str
    short: str
    """For the footer."""
    title: str
    """For palette and help."""
    group: str
    rank: int
    """Which ones a narrow footer keeps: the lowest."""


COMMANDS = (
    Command("k", "k", "kill", "kill", "Kill the node (SIGKILL)", "node", 1),
    Command("K", "K", "kill_leader", "kill leader", "Kill the leader", "node", 8),
    Command("t", "t", "stop", "stop", "Stop the node politely", "node", 13),
    Command("r", "r", "restart", "restart", "Start or restart the node", "node", 2),
    Command("z", "z", "pause", "pause", "Pause or resume the node", "node", 3),
    Command("e", "e", "campaign", "elect", "Force an election timeout", "node", 9),
    Command("i", "i", "isolate", "isolate", "Isolate the node from all others", "net", 4),
    Command("p", "p", "partition", "partition", "Partition into two groups", "net", 6),
    Command("o", "o", "block", "block", "Block one way: the node → a peer", "net", 14),
    Command("d", "d", "delay", "delay", "Delay the link to a peer", "net", 15),
    Command("l", "l", "loss", "loss", "Lose frames on the link to a peer", "net", 16),
    Command("h", "h", "heal", "heal", "Heal: remove every link fault", "net", 5),
    Command("H", "H", "heal_all", "heal all", "Heal, resume and restart all", "net", 12),
    Command("n", "n", "put", "put", "Put a key", "data", 10),
    Command("L", "L", "load", "load", "Load of writes on or off", "data", 7),
    Command("space", "space", "freeze", "freeze", "Freeze the view, not the cluster", "view", 11),
    Command("question_mark", "?", "help", "help", "This help", "view", 0),
    Command("q", "q", "quit", "quit", "Quit (also ctrl+q)", "view", 0),
)
