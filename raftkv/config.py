"""``cluster.toml``: frozen dataclasses and a strict reader.

Every mistake is one ``ConfigError`` that names the file, the field, what is wrong and what would
be right. Unknown keys are mistakes: a misspelt option must not pass for its default.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from raftkv.errors import ConfigError, shown
from raftkv.types import NodeId

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_ENDPOINT = re.compile(rf"^tcp://(\[[0-9A-Fa-f:.]+\]|{_LABEL}(?:\.{_LABEL})*\.?):([0-9]{{1,5}})$")
_LOOPBACK = re.compile(r"127(\.[0-9]{1,3}){3}")
NODES_MAX = 9
ENDPOINT_KINDS = ("peer", "client", "control", "status")
"""Those that a node listens on, in this order wherever its address is told."""
ENDPOINTS = len(ENDPOINT_KINDS)
PRIORITY_MAX = 100
DRIFT_PERCENT_MAX = 50
LEASE_TICKS_LOST = 6
"""Of the shortest election timeout, to what a follower's ticks may lag and catch up."""
NUMBER_MAX = (1 << 31) - 1
"""No time or limit comes near."""
FILE_BYTES_MAX = 1 << 20
PENDING_MIB_MAX = 128
"""One turn's writes become one record on disk, whose size has a hard limit."""
BUSY_POLL_US_MAX = 10_000


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node's name and its four sockets, each ``tcp://host:port``."""

    name: NodeId
    peer: str
    client: str
    control: str
    status: str
    joining: bool = False
    """Added to a cluster that exists: its part is what the cluster says, not this file."""
    priority: int = 0
    """A leader hands over to a node with a higher one, once that is up to date."""

    def endpoints(self) -> tuple[str, str, str, str]:
        return (self.peer, self.client, self.control, self.status)


@dataclass(frozen=True, slots=True)
class RaftConfig:
    """Times in milliseconds."""

    tick_ms: int = 10
    heartbeat_ms: int = 50
    election_timeout_min_ms: int = 300
    election_timeout_max_ms: int = 600
    lease_reads: bool = False
    """Serve linearizable reads without asking a quorum first, while by the clock nobody else can lead."""
    clock_drift_percent: int = 10
    """How far the rates of two nodes' clocks are apart at most: what lease reads rely on."""


@dataclass(frozen=True, slots=True)
class StorageConfig:
    data: str = ".raftkv"
    """Folder that holds a folder a node; relative to ``cluster.toml``."""
    segment_mib: int = 64


@dataclass(frozen=True, slots=True)
class SnapshotConfig:
    """When a node takes a snapshot and forgets the log before it: after so many entries or bytes, but not
    before half of what the last snapshot takes."""

    entries: int = 100_000
    mib: int = 128
    """A snapshot holds as much of the past as ``[history]`` allows: with 64 each byte was written twice."""
    retain_entries: int = 10_000
    """Kept behind the snapshot, for followers that are a little behind."""


@dataclass(frozen=True, slots=True)
class HistoryConfig:
    """How much of the past stays readable without being asked for: what the leader's file says holds."""

    revisions: int = 100_000
    seconds: int = 3600
    """Of log time, which goes on only while something is written."""
    mib: int = 64


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    pending_writes: int = 16_384
    """Writes a gateway holds before it answers "busy"."""
    pending_mib: int = 64
    """Bytes of them, and of what a leader without a quorum takes on."""


@dataclass(frozen=True, slots=True)
class LoopConfig:
    busy_poll_us: int = 1000
    """While messages come this soon one after the other, a node asks for the next instead of sleeping; 0: it
    always sleeps (see ``actors.busy_poll``)."""


