"""How bytes become fields and fields bytes again, and errors exit codes."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from raftkv.cli.app import app
from raftkv.cli.output import Exit, as_field, as_json, as_text, emit, exit_code_of, from_field, from_json
from raftkv.errors import (
    ClientError,
    ConfigError,
    CorruptLog,
    DataFolderLocked,
    ForeignData,
    InvalidRequest,
    LaunchError,
    OutcomeUnknown,
    RaftkvError,
    SessionExpired,
    StorageFailed,
    Unavailable,
)
from tests.support.processes import DEADLINE_SECONDS, environment


@given(st.binary() | st.text().map(str.encode) | st.just(b"base64:AAAA"))
def test_a_field_is_read_back_and_breaks_no_line(content: bytes) -> None:
    field = as_field(content)
    assert from_field(field.encode()) == content
    assert not set(field) & set("\t\n\r")


@given(st.binary() | st.text().map(str.encode))
def test_json_is_read_back(content: bytes) -> None:
    assert from_json(as_json(content)) == content


def test_text_is_left_as_it_is_unless_it_is_none() -> None:
    assert as_text("tab\tand ü\n".encode()) == "tab\tand ü\n"
    assert as_text(b"\xff") == "base64:/w=="


@pytest.mark.parametrize("value", [1, None, ["a"], {}, {"base64": 1}, {"base64": "AA==", "more": 1}])
def test_other_json_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="neither a string"):
        from_json(value)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutcomeUnknown("x"), Exit.UNKNOWN),
        (Unavailable("x"), Exit.UNAVAILABLE),
        (SessionExpired("x"), Exit.UNAVAILABLE),
        (ClientError("x"), Exit.UNAVAILABLE),
        (InvalidRequest("x"), Exit.USAGE),
        (ConfigError("x"), Exit.USAGE),
        (LaunchError("x"), Exit.USAGE),
        (DataFolderLocked("x"), Exit.USAGE),
        (ForeignData("x"), Exit.USAGE),
        (RaftkvError("refused"), Exit.USAGE),
        (CorruptLog("file", 1, "x"), Exit.NO),
        (StorageFailed("x"), Exit.NO),
    ],
)
def test_every_error_has_its_exit_code(error: RaftkvError, code: Exit) -> None:
    assert exit_code_of(error) == code


def test_output_that_takes_a_part_at_a_time_gets_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PYTHONUNBUFFERED there is no buffer that would see to it."""

    class Stingy(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data)[:7])

    with Stingy(tmp_path / "out", "w") as raw:
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=raw, flush=lambda: None))
        emit("a line that is longer than seven bytes")
    assert (tmp_path / "out").read_text() == "a line that is longer than seven bytes\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["get", "a", "--endpoints", "tcp://127.0.0.1:9", "--timeout", "0.1"], 3),
        (["bogus"], 2),
        (["check", "x"], 2),
    ],
)
def test_the_exit_code_tells_where_stderr_cannot(tmp_path: Path, arguments: list[str], code: int) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "raftkv", *arguments],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stderr=full,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
    assert done.returncode == code


def test_what_nobody_foresaw_is_told_in_full_and_taken_for_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program that reads exit code 1 as "no" must not read it where raftkv itself has failed."""

    def fails(*_: object) -> None:
        raise KeyError("gone")

    monkeypatch.setattr("raftkv.cli.data.find_target", fails)
    result = CliRunner().invoke(app, ["get", "a"])
    assert result.exit_code == Exit.BUG
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1] == "raftkv: this is a bug in raftkv: KeyError: 'gone'"


@pytest.mark.parametrize(
    ("shortage", "told"),
    [
        (zmq.ZMQError(errno.EMFILE), "no more files can be opened: this process may have "),
        (OSError(errno.EMFILE, "Too many open files"), "no more files can be opened: this process may have "),
        (MemoryError(), "there is no memory left"),
        (RuntimeError("can't start new thread"), "no more threads can be started"),
    ],
)
def test_what_a_process_runs_out_of_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, shortage: Exception, told: str
) -> None:
    def fails(*_: object) -> None:
        raise shortage

    monkeypatch.setattr("raftkv.cli.app._discard_output", lambda: None)  # this process has others' output
    monkeypatch.setattr("raftkv.cli.data.find_target", fails)
    result = CliRunner().invoke(app, ["get", "a"])
    assert result.exit_code == Exit.USAGE
    assert result.stderr.startswith(f"raftkv: {told}")
    assert len(result.stderr.splitlines()) == 1
