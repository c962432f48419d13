"""``raftkv sim``: what it prints, what it writes, how it fails."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from raftkv.cli.app import app
from raftkv.cluster.ourselves import own_command
from raftkv.sim.twin import Twin, Violation
from tests.support.processes import (
    DEADLINE_SECONDS,
    await_condition,
    children_of,
    environment,
    is_alive,
    raftkv,
)

SHORT = ("--seconds", "1")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["sim", *SHORT, *arguments])


def test_one_seed_tells_what_it_drew_and_its_digest() -> None:
    done = run("--seed", "7")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("1 seed: all held")
    assert "drawn: " in done.stdout
    assert "digest: " in done.stdout
    assert done.stderr == ""


def test_json_is_one_document() -> None:
    done = run("--seed", "7", "--nodes", "5", "--json")
    document = json.loads(done.stdout)
    assert document["seeds"] == 1
    assert document["failed"] == document["void"] == []
    assert document["operations"]["ok"] > 0
    assert set(document) >= {"virtual_seconds", "steps", "committed", "elections", "faults", "digest"}


def test_several_seeds_run_in_several_processes() -> None:
    document = json.loads(run("--seed", "3", "--seeds", "4", "--json").stdout)
    assert (document["first_seed"], document["seeds"]) == (3, 4)


def test_the_trace_is_written_and_its_digest_expected(tmp_path: Path) -> None:
    trace = tmp_path / "trace.txt"
    digest = json.loads(run("--seed", "7", "--trace", str(trace), "--json").stdout)["digest"]
    lines = trace.read_text().splitlines()
    assert lines[0].startswith("# raftkv sim --seed 7 --seconds 1 (raftkv ")
    assert any("leader" in line for line in lines)
    assert run("--seed", "7", "--expect", digest).exit_code == 0


def test_a_trace_that_comes_out_differently_says_why() -> None:
    recorded = run("--seed", "7", "--expect", "0123456789abcdef@python-3.13,raftkv-0.1.0")
    assert recorded.exit_code == 1
    assert "it was recorded with python-3.13,raftkv-0.1.0 and this is python-3." in recorded.stderr
    here = run("--seed", "7").stdout.rpartition("digest: ")[2].strip()
    changed = run("--seed", "7", "--expect", "0123456789abcdef@" + here.partition("@")[2])
    assert changed.exit_code == 1
    assert "the code has changed since it was recorded" in changed.stderr


def test_a_failing_seed_prints_the_command_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def accuse(*_: object) -> None:
        raise Violation("planted")

    monkeypatch.setattr(Twin, "check_answer", accuse)
    done = run("--seed", "7", "--faults", "drop,kill")
    assert done.exit_code == 1
    assert "raftkv: seed 7: planted" in done.stderr
    replay = done.stderr.rpartition("replay: ")[2].strip()
    assert replay.startswith("raftkv sim --seed 7 --seconds 1 --faults drop,kill --expect ")
    again = CliRunner().invoke(app, replay.split()[1:])
    assert again.exit_code == 1
    assert "not the one expected" not in again.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--faults", "flood"), "no fault named 'flood'; known are drop, "),
        (("--seeds", "2", "--trace", "t"), "--trace and --expect need one seed"),
        (("--nodes", "2"), "2 is not in the range 3<=x<=7"),
    ],
)
def test_bad_options_are_told_in_one_line(arguments: tuple[str, ...], complaint: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_the_faults_are_listed_on_request() -> None:
    assert "isolate-leader" in run("--faults", "help").stdout.split()


def test_a_fault_that_was_chosen_and_never_happened_makes_the_run_void() -> None:
    faults = "symmetric,bridge,ring,crash,kill,pause,campaign,disk-full"
    done = CliRunner().invoke(app, ["sim", "--seed", "7", "--seconds", "0.1", "--faults", faults])
    assert done.exit_code == 1
    assert "this run proves nothing: fault " in done.stderr
    assert "never happened" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--seed", "1", "--seconds", "nan"), "--seconds nan: expected a number"),
        (("--faults", ","), "name at least one of drop, "),
        (("--faults", "ring", "--nodes", "3"), "ring cuts nothing between 3 nodes"),
    ],
)
def test_what_cannot_be_done_is_told_before_anybody_is_blamed(
    arguments: tuple[str, ...], complaint: str
) -> None:
    done = CliRunner().invoke(app, ["sim", *arguments])
    assert done.exit_code == 2
    assert complaint in done.stderr
    assert "replay" not in done.stderr


def test_a_trace_that_cannot_be_written_is_no_failure_of_the_nodes(tmp_path: Path) -> None:
    done = raftkv("sim", "--seed", "1", "--seconds", "0.2", "--trace", "/dev/full", folder=tmp_path)
    assert done.returncode == 2
    assert b"No space left on device" in done.stderr
    assert b"FAILED" not in done.stdout


def test_the_replay_names_what_was_run_to_the_last_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    def accuse(*_: object) -> None:
        raise Violation("planted")

    monkeypatch.setattr(Twin, "check_answer", accuse)
    odd = CliRunner().invoke(app, ["sim", "--seed", "7", "--seconds", "1.2345678", "--faults", "none"])
    assert "replay: raftkv sim --seed 7 --seconds 1.2345678 --faults none --expect " in odd.stderr


def test_two_seeds_need_not_have_every_fault() -> None:
    assert run("--seeds", "2").exit_code == 0


def test_the_end_of_a_worker_is_told_with_the_seed_to_go_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    def broken(*_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(ProcessPoolExecutor, "submit", broken)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    done = run("--seed", "40", "--seeds", "3")
    assert done.exit_code == 2
    assert "at seed 40 or soon after; go on with --seed 40" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only there it is seen who a process began")
def test_workers_do_not_outlive_whoever_began_them(tmp_path: Path) -> None:
    """Killed, it tells them nothing; they would wait for their next seed for ever."""
    if os.cpu_count() == 1:
        pytest.skip("on one processor there are no workers")
    sim = subprocess.Popen(own_command("sim", "--seeds", "1000"), stderr=subprocess.DEVNULL, cwd=tmp_path)
    try:
        begun = await_condition(lambda: busy_workers(sim.pid), "workers to work")
    finally:
        sim.kill()
        sim.wait()
    await_condition(lambda: not any(map(is_alive, begun)), "the workers to end")


def test_whoever_is_told_to_end_leaves_nothing_behind(tmp_path: Path) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("on one processor there are no workers")
    command = own_command(
        "sim", "--seeds", "500", "--seconds", "3600"
    )  # hours for each: they are not waited for
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as sim:
        begun = await_condition(lambda: busy_workers(sim.pid), "workers to work")
        sim.terminate()
        _, told = sim.communicate(timeout=2 * DEADLINE_SECONDS)
    assert (sim.returncode, told) == (130, b"")
    assert not any(map(is_alive, begun))


def busy_workers(parent: int) -> list[int]:
    """Those that have burned a second and a half, and so have begun with a seed; all of them, or none yet."""
    found = {}
    for pid in children_of(parent):
        with contextlib.suppress(OSError):
            if b"--multiprocessing-fork" in Path(f"/proc/{pid}/cmdline").read_bytes():
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                found[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return list(found) if len(found) > 1 and min(found.values()) > 1.5 else []
