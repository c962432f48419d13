"""One line on a terminal, and nothing elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from raftkv.cli import progress
from raftkv.cli.progress import CLEAR, Progress

Drawn = Callable[[], str]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Drawn:
    """What was, on a terminal of twenty columns."""
    monkeypatch.setattr(progress, "stderr_is_terminal", lambda: True)
    monkeypatch.setattr(progress, "_columns", lambda: 20)
    return lambda: capsys.readouterr().err


def test_it_is_drawn_over_and_over_and_gone_in_the_end(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REDRAW_SECONDS", 0.0)
    with Progress() as shown:
        show = shown.counting("keys")
        show(1, 2000)
        show(900, 2000)
    assert drawn() == f"{CLEAR}1 of 2,000 keys{CLEAR}900 of 2,000 keys{CLEAR}"


def test_what_does_not_fit_into_the_line_is_cut(drawn: Drawn) -> None:
    with Progress() as shown:
        shown.show(lambda: "x" * 30)
    assert drawn() == CLEAR + "x" * 19 + CLEAR


def test_a_line_is_made_only_where_it_is_drawn(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REDRAW_SECONDS", 3600.0)
    made: list[str] = []

    def text() -> str:
        made.append("text")
        return made[0]

    with Progress() as shown:
        for _ in range(1000):
            shown.show(text)
    assert made == ["text"]
    assert drawn() == f"{CLEAR}text{CLEAR}"


def test_short_work_shows_nothing(drawn: Drawn) -> None:
    with Progress(3600.0) as shown:
        shown.show(lambda: "text")
    assert drawn() == ""


def test_elsewhere_there_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as shown:
        assert not shown.visible
        shown.show(lambda: "text")
    assert capsys.readouterr() == ("", "")


def test_work_goes_on_where_the_terminal_is_gone(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(text: str) -> int:
        raise OSError(text)

    with monkeypatch.context() as patched:
        patched.setattr(sys.stderr, "write", gone)
        with Progress() as shown:
            shown.show(lambda: "text")
            assert not shown.visible
    assert drawn() == ""


def test_the_line_is_as_wide_as_the_terminal_that_it_is_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as stdout, which may be a file."""

    class Stderr:
        """As much of ``sys`` as is asked."""

        stderr: ClassVar[Any]

        @staticmethod
        def fileno() -> int:
            return 77

    Stderr.stderr = Stderr
    asked: list[int] = []

    def size(fd: int) -> os.terminal_size:
        asked.append(fd)
        return os.terminal_size((33, 24))

    with monkeypatch.context() as patched:
        patched.setattr("os.get_terminal_size", size)
        patched.setattr(progress, "sys", Stderr)
        assert progress._columns() == 33
    assert asked == [77]
