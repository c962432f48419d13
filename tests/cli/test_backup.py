"""snapshot, backup, restore, inspect snapshot."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from raftkv.cluster import local
from raftkv.errors import DiskFull
from raftkv.storage import Volume
from tests.cli.asserting import await_leader, invoke, ok, refused, status
from tests.support.processes import LocalCluster, raftkv


def test_nodes_take_a_snapshot_when_they_are_asked(cluster: LocalCluster) -> None:
    cluster.undisturbed(lambda: snapshots_are_taken(cluster))


def snapshots_are_taken(cluster: LocalCluster) -> None:
    ok(cluster, "put", "before", "snapshot")
    cluster.await_equal()
    lines = ok(cluster, "snapshot").decode().splitlines()
    assert [line.split(":")[0] for line in lines] == ["n1", "n2", "n3"]
    index = status(cluster)["nodes"][0]["applied_index"]
    assert all(f"snapshot of entry {index}, term " in line for line in lines)
    # With nothing new there is nothing to do; the one that is there is named again.
    assert ok(cluster, "snapshot", "n2").decode().splitlines() == [lines[1]]
    (again,) = json.loads(ok(cluster, "snapshot", "n2", "--json"))["snapshots"]
    assert (again["node"], again["index"]) == ("n2", index)
    # Whoever leads now has a snapshot of the same entry, and goes on from there.
    ok(cluster, "put", "after", "snapshot")
    assert ok(cluster, "get", "before") == b"snapshot\n"
    seen = invoke(cluster, "inspect", "snapshot", ".raftkv/n1", "--json")
    found = json.loads(seen.stdout)
    assert (found["index"], found["cluster"][:6]) == (index, "local-")
    values = ok(cluster, "inspect", "snapshot", ".raftkv/n1", "--values").decode().rstrip("\n").split("\n")
    assert "before\tsnapshot" in values[1:]
    assert len(values) == 1 + found["keys"]


def test_what_changes_no_revision_is_in_the_next_snapshot_and_backup_too(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    cluster.undisturbed(lambda: leases_are_saved(cluster, tmp_path))


def leases_are_saved(cluster: LocalCluster, folder: Path) -> None:
    ok(cluster, "put", "a", "key")
    cluster.await_equal()
    before = [row["index"] for row in json.loads(ok(cluster, "snapshot", "--json"))["snapshots"]]
    ok(cluster, "lease", "grant", "3600")
    cluster.await_equal()
    index = status(cluster)["nodes"][0]["applied_index"]
    assert index > max(before)
    path = folder / f"of-{index}"
    assert json.loads(ok(cluster, "backup", str(path), "--json"))["index"] >= index
    assert "'-' is none" in refused(invoke(cluster, "backup", "-"), 2)
    for row in json.loads(ok(cluster, "snapshot", "--json"))["snapshots"]:
        assert row["index"] >= index


def test_a_node_that_does_not_exist_takes_no_snapshot(cluster: LocalCluster) -> None:
    assert "no node named 'n9'" in refused(invoke(cluster, "snapshot", "n9"), 2)


def test_a_backup_holds_everything_written_before_and_makes_a_cluster(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    cluster.await_all_alive()
    await_leader(cluster)
    for number in range(5):
        ok(cluster, "put", f"backup/{number}", f"value {number}")
    file = tmp_path / "kv.backup"
    done = cluster.run("backup", str(file), "--json")
    assert done.returncode == 0, done
    made = json.loads(done.stdout)
    assert made["file"] == str(file)
    assert made["bytes"] == file.stat().st_size
    verified = cluster.run("inspect", "verify", str(file), "--json")
    assert (verified.returncode, json.loads(verified.stdout)) == (0, made)
    everything = ok(cluster, "scan").decode()
    assert made["revision"] == status(cluster)["nodes"][0]["revision"]
    # What comes later is not in it.
    ok(cluster, "put", "backup/0", "later")
    try:
        restored = raftkv("restore", str(file), "--data", "new", folder=tmp_path)
        assert restored.returncode == 0, restored
        assert b"start it with 'raftkv up --data new'" in restored.stderr
        up = raftkv("up", "--detach", "--data", "new", folder=tmp_path)
        assert up.returncode == 0, up
        found = raftkv("scan", "--data", "new", folder=tmp_path)
        assert found.stdout.decode() == everything
        put = raftkv("put", "--data", "new", "backup/0", "goes on", "--json", folder=tmp_path)
        assert json.loads(put.stdout)["revision"] == made["revision"] + 1
    finally:
        raftkv("down", "--data", "new", folder=tmp_path)
    try:
        bump = ("--bump-revision", "1000", "--json")
        moved = json.loads(raftkv("restore", str(file), "--data", "moved", *bump, folder=tmp_path).stdout)
        assert moved["revision"] == made["revision"] + 1000
        assert raftkv("up", "--detach", "--data", "moved", folder=tmp_path).returncode == 0
        assert raftkv("scan", "--data", "moved", folder=tmp_path).stdout.decode() == everything
        put = raftkv("put", "--data", "moved", "backup/0", "goes on", "--json", folder=tmp_path)
        assert json.loads(put.stdout)["revision"] == made["revision"] + 1001
        for asked in (
            ("get", "backup/0", "--revision", str(made["revision"])),
            ("watch", "backup/0", "--from-revision", str(made["revision"] + 500)),
        ):
            told = refused(raftkv(*asked, "--data", "moved", folder=tmp_path), 1)
            assert f"can be read is {made['revision'] + 1000}" in told, "no revision means two things"
    finally:
        raftkv("down", "--data", "moved", folder=tmp_path)
        ok(cluster, "delete", "backup/", "--prefix")


def test_a_folder_that_is_there_is_filled_and_keeps_its_place(cluster: LocalCluster, tmp_path: Path) -> None:
    """A volume may be mounted there, which can neither be removed nor be renamed over."""
    file, here = tmp_path / "kv.backup", tmp_path / "here"
    here.mkdir()
    (here / "lost+found").mkdir()
    before = here.stat().st_ino
    ok(cluster, "backup", str(file))
    assert raftkv("restore", str(file), "--data", ".", folder=here).returncode == 0
    assert sorted(path.name for path in here.iterdir()) == ["cluster.toml", "lost+found", "n1", "n2", "n3"]
    assert (here / "n1" / "wal").is_dir()
    assert here.stat().st_ino == before
    assert "is not empty" in refused(raftkv("restore", str(file), "--data", ".", folder=here), 2)
    assert "is no folder" in refused(raftkv("restore", str(file), "--data", str(file), folder=here), 2)


@pytest.mark.parametrize("steps", range(4))
def test_folders_of_nodes_are_filled_and_keep_their_place_all_of_them_or_none(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Each may be a volume. The last one is not there yet."""
    file, config = tmp_path / "kv.backup", tmp_path / "cluster.toml"
    ok(cluster, "backup", str(file))
    config.write_text((cluster.folder / ".raftkv" / "cluster.toml").read_text())
    folders = [tmp_path / name for name in ("n1", "n2")]
    for folder in folders:
        (folder / "lost+found").mkdir(parents=True)
    before = [folder.stat().st_ino for folder in folders]
    rename, left = Path.rename, steps

    def fails(path: Path, target: Path) -> Path:
        nonlocal left
        left -= target.name == "wal"
        if left < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    done = invoke(cluster, "restore", str(file), "--config", str(config))
    whole = steps == 3
    assert done.returncode == (0 if whole else 2), done.stderr
    assert [folder.stat().st_ino for folder in folders] == before
    held = {path.name for folder in folders for path in folder.iterdir()}
    assert held == ({"lost+found", "wal"} if whole else {"lost+found"})
    assert (tmp_path / "n3").exists() == whole


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("steps", range(4))
def test_a_restore_that_fails_while_it_is_moved_into_place_leaves_nothing(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, steps: int
) -> None:
    file, data = tmp_path / "kv.backup", tmp_path / "data"
    if there:
        data.mkdir()
    ok(cluster, "backup", str(file))
    rename, left = Path.rename, steps

    def fails(path: Path, target: Path) -> Path:
        nonlocal left
        left -= target.parent == data
        if left < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    assert "Input/output error" in refused(invoke(cluster, "restore", str(file), "--data", str(data)), 2)
    assert data.exists() == there
    assert not there or list(data.iterdir()) == []


