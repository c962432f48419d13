"""What the docs show is true: commands are run, named tests and files exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from raftkv.client import Client
from raftkv.config import load
from tests.support.processes import LocalCluster, await_condition, local_cluster, raftkv

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return [str(block) for block in found]


def session(block: str) -> Iterator[tuple[list[str], str]]:
    """(arguments after ``raftkv``, the output shown) of each command."""
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, _, output = part.partition("\n")
        words = shlex.split(command)
        assert words[0] == "raftkv", command
        yield words[1:], output


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("docs")) as running:
        yield running


@pytest.mark.cluster
@pytest.mark.xdist_group("docs")
def test_the_tour_of_the_readme_prints_what_it_shows(cluster: LocalCluster) -> None:
    """By somebody who has read from the start, and done as it says."""
    (start,) = [block for block in blocks(ROOT / "README.md", "sh") if "put greeting" in block]
    for line in start.splitlines():
        cluster.ok(*line.removeprefix(".venv/bin/raftkv ").split())
    (tour,) = blocks(ROOT / "README.md", "console")
    for arguments, output in session(tour):
        if arguments[:2] == ["chaos", "isolate"]:
            await_condition(lambda: len(cluster.pids()) == 3, "n1 to be back")
        done = cluster.run(*arguments)
        assert (done.returncode, (done.stdout + done.stderr).decode()) == (0, output), arguments


@pytest.mark.cluster
@pytest.mark.xdist_group("docs")
def test_the_python_of_the_readme_runs(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    example, testing = blocks(ROOT / "README.md", "python")
    monkeypatch.chdir(cluster.folder)
    exec(example, {})
    with Client([f"tcp://127.0.0.1:{cluster.base_port}"]) as client:
        assert (client["greeting"], client["inside"]) == (b"goodbye", b"me")
    exec(testing, {})


def test_the_example_cluster_toml_shows_the_defaults() -> None:
    from raftkv.config import HistoryConfig, LimitsConfig, LoopConfig, RaftConfig, SnapshotConfig

    example = load(ROOT / "cluster.toml")
    assert example.raft == RaftConfig()
    assert example.limits == LimitsConfig()
    assert example.snapshot == SnapshotConfig()
    assert example.history == HistoryConfig()
    assert example.loop == LoopConfig()
    assert [node.name for node in example.nodes] == ["n1", "n2", "n3"]


def test_pitfalls_names_every_test_and_only_tests_that_exist() -> None:
    named = set(re.findall(r"`(test_pitfall_\w+)`", (ROOT / "docs/pitfalls.md").read_text(encoding="utf-8")))
    written = {
        name
        for path in ROOT.glob("tests/pitfalls/test_*.py")
        for name in re.findall(r"^def (test_pitfall_\w+)", path.read_text(encoding="utf-8"), re.M)
    }
    assert named == written


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_files_named_in_docs_exist() -> None:
    for page in PAGES:
        for name in re.findall(
            r"`((?:raftkv|tests|docs|benchmarks)/[\w/.-]+)`", page.read_text(encoding="utf-8")
        ):
            assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_the_history_that_the_readme_shows_is_one(tmp_path: Path) -> None:
    (example,) = blocks(ROOT / "README.md", "json")
    (tmp_path / "history.jsonl").write_text(example)
    done = raftkv("check", "history.jsonl", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"linearizable\n")


def test_the_simulation_that_the_readme_shows_runs(tmp_path: Path) -> None:
    shown = [line for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines()]
    (line,) = [line for line in shown if line.startswith("raftkv sim ")]
    words = shlex.split(line, comments=True)[1:]
    words[words.index("--seeds") + 1] = "2"  # the same, but shorter
    done = raftkv(*words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"2 seeds: all held")


@pytest.mark.cluster
@pytest.mark.xdist_group("docs")
def test_what_the_readme_says_in_passing_works(cluster: LocalCluster) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in (
        "raftkv transfer n2",
        "raftkv inspect verify .raftkv",
        "raftkv doctor",
        "raftkv alarm list",
        "raftkv backup kv.backup",
        "raftkv restore kv.backup --data other",
    ):
        assert f"`{command}`" in text
        cluster.await_all_alive()
        cluster.ok(*command.split()[1:])
