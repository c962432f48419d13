"""Real nodes with keys, from ``raftkv keys new`` on: who can do what, and what everybody else is told."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from raftkv import AsyncClient, Client, config, keys
from raftkv.cli.dashboard import check_key
from raftkv.cluster.discovery import Target, find
from raftkv.cluster.live import LiveFeed
from raftkv.errors import AccessRefused
from raftkv.observe import NodeSnapshot
from tests.cluster.test_launcher import Done, cluster_file, nodes_of_their_own, refused
from tests.support.processes import await_condition, environment, free_base_port, raftkv

pytestmark = pytest.mark.cluster


def ask(folder: Path, key: str | None, *arguments: str) -> Done:
    """With what stands in the environment of somebody who has that key."""
    named = {} if key is None else {"RAFTKV_KEY": str(folder / key)}
    return subprocess.run(
        [sys.executable, "-m", "raftkv", *arguments],
        cwd=folder,
        env={**environment(), **named},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a cluster that runs. Members and admins find it through its file, others by ``endpoints``."""
    made = tmp_path_factory.mktemp("keys")
    for arguments in (["new"], ["add", "alice"], ["add", "bob", "--admin"]):
        assert raftkv("keys", *arguments, folder=made).returncode == 0
    assert raftkv("keys", "new", "--folder", "others", folder=made).returncode == 0
    text = cluster_file(free_base_port()) + '[security]\nkeys = "keys"\n'
    (made / "cluster.toml").write_text(text)
    with nodes_of_their_own(config.load(made / "cluster.toml")):
        yield made


def endpoints(folder: Path) -> list[str]:
    return [node.client for node in config.load(folder / "cluster.toml").nodes]


def elsewhere(folder: Path) -> tuple[str, str]:
    return "--endpoints", ",".join(endpoints(folder))


def test_an_admin_may_everything(folder: Path) -> None:
    for key, where in (
        (None, ()),
        ("keys/bob.key", elsewhere(folder)),
        ("keys/admin.key", elsewhere(folder)),
    ):
        assert ask(folder, key, "put", "a", "1", *where, "--timeout", "30").stderr == b""
        assert ask(folder, key, "get", "a", *where, "--timeout", "30").stdout == b"1\n"
        status = json.loads(ask(folder, key, "status", "--json", *where).stdout)
        assert [node["alive"] for node in status["nodes"]] == [True] * 3
        assert ask(folder, key, "chaos", "heal", *where).returncode == 0
    played = ask(folder, "keys/bob.key", "scenario", "disk-full", "--quiet", *elsewhere(folder))
    assert played.returncode == 0, played.stderr


def test_a_client_reads_and_writes_and_no_more(folder: Path) -> None:
    where = elsewhere(folder)
    assert ask(folder, "keys/alice.key", "put", "b", "2", *where, "--timeout", "30").stderr == b""
    assert ask(folder, "keys/alice.key", "get", "b", *where, "--timeout", "30").stdout == b"2\n"
    for command in (["status"], ["chaos", "isolate", "n1"], ["members", "list"], ["transfer", "n1"]):
        text = refused(ask(folder, "keys/alice.key", *command, *where), 5)
        assert "refuses the connection: the key of alice is not on its list, or not for that" in text


@pytest.mark.parametrize("command", [["get", "a"], ["put", "a", "1"], ["watch", "a"], ["status"], ["dump"]])
def test_without_a_key_nothing_is_told_and_nobody_is_waited_for(folder: Path, command: list[str]) -> None:
    text = refused(ask(folder, None, *command, *elsewhere(folder), "--timeout", "60"), 5)
    assert "it wants a key (RAFTKV_KEY names the file of one); nothing happened" in text


def test_a_load_without_a_key_ends_as_all_else(folder: Path) -> None:
    (folder / "pairs.tsv").write_text("a\t1\n")
    done = ask(folder, None, "load", "pairs.tsv", *elsewhere(folder), "--timeout", "60")
    assert done.returncode == 5, done.stderr
    assert b"it wants a key (RAFTKV_KEY names the file of one); nothing happened" in done.stderr


def test_a_key_of_another_cluster_finds_nobody(folder: Path) -> None:
    done = ask(folder, "others/admin.key", "get", "a", "--timeout", "1", *elsewhere(folder))
    text = refused(done, 3)
    assert "no node answered in time" in text
    assert "another cluster's" in text


def test_a_file_that_is_no_key_is_said_at_once(folder: Path) -> None:
    (folder / "open.key").write_bytes((folder / "keys" / "alice.key").read_bytes())
    (folder / "open.key").chmod(0o644)
    for name, complaint in (("open.key", "chmod 600"), ("cluster.toml", ""), ("none.key", "no such file")):
        assert complaint in refused(ask(folder, name, "get", "a", *elsewhere(folder)))


