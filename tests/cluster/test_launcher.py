"""``raftkv up``, ``down`` and ``node``: what they refuse, what they leave behind, and that they end."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from raftkv import config
from raftkv.cluster import local
from raftkv.cluster.discovery import find
from raftkv.cluster.live import LiveFeed
from raftkv.errors import ConfigError
from raftkv.observe import NodeSnapshot
from raftkv.storage import records
from tests.support.processes import (
    DEADLINE_SECONDS,
    LocalCluster,
    await_condition,
    environment,
    free_base_port,
    is_alive,
    local_cluster,
    raftkv,
)

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("launcher")]

IDLE_MEMORY_MIB_MAX = 75
Done = subprocess.CompletedProcess[bytes]


def refused(done: Done, *codes: int) -> str:
    """The one line on stderr of a command that did nothing."""
    assert done.returncode in (codes or (2,)), (done.returncode, done.stderr)
    assert done.stdout == b""
    text = done.stderr.decode()
    assert text.startswith("raftkv: "), text
    assert text.count("\n") == 1, text
    return text.removeprefix("raftkv: ").rstrip("\n")


def opened(*arguments: str, folder: Path, warnings: str = "ignore") -> Done:
    """A command that opens a data folder. A node that may not open it leaves its sockets to the garbage
    collector, which warns of them: see the test that asks for warnings."""
    return subprocess.run(
        [sys.executable, "-m", "raftkv", *arguments],
        cwd=folder,
        env={**environment(), "PYTHONWARNINGS": warnings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=2 * DEADLINE_SECONDS,
        check=False,
    )


def cluster_file(base_port: int, count: int = 3, name: str = "tested", data: str = ".") -> str:
    """With segments of 1 MiB: folders that are quickly made and copied."""
    lines = [f'[cluster]\nname = "{name}"\nchaos = true', f'[storage]\ndata = "{data}"\nsegment_mib = 1']
    for number in range(count):
        lines.append(f'[[nodes]]\nname = "n{number + 1}"')
        for offset, kind in enumerate(("client", "peer", "control", "status")):
            lines.append(f'{kind} = "tcp://127.0.0.1:{base_port + 10 * offset + number}"')
    return "\n".join(lines) + "\n"


def prepare(folder: Path, base_port: int) -> Path:
    """A folder in which ``up`` opens a cluster of small segments; returns its data folder."""
    data = folder / ".raftkv"
    data.mkdir(parents=True)
    (data / "cluster.toml").write_text(cluster_file(base_port))
    return data


def node_processes(launcher: int) -> list[int]:
    """The children of a launcher that run, by pid."""
    text = Path(f"/proc/{launcher}/task/{launcher}/children").read_text()
    return [int(pid) for pid in text.split()]


def all_pids(cluster: LocalCluster) -> dict[str, int]:
    return {node["name"]: node["pid"] for node in cluster.await_all_alive()["nodes"]}


def resident_mib(pid: int) -> float:
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match
    return int(match.group(1)) / 1024


# -- a cluster that runs


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def test_idle_nodes_are_small(cluster: LocalCluster) -> None:
    for name, pid in all_pids(cluster).items():
        assert resident_mib(pid) < IDLE_MEMORY_MIB_MAX, name


def test_a_second_up_in_the_same_folder_is_refused(cluster: LocalCluster) -> None:
    pids = all_pids(cluster)
    (cluster.folder / ".raftkv" / "LOCK").unlink(missing_ok=True)  # of earlier versions; nothing hangs on it
    for extra in ([], ["--nodes", "3"], ["--fresh"], ["--detach"]):
        text = refused(raftkv("up", "--headless", *extra, folder=cluster.folder))
        assert "a cluster is running in .raftkv already" in text
        assert "raftkv down --data .raftkv" in text
    assert all_pids(cluster) == pids


def test_a_node_that_runs_is_not_started_twice(cluster: LocalCluster) -> None:
    pids = all_pids(cluster)
    text = refused(cluster.run("node", "n1", "--config", ".raftkv/cluster.toml"), 1, 2)
    assert "is in use by" in text
    assert all_pids(cluster) == pids


def test_a_folder_that_is_in_use_is_not_opened_on_other_ports_either(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    known = config.load(cluster.folder / ".raftkv" / "cluster.toml")
    other = tmp_path / "cluster.toml"
    data = os.path.relpath(cluster.folder / ".raftkv", tmp_path)
    other.write_text(cluster_file(free_base_port(), name=known.name, data=data))
    text = refused(opened("node", "n1", "--config", str(other), folder=tmp_path))
    assert "is in use by process" in text
    assert str(all_pids(cluster)["n1"]) in text
    (cluster.folder / ".raftkv" / "n1" / "wal" / "LOCK").unlink()
    assert "is in use by another process" in refused(
        opened("node", "n1", "--config", str(other), folder=tmp_path)
    )


def test_a_port_in_use_is_named(cluster: LocalCluster, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        base = min(port, 65_000)
        done = raftkv("up", "--headless", "--base-port", str(base), folder=tmp_path)
        assert f"port {port} is in use" in refused(done)
        assert not (tmp_path / ".raftkv" / "cluster.toml").exists()
    used = str(cluster.base_port)
    text = refused(raftkv("up", "--headless", "--base-port", used, folder=tmp_path))
    assert f"port {used} is in use" in text
    assert "--base-port" in text
    assert "1024" in refused(raftkv("up", "--headless", "--base-port", "80", folder=tmp_path))


def test_numbers_of_nodes_that_make_no_sense(tmp_path: Path) -> None:
    for count in ("0", "-1", "10"):
        for how in ("--headless", "--detach"):
            assert "1 to 9 nodes" in refused(raftkv("up", f"--nodes={count}", how, folder=tmp_path))
    assert not (tmp_path / ".raftkv").exists(), "nothing is left of what was refused"


def test_down_without_a_cluster(tmp_path: Path) -> None:
    assert refused(raftkv("down", folder=tmp_path), 3) == "no cluster runs in .raftkv"


# -- starting, ending, starting again


def test_up_again_keeps_the_data_and_fresh_deletes_it_and_only_it(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path)
    data = prepare(tmp_path, cluster.base_port)
    (data / "mine.txt").write_text("not the cluster's")
    cluster.up()
    try:
        cluster.ok("put", "kept", "1")
        cluster.down()
        again = raftkv("up", "--headless", "--nodes", "5", folder=tmp_path)
        assert "holds a cluster of 3 nodes" in refused(again)
        cluster.up()
        assert cluster.ok("get", "kept") == b"1\n"
        cluster.down()
        (data / "cluster.toml").rename(data / "aside")
        lost = refused(raftkv("up", "--headless", folder=tmp_path))
        assert "holds the data of n1, n2, n3 and no cluster.toml" in lost
        assert not (data / "cluster.toml").exists(), "which would name another cluster"
        (data / "aside").rename(data / "cluster.toml")
        cluster.up()
        assert cluster.ok("get", "kept") == b"1\n"
        cluster.down()
        cluster.up("--fresh")
        assert cluster.run("get", "kept").returncode == 1
        assert (data / "mine.txt").read_text() == "not the cluster's"
    finally:
        cluster.down()
    assert not (data / "run.json").exists()


def test_detach_and_down(tmp_path: Path) -> None:
    base = free_base_port()
    prepare(tmp_path, base)
    done = raftkv("up", "--detach", "--base-port", str(base), folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode().startswith("ready: 3 nodes, leader n")
    launcher = json.loads((tmp_path / ".raftkv" / "run.json").read_text())["launcher_pid"]
    nodes = node_processes(launcher)
    assert len(nodes) >= 3
    assert raftkv("put", "a", "1", folder=tmp_path).returncode == 0
    assert raftkv("up", "--detach", folder=tmp_path).returncode == 2
    ended = raftkv("down", folder=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"stopped\n")
    await_condition(lambda: not any(map(is_alive, [launcher, *nodes])), "all processes to end")
    assert raftkv("down", folder=tmp_path).returncode == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_launcher_ends_every_node(tmp_path: Path, number: signal.Signals) -> None:
    cluster = LocalCluster(tmp_path)
    prepare(tmp_path, cluster.base_port)
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup a launcher would ignore it
    try:
        cluster.up()
    finally:
        signal.signal(signal.SIGHUP, inherited)
    try:
        launcher = cluster._launcher
        assert launcher is not None
        nodes = node_processes(launcher.pid)
        assert len(nodes) >= 3
        launcher.send_signal(number)
        assert launcher.wait(DEADLINE_SECONDS) == 0
        await_condition(lambda: not any(map(is_alive, nodes)), "all processes to end")
        assert cluster.log().endswith("stopped\n")
        assert "Traceback" not in cluster.log()
    finally:
        cluster.down()


# -- a folder whose cluster is down


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which a cluster has written a little and ended; tests work on copies."""
    folder = tmp_path_factory.mktemp("stopped")
    cluster = LocalCluster(folder)
    data = prepare(folder, cluster.base_port)
    cluster.up()
    try:
        for number in range(5):
            cluster.ok("put", f"key/{number}", "x" * 100)
    finally:
        cluster.down()
    return data