def test_a_restore_touches_nothing_where_a_cluster_or_another_restore_is_at_work(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    file, data = tmp_path / "kv.backup", tmp_path / "data"
    ok(cluster, "backup", str(file))
    lock = local.FolderLock(data)
    try:
        told = refused(invoke(cluster, "restore", str(file), "--data", str(data)), 2)
        assert told == f"{data} is in use: a cluster runs there, or another restore"
        assert list(data.iterdir()) == []
    finally:
        lock.release()
    (tmp_path / "volume").symlink_to(tmp_path / "not mounted")
    told = refused(invoke(cluster, "restore", str(file), "--data", str(tmp_path / "volume")), 2)
    assert told.endswith("volume is no folder")
    assert (tmp_path / "volume").is_symlink()


def test_a_cluster_that_is_started_meanwhile_keeps_the_restore_out(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is held from before the first look until the last file is in its place."""
    file, data = tmp_path / "kv.backup", tmp_path / "data"
    ok(cluster, "backup", str(file))
    real, locked = Volume.seed, []

    def seed(*arguments: Any) -> None:
        locked.append(local.is_locked(data))
        real(*arguments)

    monkeypatch.setattr(Volume, "seed", staticmethod(seed))
    ok(cluster, "restore", str(file), "--data", str(data))
    assert locked == [True] * 3
    assert not local.is_locked(data)


def test_what_an_interrupted_restore_has_left_is_named(cluster: LocalCluster, tmp_path: Path) -> None:
    file, data = tmp_path / "kv.backup", tmp_path / "data"
    (data / f".1234{local.RESTORING}").mkdir(parents=True)
    ok(cluster, "backup", str(file))
    told = refused(invoke(cluster, "restore", str(file), "--data", str(data)), 2)
    assert told == f"{data} holds what a restore that was interrupted has left; empty it first"
    up = raftkv("up", "--headless", "--data", str(data), folder=tmp_path)
    assert refused(up, 2) == told


def test_nothing_is_overwritten(cluster: LocalCluster, tmp_path: Path) -> None:
    file = tmp_path / "kv.backup"
    ok(cluster, "backup", str(file))
    before = file.read_bytes()
    assert "exists already" in refused(invoke(cluster, "backup", str(file)), 2)
    assert file.read_bytes() == before
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "something").write_text("of somebody's")
    complaint = refused(invoke(cluster, "restore", str(file), "--data", str(tmp_path / "taken")), 2)
    assert "is not empty" in complaint
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["something"]


@pytest.mark.parametrize("damage", ["cut", "flip", "foreign", "absent"])
def test_what_is_no_backup_is_refused_and_makes_nothing(
    cluster: LocalCluster, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "kv.backup"
    ok(cluster, "backup", str(file))
    data = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(data[:-40])
    elif damage == "flip":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "foreign":
        file.write_text("key\tvalue\n" * 100)
    else:
        file.unlink()
    if damage != "absent":
        assert str(file) in refused(invoke(cluster, "inspect", "verify", str(file)), 1)
    done = invoke(cluster, "restore", str(file), "--data", str(tmp_path / "new"))
    complaint = refused(done, 2 if damage == "absent" else 1)
    assert str(file) in complaint
    assert not (tmp_path / "new").exists()


def test_a_node_is_made_of_a_backup_under_the_old_name_or_a_new_one(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    file, config = tmp_path / "kv.backup", tmp_path / "cluster.toml"
    ok(cluster, "backup", str(file))
    text = (cluster.folder / ".raftkv" / "cluster.toml").read_text()
    name = next(line for line in text.splitlines() if line.startswith("name = "))
    config.write_text(text.replace(name, 'name = "other"', 1))
    made = invoke(cluster, "restore", str(file), "--config", str(config), "--node", "n3")
    assert made.returncode == 0
    assert made.stderr.startswith(b"the cluster other begins as ")
    config.write_text(text)
    made = invoke(cluster, "restore", str(file), "--config", str(config), "--node", "n2")
    assert b"whole" in made.stdout
    assert b"takes it for that and goes on" in made.stderr
    assert (tmp_path / "n2" / "wal").is_dir()
    assert not (tmp_path / "n1").exists()
    assert "is not empty" in refused(invoke(cluster, "restore", str(file), "--config", str(config)), 2)
    assert "exclude" in refused(
        invoke(cluster, "restore", str(file), "--config", str(config), "--data", "x"), 2
    )
    assert "--node needs --config" in refused(invoke(cluster, "restore", str(file), "--node", "n1"), 2)


def test_a_restore_that_fails_half_way_leaves_nothing(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One restored node beside two empty ones would be a cluster whose majority knows nothing."""
    file = tmp_path / "kv.backup"
    ok(cluster, "backup", str(file))
    real, calls = Volume.seed, []

    def seed(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise DiskFull("no space")
        real(*arguments)

    monkeypatch.setattr(Volume, "seed", staticmethod(seed))
    assert "no space" in refused(invoke(cluster, "restore", str(file), "--data", str(tmp_path / "new")), 2)
    assert [path.name for path in tmp_path.iterdir()] == ["kv.backup"]
    assert "--nodes 0" in refused_nodes(cluster, file, tmp_path)
    ok(cluster, "restore", str(file), "--data", str(tmp_path / "new"))


def refused_nodes(cluster: LocalCluster, file: Path, folder: Path) -> str:
    """A mistake leaves nothing that would be in the way of the corrected command."""
    complaint = refused(
        invoke(cluster, "restore", str(file), "--data", str(folder / "new"), "--nodes", "0"), 2
    )
    assert not (folder / "new").exists()
    return complaint


def test_what_is_no_file_is_told_from_what_is_not_there(cluster: LocalCluster, tmp_path: Path) -> None:
    for name, complaint in (("/dev/null", "no regular file"), ("gone.raftkv", "no such file")):
        done = invoke(cluster, "restore", name, "--data", str(tmp_path / "new"))
        assert refused(done, 2) == f"{name}: {complaint}"
