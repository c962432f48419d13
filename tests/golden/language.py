"""The language of the golden transcripts: read, run, written back.

A story is a text file of prose and blocks. Prose is every line that starts with ``#``. A block is a
command, a line ``----``, what the command shows, and a blank line::

    # n1 is the first to lose patience.
    campaign n1
    ----
    n1: pre_candidate, term 0: election timeout

Any other line is a command, even one without ``----`` below it: a forgotten separator must not turn
a step of the story into prose that nobody checks. Rewriting adds the separator and the output, so a
new story is written as prose and bare commands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

PROSE = "#"
SEPARATOR = "----"
NOTHING = "(nothing happens)"
"""Stands for empty output, so that a block always has a line to compare."""


class CommandError(Exception):
    """A command of a story that cannot be carried out; whoever runs the story adds the place."""


class StoryError(Exception):
    """What is wrong with a story, and where: ``file:line: what``."""

    def __init__(self, file: str, line: int, what: str) -> None:
        super().__init__(f"{file}:{line}: {what}")


@dataclass(frozen=True, slots=True)
class Command:
    """``name argument… option=value…``"""

    name: str
    arguments: tuple[str, ...]
    options: dict[str, str]


@dataclass(frozen=True, slots=True)
class Prose:
    """A line that is kept as it stands: a comment, or blank."""

    text: str


@dataclass(frozen=True, slots=True)
class Block:
    line: int
    text: str
    expected: tuple[str, ...] | None
    """None when the separator is still to come, and the output with it."""


Story = list[Prose | Block]
Execute = Callable[[Command], Sequence[str]]


def parse(file: str, text: str) -> Story:
    story: Story = []
    lines = text.splitlines()
    position = 0
    while position < len(lines):
        line = lines[position]
        if not line.strip() or line.startswith(PROSE):
            story.append(Prose(line.rstrip()))
            position += 1
            continue
        if line.startswith(SEPARATOR):
            raise StoryError(file, position + 1, f"{SEPARATOR} without a command above it")
        if line != line.strip():
            raise StoryError(file, position + 1, f"stray blanks around the command {line.strip()!r}")
        start = position + 1
        position += 1
        expected = None
        if position < len(lines) and lines[position] == SEPARATOR:
            expected = _output(file, lines, position + 1)
            position += 1 + len(expected)
        story.append(Block(start, line, expected))
    return story


def _output(file: str, lines: list[str], start: int) -> tuple[str, ...]:
    found = []
    for number, line in enumerate(lines[start:], start=start + 1):
        if not line.strip():
            break
        if line == SEPARATOR or line.startswith(PROSE):
            raise StoryError(file, number, "the output above is not ended by a blank line")
        found.append(line)
    return tuple(found)


def parse_command(text: str) -> Command:
    name, *words = text.split()
    options: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in options:
            raise CommandError(f"{key} is given twice")
        if equals:
            options[key] = value
    return Command(name, tuple(word for word in words if "=" not in word), options)


def play(file: str, story: Story, execute: Execute) -> list[list[str]]:
    """What every block shows, in order. Whatever goes wrong says at which line."""
    outputs = []
    for block in story:
        if isinstance(block, Prose):
            continue
        try:
            shown = list(execute(parse_command(block.text)))
        except CommandError as error:
            raise StoryError(file, block.line, f"{block.text!r}: {error}") from error
        except AssertionError as error:
            raise StoryError(file, block.line, f"{block.text!r} breaks a rule: {error}") from error
        outputs.append(shown or [NOTHING])
    return outputs


def recorded(file: str, story: Story) -> list[list[str]]:
    """What the file says that every block shows."""
    outputs = []
    for block in story:
        if isinstance(block, Prose):
            continue
        if block.expected is None:
            raise StoryError(file, block.line, f"no {SEPARATOR} below {block.text!r}; --rewrite adds it")
        outputs.append(list(block.expected))
    return outputs


def render(story: Story, outputs: Sequence[Sequence[str]]) -> str:
    """The story's text with these outputs; prose stays as it is."""
    lines: list[str] = []
    left = iter(outputs)
    for item in story:
        blank = isinstance(item, Prose) and not item.text
        if not blank and _ends_in_output(lines):
            lines.append("")
        if isinstance(item, Prose):
            lines.append(item.text)
        else:
            lines += [item.text, SEPARATOR, *next(left)]
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines) + "\n"


def _ends_in_output(lines: list[str]) -> bool:
    return bool(lines) and bool(lines[-1]) and not lines[-1].startswith(PROSE)
