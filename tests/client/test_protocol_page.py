"""``docs/protocol.md`` by the client that was written from it alone, ``examples/minimal_client.py``."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.support.processes import LocalCluster, environment, local_cluster

ROOT = Path(__file__).parent.parent.parent
pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("protocol")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("protocol")) as running:
        yield running


def load() -> Any:
    """The example as whoever copies it has it."""
    path = ROOT / "examples/minimal_client.py"
    spec = importlib.util.spec_from_file_location("minimal_client", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MinimalClient = load().MinimalClient


@pytest.fixture
def stranger(cluster: LocalCluster) -> Iterator[Any]:
    """At a node that does not lead, which is the harder case."""
    first = MinimalClient(f"tcp://127.0.0.1:{cluster.base_port}")
    endpoint = next(client for name, client in first.endpoints.items() if name != first.leader)
    first.close()
    client = MinimalClient(endpoint)
    yield client
    client.close()


def test_a_client_written_from_the_page_works(stranger: Any) -> None:
    assert stranger.node != stranger.leader
    code, revision, detail = stranger.write(1, b"page/a", b"1")[1:]
    assert (code, detail) == (0, None)
    assert stranger.ask(2, b"page/a", 0, False)[3] == [b"1", revision, revision, 1, 0]
    assert stranger.ask(2, b"page/none", 0, False)[1:] == [0, revision, None]
    assert stranger.write(4, b"page/a", b"2", b"3")[1] == 1
    assert stranger.write(4, b"page/a", b"2", b"3")[3] == [b"1", revision, revision, 1, 0]
    assert stranger.write(4, b"page/b", None, b"2")[1] == 0
    assert stranger.write(5, [[b"page/c", b"3"], [b"page/d", b"4"]])[3] == 2
    items, total, more = stranger.ask(3, b"page/", b"page0", 3, False, False, False, 0, False)[3]
    assert [key for key, _ in items] == [b"page/a", b"page/b", b"page/c"]
    assert (total, more) == (4, True)
    assert stranger.ask(3, b"page/", b"page0", 0, True, True, False, 0, False)[3][0][0][0] == b"page/d"
    assert stranger.ask(3, b"page/", b"", 0, False, False, True, 0, False)[3][1] >= 4
    assert stranger.write(2, b"page/a")[3] == 1
    assert stranger.write(3, b"page/", b"page0")[3] == 3


def test_a_write_sent_twice_is_applied_once_and_answered_alike(stranger: Any) -> None:
    first = stranger.write(1, b"page/once", b"1")
    stranger.sequence -= 1
    assert stranger.write(1, b"page/once", b"1")[1:] == first[1:]
    assert stranger.ask(2, b"page/once", 0, False)[3][3] == 1


def test_refusals_are_as_the_page_says(stranger: Any) -> None:
    assert stranger.write(1, b"", b"1")[1] == 2
    assert stranger.write(99, b"a")[1] == 2
    unborn = msgpack.packb([stranger.client_id + 1, 1 << 60, 1, 1, 1, b"a", b"1"])
    assert stranger.ask(1, stranger.client_id + 1, 1, unborn)[1] == 3


def test_the_page_is_named_where_the_frames_are_made() -> None:
    assert "docs/protocol.md" in (ROOT / "raftkv/wire/client.py").read_text()
    assert (ROOT / "docs/protocol.md").exists()


def test_the_example_imports_nothing_of_raftkv() -> None:
    source = (ROOT / "examples/minimal_client.py").read_text()
    assert not re.search(r"^\s*(import|from) raftkv", source, re.M)


def test_the_example_runs_as_a_script(cluster: LocalCluster) -> None:
    endpoint = f"tcp://127.0.0.1:{cluster.base_port}"
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/minimal_client.py"), endpoint],
        env=environment(),
        capture_output=True,
        timeout=60,
        check=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "a is b'1' and the lease lives for 5000 ms"
    assert lines[1].endswith(": b'minimal/a' is b'1'")
    assert lines[2].endswith(": b'minimal/b' is b'2'")


def test_a_watch_tells_everything_from_where_it_begins(stranger: Any) -> None:
    after = stranger.revision()
    watched = stranger.watch(b"seen/", b"seen0", after)
    first = [stranger.put(b"seen/%d" % number, b"v") for number in range(40)]
    stranger.write(6, [], [[3, b"seen/", b"seen0"], [1, b"seen/x", b"y", 0]], [])
    events = [next(watched) for _ in range(81)]
    assert [event[0] for event in events[:40]] == first
    assert {event[0] for event in events[40:]} == {first[-1] + 1}
    assert sorted(event[1] for event in events[40:] if event[2] is None) == sorted(
        b"seen/%d" % number for number in range(40)
    )


def test_a_lease_takes_its_keys_along_and_its_time_is_told(stranger: Any) -> None:
    lease = stranger.grant(60_000)
    stranger.put(b"leased", b"v", lease)
    rows, keys = stranger.ask(6, lease, False)[3]
    ((its_id, ttl, left, count),) = rows
    assert (its_id, ttl, count, keys) == (lease, 60_000, 1, [b"leased"])
    assert 0 < left <= 60_000
    assert stranger.keep_alive(lease) == 60_000
    assert stranger.write(8, lease)[3] == 1
    assert stranger.get(b"leased") is None
    assert stranger.keep_alive(lease) == 0
    assert stranger.write(8, lease)[1] == 4
    assert stranger.write(1, b"leased", b"v", lease)[1] == 4


def test_the_past_is_read_until_it_is_compacted(stranger: Any) -> None:
    first = stranger.put(b"past", b"1")
    second = stranger.put(b"past", b"2")
    assert stranger.ask(2, b"past", first, False)[3][0] == b"1"
    assert stranger.ask(2, b"past", 1 << 40, False)[1] == 6
    assert stranger.write(10, second)[1] == 0
    assert stranger.ask(2, b"past", first, False)[1:] == [5, second, second]
    stranger.request_id += 1
    stranger.send(stranger.request_id, 4, b"past", b"past\0", first, 0, 9)
    assert stranger.receive(stranger.request_id)[1] == 5
