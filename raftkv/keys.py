"""Key files: who may talk to a cluster that listens beyond this machine, and as what.

Connections of such a cluster are encrypted and authenticated by CURVE, ZeroMQ's own (elliptic curves, a new
session key for each connection). Every node holds the same key, the cluster's; everybody else has a key of
their own, and the folder's list says what each may do. A folder of keys::

    cluster.key    the cluster's, on every node and nowhere else
    allowed        the list, the same on every node
    admin.key      of whoever runs the cluster
    NAME.key       others', each to be taken to whom it is for: it holds all that a client needs

Whoever holds the cluster's key is a member: Raft trusts its members, so a key for each would keep nobody from
anything. The list is read again whenever it has changed; a connection that stands is not cut by it.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zmq import curve_public
from zmq.utils import z85

from raftkv.config import is_name, read_text
from raftkv.errors import ConfigError

CLUSTER = "cluster"
"""The name of the key that all nodes share."""
ADMIN = "admin"
ROLES = ("client", "admin")
"""A client reads and writes; an admin looks at nodes and changes the cluster as well."""
SUFFIX = ".key"
LIST = "allowed"
KEY_LENGTH = 40
"""Of half a pair, as text (Z85)."""
KEY_BYTES = 32
LIST_MISSING = (
    "no such file; the cluster's other machines have it, and 'raftkv keys new' makes a new folder of keys"
)
MISSING = "no such file; 'raftkv keys new' makes a folder of keys"


@dataclass(frozen=True, slots=True)
class Pair:
    """Both halves as Z85 text. Of the secret one nothing is ever shown."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"Pair({self.public!r})"


@dataclass(frozen=True, slots=True)
class Key:
    """What one file holds: whose it is, the pair, and the public half of the cluster's."""

    name: str
    pair: Pair
    cluster: bytes

    def text(self) -> str:
        what = "any of its nodes" if self.name == CLUSTER else self.name
        return (
            f"# A key of raftkv. Whoever can read this file is to the cluster what {what} is.\n"
            f'name = "{self.name}"\n'
            f'public = "{self.pair.public.decode()}"\n'
            f'secret = "{self.pair.secret.decode()}"\n'
            f'cluster = "{self.cluster.decode()}"\n'
        )


def load(path: Path) -> Key:
    """Raises ``ConfigError`` for a file that is none, or that others can read."""
    text = read_text(path, MISSING)
    if _mode(path) & 0o077:
        raise ConfigError(f"{path}: others than its owner can read this key: 'chmod 600' it, or make another")
    try:
        content = tomllib.loads(text)
    except ValueError:
        raise ConfigError(f"{path}: this is no key of raftkv") from None
    halves = [content.get(part) for part in ("public", "secret", "cluster")]
    name = content.get("name")
    if not (len(content) == 4 and type(name) is str and is_name(name) and all(map(_is_half, halves))):
        raise ConfigError(f"{path}: this is no key of raftkv")
    public, secret, cluster = (str(half).encode("ascii") for half in halves)
    if curve_public(secret) != public or (name == CLUSTER) != (public == cluster):
        raise ConfigError(f"{path}: its parts do not belong together; take a copy that nobody has changed")
    return Key(name, Pair(public, secret), cluster)


def as_key(key: Key | str | os.PathLike[str] | None) -> Key | None:
    """A key, the file that holds it, or none."""
    return key if key is None or isinstance(key, Key) else load(Path(key))


def of_cluster(folder: Path) -> Key:
    """The key that makes a member."""
    return load(folder / (CLUSTER + SUFFIX))


class Allowed:
    """The list of a folder, as it is whenever somebody is to be let in."""

    def __init__(self, folder: Path, cluster: Key) -> None:
        """Raises ``ConfigError`` where it cannot be read now. While it cannot later, nobody is let in."""
        self.problem = ""
        """Why it cannot be read."""
        self._path = folder / LIST
        self._cluster = cluster
        self._stamp = self._mark()
        self._roles = self._read()

    def admits(self, socket: str, public: bytes) -> bool:
        """Whether the holder of ``public`` may use a node's socket for peers, clients, control or status."""
        if public == self._cluster.pair.public:
            return True
        role = self._now().get(public)
        return role == ADMIN if socket in ("control", "status") else socket == "client" and role is not None

    def _now(self) -> dict[bytes, str]:
        stamp = self._mark()
        if stamp != self._stamp:
            try:
                self._roles, self.problem = self._read(), ""
            except ConfigError as error:
                self._roles, self.problem = {}, str(error)
            self._stamp = stamp
        return self._roles

    def _read(self) -> dict[bytes, str]:
        return {public: role for role, public, _ in read_list(self._path.parent)}

    def _mark(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_ino, found.st_size, found.st_mtime_ns


def read_list(folder: Path) -> list[tuple[str, bytes, str]]:
    """Role, public half and name of everybody on the list of ``folder``."""
    path = folder / LIST
    text = read_text(path, LIST_MISSING)
    if _mode(path) & 0o022:
        raise ConfigError(f"{path}: others than its owner can write this list: 'chmod 644' it")
    found: list[tuple[str, bytes, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = [] if line.startswith("#") else line.split()
        if not words:
            continue
        if len(words) != 3 or words[0] not in ROLES or not _is_half(words[1]) or not is_name(words[2]):
            raise ConfigError(f"{path}, line {number}: expected a role (client or admin), a key and a name")
        found.append((words[0], words[1].encode("ascii"), words[2]))
    return found


def _mode(path: Path) -> int:
    """Who may do what with it. It may have gone since it was read."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def write_list(folder: Path, people: list[tuple[str, bytes, str]]) -> None:
    """In one step: a node that reads it meanwhile sees the old or the new one."""
    lines = ["# Who is let in: role, public key, name. Nodes read it again when it has changed.\n"]
    lines += [f"{role} {public.decode()} {name}\n" for role, public, name in people]
    beside = folder / f".{LIST}.new"
    with beside.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write("".join(lines))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / LIST)


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Others who would change the same folder wait."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; 'raftkv keys new' makes a folder of keys") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_key(folder: Path, key: Key) -> Path:
    """All of it or nothing. Raises ``ConfigError``, also where there is one already: what it opens would be
    lost with it."""
    path = folder / (key.name + SUFFIX)
    beside = folder / f".{key.name}{SUFFIX}.new"
    try:
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(key.text())
            file.flush()
            os.fsync(file.fileno())
        os.link(beside, path)
    except FileExistsError:
        raise ConfigError(f"{path} exists; choose another name, or remove it first") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            beside.unlink()
    return path


def _is_half(value: Any) -> bool:
    if not (type(value) is str and len(value) == KEY_LENGTH and value.isascii()):
        return False
    try:
        return len(z85.decode(value.encode("ascii"))) == KEY_BYTES
    except (ValueError, KeyError, struct.error):
        return False