def test_programs_take_the_file_of_a_key(folder: Path) -> None:
    with Client(endpoints(folder), 30, key=folder / "keys" / "alice.key") as client:
        client.put("c", "3")
        assert client["c"] == b"3"
        with client.watch("c") as watch:
            client.put("c", "4")
            assert next(watch).value == b"4"

    async def async_too() -> object:
        async with AsyncClient(endpoints(folder), 30, key=str(folder / "keys" / "alice.key")) as client:
            entry = await client.get("c")
            return entry and entry.value

    assert asyncio.run(async_too()) == b"4"
    with Client(endpoints(folder), 60) as client:
        with pytest.raises(AccessRefused, match="it wants a key"):
            client.get("c")
        with pytest.raises(AccessRefused, match="it wants a key"):  # and again: it has not given up
            client.put("c", "5")


def test_the_dashboard_sees_the_nodes_with_a_key_alone(folder: Path) -> None:
    def seen(target: Target) -> set[str]:
        feed = LiveFeed(target)
        try:
            names: set[str] = set()

            def all_seen() -> bool:
                names.update(item.name for item in feed.poll() if isinstance(item, NodeSnapshot))
                return len(names) == 3

            await_condition(all_seen, "every node on the dashboard")
            return names
        finally:
            feed.close()

    target = find(None, folder / "cluster.toml", None)
    check_key(target, 5.0)
    assert seen(target) == {"n1", "n2", "n3"}
    with pytest.raises(AccessRefused, match="the key of alice"):
        check_key(replace(target, key=keys.load(folder / "keys" / "alice.key")), 5.0)


def test_whoever_is_taken_off_the_list_comes_in_no_more(folder: Path) -> None:
    where = elsewhere(folder)
    assert raftkv("keys", "add", "carol", folder=folder).stdout == b"keys/carol.key\n"
    kept = folder / "carol.key"
    kept.write_bytes((folder / "keys" / "carol.key").read_bytes())
    os.chmod(kept, 0o600)
    assert ask(folder, "carol.key", "put", "d", "1", *where, "--timeout", "30").returncode == 0
    assert raftkv("keys", "remove", "carol", folder=folder).returncode == 0
    assert not (folder / "keys" / "carol.key").exists()
    assert "the key of carol is not on its list" in refused(
        ask(folder, "carol.key", "put", "d", "2", *where), 5
    )
    assert b"carol" not in raftkv("keys", "list", folder=folder).stdout


def test_keys_that_are_added_at_once_are_all_on_the_list(tmp_path: Path) -> None:
    assert raftkv("keys", "new", folder=tmp_path).returncode == 0
    adding = [
        subprocess.Popen(
            [sys.executable, "-m", "raftkv", "keys", "add", f"user{number}"], cwd=tmp_path, env=environment()
        )
        for number in range(4)
    ]
    assert [process.wait(120) for process in adding] == [0] * 4
    listed = json.loads(raftkv("keys", "list", "--json", folder=tmp_path).stdout)["keys"]
    assert sorted(key["name"] for key in listed) == ["admin", *(f"user{number}" for number in range(4))]


def test_up_has_no_use_for_keys(tmp_path: Path) -> None:
    data = tmp_path / ".raftkv"
    data.mkdir()
    (data / "cluster.toml").write_text(cluster_file(free_base_port()) + '[security]\nkeys = "keys"\n')
    assert "[security] keys is for nodes that 'raftkv node' runs" in refused(
        raftkv("up", "--headless", folder=tmp_path)
    )


def test_a_node_without_its_keys_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text(cluster_file(free_base_port()) + '[security]\nkeys = "keys"\n')
    text = refused(raftkv("node", "n1", folder=tmp_path))
    assert "keys/cluster.key: no such file; 'raftkv keys new' makes a folder of keys" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster.toml"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["new"], "keys holds keys already"),
        (["add", "alice"], "alice has a key already"),
        (["add", "cluster"], "cluster has a key already"),
        (["add", "a b"], "is no name"),
        (["add", "x", "--folder", "nowhere"], "'raftkv keys new' makes a folder of keys"),
        (["remove", "nobody"], "names no nobody"),
    ],
)
def test_what_cannot_be_done_with_keys_changes_none(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    assert raftkv("keys", "new", folder=tmp_path).returncode == 0
    assert raftkv("keys", "add", "alice", folder=tmp_path).returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    assert complaint in refused(raftkv("keys", *arguments, folder=tmp_path))
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]