@pytest.fixture
def data(stopped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped, tmp_path / ".raftkv"))


def fingerprints(data: Path) -> dict[str, str]:
    """Of every file of every node's log."""
    return {
        str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(data.glob("n*/wal/*.log"))
    }


def segment(data: Path, node: str) -> Path:
    (path,) = (data / node / "wal").glob("*.log")
    return path


def spans(path: Path) -> list[tuple[int, int]]:
    """(start, end) of every record of a segment, the header's first."""
    content, found, offset = path.read_bytes(), [], 0
    while record := records.decode(1, content, offset):
        found.append((offset, record.end))
        offset = record.end
    return found


def up_fails(data: Path) -> str:
    """``up`` on a folder that it must not open; its complaint. Nothing may change on the disk of the node
    that it names; the others may have begun an election before they were ended."""
    before = fingerprints(data)
    done = opened("up", "--headless", folder=data.parent)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr
    complaints = [line for line in done.stderr.decode().splitlines() if line.startswith("raftkv: ")]
    assert len(complaints) == 1
    now, named = fingerprints(data), [name for name in ("n1", "n2", "n3") if f"node {name} " in complaints[0]]
    assert named
    for name in named:
        assert {path: now[path] for path in now if path.startswith(name)} == {
            path: before[path] for path in before if path.startswith(name)
        }
    return complaints[0]


