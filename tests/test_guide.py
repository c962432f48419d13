"""What the guide shows is true: its commands print that, its Python runs, its limits are the program's."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raftkv.actors import watches
from raftkv.client import watching
from raftkv.config import HistoryConfig
from raftkv.kv import limits
from raftkv.testing import LocalCluster
from raftkv.wire.packing import REQUEST_BYTES_MAX
from tests.support.processes import DEADLINE_SECONDS, environment

ROOT = Path(__file__).parent.parent
PAGES = sorted(ROOT.glob("docs/guide/*.md"))
NAMES = [page.stem for page in PAGES]
OWN_CLUSTERS = "testing"
"""The page whose examples start clusters themselves."""
END_OF_OUTPUT = "\x1e"
"""Between the outputs of two commands of one block."""


def blocks(page: Path) -> Iterator[tuple[str, int, str]]:
    """(language, number of its first line, content) of each block, in order."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        yield found[1], text.count("\n", 0, found.start(2)) + 1, found[2]


def commands(block: str) -> list[tuple[str, str]]:
    """(command, the output shown) of each; a line that begins with "> " continues its command."""
    parts = []
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        first, *lines = part.splitlines(keepends=True)
        while lines and lines[0].startswith("> "):
            first += lines.pop(0).removeprefix("> ")
        parts.append((first, "".join(lines)))
    return parts


def run_commands(block: str, folder: Path, where: str) -> None:
    """In one shell, as whoever reads on types them: variables and ``$?`` go from one to the next."""
    shown = commands(block)
    step = "%s\ncode=$?\nprintf '" + r"\036" + "'\n(exit $code)\n"
    script = "exec 2>&1\n" + "".join(step % command for command, _ in shown)
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=folder,
        env={**environment(), "PATH": f"{folder}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_SECONDS,
        check=False,
    )
    printed = done.stdout.split(END_OF_OUTPUT)
    for number, (command, output) in enumerate(shown):
        assert printed[number : number + 1] == [output], f"{where}: {command}"
    assert not done.stderr, where


def run_python(block: str, names: dict[str, Any], line: int, page: Path) -> None:
    if block.startswith(">>> "):
        test = doctest.DocTestParser().get_doctest(block, names, page.name, str(page), line - 1)
        failures: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        assert runner.run(test, out=failures.append, clear_globs=False).failed == 0, "".join(failures)
        return
    exec(compile("\n" * (line - 1) + block, str(page), "exec"), names)


def run_tests(block: str, folder: Path) -> None:
    """Of a page that shows tests: in a process of their own, as of another project."""
    (folder / "test_shown.py").write_text(block)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shown.py"],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.cluster
@pytest.mark.xdist_group("guide")
@pytest.mark.parametrize("name", [name for name in NAMES if name != OWN_CLUSTERS])
def test_a_page_shows_what_happens(name: str, tmp_path: Path) -> None:
    """Its blocks, one after the other, on a fresh cluster."""
    page = ROOT / "docs" / "guide" / f"{name}.md"
    wrapper = tmp_path / "raftkv"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m raftkv "$@"\n')
    wrapper.chmod(0o755)
    with LocalCluster(3, folder=tmp_path / ".raftkv") as cluster:
        names: dict[str, Any] = {"endpoints": cluster.endpoints, "client": cluster.client()}
        for language, line, block in blocks(page):
            match language:
                case "console":
                    run_commands(block, tmp_path, f"{page.name}, line {line}")
                case "python":
                    run_python(block, names, line, page)


@pytest.mark.cluster
@pytest.mark.xdist_group("guide")
def test_what_the_page_on_testing_shows_runs(tmp_path: Path) -> None:
    page = ROOT / "docs" / "guide" / f"{OWN_CLUSTERS}.md"
    names: dict[str, Any] = {}
    found = [(line, block) for language, line, block in blocks(page) if language == "python"]
    shown = [block for _, block in found if block.startswith("# test_")]
    assert len(shown) == 1
    run_tests(shown[0], tmp_path)
    for line, block in found:
        if block not in shown:
            run_python(block, names, line, page)


@pytest.mark.parametrize("name", NAMES)
def test_every_page_ends_with_links_to_its_neighbours(name: str) -> None:
    page = ROOT / "docs" / "guide" / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (page.parent / target).exists(), target
    neighbours = re.findall(r"\]\(([\w-]+)\.md\)", text.rstrip().rpartition("\n")[2])
    assert neighbours
    assert set(neighbours) <= set(NAMES) - {name}


@pytest.mark.parametrize("name", NAMES)
def test_files_that_a_page_names_exist(name: str) -> None:
    text = (ROOT / "docs" / "guide" / f"{name}.md").read_text(encoding="utf-8")
    for file in re.findall(r"`((?:raftkv|tests|docs|examples)/[\w/.-]+)`", text):
        assert (ROOT / file).exists(), file


KIB, MIB = 1 << 10, 1 << 20
LIMITS = [
    ("client", "1 to {:,} bytes", limits.KEY_BYTES_MAX),
    ("client", "up to {:g} MiB", limits.VALUE_BYTES_MAX / MIB),
    ("client", "one request up to {:g} MiB", REQUEST_BYTES_MAX / MIB),
    ("client", "at most {:,} writes", limits.SESSION_WINDOW),
    ("client", "up to {:,} keys in one revision", limits.MULTI_PUT_MAX),
    ("client", "{:g} MiB each", limits.RANGE_BYTES_MAX / MIB),
    ("client", "{:,} clients", limits.SESSIONS_MAX),
    ("history", "{:,} revisions", HistoryConfig().revisions),
    ("history", "{:,} seconds", HistoryConfig().seconds),
    ("history", "{:g} MiB", HistoryConfig().mib),
    ("transactions", "{:,} compares and operations", limits.TXN_STEPS_MAX),
    ("transactions", "{} deep", limits.TXN_DEPTH_MAX),
    ("transactions", "{:,} keys", limits.TXN_KEYS_MAX),
    ("transactions", "at most {:g} KiB in all", limits.TXN_ANSWER_BYTES_MAX / KIB),
    ("transactions", "at most {:g} MiB", REQUEST_BYTES_MAX / MIB),
    ("watches", "{:,} watches", watches.WATCHES_MAX),
    ("watches", "{} answers", watching.CREDIT),
    ("watches", "about {:g} KiB", watches.ANSWER_BYTES_SOFT_MAX / KIB),
    ("watches", "{:g} seconds", watches.ABANDONED_SECONDS),
    ("leases", "{:g} seconds", limits.LEASE_TTL_MS_MIN / 1000),
    ("leases", "{:,}", limits.LEASE_TTL_MS_MAX // 1000),
    ("leases", "{:,} leases", limits.LEASES_MAX),
    ("leases", "up to {:,}", limits.KEEP_ALIVE_MAX),
]


@pytest.mark.parametrize(("name", "phrase", "limit"), LIMITS)
def test_the_limits_that_a_page_names_are_those_that_hold(name: str, phrase: str, limit: float) -> None:
    text = (ROOT / "docs" / "guide" / f"{name}.md").read_text(encoding="utf-8")
    assert phrase.format(limit) in " ".join(text.split())
