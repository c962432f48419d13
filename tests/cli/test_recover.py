"""recover: a majority is lost for good."""

from __future__ import annotations

import errno
import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from raftkv.cli import backup
from raftkv.cli.app import app
from raftkv.cluster import local, run_state, salvage
from raftkv.cluster.local import RECOVERED, RECOVERY, prepare
from raftkv.cluster.run_state import RunNode, RunState
from raftkv.errors import ConfigError
from raftkv.kv.commands import Command, Op
from raftkv.raft import Entry, HardState, SnapshotMark
from raftkv.storage import Append, Identity, OsDirectory, StoreChunk, Volume, WalOptions
from raftkv.types import LogIndex, NodeId, Term
from tests.actors.test_snapshots import chunks_of
from tests.support.processes import raftkv


def put(index: int, value: str, term: int = 1) -> Entry:
    command = Command(1, 0, index, index, Op.PUT, (b"k%d" % index, value.encode()))
    return Entry(LogIndex(index), Term(term), 1, command.encode())


def make_node(data: Path, name: str, entries: list[Entry], snapshot: bool = False) -> None:
    cluster = prepare(data, 3, None, fresh=False, segment_mib=1)
    directory = OsDirectory(data / name / "wal")
    options = WalOptions(segment_bytes=1 << 16)
    volume, _ = Volume.open(directory, Identity(cluster.name, NodeId(name), name), options)
    state = HardState(Term(entries[-1].term if entries else 1), None, LogIndex(0))
    volume.do(Append(state, entries))
    if snapshot:
        mark, chunks = SnapshotMark(LogIndex(2), Term(1), 7, 0), chunks_of(2)
        for number, chunk in enumerate(chunks):
            volume.do(StoreChunk(mark, number, chunk, number == len(chunks) - 1))
    volume.close()


@pytest.fixture
def lost(tmp_path: Path) -> Path:
    """n1 is gone; n2 has the longer log, n3 the one of the later term, with a snapshot beneath it."""
    data = tmp_path / ".raftkv"
    data.mkdir()
    make_node(data, "n2", [put(index, "n2") for index in range(1, 9)])
    make_node(data, "n3", [*(put(index, "n3") for index in range(1, 4)), put(4, "late", 2)], snapshot=True)
    return tmp_path


def test_the_most_up_to_date_log_makes_a_new_cluster_of_all_nodes(lost: Path) -> None:
    done = raftkv("recover", "--force-new-cluster", "--yes", "--json", folder=lost)
    assert done.returncode == 0, done
    told = done.stderr.decode()
    assert "n1: its data is gone" in told
    assert "n2: entries up to 8, the last of term 1\n" in told
    assert "n3: entries up to 4, the last of term 2 (this one is taken)" in told
    assert "Lost: what was acknowledged without it" in told
    made = json.loads(done.stdout)
    kept = Path(lost, made["file"]).parent
    assert sorted(path.name for path in kept.iterdir()) == ["n2", "n3", "recovered.backup"]
    try:
        up = raftkv("up", "--detach", folder=lost)
        assert up.returncode == 0, up
        assert raftkv("scan", folder=lost).stdout == b"k\tv\nk3\tn3\nk4\tlate\n"
        assert raftkv("put", "goes", "on", folder=lost).returncode == 0
        found = json.loads(raftkv("status", "--json", folder=lost).stdout)
        assert sum(node["alive"] for node in found["nodes"]) == 3
    finally:
        raftkv("down", folder=lost)


def test_another_node_can_be_named(lost: Path) -> None:
    done = raftkv("recover", "--force-new-cluster", "--yes", "--node", "n2", "--json", folder=lost)
    assert json.loads(done.stdout)["index"] == 8
    for name in ("n1", "n2", "n3"):
        inspected = raftkv("inspect", "snapshot", f".raftkv/{name}", "--values", folder=lost)
        assert inspected.stdout.count(b"\tn2\n") == 8


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "LOCK"
    }


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ([], 2, "pass --force-new-cluster"),
        (["--force-new-cluster"], 2, "nobody is there to be asked; pass --yes"),
        (["--force-new-cluster", "--yes", "--node", "n9"], 2, "no node named 'n9'"),
        (["--force-new-cluster", "--yes", "--node", "n1"], 2, "nothing to recover of node n1"),
        (["--force-new-cluster", "--yes", "--data", "nowhere"], 2, "nowhere holds no cluster"),
    ],
)
def test_what_is_refused_changes_nothing(lost: Path, arguments: list[str], code: int, complaint: str) -> None:
    before = contents(lost)
    done = raftkv("recover", *arguments, folder=lost)
    assert done.returncode == code
    assert complaint in done.stderr.decode()
    assert contents(lost) == before


def test_with_nothing_left_there_is_nothing_to_recover(lost: Path) -> None:
    shutil.rmtree(lost / ".raftkv" / "n2")
    segment = next((lost / ".raftkv" / "n3" / "wal").glob("*.log"))
    data = bytearray(segment.read_bytes())
    data[40] ^= 1
    segment.write_bytes(data)
    done = raftkv("recover", "--force-new-cluster", "--yes", folder=lost)
    assert done.returncode == 2
    assert "n3: damaged log" in done.stderr.decode()


