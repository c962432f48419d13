"""The one table of what the user can do: bindings, footer, help and palette are made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LIFETIMES: tuple[float | None, ...] = (30.0, 120.0, None, 10.0)
"""Of the faults made here, in the order in which a key goes through them; None: until healed. The first
is long enough to watch what it does, and short enough to be forgotten."""


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


MENU = Command("ctrl+p", "^p", "command_palette", "menu", "Every action by name", "menu", 0)
"""Bound by Textual itself. In the footer it brings whatever else there is within reach of the mouse."""
COMMANDS = (
    Command("k", "k", "kill", "kill", "Kill the node (SIGKILL)", "node", 1),
    Command("K", "K", "kill_leader", "kill leader", "Kill the leader", "node", 8),
    Command("t", "t", "stop", "stop", "Stop it politely", "node", 20),
    Command("r", "r", "restart", "restart", "Start or restart it", "node", 2),
    Command("z", "z", "pause", "pause", "Pause or resume it", "node", 3),
    Command("e", "e", "campaign", "elect", "Force an election timeout", "node", 9),
    Command("T", "T", "transfer", "hand over", "Hand leadership to it", "node", 17),
    Command("c", "c", "clock", "clock", "Let its clock run wrong", "node", 18),
    Command("f", "f", "disk", "disk", "Disk: slow, full, failing", "node", 19),
    Command("i", "i", "isolate", "isolate", "Isolate the node from all", "net", 4),
    Command("p", "p", "partition", "partition", "Partition, bridge, ring", "net", 6),
    Command("o", "o", "block", "block", "Block one way: node → peer", "net", 21),
    Command("d", "d", "delay", "delay", "Delay frames to a peer", "net", 22),
    Command("l", "l", "loss", "drop", "Drop frames to a peer", "net", 23),
    Command("u", "u", "duplicate", "duplicate", "Duplicate frames to a peer", "net", 24),
    Command("x", "x", "reorder", "reorder", "Reorder frames to a peer", "net", 25),
    Command("h", "h", "heal", "heal", "Mend links, disks, clocks", "net", 5),
    Command("H", "H", "heal_all", "heal all", "Heal, resume, restart all", "net", 12),
    Command("backspace", "⌫", "undo", "undo", "Undo the last fault", "net", 26),
    Command("w", "w", "lifetime", "lasting", "How long faults last", "net", 27),
    Command("L", "L", "load", "load", "Checked load on or off", "data", 7),
    Command("n", "n", "put", "put", "Put a key", "data", 10),
    Command("space", "space", "freeze", "freeze", "Freeze the view; play", "freeze", 11),
    Command("left_square_bracket", "[", "step_back", "back", "One event back", "pair", 13),
    Command("right_square_bracket", "]", "step_on", "on", "One event on", "pair", 14),
    Command(
        "left_curly_bracket", "{", "election_back", "election back", "To the election before", "pair", 28
    ),
    Command("right_curly_bracket", "}", "election_on", "election on", "To the next election", "pair", 29),
    Command("less_than_sign", "<", "slower", "slower", "Slower", "pair", 30),
    Command("greater_than_sign", ">", "faster", "faster", "Faster", "pair", 31),
    Command("E", "E", "export", "export", "Export report and recording", "time", 32),
    Command("slash", "/", "find", "find", "Filter or find", "view", 16),
    Command("s", "s", "scenarios", "scenarios", "Guided scenarios", "view", 15),
    Command("question_mark", "?", "help", "help", "This help", "view", 0),
    Command("q", "q", "quit", "quit", "Quit (also ctrl+q)", "view", 0),
)


def of_digit(names: Sequence[str], digit: int) -> str | None:
    """The node that ends with that number, as those of 'raftkv up' do. Where not all end with a number, or
    none with one that has a key, the one in that row."""
    ends = [name[len(name.rstrip("0123456789")) :] for name in names]
    numbers = [int(end) for end in ends if end]
    if len(numbers) == len(names) and any(0 < number < 10 for number in numbers):
        return names[numbers.index(digit)] if digit in numbers else None
    return names[digit - 1] if digit <= len(names) else None


def digits(names: Sequence[str]) -> dict[str, str]:
    """By name, the digit that selects the node; of those that none selects there is none."""
    chosen = {of_digit(names, digit): str(digit) for digit in range(9, 0, -1)}
    return {name: digit for name, digit in chosen.items() if name is not None}


def shell_line(command: str) -> str:
    """With a prompt, unless it says in parentheses what no command does."""
    return command if command.startswith("(") else f"$ {command}"