@dataclass(frozen=True, slots=True)
class SecurityConfig:
    keys: str = ""
    """Folder of keys, relative to ``cluster.toml`` (see ``keys.py``); empty: frames travel in the clear, and
    nodes listen on loopback only."""


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    name: str
    nodes: tuple[NodeConfig, ...]
    source: Path
    """The file this was read from."""
    chaos: bool = False
    """Whether nodes accept commands that break things."""
    base_port: int | None = None
    """The first of the ports of a cluster that ``raftkv up`` runs. None: that of the first node's clients."""
    raft: RaftConfig = field(default_factory=RaftConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    snapshot: SnapshotConfig = field(default_factory=SnapshotConfig)
    history: HistoryConfig = field(default_factory=HistoryConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    security: SecurityConfig = field(default_factory=SecurityConfig)

    def node(self, name: str) -> NodeConfig:
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise ConfigError(f"{self.source}: no node named {name!r}; the file names {known}")

    def data_folder(self, name: str) -> Path:
        return self.source.parent / self.storage.data / name

    @property
    def keys(self) -> Path | None:
        """The folder of keys, of a cluster that has them."""
        return self.source.parent / self.security.keys if self.security.keys else None


def is_name(text: str) -> bool:
    """Whether a node or a cluster may be called so."""
    return _NAME.fullmatch(text) is not None


def is_loopback(endpoint: str) -> bool:
    host = _host(endpoint)
    return host in ("localhost", "::1") or _LOOPBACK.fullmatch(host) is not None


def _host(endpoint: str) -> str:
    return endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")


def is_anywhere(endpoint: str) -> bool:
    """Whether this is an address to listen at, and none to connect to."""
    try:
        return ipaddress.ip_address(_host(endpoint)).is_unspecified
    except ValueError:
        return _host(endpoint).strip("0.") == ""  # as some resolvers take them, too


def is_ipv6(endpoint: str) -> bool:
    """Whether a ZeroMQ socket must be told so before it takes this: by default it knows IPv4 alone."""
    return endpoint.startswith("tcp://[")


def is_endpoint(text: str) -> bool:
    """Whether this is ``tcp://host:port``."""
    match = _ENDPOINT.fullmatch(text)
    return match is not None and 1 <= int(match.group(2)) <= 65535


def no_endpoint(value: object) -> str:
    """What a message says of a value for which ``is_endpoint`` does not hold."""
    return f"{shown(value)} is no endpoint: expected tcp://host:port, with a port from 1 to 65535"


def check_reach(config: ClusterConfig, node: NodeConfig) -> None:
    """Raises ``ConfigError`` for a node that must not, or could not, listen where it is to."""
    for endpoint in node.endpoints():
        check_endpoint(endpoint, config.keys is not None, f"node {node.name}: ")


def check_endpoint(endpoint: str, has_keys: bool, whose: str = "") -> None:
    """Without keys frames are neither encrypted nor authenticated, so they must not leave the machine."""
    if is_anywhere(endpoint):
        raise ConfigError(
            f"{whose}nobody can connect to {endpoint}: name the address by which others reach that machine"
        )
    if not (has_keys or is_loopback(endpoint)):
        raise ConfigError(
            f"{whose}{endpoint} is not on loopback (127.0.0.1, ::1 or localhost), which takes keys: make "
            "them with 'raftkv keys new', and name their folder in [security] keys"
        )


def load(path: Path) -> ClusterConfig:
    """Read and check a ``cluster.toml``."""
    return parse(read_text(path), path)


def read_text(path: Path, missing: str = "no such file") -> str:
    """What a user has written. Raises ``ConfigError``, with ``missing`` where nothing is there."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise ConfigError(f"{path}: is larger than a mebibyte")
        return data.decode("utf-8-sig")  # some editors begin a file with the mark that this one skips
    except FileNotFoundError:
        raise ConfigError(f"{path}: {missing}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: cannot be read: it is not UTF-8") from None


def parse(text: str, source: Path) -> ClusterConfig:
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: absurd numbers, nesting
        raise ConfigError(f"{source}: not valid TOML: {error}") from None
    return _Reader(source).cluster(content)


Section = TypeVar("Section")
_SECTIONS = ("raft", "storage", "snapshot", "history", "limits", "loop", "security")
_KINDS = {str: "a string", int: "a whole number", bool: "true or false"}


class _Reader:
    def __init__(self, source: Path) -> None:
        self._source = source

    def _wrong(self, where: str, what: str) -> ConfigError:
        return ConfigError(f"{self._source}: {where}: {what}")

    def cluster(self, content: dict[str, Any]) -> ClusterConfig:
        self._known(content, "the file", {"cluster", *_SECTIONS, "nodes"})
        head = self._table(content, "cluster")
        self._known(head, "[cluster]", {"name", "chaos", "base_port"})
        name = self._value(head, "[cluster] name", "name", str, None)
        self._name("[cluster] name", name)
        config = ClusterConfig(
            name=name,
            nodes=self._nodes(content.get("nodes")),
            source=self._source,
            chaos=self._value(head, "[cluster] chaos", "chaos", bool, False),
            base_port=self._value(head, "[cluster] base_port", "base_port", int, 0) or None,
            raft=self._section(content, "raft", RaftConfig),
            storage=self._section(content, "storage", StorageConfig),
            snapshot=self._section(content, "snapshot", SnapshotConfig),
            history=self._section(content, "history", HistoryConfig),
            limits=self._section(content, "limits", LimitsConfig),
            loop=self._section(content, "loop", LoopConfig),
            security=self._section(content, "security", SecurityConfig),
        )
        self._check_times(config.raft)
        if config.base_port is not None and not 1024 <= config.base_port <= 65535:
            raise self._wrong("[cluster] base_port", "expected 1024 to 65535")
        if not config.storage.data or "\0" in config.storage.data:
            raise self._wrong("[storage] data", "expected the name of a folder")
        if "\0" in config.security.keys:
            raise self._wrong("[security] keys", "expected the name of a folder")
        if not 1 <= config.storage.segment_mib <= 1024:
            raise self._wrong("[storage] segment_mib", "expected 1 to 1024")
        if config.snapshot.entries < 1 or config.snapshot.mib < 1:
            raise self._wrong("[snapshot]", "expected entries and mib above 0")
        if config.snapshot.retain_entries < 0:
            raise self._wrong("[snapshot] retain_entries", "expected 0 or more")
        for spec in fields(HistoryConfig):
            if getattr(config.history, spec.name) < 0:
                raise self._wrong(f"[history] {spec.name}", "expected 0 or more")
        for spec in fields(LimitsConfig):
            if getattr(config.limits, spec.name) < 1:
                raise self._wrong(f"[limits] {spec.name}", "expected a number above 0")
        if config.limits.pending_mib > PENDING_MIB_MAX:
            raise self._wrong("[limits] pending_mib", f"expected at most {PENDING_MIB_MAX}")
        if not 0 <= config.loop.busy_poll_us <= BUSY_POLL_US_MAX:
            raise self._wrong("[loop] busy_poll_us", f"expected 0 to {BUSY_POLL_US_MAX}")
        return config

    def _nodes(self, tables: Any) -> tuple[NodeConfig, ...]:
        if not isinstance(tables, list) or not tables:
            raise self._wrong("[[nodes]]", "at least one node is needed")
        if len(tables) > NODES_MAX:
            raise self._wrong("[[nodes]]", f"{len(tables)} nodes; at most {NODES_MAX} are supported")
        nodes: list[NodeConfig] = []
        names: set[str] = set()
        users: dict[str, str] = {}
        for number, table in enumerate(tables, start=1):
            where = f"[[nodes]] number {number}"
            if not isinstance(table, dict):
                raise self._wrong(where, "expected a table")
            self._known(table, where, {spec.name for spec in fields(NodeConfig)})
            values = {
                name: self._value(table, f"{where} {name}", name, str, None)
                for name in ("name", *ENDPOINT_KINDS)
            }
            joining = self._value(table, f"{where} joining", "joining", bool, False)
            priority = self._value(table, f"{where} priority", "priority", int, 0)
            if not 0 <= priority <= PRIORITY_MAX:
                raise self._wrong(f"{where} priority", f"expected 0 to {PRIORITY_MAX}")
            node = NodeConfig(**values, joining=joining, priority=priority)
            self._name(f"{where} name", node.name)
            if node.name in names:
                raise self._wrong(where, f"the name {node.name} is used twice")
            names.add(node.name)
            for kind, endpoint in zip(ENDPOINT_KINDS, node.endpoints(), strict=True):
                self._endpoint(f"{where} {kind}", endpoint)
                user = f"{kind} of {node.name}"
                if endpoint in users:
                    raise self._wrong(where, f"{endpoint} is both {users[endpoint]} and {user}")
                users[endpoint] = user
            nodes.append(node)
        return tuple(nodes)

    def _section(self, content: dict[str, Any], name: str, kind: Callable[..., Section]) -> Section:
        table = self._table(content, name)
        defaults = {spec.name: spec.default for spec in fields(kind)}  # type: ignore[arg-type]
        self._known(table, f"[{name}]", set(defaults))
        values = {
            key: self._value(table, f"[{name}] {key}", key, type(default), default)
            for key, default in defaults.items()
        }
        return kind(**values)

    def _table(self, content: dict[str, Any], name: str) -> dict[str, Any]:
        table = content.get(name, {})
        if not isinstance(table, dict):
            raise self._wrong(f"[{name}]", "expected a table")
        return table

    def _known(self, table: dict[str, Any], where: str, known: set[str]) -> None:
        for key in table:
            if key not in known:
                raise self._wrong(where, f"unknown key {shown(key)}; known are {', '.join(sorted(known))}")

    def _value(self, table: dict[str, Any], where: str, key: str, kind: type, default: Any) -> Any:
        """``default`` None: the key must be there."""
        if key not in table:
            if default is None:
                raise self._wrong(where, "is missing")
            return default
        value = table[key]
        if type(value) is not kind:  # not isinstance: true is no number
            raise self._wrong(where, f"expected {_KINDS[kind]}, found {shown(value)}")
        if isinstance(value, int) and abs(value) > NUMBER_MAX:
            raise self._wrong(where, f"expected at most {NUMBER_MAX:,}, found {shown(value)}")
        return value

    def _name(self, where: str, name: str) -> None:
        if not is_name(name):
            raise self._wrong(
                where, f"{shown(name)} is no name: letters, digits, '.', '_' and '-', at most 63"
            )

    def _endpoint(self, where: str, endpoint: str) -> None:
        if not is_endpoint(endpoint):
            raise self._wrong(where, no_endpoint(endpoint))

    def _check_times(self, raft: RaftConfig) -> None:
        for name in ("tick_ms", "heartbeat_ms", "election_timeout_min_ms", "election_timeout_max_ms"):
            if getattr(raft, name) < 1:
                raise self._wrong(f"[raft] {name}", "expected a number of milliseconds above 0")
        if not 0 <= raft.clock_drift_percent <= DRIFT_PERCENT_MAX:
            raise self._wrong("[raft] clock_drift_percent", f"expected 0 to {DRIFT_PERCENT_MAX}")
        if raft.heartbeat_ms < raft.tick_ms:
            raise self._wrong("[raft] heartbeat_ms", "must be at least tick_ms")
        if raft.election_timeout_min_ms < 3 * raft.heartbeat_ms:
            raise self._wrong(
                "[raft] election_timeout_min_ms",
                "must be at least three times heartbeat_ms, or a single late heartbeat starts an election",
            )
        if raft.lease_reads and raft.election_timeout_min_ms <= LEASE_TICKS_LOST * raft.tick_ms:
            raise self._wrong(
                "[raft] lease_reads",
                f"needs an election_timeout_min_ms above {LEASE_TICKS_LOST} ticks of tick_ms",
            )
        if raft.election_timeout_max_ms <= raft.election_timeout_min_ms:
            raise self._wrong("[raft] election_timeout_max_ms", "must exceed election_timeout_min_ms")
