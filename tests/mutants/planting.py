"""Planting a bug in running code, and taking it out again.

A mutant is a handful of edits, each like one hunk of a diff: in this function, this text becomes
that. The changed source is compiled and its code object put in place of the function's own; the
function object stays the same. So the bug is met wherever the function was imported to, in whatever
table it stands, and no file is touched. A text that is not found exactly once is an error: code that
has moved on must not turn a mutant into no mutant at all.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from types import CodeType, FunctionType
from typing import Any


class PlantError(Exception):
    """The bug cannot be planted: the code is not what the mutant takes it for."""


class Part(Enum):
    """The package a bug is planted in; says which layers can meet it at all."""

    RAFT = "raft"
    STORAGE = "storage"
    KV = "kv"
    ACTORS = "actors"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Edit:
    """``old`` occurs once in the function's source (without the indentation of its first line)."""

    function: Callable[..., Any]
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    what: str
    """The bug, in one sentence."""
    pitfall: str
    """The number in the list of pitfalls, or the section of the paper, or ``""``."""
    part: Part
    edits: tuple[Edit, ...]

    @contextmanager
    def plant(self) -> Iterator[None]:
        """The bug is there until the context ends, for everything in this process."""
        with ExitStack() as planted:
            for function, edits in self._by_function().items():
                planted.enter_context(_swapped(function, changed(function, edits)))
            yield

    def _by_function(self) -> dict[FunctionType, list[Edit]]:
        found: dict[FunctionType, list[Edit]] = {}
        for edit in self.edits:
            if not isinstance(edit.function, FunctionType):
                raise PlantError(f"{edit.function} is no plain function")
            found.setdefault(edit.function, []).append(edit)
        return found


def changed(function: FunctionType, edits: Iterable[Edit]) -> CodeType:
    """The function's code with these edits, one after the other."""
    lines, first = inspect.getsourcelines(function)
    source = textwrap.dedent("".join(lines))
    for edit in edits:
        found = source.count(edit.old)
        if found != 1:
            raise PlantError(f"{function.__qualname__} holds {edit.old!r} {found} times, not once")
        source = source.replace(edit.old, edit.new)
    # Line numbers stay true, for the traceback of whatever the bug breaks.
    module = compile(
        "\n" * (first - 1) + source,
        function.__code__.co_filename,
        "exec",
        annotations.compiler_flag,
        dont_inherit=True,
    )
    for constant in module.co_consts:
        if isinstance(constant, CodeType) and constant.co_name == function.__name__:
            return constant.replace(co_qualname=function.__qualname__)
    raise PlantError(f"the source of {function.__qualname__} defines no {function.__name__}")


@contextmanager
def _swapped(function: FunctionType, code: CodeType) -> Iterator[None]:
    original = function.__code__
    function.__code__ = code
    try:
        yield
    finally:
        function.__code__ = original
