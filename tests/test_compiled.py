"""The same source compiled to C (``make compiled``): another way to run it, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMPILED = ROOT / ".venv-compiled" / "bin" / "python"
SEEDS = 6
SCRIPT = f"""
import json
import raftkv.raft.core
from raftkv.sim.run import run_seed
outcomes = [run_seed(seed, seconds=2.0) for seed in range({SEEDS})]
print(json.dumps([raftkv.raft.core.__file__, [(each.digest, each.violation) for each in outcomes]]))
"""


def test_what_is_compiled_exists() -> None:
    """A module that was moved would be left out in silence."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]
    assert hook["enable-by-default"] is False, "nobody needs a compiler who does not ask for it"
    for pattern in hook["include"]:
        assert list(ROOT.glob(pattern)), pattern
    for pattern in hook["exclude"]:
        assert list(ROOT.glob(pattern)), pattern


def test_compiled_and_interpreted_nodes_do_the_same_in_every_step(tmp_path: Path) -> None:
    """Frame by frame: a digest is made of all that happened in a simulated run."""
    if not COMPILED.exists():
        pytest.skip("'make compiled' was not run here")
    found = []
    for python in (sys.executable, str(COMPILED)):
        done = subprocess.run(
            [python, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=300
        )
        found.append(json.loads(done.stdout))
    assert found[1][0].endswith(".so"), "not compiled at all"
    assert found[0][1] == found[1][1]
    assert [violation for _, violation in found[0][1]] == [None] * SEEDS
