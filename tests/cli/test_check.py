"""check: what it prints, in text and JSON, and its exit codes. No cluster needed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raftkv.cli import check
from raftkv.cli.app import app
from raftkv.cli.progress import CLEAR
from raftkv.cli.reading import LINE_BYTES_MAX
from raftkv.history import Operation, to_json_line
from tests.cli.asserting import Done, quiet, refused, run_with
from tests.history.building import append, cas, get, put
from tests.history.test_size import hard

FINE = [put(1, 0, 1_000_000), get(1, 2_000_000, 3_500_000)]
STALE = [
    *(put("a", 1_000_000, 2_000_000), cas("a", "b", 3_000_000, 4_500_000), put("c", 3_000_000, None)),
    get("a", 5_000_000, 6_000_000),
]


def write(folder: Path, name: str, history: list[Operation]) -> None:
    (folder / name).write_text("".join(to_json_line(operation) + "\n" for operation in history))


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> Done:
    with contextlib.chdir(folder):
        result = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "120"}).invoke(
            app, ["check", *arguments], input=stdin
        )
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess([], result.exit_code, result.stdout_bytes, result.stderr_bytes)


def violation(done: Done) -> str:
    assert (done.returncode, done.stderr) == (1, b""), done
    return done.stdout.decode()


def document(done: Done, code: int) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (code, b""), done
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_linearizable_history_is_one_word(tmp_path: Path) -> None:
    write(tmp_path, "h.jsonl", FINE)
    assert quiet(run(tmp_path, "h.jsonl")) == b"linearizable\n"


def test_a_violation_is_a_table_people_can_read(tmp_path: Path) -> None:
    write(tmp_path, "h.jsonl", STALE)
    assert violation(run(tmp_path, "h.jsonl")) == (
        "NOT linearizable: key k\n"
        "CALL MS  RETURN MS  CLIENT  OPERATION       RESULT\n"
        '  0.000      1.000       0  put "a"         ok\n'
        '  2.000      3.500       0  cas "a" -> "b"  true\n'
        '  4.000      5.000       0  get             "a"\n'
        'get returned "a", but cas "b" had replaced it before the get began\n'
    )


def test_an_unknown_operation_and_a_long_value_in_the_table(tmp_path: Path) -> None:
    write(tmp_path, "h.jsonl", [append("x" * 100, 0, None), get("x" * 200, 1, 2)])
    text = violation(run(tmp_path, "h.jsonl"))
    assert f'append "{"x" * 18}…{"x" * 18}" (102 characters)  unknown\n' in text
    assert text.splitlines()[2].split()[1] == "-"
    *table, reason = text.splitlines()
    assert max(map(len, table)) <= 150
    assert len(reason) < 160


def test_a_long_table_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "ROWS_MAX", 2)
    write(tmp_path, "h.jsonl", STALE)
    lines = violation(run(tmp_path, "h.jsonl")).splitlines()
    assert (len(lines), lines[4]) == (6, "… and 1 more; --json has them all")


def test_json(tmp_path: Path) -> None:
    write(tmp_path, "h.jsonl", STALE)
    found = document(run(tmp_path, "h.jsonl", "--json"), 1)
    assert found.pop("seconds") >= 0
    assert found.pop("steps") == 0, "a stale read is plain to see"
    witness = [json.loads(to_json_line(operation)) for operation in (STALE[0], STALE[1], STALE[3])]
    assert found == {
        "history": "h.jsonl",
        "verdict": "NOT linearizable",
        "operations": 4,
        "keys": 1,
        "key": "k",
        "witness": witness,
        "reason": 'get returned "a", but cas "b" had replaced it before the get began',
    }
    write(tmp_path, "fine.jsonl", FINE)
    fine = document(run(tmp_path, "fine.jsonl", "--json"), 0)
    assert (fine["verdict"], fine["key"], fine["witness"]) == ("linearizable", None, [])


def test_a_witness_is_a_history_that_can_be_checked_again(tmp_path: Path) -> None:
    write(tmp_path, "h.jsonl", STALE)
    found = document(run(tmp_path, "h.jsonl", "--json"), 1)
    lines = "".join(json.dumps(record) + "\n" for record in found["witness"])
    assert violation(run(tmp_path, "-", stdin=lines.encode())) == violation(run(tmp_path, "h.jsonl"))


def test_several_histories(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", FINE)
    write(tmp_path, "b.jsonl", STALE)
    text = violation(run(tmp_path, "a.jsonl", "b.jsonl"))
    assert text.splitlines()[:2] == ["a.jsonl: linearizable", "b.jsonl: NOT linearizable: key k"]
    found = document(run(tmp_path, "a.jsonl", "b.jsonl", "--json"), 1)
    assert [history["verdict"] for history in found["histories"]] == ["linearizable", "NOT linearizable"]
    done = run(tmp_path, "b.jsonl", "missing.jsonl", "a.jsonl")
    assert done.stderr == b"raftkv: missing.jsonl: No such file or directory\n"
    assert done.returncode == 1, "a violation counts for more than what cannot be read"
    assert run(tmp_path, "missing.jsonl", "b.jsonl").returncode == 1
    assert run(tmp_path, "missing.jsonl", "a.jsonl").returncode == 2
    assert done.stdout.endswith(b"\na.jsonl: linearizable\n")


def test_a_line_that_is_too_long_keeps_no_other_file_from_being_judged(tmp_path: Path) -> None:
    write(tmp_path, "bad.jsonl", STALE)
    (tmp_path / "long.jsonl").write_text(f'{{"key": "{"x" * LINE_BYTES_MAX}"}}')
    done = run(tmp_path, "long.jsonl", "bad.jsonl")
    assert done.returncode == 1
    assert done.stdout.startswith(b"bad.jsonl: NOT linearizable")
    assert done.stderr.startswith(b"raftkv: long.jsonl, line 1: longer than")


def test_an_empty_history_is_linearizable(tmp_path: Path) -> None:
    done = run(tmp_path, "-")
    assert (done.returncode, done.stdout) == (0, b"linearizable\n")
    assert done.stderr == b"- holds no operations, so nothing in it is wrong\n"


def test_out_of_budget_is_no_pass(tmp_path: Path) -> None:
    write(tmp_path, "h.jsonl", hard())
    text = violation(run(tmp_path, "h.jsonl", "--budget", "0.05"))
    assert text.startswith("undecided: the budget is spent after ")
    assert text.count("\n") == 1
    assert document(run(tmp_path, "h.jsonl", "--budget", "0.05", "--json"), 1)["verdict"] == "undecided"


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "h.jsonl").write_text(to_json_line(FINE[0]) + '\n{"client": 1, "op": "gte"}\n')
    cause = '"op" must be one of put, get, cas, delete, append, not "gte"'
    assert refused(run(tmp_path, "h.jsonl"), 2) == f"h.jsonl:2: {cause}"
    assert refused(run(tmp_path, "h.jsonl", "--json"), 2) == f"h.jsonl:2: {cause}"
    assert refused(run(tmp_path, "-", stdin=b"{}"), 2) == 'stdin:1: "op" is missing'
    assert refused(run(tmp_path, "none.jsonl"), 2) == "none.jsonl: No such file or directory"
    assert refused(run(tmp_path, "."), 2) == ".: Is a directory"


def test_flags_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    assert "--budget 0" in refused(run(tmp_path, "-", "--budget", "0"), 2)
    assert "--budget nan" in refused(run(tmp_path, "-", "--budget", "nan"), 2)
    assert "once" in refused(run(tmp_path, "-", "-"), 2)
    assert run(tmp_path).returncode == 2


def test_progress_shows_on_a_terminal_when_it_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "h.jsonl", STALE)
    assert run(tmp_path, "h.jsonl").stderr == b""
    monkeypatch.setattr("raftkv.cli.progress.stderr_is_terminal", lambda: True)
    assert run(tmp_path, "h.jsonl").stderr == b"", "it took no time"
    monkeypatch.setattr(check, "QUIET_SECONDS", 0.0)
    assert run(tmp_path, "h.jsonl").stderr.decode().startswith(f"{CLEAR}h.jsonl: ")


def test_the_real_command(tmp_path: Path) -> None:
    write(tmp_path, "h.jsonl", STALE)
    done = run_with(["check", "h.jsonl"], tmp_path)
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout == run(tmp_path, "h.jsonl").stdout
    piped = run_with(["check", "-"], tmp_path, shell='"$@" < h.jsonl')
    assert (piped.returncode, piped.stdout) == (1, done.stdout)


@pytest.mark.parametrize("how", [(), ("--json",)])
def test_a_name_that_is_no_text_is_printed_all_the_same(tmp_path: Path, how: tuple[str, ...]) -> None:
    """A history that holds must not look like a violation because of what its file is called."""
    name = os.fsdecode(b"h\xff.jsonl")
    write(tmp_path, name, FINE)
    write(tmp_path, "b.jsonl", FINE)
    done = run(tmp_path, name, "b.jsonl", *how)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"linearizable" in done.stdout
    if how:
        assert json.loads(done.stdout)["histories"][0]["history"] == name
    else:
        assert done.stdout.startswith(b"h\xff.jsonl: linearizable")