def test_while_it_asks_nobody_is_led_to_who_ran_here_before(
    lost: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ports of a launcher that was killed may be another cluster's by now."""
    data = lost / ".raftkv"
    node = RunNode("n1", *["tcp://127.0.0.1:1"] * 3)
    RunState("before", 1, "tcp://127.0.0.1:2", (node,)).save(data)
    found: list[RunState | None] = []

    def asked() -> bool:
        found.append(run_state.load(data))
        return False

    monkeypatch.setattr(backup, "_confirmed", asked)
    done = CliRunner().invoke(app, ["recover", "--force-new-cluster", "--data", str(data)])
    assert (done.exit_code, found) == (1, [None])


def test_folders_elsewhere_are_moved_aside_where_they_are(lost: Path, tmp_path: Path) -> None:
    """They may be on another file system than the cluster's file."""
    data, elsewhere = lost / ".raftkv", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("n1", "n2", "n3"):
        if (data / name).exists():
            (data / name).rename(elsewhere / name)
    text = (data / "cluster.toml").read_text()
    (data / "cluster.toml").write_text(text.replace('data = "."', f'data = "{elsewhere}"'))
    assert invoke_recover(data).exit_code == 0
    assert not list(data.glob("lost-*"))
    (moved,) = elsewhere.glob("lost-*")
    assert {"n2", "n3", "recovered.backup"} <= {path.name for path in moved.iterdir()}
    assert all((elsewhere / name / "wal").is_dir() for name in ("n1", "n2", "n3"))


class Interrupted(Exception):
    """Nothing that could tidy up runs after it, as after a SIGKILL."""


def recover_until(data: Path, steps: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Begin a recovery and end it at a rename or removal; False where it was through before that."""
    left = steps

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Interrupted
            return original(*arguments, **options)

        return step

    cluster, remains = salvage.survey(data)
    with monkeypatch.context() as patched:
        for name in ("rename", "replace", "unlink"):
            patched.setattr(Path, name, counted(getattr(Path, name)))
        patched.setattr(shutil, "rmtree", counted(shutil.rmtree))
        try:
            salvage.new_cluster(data, cluster, salvage.best(remains, None), 0, lambda done, total: None)
        except Interrupted:
            return True
    return False


def test_a_recovery_can_be_interrupted_anywhere_and_is_finished_by_the_next(
    tmp_path: Path, lost: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In between no cluster starts in the folder: it would be an empty one."""
    steps, refused = 0, 0
    interrupted = True
    while interrupted:
        data = tmp_path / f"copy-{steps}"
        shutil.copytree(lost / ".raftkv", data)
        before = (data / "cluster.toml").read_text()
        interrupted = recover_until(data, steps, monkeypatch)
        noted = (data / RECOVERY).exists()
        if noted:
            refused += 1
            with pytest.raises(ConfigError, match="was interrupted"):
                prepare(data, None, None, fresh=False)
        elif interrupted and not any(data.glob("n1/wal")):
            assert (data / "cluster.toml").read_text() == before, "nothing has changed yet"
            assert salvage.best(salvage.survey(data)[1], None).name == "n3"
        done = invoke_recover(data)
        assert done.exit_code == 0, done.output
        found = salvage.survey(data)[1]
        assert {each.name: each.recovered and each.recovered.last_index for each in found} == dict.fromkeys(
            ("n1", "n2", "n3"), 4
        )
        assert not (data / RECOVERY).exists()
        assert not (data / RECOVERED).exists()
        prepare(data, None, None, fresh=False)
        steps += 1
    assert refused >= 7, "a note, two folders moved away, three into their places, the note's end"


def invoke_recover(data: Path) -> Result:
    return CliRunner().invoke(app, ["recover", "--force-new-cluster", "--yes", "--data", str(data)])


@pytest.mark.parametrize("elsewhere", [False, True], ids=["beside", "elsewhere"])
def test_a_note_that_could_not_be_synced_does_not_stay(
    lost: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    """It would speak of folders that are removed again. And where the nodes' folders are, the file says."""
    data = lost / ".raftkv"
    if elsewhere:
        (data / "nodes").mkdir()
        for name in ("n2", "n3"):
            (data / name).rename(data / "nodes" / name)
        cluster, remains = salvage.survey(data)
        local.write_config(replace(cluster, storage=replace(cluster.storage, data="nodes")))
    cluster, remains = salvage.survey(data)

    def broken(path: Path, text: str) -> None:
        path.write_text(text)
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(local, "write_durably", broken)
        with pytest.raises(ConfigError, match="nothing was changed"):
            salvage.new_cluster(data, cluster, salvage.best(remains, None), 0, lambda done, total: None)
    assert not (data / RECOVERY).exists()
    assert invoke_recover(data).exit_code == 0
    found = salvage.survey(data)[1]
    assert [each.recovered and each.recovered.last_index for each in found] == [4, 4, 4]


def test_a_recovery_for_which_there_is_no_room_changes_nothing(
    lost: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = lost / ".raftkv"
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr(Volume, "seed", full)
    done = invoke_recover(data)
    assert done.exit_code == 2
    assert "No space left on device; nothing was changed" in done.stderr
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("typed", "sure"), [("yes\n", True), ("no\n", False), ("", False), ("\udcff\n", False)]
)
def test_only_a_yes_is_one(
    typed: str, sure: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-D is a no, and so is what is no text."""

    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    raw = io.BytesIO(typed.encode("utf-8", "surrogateescape"))
    monkeypatch.setattr(sys, "stdin", Terminal(raw, encoding="utf-8"))
    assert backup._confirmed() is sure
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert printed.err.startswith("type 'yes' to go on: ")
    assert printed.out == "", "which is for data"