def test_a_damaged_log_is_refused_by_file_and_offset_and_left_as_it_is(data: Path) -> None:
    path = segment(data, "n1")
    start, _ = spans(path)[3]
    damage(path)
    text = up_fails(data)
    assert text.startswith("raftkv: node n1 cannot start: damaged log: ")
    assert f"{path.name} at byte {start}: " in text
    assert "nothing was changed" in text
    assert text.endswith("'raftkv up --degraded' starts the others without it")
    elsewhere = opened("up", "--headless", "--data", str(data), folder=data.parent)
    assert f"'raftkv up --degraded --data {data}'" in elsewhere.stderr.decode()
    alone = opened("node", "n1", "--config", ".raftkv/cluster.toml", folder=data.parent)
    assert path.name in refused(alone, 1)


def damage(path: Path) -> None:
    start, end = spans(path)[3]
    content = bytearray(path.read_bytes())
    content[(start + end) // 2] ^= 0x40
    path.write_bytes(content)


def test_the_others_start_without_a_damaged_node_if_they_are_told_to_and_are_enough(data: Path) -> None:
    folder = data.parent
    damage(segment(data, "n1"))
    up = opened("up", "--detach", "--degraded", folder=folder)
    try:
        assert up.returncode == 0, up.stderr
        why, ready = up.stderr.decode().splitlines()
        assert why.startswith("node n1 exited with code 5: damaged log: ")
        assert re.fullmatch(r"ready: 2 nodes, leader n[23], client endpoints tcp:[^,]+,tcp:[^,]+", ready)
        assert raftkv("get", "key/0", folder=folder).stdout == b"x" * 100 + b"\n"
        again = refused(raftkv("chaos", "restart", "n1", folder=folder), 2)
        assert again.startswith("node n1 was started and has ended again: damaged log: ")
        assert raftkv("members", "replace", "n1", "--timeout", "60", folder=folder).returncode == 0
    finally:
        assert raftkv("down", folder=folder).returncode == 0
    damage(segment(data, "n2"))
    damage(segment(data, "n3"))
    refused_now = opened("up", "--headless", "--degraded", folder=folder)
    assert refused_now.returncode == 2
    assert "cannot start: damaged log: " in refused_now.stderr.decode()


def test_a_node_that_cannot_start_closes_what_it_opened(data: Path) -> None:
    path = segment(data, "n1")
    path.write_bytes(bytes(path.stat().st_size))
    alone = opened("node", "n1", "--config", ".raftkv/cluster.toml", folder=data.parent, warnings="error")
    assert path.name in refused(alone, 1)


def test_a_torn_tail_is_cut_and_the_cluster_serves(data: Path) -> None:
    for node in ("n1", "n2", "n3"):
        path = segment(data, node)
        start, end = spans(path)[-1]
        content = bytearray(path.read_bytes())
        content[end - 24 :] = bytes(len(content) - end + 24)
        path.write_bytes(content)
        assert spans(path)[-1][1] == start
    with running_in(data.parent) as cluster:
        assert cluster.ok("get", "key/0") == b"x" * 100 + b"\n"
        cluster.ok("put", "after", "1")
        assert cluster.ok("scan", "--prefix", "after") == b"after\t1\n"


@contextmanager
def running_in(folder: Path) -> Iterator[LocalCluster]:
    cluster = LocalCluster(folder)
    cluster.up()
    try:
        yield cluster
    finally:
        cluster.down()


def test_folders_that_have_changed_places_are_refused(data: Path) -> None:
    (data / "n1").rename(data / "n9")
    (data / "n2").rename(data / "n1")
    (data / "n9").rename(data / "n2")
    text = up_fails(data)
    assert re.search(r"belongs to node n[12] of cluster tested, not to node n[12]", text), text


def test_a_folder_of_another_cluster_is_refused(data: Path) -> None:
    path = data / "cluster.toml"
    path.write_text(path.read_text().replace('name = "tested"', 'name = "another"'))
    assert "of cluster tested, not to node" in up_fails(data)


def test_a_log_of_a_later_format_or_half_a_header_is_refused(data: Path) -> None:
    path = segment(data, "n2")
    path.write_bytes(bytes(path.stat().st_size))
    text = up_fails(data)
    assert "node n2 cannot start" in text
    assert path.name in text


# -- cluster.toml


def test_a_file_that_is_wrong_is_named_with_its_field(tmp_path: Path) -> None:
    good = cluster_file(free_base_port())
    first = good.split("[[nodes]]")[1]
    address = re.findall(r"tcp://\S+\d", good)
    for wrong, field in (
        (good.replace('name = "tested"', "name = 5"), "[cluster] name: expected a string"),
        (good.replace("chaos = true", 'chaos = "yes"'), "[cluster] chaos: expected true or false"),
        (good.replace("segment_mib = 1", "segment_mib = 1.5"), "[storage] segment_mib: expected a whole"),
        (good.replace("segment_mib = 1", "segment_mib = 0"), "[storage] segment_mib"),
        (good.replace("chaos = true", "caos = true"), "[cluster]: unknown key 'caos'"),
        (good + "[extra]\n", "unknown key 'extra'"),
        (good + "colour = 1\n", "[[nodes]] number 3: unknown key 'colour'"),
        (good + "[[nodes]]" + first, "[[nodes]] number 4: the name n1 is used twice"),
        (good.replace(address[1], address[0], 1), f"{address[0]} is both"),
        (good.replace(address[0], "tcp://127.0.0.1"), "[[nodes]] number 1 client"),
        (good.replace("client =", "#", 1), "[[nodes]] number 1 client: is missing"),
        (good.split("[[nodes]]")[0], "[[nodes]]: at least one node"),
        ("nonsense", "not valid TOML"),
    ):
        path = tmp_path / "cluster.toml"
        path.write_text(wrong)
        text = refused(raftkv_in_process("node", "n1", folder=tmp_path))
        assert text.startswith("cluster.toml: "), text
        assert field in text, text


def raftkv_in_process(*arguments: str, folder: Path) -> Done:
    """Without the quarter of a second that a process takes: nothing gets as far as a socket."""
    from typer.testing import CliRunner

    from raftkv.cli.app import app

    before = Path.cwd()
    os.chdir(folder)
    try:
        result = CliRunner().invoke(app, arguments)
    finally:
        os.chdir(before)
    return Done(arguments, result.exit_code, result.stdout_bytes, result.stderr_bytes)


def test_a_wrong_file_at_the_real_prompt(tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text("[cluster]\nname = true\n")
    for arguments in (["node", "n1"], ["get", "a"], ["status", "--config", "cluster.toml"]):
        text = refused(raftkv(*arguments, folder=tmp_path))
        assert text == "cluster.toml: [cluster] name: expected a string, found true"
    assert "absent.toml: no such file" in refused(
        raftkv("node", "n1", "--config", "absent.toml", folder=tmp_path)
    )
    (tmp_path / "cluster.toml").write_text(cluster_file(free_base_port()))
    assert "no node named 'n7'" in refused(raftkv("node", "n7", folder=tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster.toml"]


def test_a_node_stays_on_loopback(tmp_path: Path) -> None:
    text = cluster_file(free_base_port())
    (tmp_path / "cluster.toml").write_text(text.replace("127.0.0.1", "192.0.2.1"))
    assert "not on loopback" in refused(raftkv("node", "n1", folder=tmp_path))
    (tmp_path / "cluster.toml").write_text(text.replace("127.0.0.1", "0.0.0.0"))
    assert "nobody can connect to tcp://0.0.0.0" in refused(raftkv("node", "n1", folder=tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster.toml"]


def test_the_example_runs_as_it_is(tmp_path: Path) -> None:
    """The repository's own cluster.toml, a node in each of three processes."""
    example = Path(__file__).parents[2] / "cluster.toml"
    if not example.exists():
        pytest.skip("the repository has no cluster.toml")
    shutil.copy(example, tmp_path)
    cluster = config.load(tmp_path / "cluster.toml")
    for node in cluster.nodes:
        for endpoint in node.endpoints():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", int(endpoint.rpartition(":")[2])))
                except OSError:
                    pytest.skip(f"{endpoint} of the example is in use on this machine")
    with nodes_of_their_own(cluster):
        put = raftkv("put", "greeting", "hello", "--timeout", "20", folder=tmp_path)
        assert (put.returncode, put.stderr) == (0, b"")
        assert raftkv("get", "greeting", folder=tmp_path).stdout == b"hello\n"
        chaos = raftkv("chaos", "isolate", "n1", folder=tmp_path)
        assert chaos.returncode == 5
        assert b"chaos = true" in chaos.stderr
    for node in cluster.nodes:
        log = (tmp_path / f"{node.name}.log").read_text()
        assert f"listening for clients on {node.client}" in log
        assert log.endswith(f"{node.name} stopped\n")


def test_nodes_listen_on_ipv6_where_the_file_says_so(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no loopback of IPv6")
    path = tmp_path / "cluster.toml"
    path.write_text(cluster_file(free_base_port()).replace("127.0.0.1", "[::1]"))
    cluster = config.load(path)
    with nodes_of_their_own(cluster):
        assert raftkv("put", "a", "b", "--timeout", "20", folder=tmp_path).returncode == 0
        one = raftkv("get", "a", "--endpoints", cluster.nodes[1].client, "--timeout", "20", folder=tmp_path)
        assert one.stdout == b"b\n"
        seen: set[str] = set()
        with closing(LiveFeed(find(None, path, None))) as feed:

            def all_seen() -> bool:
                seen.update(item.name for item in feed.poll() if isinstance(item, NodeSnapshot))
                return len(seen) == len(cluster.nodes)

            await_condition(all_seen, "every node on the dashboard")


@contextmanager
def nodes_of_their_own(cluster: config.ClusterConfig) -> Iterator[None]:
    """A process of ``raftkv node`` for each, which have a leader when this begins, and end politely."""
    folder = cluster.source.parent
    processes = [start_node(node.name, folder) for node in cluster.nodes]

    def led() -> bool:
        assert all(process.poll() is None for process in processes)
        done = raftkv("status", "--json", folder=folder)
        return bool(done.stdout) and json.loads(done.stdout)["leader"] is not None

    try:
        await_condition(led, "the nodes to have a leader")
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        codes = [process.wait(DEADLINE_SECONDS) for process in processes]
    assert codes == [0] * len(processes)


def start_node(name: str, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "raftkv", "node", name],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


@pytest.mark.parametrize("wrong", [("--nodes", "100"), ("--base-port", "80000")])
def test_what_is_refused_deletes_nothing(data: Path, wrong: tuple[str, str]) -> None:
    before = fingerprints(data)
    refused(raftkv_in_process("up", "--headless", "--fresh", *wrong, folder=data.parent))
    assert fingerprints(data) == before


def test_fresh_deletes_no_file_that_somebody_wrote_by_hand(tmp_path: Path) -> None:
    mine = tmp_path / "cluster.toml"
    mine.write_text("# by hand\n")
    done = raftkv_in_process("up", "--headless", "--fresh", "--data", ".", folder=tmp_path)
    assert "was not made by 'raftkv up'" in refused(done)
    assert mine.read_text() == "# by hand\n"


def test_fresh_empties_a_folder_that_is_a_link_and_leaves_no_half(data: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (data / "n2").rename(elsewhere)
    (data / "n2").symlink_to(elsewhere)
    local.prepare(data, 3, None, fresh=True)
    assert list(elsewhere.iterdir()) == []
    assert sorted(path.name for path in data.iterdir()) == ["cluster.toml", "n2"]


def test_ports_in_a_file_that_somebody_wrote_by_hand_are_theirs(tmp_path: Path) -> None:
    base, path = free_base_port(), tmp_path / "cluster.toml"
    local.prepare(tmp_path, 1, base, fresh=False)
    path.write_text(path.read_text().replace(local.MADE_BY_US, "# By hand."))
    before = path.read_text()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", base))
        taken.listen()
        with pytest.raises(ConfigError, match=f"change them yourself, or free port {base}"):
            local.prepare(tmp_path, None, None, fresh=False)
    with pytest.raises(ConfigError, match=r"change them yourself$"):
        local.prepare(tmp_path, None, base + 5, fresh=False)
    assert path.read_text() == before
    path.write_text(before.replace(f':{base}"', ':65500"').replace("base_port", "# base_port"))
    with pytest.raises(ConfigError, match="that is 65485 at most, found 65500"):
        local.prepare(tmp_path, None, None, fresh=False)
