"""Key files and the list: what is written is what is read, and what is wrong is said in one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raftkv import config, keys
from raftkv.errors import ConfigError
from raftkv.keys import Allowed, Key, Pair

SOCKETS = ("peer", "client", "control", "status")


def pair() -> Pair:
    return Pair(*zmq.curve_keypair())


BOB = Key("bob", pair(), pair().public)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the cluster's key, an admin and a client."""
    mine = pair()
    keys.write_key(tmp_path, Key("cluster", mine, mine.public))
    people = []
    for role, name in (("admin", "admin"), ("client", "alice")):
        key = Key(name, pair(), mine.public)
        keys.write_key(tmp_path, key)
        people.append((role, key.pair.public, name))
    keys.write_list(tmp_path, people)
    return tmp_path


def public(folder: Path, name: str) -> bytes:
    return keys.load(folder / f"{name}.key").pair.public


def admitted(allowed: Allowed, half: bytes) -> list[str]:
    return [socket for socket in SOCKETS if allowed.admits(socket, half)]


def test_a_key_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = Key("alice", pair(), pair().public)
    path = keys.write_key(tmp_path, written)
    assert keys.load(path) == keys.as_key(path) == keys.as_key(str(path)) == keys.as_key(written) == written
    assert path.stat().st_mode & 0o777 == 0o600
    assert written.pair.secret.decode() not in repr(written)


def test_no_key_is_written_over_another(folder: Path) -> None:
    before = keys.load(folder / "alice.key")
    with pytest.raises(ConfigError, match="exists; choose another name"):
        keys.write_key(folder, Key("alice", pair(), before.cluster))
    assert keys.load(folder / "alice.key") == before


def test_a_key_for_which_there_is_no_room_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match=r"bob\.key: No space left on device"):
            keys.write_key(folder, Key("bob", pair(), pair().public))
    assert not list(folder.glob("*bob*"))
    keys.write_key(folder, Key("bob", pair(), pair().public))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused(folder: Path, mode: int) -> None:
    (folder / "alice.key").chmod(mode)
    with pytest.raises(ConfigError, match=r"alice.key: others than its owner can read this key: 'chmod 600'"):
        keys.load(folder / "alice.key")


def test_halves_that_do_not_belong_together_are_no_key(folder: Path) -> None:
    alice, other = keys.load(folder / "alice.key"), pair()
    for name, wrong in (
        ("alice", Key("alice", Pair(alice.pair.public, other.secret), alice.cluster)),
        ("alice", Key("alice", alice.pair, alice.pair.public)),
        ("cluster", Key("cluster", other, alice.cluster)),
    ):
        (folder / f"{name}.key").write_text(wrong.text())
        with pytest.raises(ConfigError, match="do not belong together"):
            keys.load(folder / f"{name}.key")
    (folder / "alice.key").write_text(Key("alice", Pair(b"~" * 40, b"~" * 40), alice.cluster).text())
    with pytest.raises(ConfigError, match="this is no key of raftkv"):
        keys.load(folder / "alice.key")


def test_a_list_that_others_can_write_lets_nobody_in(folder: Path) -> None:
    allowed, alice = Allowed(folder, keys.of_cluster(folder)), public(folder, "alice")
    with (folder / "allowed").open("a") as file:
        file.write("# touched\n")
    (folder / "allowed").chmod(0o666)
    assert admitted(allowed, alice) == []
    assert "others than its owner can write this list" in allowed.problem


def test_who_may_use_what(folder: Path) -> None:
    allowed = Allowed(folder, keys.of_cluster(folder))
    assert admitted(allowed, public(folder, "cluster")) == [*SOCKETS]
    assert admitted(allowed, public(folder, "admin")) == ["client", "control", "status"]
    assert admitted(allowed, public(folder, "alice")) == ["client"]
    assert admitted(allowed, pair().public) == []
    assert admitted(allowed, b"") == []


def test_the_list_counts_as_it_is_now(folder: Path) -> None:
    allowed = Allowed(folder, keys.of_cluster(folder))
    alice, people = public(folder, "alice"), keys.read_list(folder)
    keys.write_list(folder, [entry for entry in people if entry[2] != "alice"])
    assert admitted(allowed, alice) == []
    keys.write_list(folder, [("admin", half, name) for _, half, name in people])
    assert admitted(allowed, alice) == ["client", "control", "status"]
    (folder / "allowed").write_text("nonsense\n")
    assert admitted(allowed, alice) == []
    (folder / "allowed").unlink()
    assert admitted(allowed, alice) == []
    assert admitted(allowed, public(folder, "cluster")) == [*SOCKETS], "members need no list"
    keys.write_list(folder, people)
    assert admitted(allowed, alice) == ["client"]


def test_what_is_no_list_names_its_line(folder: Path) -> None:
    good = (folder / "allowed").read_text()
    for wrong in ("client", f"root {'x' * 40} bob", "client short bob", f"client {'x' * 40} b%b"):
        (folder / "allowed").write_text(f"{good}{wrong}\n")
        with pytest.raises(ConfigError, match=r"allowed, line 4: expected a role"):
            keys.read_list(folder)


def test_what_is_missing_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cluster.key: no such file; 'raftkv keys new' makes"):
        keys.of_cluster(tmp_path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_a_file_holds_it_is_a_key_or_one_line(folder: Path, data: st.DataObject) -> None:
    good = BOB.text().encode()
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, len(good)))
    changed = good[:start] + data.draw(st.binary(max_size=20)) + good[end:]
    path = folder / "bob.key"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(changed)
    try:
        found = keys.load(path)
    except ConfigError as error:
        found = None
        said = str(error)
    if found is None:
        assert "\n" not in said
    else:
        assert found.pair == BOB.pair
        assert len(found.cluster) == 40


def test_a_list_that_goes_while_it_is_read_lets_nobody_in_and_ends_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = Allowed(folder, keys.of_cluster(folder))
    alice = public(folder, "alice")
    assert admitted(allowed, alice) == ["client"]
    read = config.read_text

    def read_and_lose(path: Path, missing: str) -> str:
        text = read(path, missing)
        path.unlink()
        return text

    monkeypatch.setattr("raftkv.keys.read_text", read_and_lose)
    os.utime(folder / "allowed", (1, 1))
    assert admitted(allowed, alice) == []
    with pytest.raises(ConfigError, match=r"alice\.key: cannot be read"):
        keys.load(folder / "alice.key")
