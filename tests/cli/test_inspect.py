"""inspect: what is on disk, without a node."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raftkv.cli.app import app
from raftkv.kv.clock import ClockStep
from raftkv.kv.commands import Command, Op, encode_flat
from raftkv.kv.transactions import Step
from raftkv.raft import Configuration, Entry, EntryKind, HardState, SnapshotMark
from raftkv.storage import Identity, OsDirectory, Volume, Wal, WalOptions
from raftkv.types import LogIndex, NodeId, Term
from tests.actors.test_snapshots import chunks_of
from tests.support.processes import raftkv


def write_log(folder: Path, name: str, count: int) -> Path:
    """A node's log with a no-op, ``count`` puts, a deletion and a multi-put, in small segments."""
    wal = folder / name / "wal"
    log, _ = Wal.open(OsDirectory(wal), Identity("c", NodeId(name), "life"), WalOptions(segment_bytes=1024))
    commands = [
        *(Command(7, 0, n + 1, 1, Op.PUT, (b"k%d" % n, b"v" * 100)).encode() for n in range(count)),
        Command(7, 0, count + 1, 1, Op.DELETE, (b"\xff",)).encode(),
        Command(7, 0, count + 2, 1, Op.MULTI_PUT, (((b"a", b"1"), (b"b", b"2")),)).encode(),
    ]
    entries = [Entry(LogIndex(1), Term(2), 0, b"")]
    entries += [Entry(LogIndex(n), Term(2), 1, data) for n, data in enumerate(commands, start=2)]
    for entry in entries:
        log.append(HardState(Term(2), NodeId(name), LogIndex(entry.index - 1)), [entry])
    log.close()
    return wal


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_whole_cluster_is_verified_and_nothing_is_touched(tmp_path: Path) -> None:
    for name in ("n1", "n2"):
        write_log(tmp_path, name, 20)
    before = contents(tmp_path)
    done = raftkv("inspect", "verify", str(tmp_path), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 2
    assert "n1/wal: node n1 of c, " in lines[0]
    assert "entries 1..23, term 2, vote n1, commit at least 22, " in lines[0]
    assert contents(tmp_path) == before


def test_damage_is_named_and_the_other_logs_are_still_looked_at(tmp_path: Path) -> None:
    wal = write_log(tmp_path, "n1", 20)
    write_log(tmp_path, "n2", 1)
    first = sorted(wal.glob("*.log"))[0]
    data = bytearray(first.read_bytes())
    data[300] ^= 1
    first.write_bytes(data)
    done = raftkv("inspect", "verify", str(tmp_path), "--json", folder=tmp_path)
    assert done.returncode == 1
    damaged, whole = json.loads(done.stdout)["logs"]
    assert not damaged["whole"]
    assert str(first) in damaged["error"]
    assert "at byte" in damaged["error"]
    assert (whole["whole"], whole["node"], whole["last_index"]) == (True, "n2", 4)
    told = raftkv("inspect", "verify", str(tmp_path), folder=tmp_path)
    assert told.stderr.startswith(b"raftkv: damaged log: ")


def test_entries_are_listed_with_what_they_do(tmp_path: Path) -> None:
    wal = write_log(tmp_path, "n1", 2)
    done = raftkv("inspect", "log", str(wal), folder=tmp_path)
    rows = [line.split() for line in done.stdout.decode().splitlines()]
    assert [row[:2] for row in rows] == [[str(n), "2"] for n in range(1, 6)]
    meanings = [["no_op"], ["put", "k0"], ["put", "k1"], ["delete", "base64:/w=="]]
    assert [row[3:] for row in rows[:4]] == meanings
    binary = raftkv("inspect", "log", str(wal), "--from", "4", "--limit", "1", "--json", folder=tmp_path)
    assert json.loads(binary.stdout)["key"] == {"base64": "/w=="}
    part = raftkv("inspect", "log", str(wal), "--from", "3", "--limit", "2", "--json", folder=tmp_path)
    shown = [json.loads(line) for line in part.stdout.splitlines()]
    assert [entry["index"] for entry in shown] == [3, 4]
    assert shown[0] == {"index": 3, "term": 2, "bytes": shown[0]["bytes"], "op": "put", "key": "k1"}


def test_commands_are_told_by_their_keys_and_nonsense_is_told_as_such(tmp_path: Path) -> None:
    wal = tmp_path / "wal"
    log, _ = Wal.open(OsDirectory(wal), Identity("c", NodeId("n1"), "life"), WalOptions(segment_bytes=1024))
    long = "a" * 58 + "й" + "b" * 20
    nested = (((0, 0, b"c", None, b"value"),), ((Step.DELETE, b"d", b"e"),), ((Step.PUT, b"f", b"value", 0),))
    transaction = ((), ((Step.PUT, b"a", b"value", 0), (Step.TXN, *nested), (Step.PUT, b"a", b"b", 0)), ())
    commands = [
        (Op.TXN, *transaction),
        (Op.TXN, (True,), (), ()),
        (Op.MULTI_PUT, ((b"x", b"v"), (b"y", b"v"))),
        (Op.PUT, long.encode(), b"v"),
        (Op.COMPACT, 12_345),
        (Op.COMPACT, float("inf")),
        (Op.LEASE_GRANT, float("nan")),
        (Op.LEASE_KEEP_ALIVE, (7, float("inf"))),
        (Op.LEASE_GRANT, 2_500),
        (Op.LEASE_KEEP_ALIVE, (7, 9)),
    ]
    entries = [
        Entry(LogIndex(n), Term(1), EntryKind.COMMAND, encode_flat((7, 0, n, n, *command)))
        for n, command in enumerate(commands, start=1)
    ]
    entries += [
        Entry(LogIndex(11), Term(1), EntryKind.COMMAND, b""),
        Entry(LogIndex(12), Term(1), EntryKind.CLOCK, b"\xc1"),
        Entry(LogIndex(13), Term(1), EntryKind.CLOCK, ClockStep(1_000, None, ((7, 2),)).encode()),
    ]
    log.append(HardState(Term(1), None, LogIndex(0)), entries)
    log.close()
    done = raftkv("inspect", "log", str(wal), "--json", folder=tmp_path)
    first, second, third, cut, compact, *odd, grant, kept, empty, clock, last = [
        json.loads(line) for line in done.stdout.splitlines()
    ]
    clocks = [clock, last]
    assert [each["malformed"] for each in odd] == [True] * 3
    assert cut["key"] == long
    assert (compact["revision"], grant["ttl"], kept["leases"]) == (12_345, 2.5, [7, 9])
    assert first["key"] == ["a", "c", "", "d", "e", "f"]
    assert (second["op"], second["key"], second["malformed"]) == ("txn", None, True)
    assert third["key"] == ["x", "y"]
    assert empty["op"] == "unknown"
    assert [(clock["op"], clock.get("malformed", False)) for clock in clocks] == [
        ("clock", True),
        ("clock", False),
    ]
    assert (clocks[1]["ms"], clocks[1]["leases_ended"]) == (1_000, [7])
    done = raftkv("inspect", "log", str(wal), folder=tmp_path)
    assert [line.split(None, 3)[3] for line in done.stdout.decode().splitlines()][3:] == [
        f"put {long[:59]}…",
        "compact 12,345",
        "compact malformed",
        "lease_grant malformed",
        "lease_keep_alive malformed",
        "lease grant 2.5 s",
        "keep leases 7, 9 alive",
        "unknown",
        "clock no clock: 1 bytes",
        "clock 1,000 ms pass, lease 7 end",
    ]


def test_who_belongs_to_the_cluster_is_an_entry_like_others(tmp_path: Path) -> None:
    wal = tmp_path / "wal"
    log, _ = Wal.open(OsDirectory(wal), Identity("c", NodeId("n1"), "life"), WalOptions(segment_bytes=1024))
    members = Configuration.of([NodeId("n1"), NodeId("n2")])
    entry = Entry(LogIndex(1), Term(1), EntryKind.CONFIGURATION, members.encode())
    log.append(HardState(Term(1), None, LogIndex(0)), [entry])
    log.close()
    done = raftkv("inspect", "log", str(wal), folder=tmp_path)
    assert done.stdout.decode().split()[3:] == ["configuration", "voters", "n1", "n2"]


def test_a_folder_of_which_only_the_snapshot_is_left_is_not_overlooked(tmp_path: Path) -> None:
    write_log(tmp_path, "n1", 2)
    lost = tmp_path / "n2" / "wal"
    lost.mkdir(parents=True)
    chunks = chunks_of(5)
    mark = SnapshotMark(LogIndex(5), Term(1), 7, len(chunks))
    Volume.seed(OsDirectory(lost), Identity("c", NodeId("n2"), "life"), WalOptions(1 << 16), mark, chunks)
    for segment in lost.glob("*.log"):
        segment.unlink()
    done = raftkv("inspect", "verify", str(tmp_path), folder=tmp_path)
    assert done.returncode == 1
    assert b"there is no log beside it" in done.stderr + done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_log_that_may_only_be_read_is_read(tmp_path: Path) -> None:
    wal = write_log(tmp_path, "n1", 2)
    wal.chmod(0o500)
    assert raftkv("inspect", "verify", str(tmp_path), folder=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["verify", "nowhere"], "nowhere: no such folder"),
        (["verify", "."], "no node's log is in it"),
        (["log", "both"], "both holds 2 logs; name one of both/n1/wal, both/n2/wal"),
    ],
)
def test_what_is_no_log_is_told_in_one_line(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    for name in ("n1", "n2"):
        write_log(tmp_path / "both", name, 1)
    done = raftkv("inspect", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert complaint in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1


def test_a_log_that_may_not_be_looked_at_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listdir = os.listdir

    def closed(path: Any) -> list[str]:
        if "n1" in Path(path).parts:  # pathlib looks in the same way
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listdir(path)

    for name in ("n1", "n2"):
        write_log(tmp_path, name, 3)
    monkeypatch.setattr(os, "listdir", closed)
    done = CliRunner().invoke(app, ["inspect", "verify", str(tmp_path)])
    assert done.exit_code == 1
    assert "n1/wal: Permission denied; not verified" in done.stderr
    assert "n2" in done.stdout
