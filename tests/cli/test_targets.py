"""Which cluster a command means: the order of what may say so, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

import raftkv as raftkv_module
from raftkv.cli import options
from raftkv.cluster import discovery
from raftkv.cluster.control import LAUNCHER_SECONDS
from raftkv.errors import ConfigError, Unavailable
from tests.cli.asserting import client_endpoint, quiet, refused, run_with
from tests.support.processes import LocalCluster, raftkv

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cli")]

NOBODY = "tcp://127.0.0.1:9"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without any cluster, and an environment that names none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(discovery.ENVIRONMENT, raising=False)
    return tmp_path


def named_file(folder: Path, name: str, port: int) -> Path:
    lines = ["[cluster]", f'name = "{name}"', "[[nodes]]", 'name = "n1"']
    for offset, kind in enumerate(("peer", "client", "control", "status")):
        lines.append(f'{kind} = "tcp://127.0.0.1:{port + offset}"')
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines))
    return path


def test_each_way_to_name_a_cluster_works_from_anywhere(cluster: LocalCluster, tmp_path: Path) -> None:
    cluster.ok("put", "target", "found")
    data = cluster.folder / ".raftkv"
    endpoints = f"{client_endpoint(cluster)}, {client_endpoint(cluster, 1)}"
    for arguments in (
        ["--endpoints", endpoints],
        ["--endpoints", client_endpoint(cluster, 2)],
        ["--config", str(data / "cluster.toml")],
        ["--data", str(data)],
    ):
        assert quiet(raftkv("get", "target", *arguments, folder=tmp_path)) == b"found\n", arguments
        status = quiet(raftkv("status", *arguments, folder=tmp_path)).decode()
        assert [row.split()[0] for row in status.splitlines()[1:]] == ["n1", "n2", "n3"]
    by_variable = run_with(["get", "target"], tmp_path, variables={"RAFTKV_ENDPOINTS": endpoints})
    assert quiet(by_variable) == b"found\n"


def test_endpoints_go_before_the_variable_and_the_variable_before_the_rest(
    cluster: LocalCluster, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = cluster.folder / ".raftkv"
    other = named_file(elsewhere, "other", 9000)
    monkeypatch.setenv(discovery.ENVIRONMENT, "tcp://127.0.0.1:11")
    assert discovery.find(NOBODY, other, running).clients == (NOBODY,)
    found = discovery.find(None, other, running)
    assert (found.source, found.clients) == (discovery.ENVIRONMENT, ("tcp://127.0.0.1:11",))
    monkeypatch.delenv(discovery.ENVIRONMENT)
    assert discovery.find(None, other, running).clients == ("tcp://127.0.0.1:9001",)
    assert discovery.find(None, None, running).clients[0] == client_endpoint(cluster)


def test_what_runs_here_goes_before_a_file_that_lies_here(
    cluster: LocalCluster, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named_file(elsewhere, "cluster", 9000)
    assert discovery.find(None, None, None).source == "cluster.toml, as no cluster runs in .raftkv"
    # A folder that was asked for by name is not replaced by a file that happens to lie here.
    with pytest.raises(Unavailable):
        discovery.find(None, None, Path("absent"))
    monkeypatch.chdir(cluster.folder)
    lying_here = named_file(cluster.folder, "cluster", 9000)
    try:
        assert discovery.find(None, None, None).clients[0] == client_endpoint(cluster)
    finally:
        lying_here.unlink()


def test_no_cluster_anywhere(elsewhere: Path) -> None:
    for arguments in (["get", "a"], ["status"], ["chaos", "heal"], ["dump"]):
        text = refused(raftkv(*arguments, folder=elsewhere), 3)
        assert "raftkv up" in text
        assert "RAFTKV_ENDPOINTS" in text
    assert "no cluster runs in" in refused(raftkv("down", folder=elsewhere), 3)
    assert list(elsewhere.iterdir()) == [], "looking leaves nothing behind"


def test_that_nobody_answers_says_where_the_nodes_were_found_and_what_to_do(elsewhere: Path) -> None:
    """The file that lies here names a cluster that nobody has started."""
    named_file(elsewhere, "cluster", 9)
    advice = (
        " (found through cluster.toml, as no cluster runs in .raftkv). Start the cluster, or say where it "
        "is with --endpoints, RAFTKV_ENDPOINTS, --config or --data"
    )
    asked = "no node answered in time: nothing happened; asked tcp://127.0.0.1:10"
    for arguments, told in (
        (["get", "a"], asked),
        (["put", "a", "1"], asked),
        (["watch", "a"], asked),
        (["status"], "none of the nodes n1 answers"),
        (["members", "list"], "no node answers"),
        (["members", "remove", "n1"], "no node answers; nothing was changed"),
    ):
        text = refused(raftkv(*arguments, "--timeout", "0.3", folder=elsewhere), 3)
        assert text == told + advice, arguments
    assert refused(raftkv("chaos", "isolate", "--leader", folder=elsewhere), 3) == "no node answers" + advice
    asked_for = refused(raftkv("get", "a", "--config", "cluster.toml", folder=elsewhere), 3)
    assert "(found through cluster.toml). Start" in asked_for


def test_a_program_finds_the_cluster_that_a_command_would(
    cluster: LocalCluster, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = cluster.folder / ".raftkv"
    listed = named_file(elsewhere, "other", 9000)
    with pytest.raises(Unavailable):
        raftkv_module.endpoints()
    assert raftkv_module.endpoints(data=running)[0] == client_endpoint(cluster)
    assert raftkv_module.endpoints(config=str(listed)) == ["tcp://127.0.0.1:9001"]
    monkeypatch.setenv(discovery.ENVIRONMENT, "tcp://127.0.0.1:11")
    assert raftkv_module.endpoints() == ["tcp://127.0.0.1:11"]
    assert raftkv_module.endpoints(data=str(running))[0] == client_endpoint(cluster), (
        "what is said here counts"
    )
    monkeypatch.delenv(discovery.ENVIRONMENT)
    monkeypatch.chdir(cluster.folder)
    with raftkv_module.Client(raftkv_module.endpoints()) as client:
        assert client.hello().cluster


def test_a_launcher_is_waited_for_no_longer_than_was_asked_for() -> None:
    assert options.launcher_seconds(0.5) == 0.5
    assert options.launcher_seconds(options.DEFAULT_TIMEOUT) == LAUNCHER_SECONDS
    assert options.launcher_seconds(3600.0) == LAUNCHER_SECONDS


def test_what_is_not_looked_at_is_said(elsewhere: Path) -> None:
    """A folder that was given by name, and is not where the answer comes from, may hold another cluster."""
    done = raftkv("get", "a", "--endpoints", NOBODY, "--data", "x", "--timeout", "0.3", folder=elsewhere)
    assert done.returncode == 3
    assert done.stderr.startswith(b"--endpoints says where the cluster is: --data is not looked at\n")
    given = refused(raftkv("get", "a", "--timeout", "0.3", "--endpoints", NOBODY, folder=elsewhere), 3)
    assert given.startswith(
        f"no node answered in time: nothing happened; asked {NOBODY} (found through --endp"
    )


@pytest.mark.parametrize(
    "listed",
    [
        "127.0.0.1:7400",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:x",
        "udp://127.0.0.1:7400",
        f"{NOBODY},nonsense",
        ",",
    ],
)
def test_malformed_endpoints(elsewhere: Path, monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    with pytest.raises(ConfigError, match="--endpoints: "):
        discovery.find(listed, None, None)
    monkeypatch.setenv(discovery.ENVIRONMENT, listed)
    with pytest.raises(ConfigError, match="RAFTKV_ENDPOINTS: "):
        discovery.find(None, None, None)


def test_malformed_endpoints_at_the_prompt(elsewhere: Path) -> None:
    assert "expected tcp://host:port" in refused(raftkv("get", "a", "--endpoints", "x", folder=elsewhere), 2)
    by_variable = run_with(["get", "a"], elsewhere, variables={"RAFTKV_ENDPOINTS": "x"})
    assert "RAFTKV_ENDPOINTS: 'x'" in refused(by_variable, 2)
    assert "absent.toml: no such file" in refused(
        raftkv("get", "a", "--config", "absent.toml", folder=elsewhere), 2
    )


def test_an_empty_list_of_endpoints_is_no_list(elsewhere: Path) -> None:
    with pytest.raises(ConfigError, match="names no endpoint"):
        discovery.find("", None, None)


def test_only_a_launcher_can_kill(cluster: LocalCluster, elsewhere: Path) -> None:
    endpoint = client_endpoint(cluster)
    text = refused(raftkv("chaos", "kill", "n1", "--endpoints", endpoint, folder=elsewhere), 2)
    assert "--endpoints" in text
    assert "launcher" in text
    healed = raftkv("chaos", "heal", "--endpoints", endpoint, folder=elsewhere)
    assert (healed.returncode, healed.stderr) == (0, b"healed\n")
