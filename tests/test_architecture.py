"""Rules of the house that no import contract can state."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "raftkv"
FILE_LINES_MAX = 440
FUNCTION_LINES_MAX = 75


def modules() -> Iterator[tuple[str, ast.Module, int]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        yield str(path.relative_to(PACKAGE)), ast.parse(text), text.count("\n")


def test_files_and_functions_stay_readable_in_one_sitting() -> None:
    for name, tree, lines in modules():
        assert lines <= FILE_LINES_MAX, f"{name} has {lines} lines"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= FUNCTION_LINES_MAX, f"{name}: {node.name} has {length} lines"


def test_every_module_opens_with_what_it_owns() -> None:
    for name, tree, lines in modules():
        if lines > 20:
            assert ast.get_docstring(tree), f"{name} has no docstring"


def test_nothing_unpickles_and_nothing_catches_everything_in_silence() -> None:
    for name, tree, _ in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                imported = [alias.name for alias in node.names] + [getattr(node, "module", None)]
                assert "pickle" not in imported, name
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                silent = all(isinstance(statement, ast.Pass) for statement in node.body)
                assert not (silent and caught in ("everything", "Exception", "BaseException")), name


def test_what_decides_uses_no_clock_and_no_chance_of_its_own() -> None:
    """``raft``, ``kv``, ``wire`` and the client's core get time and randomness handed in."""
    pure = (
        "raft/",
        "kv/",
        "wire/",
        "observe/",
        "history/",
        "sim/",
        "client/core.py",
        "client/users.py",
        "tui/model.py",
    )
    for name, tree, _ in modules():
        if not name.startswith(pure):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert not called.startswith(("time.", "os.", "secrets.", "datetime.")), f"{name}: {called}"
                assert not (called.startswith("random.") and called != "random.Random"), f"{name}: {called}"
