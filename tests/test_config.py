"""``cluster.toml``: what is accepted, and one line for every mistake."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftkv import config
from raftkv.cluster.local import render
from raftkv.config import (
    NODES_MAX,
    ClusterConfig,
    LimitsConfig,
    LoopConfig,
    NodeConfig,
    RaftConfig,
    StorageConfig,
)
from raftkv.errors import ConfigError
from raftkv.types import NodeId

SOURCE = Path("some/folder/cluster.toml")
HEAD = '[cluster]\nname = "test"\n'
KINDS = ("peer", "client", "control", "status")


def node(number: int, **changed: str) -> str:
    """One ``[[nodes]]`` table; ``changed`` replaces a line, or takes it out when empty."""
    lines = {"name": f'name = "n{number}"'}
    for offset, kind in enumerate(KINDS):
        lines[kind] = f'{kind} = "tcp://127.0.0.1:{7000 + 10 * number + offset}"'
    return "\n".join(["[[nodes]]", *{**lines, **changed}.values(), ""])


def section(name: str, *lines: str) -> str:
    return HEAD + "\n".join([f"[{name}]", *lines, ""]) + node(1)


def parse(text: str) -> ClusterConfig:
    return config.parse(text, SOURCE)


# -- what is accepted


def test_the_shortest_file_gives_defaults() -> None:
    parsed = parse(HEAD + node(1))
    assert parsed == ClusterConfig(
        name="test",
        nodes=(
            NodeConfig(
                NodeId("n1"),
                "tcp://127.0.0.1:7010",
                "tcp://127.0.0.1:7011",
                "tcp://127.0.0.1:7012",
                "tcp://127.0.0.1:7013",
            ),
        ),
        source=SOURCE,
    )
    assert not parsed.chaos
    assert parsed.raft == RaftConfig(10, 50, 300, 600)
    assert parsed.storage == StorageConfig(".raftkv", 64)
    assert parsed.limits == LimitsConfig(16_384, 64)
    assert parsed.loop == LoopConfig(1000)


FULL = """
[cluster]
name = "prod-1.eu"
chaos = true
[raft]
tick_ms = 5
heartbeat_ms = 40
election_timeout_min_ms = 120
election_timeout_max_ms = 240
[storage]
data = "/var/lib/raftkv"
segment_mib = 16
[limits]
pending_writes = 100
pending_mib = 8
[loop]
busy_poll_us = 0
"""


def test_every_field_is_read() -> None:
    parsed = parse(FULL + node(1) + node(2) + node(3))
    assert (parsed.name, parsed.chaos) == ("prod-1.eu", True)
    assert parsed.raft == RaftConfig(5, 40, 120, 240)
    assert parsed.storage == StorageConfig("/var/lib/raftkv", 16)
    assert parsed.limits == LimitsConfig(100, 8)
    assert parsed.loop == LoopConfig(0)
    assert [item.name for item in parsed.nodes] == ["n1", "n2", "n3"]


def test_the_file_at_the_top_of_this_repository_is_accepted() -> None:
    path = Path(__file__).parent.parent / "cluster.toml"
    parsed = config.load(path)
    assert parsed.source == path
    assert parsed.nodes


def test_as_many_nodes_as_the_limit_are_accepted() -> None:
    assert len(parse(HEAD + "".join(map(node, range(1, NODES_MAX + 1)))).nodes) == NODES_MAX


def test_a_node_is_found_by_name_and_an_unknown_one_named_with_the_known() -> None:
    parsed = parse(HEAD + node(1) + node(2))
    assert parsed.node("n2").peer == "tcp://127.0.0.1:7020"
    with pytest.raises(ConfigError, match=r"cluster\.toml: no node named 'n3'; the file names n1, n2$"):
        parsed.node("n3")


def test_a_data_folder_is_relative_to_the_file_unless_it_is_absolute() -> None:
    parsed = parse(HEAD + node(1))
    assert parsed.data_folder("n1") == Path("some/folder/.raftkv/n1")
    absolute = replace(parsed, storage=StorageConfig("/data"))
    assert absolute.data_folder("n1") == Path("/data/n1")


@pytest.mark.parametrize("host", ["localhost", "[::1]", "10.0.0.1", "host-1.example", "a_b.c.", "[fe80::1]"])
@pytest.mark.parametrize("port", [1, 7400, 65535])
def test_an_endpoint_names_a_host_and_a_port(host: str, port: int) -> None:
    assert config.is_endpoint(f"tcp://{host}:{port}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp://",
        "tcp://host",
        "tcp://host:",
        "tcp://:7400",
        "tcp://host:0",
        "tcp://host:65536",
        "tcp://host:99999",
        "tcp://host:-1",
        "tcp://host:x",
        "tcp://host:7400/",
        "tcp://host:7400 ",
        "tcp://host:7400\n",
        " tcp://host:7400",
        "tcp://*:7400",
        "tcp://ho st:7400",
        "tcp://a:b:7400",
        "tcp://a..b:7400",
        "tcp://_a:7400",
        "tcp://-a:7400",
        "tcp://a-:7400",
        "tcp://.a:7400",
        f"tcp://{'a' * 64}:7400",
        "ipc://file",
        "udp://host:7400",
        "host:7400",
        "tcp://host:７４００",
    ],
)
def test_what_is_no_endpoint(text: str) -> None:
    assert not config.is_endpoint(text)


# -- one line for every mistake

MISTAKES: dict[str, tuple[str, str]] = {
    "broken TOML": ("[cluster\n", "not valid TOML"),
    "a key twice": (HEAD + 'name = "again"\n' + node(1), "not valid TOML"),
    "empty file": ("", "[cluster] name: is missing"),
    "no cluster": (node(1), "[cluster] name: is missing"),
    "cluster no table": ('cluster = "test"\n' + node(1), "[cluster]: expected a table"),
    "cluster a list": ('[[cluster]]\nname = "test"\n' + node(1), "[cluster]: expected a table"),
    "no name": ("[cluster]\n" + node(1), "[cluster] name: is missing"),
    "name a number": ("[cluster]\nname = 7\n" + node(1), "[cluster] name: expected a string, found 7"),
    "name empty": ('[cluster]\nname = ""\n' + node(1), "[cluster] name: '' is no name"),
    "name with a space": ('[cluster]\nname = "a b"\n' + node(1), "[cluster] name: 'a b' is no name"),
    "name with a line break": ('[cluster]\nname = "ab\\n"\n' + node(1), "[cluster] name: 'ab\\n' is no name"),
    "name too long": (f'[cluster]\nname = "{"a" * 64}"\n' + node(1), "[cluster] name:"),
    "chaos a string": (HEAD + 'chaos = "yes"\n' + node(1), "[cluster] chaos: expected true or false"),
    "chaos a number": (HEAD + "chaos = 1\n" + node(1), "[cluster] chaos: expected true or false, found 1"),
    "unknown section": (section("rafts"), "the file: unknown key 'rafts'"),
    "unknown key on top": ("x = 1\n" + HEAD + node(1), "the file: unknown key 'x'"),
    "unknown key in cluster": (HEAD + "names = 1\n" + node(1), "[cluster]: unknown key 'names'"),
    "unknown key in raft": (section("raft", "tick = 1"), "[raft]: unknown key 'tick'; known are"),
    "unknown key in storage": (section("storage", "dir = 1"), "[storage]: unknown key 'dir'"),
    "unknown key in limits": (section("limits", "writes = 1"), "[limits]: unknown key 'writes'"),
    "unknown key with a line break": (section("raft", '"a\\nb" = 1'), "[raft]: unknown key 'a\\nb'"),
    "unknown key in a node": (HEAD + node(1) + 'host = "x"\n', "[[nodes]] number 1: unknown key 'host'"),
    "raft no table": ("raft = 7\n" + HEAD + node(1), "[raft]: expected a table"),
    "a time a string": (section("raft", 'tick_ms = "10"'), "[raft] tick_ms: expected a whole number"),
    "a time a fraction": (section("raft", "tick_ms = 1.5"), "[raft] tick_ms: expected a whole number"),
    "a time a truth": (
        section("raft", "tick_ms = true"),
        "[raft] tick_ms: expected a whole number, found true",
    ),
    "a time of zero": (section("raft", "tick_ms = 0"), "[raft] tick_ms: expected a number of milliseconds"),
    "a negative time": (section("raft", "heartbeat_ms = -50"), "[raft] heartbeat_ms: expected a number"),
    "heartbeat below tick": (
        section("raft", "tick_ms = 60"),
        "[raft] heartbeat_ms: must be at least tick_ms",
    ),
    "heartbeat too long": (
        section("raft", "heartbeat_ms = 101"),
        "[raft] election_timeout_min_ms: must be at least three times heartbeat_ms",
    ),
    "election timeouts out of order": (
        section("raft", "election_timeout_min_ms = 700"),
        "[raft] election_timeout_max_ms: must exceed",
    ),
    "election timeouts equal": (
        section("raft", "election_timeout_max_ms = 300"),
        "[raft] election_timeout_max_ms: must exceed",
    ),
    "data a number": (section("storage", "data = 7"), "[storage] data: expected a string"),
    "data empty": (section("storage", 'data = ""'), "[storage] data: expected the name of a folder"),
    "data no path": (
        section("storage", 'data = "a\\u0000b"'),
        "[storage] data: expected the name of a folder",
    ),
    "segments too small": (
        section("storage", "segment_mib = 0"),
        "[storage] segment_mib: expected 1 to 1024",
    ),
    "segments too large": (section("storage", "segment_mib = 1025"), "[storage] segment_mib: expected 1 to"),
    "limit a string": (
        section("limits", 'pending_mib = "8"'),
        "[limits] pending_mib: expected a whole number",
    ),
    "limit a truth": (
        section("limits", "pending_mib = true"),
        "[limits] pending_mib: expected a whole number",
    ),
    "negative history": (section("history", "revisions = -1"), "[history] revisions: expected 0 or more"),
    "no room for writes": (section("limits", "pending_writes = 0"), "[limits] pending_writes:"),
    "negative room for writes": (section("limits", "pending_writes = -1"), "[limits] pending_writes:"),
    "awake for longer than a tick": (
        section("loop", "busy_poll_us = 10001"),
        "[loop] busy_poll_us: expected 0",
    ),
    "no room for bytes": (section("limits", "pending_mib = 0"), "[limits] pending_mib:"),
    "no nodes": (HEAD, "[[nodes]]: at least one node is needed"),
    "nodes empty": ("nodes = []\n" + HEAD, "[[nodes]]: at least one node is needed"),
    "nodes one table": (HEAD + '[nodes]\nname = "n1"\n', "[[nodes]]: at least one node is needed"),
    "nodes no tables": ("nodes = [1, 2]\n" + HEAD, "[[nodes]] number 1: expected a table"),
    "too many nodes": (
        HEAD + "".join(map(node, range(1, NODES_MAX + 2))),
        f"[[nodes]]: {NODES_MAX + 1} nodes; at most {NODES_MAX}",
    ),
    "node without name": (HEAD + node(1) + node(2, name=""), "[[nodes]] number 2 name: is missing"),
    "node name a number": (HEAD + node(1, name="name = 1"), "[[nodes]] number 1 name: expected a string"),
    "node name a path": (
        HEAD + node(1, name='name = "../n1"'),
        "[[nodes]] number 1 name: '../n1' is no name",
    ),
    "node name dots": (HEAD + node(1, name='name = ".."'), "[[nodes]] number 1 name: '..' is no name"),
    "node name with a line break": (HEAD + node(1, name='name = "n1\\n"'), "[[nodes]] number 1 name:"),
    "a name twice": (HEAD + node(1) + node(2, name='name = "n1"'), "number 2: the name n1 is used twice"),
    "an address twice": (
        HEAD + node(1) + node(2, peer='peer = "tcp://127.0.0.1:7011"'),
        "number 2: tcp://127.0.0.1:7011 is both client of n1 and peer of n2",
    ),
    "an address twice in a node": (
        HEAD + node(1, client='client = "tcp://127.0.0.1:7010"'),
        "number 1: tcp://127.0.0.1:7010 is both peer of n1 and client of n1",
    ),
    **{
        f"{kind} missing": (HEAD + node(1, **{kind: ""}), f"[[nodes]] number 1 {kind}: is missing")
        for kind in KINDS
    },
    **{
        f"{kind} of {port}": (
            HEAD + node(1, **{kind: f'{kind} = "tcp://127.0.0.1:{port}"'}),
            f"[[nodes]] number 1 {kind}: 'tcp://127.0.0.1:{port}' is no endpoint: expected tcp://host:port",
        )
        for kind in KINDS
        for port in (0, 99999)
    },
    "no endpoint": (HEAD + node(1, peer='peer = "localhost:7400"'), "[[nodes]] number 1 peer:"),
    "endpoint a number": (HEAD + node(1, peer="peer = 7400"), "[[nodes]] number 1 peer: expected a string"),
    "endpoint with a line break": (
        HEAD + node(1, peer='peer = "tcp://127.0.0.1:7400\\n"'),
        "[[nodes]] number 1 peer:",
    ),
}


@pytest.mark.parametrize(("text", "what"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_that_names_file_and_field(text: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith(f"{SOURCE}: ")
    assert what in message
    assert "\n" not in message


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "absent.toml"
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert str(caught.value) == f"{path}: no such file"


def test_a_file_that_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_bytes(HEAD.encode("ascii") + b'x = "\xff"\n')
    with pytest.raises(ConfigError, match=r"cluster\.toml: cannot be read: ") as caught:
        config.load(path)
    assert "\n" not in str(caught.value)


def test_the_mark_that_some_editors_begin_a_file_with_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(VALID, encoding="utf-8-sig")
    assert config.load(path).nodes == parse(VALID).nodes


def test_a_folder_in_place_of_the_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: ") as caught:
        config.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 5000, "a = 1" + "0" * 5000, "a = " + "{a = " * 5000],
    ids=["lists", "digits", "tables"],
)
def test_a_file_that_overwhelms_the_parser_is_a_mistake_like_any_other(text: str) -> None:
    with pytest.raises(ConfigError, match="not valid TOML") as caught:
        parse(text)
    assert "\n" not in str(caught.value)


VALID = FULL + node(1) + node(2)


@given(
    st.integers(0, len(VALID)),
    st.integers(0, 12),
    st.text(alphabet=st.sampled_from("\n\"'[]{}=.,#\\-_0aet \t\0é\U0001f600"), max_size=6),
)
@settings(max_examples=400, deadline=None)
def test_a_spoiled_file_is_accepted_or_is_a_mistake_in_one_line(position: int, length: int, put: str) -> None:
    error: ConfigError | None = None
    try:
        parse(VALID[:position] + put + VALID[position + length :])
    except ConfigError as caught:
        error = caught
    assert error is None or "\n" not in str(error)


@given(st.text(max_size=60))
@settings(deadline=None)
def test_random_text_is_a_mistake(text: str) -> None:
    with suppress(ConfigError):
        parse(text)


# -- what 'raftkv up' writes


def written(**changed: Any) -> ClusterConfig:
    return replace(parse(FULL + node(1) + node(2) + node(3)), **changed)


def test_what_a_local_cluster_writes_reads_back() -> None:
    for cluster in (parse(HEAD + node(1)), written(), written(chaos=False)):
        assert parse(render(cluster)) == cluster


def test_no_setting_of_a_local_cluster_is_lost_when_its_file_is_written_again() -> None:
    """As when a node is added: whatever a user has set stays."""
    before = written(raft=RaftConfig(tick_ms=10, heartbeat_ms=50))
    for part in ("raft", "storage", "snapshot", "history", "limits"):
        section = getattr(before, part)
        for spec in fields(section):
            value = getattr(section, spec.name)
            other = (
                f"{value}x" if isinstance(value, str) else not value if isinstance(value, bool) else value + 1
            )
            changed = replace(before, **{part: replace(section, **{spec.name: other})})
            assert parse(render(changed)) == changed, (part, spec.name)


names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


@given(
    name=names,
    chaos=st.booleans(),
    heartbeat=st.integers(10, 1000),
    segment=st.integers(1, 1024),
    pending=st.integers(1, 128),
    busy_poll=st.integers(0, config.BUSY_POLL_US_MAX),
)
def test_whatever_is_accepted_reads_back(
    name: str, chaos: bool, heartbeat: int, segment: int, pending: int, busy_poll: int
) -> None:
    cluster = written(
        name=name,
        chaos=chaos,
        raft=RaftConfig(heartbeat, heartbeat, 3 * heartbeat, 3 * heartbeat + 1),
        storage=StorageConfig("data", segment),
        limits=LimitsConfig(pending, pending),
        loop=LoopConfig(busy_poll),
    )
    assert parse(render(cluster)) == cluster


@pytest.mark.parametrize(
    "data",
    [".", "a b", "C:\\data\\new", 'with "quotes"', "ümlaut", "tab\there", "line\nbreak", "#hash", "\x7f"],
)
def test_a_data_folder_of_any_name_reads_back(data: str) -> None:
    """It is the user's to edit, and is written again when the ports change."""
    cluster = written(storage=StorageConfig(data))
    assert parse(render(cluster)) == cluster
