"""The layers of the tests, each asked one question: does it notice this mutant?

``simulation`` and ``golden`` run in the process that asks; the others are folders of tests, run by
pytest in a process of their own with the mutant planted by ``plugin``. ``verdict`` runs any layer in a
process of its own, so that a bug which makes something wait for ever costs no more than its time.

A layer is asked only about bugs in code that it exercises (``MEETS``): the state machine's tests, say,
never run a line of the log's.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from raftkv.sim.run import run_seed
from tests.golden.language import StoryError, parse, play, render
from tests.golden.player import Player
from tests.mutants.planting import Mutant, Part
from tests.mutants.plugin import VARIABLE

ROOT = Path(__file__).parent.parent.parent
STORIES = ROOT / "tests" / "golden"
SEEDS = 100
"""Of the simulation, unless told otherwise."""
SECONDS_MAX = 600
"""After which whatever a layer does is taken for waiting without end: ten times what the slowest one
takes on sound code."""
TWO_PROCESSES = (
    "tests/storage/test_crash_enumeration.py::"
    "test_the_count_of_what_was_tried_is_the_same_in_one_process_or_two"
)
"""Left out: the processes that it starts have no mutant, so it would see a difference, not a bug."""
KILLED_EXITS = frozenset({1, 2})
"""Of pytest: a test failed, or a module of tests could not even be imported."""


class Layer(StrEnum):
    SIMULATION = "simulation"
    GOLDEN = "golden"
    PAPER = "paper"
    UNIT = "unit"
    """Of the core."""
    PITFALLS = "pitfalls"
    ACTORS = "actors"
    KV = "kv"
    CLIENT = "client"
    STORAGE = "storage"
    ENUMERATION = "enumeration"


QUICKEST_FIRST = (
    *(Layer.GOLDEN, Layer.UNIT, Layer.PAPER, Layer.KV, Layer.CLIENT, Layer.STORAGE),
    *(Layer.ACTORS, Layer.PITFALLS, Layer.ENUMERATION, Layer.SIMULATION),
)
"""Of those that are asked about the same code."""

PATHS: dict[Layer, tuple[str, ...]] = {
    Layer.PAPER: ("tests/paper",),
    Layer.UNIT: ("tests/raft",),
    Layer.PITFALLS: ("tests/pitfalls",),
    Layer.ACTORS: ("tests/actors",),
    Layer.KV: ("tests/kv",),
    Layer.CLIENT: ("tests/client",),
    Layer.STORAGE: ("tests/storage", "--ignore=tests/storage/test_crash_enumeration.py"),
    Layer.ENUMERATION: ("tests/storage/test_crash_enumeration.py", f"--deselect={TWO_PROCESSES}"),
}
MEETS: dict[Layer, frozenset[Part]] = {
    Layer.SIMULATION: frozenset(Part),
    Layer.GOLDEN: frozenset({Part.RAFT}),
    Layer.PAPER: frozenset({Part.RAFT}),
    Layer.UNIT: frozenset({Part.RAFT}),
    Layer.PITFALLS: frozenset(Part),
    Layer.ACTORS: frozenset(Part),
    Layer.KV: frozenset({Part.KV}),
    Layer.CLIENT: frozenset({Part.CLIENT}),
    Layer.STORAGE: frozenset({Part.STORAGE}),
    Layer.ENUMERATION: frozenset({Part.STORAGE}),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    killed: bool
    how: str = ""
    """One line: the violation, the test or the story that failed."""
    seeds: int = 0
    """How many the simulation needed, the one that found it included."""


# -- in this process


def simulate(seeds: int) -> Verdict:
    """Runs whatever code is in place now. Any exception is as good as a violation."""
    for seed in range(seeds):
        try:
            found = run_seed(seed).violation
        except Exception as error:  # a bug may surface as anything
            found = f"{type(error).__name__}: {error}"
        if found is not None:
            return Verdict(True, _first_line(found), seed + 1)
    return Verdict(False, seeds=seeds)


def tell_stories() -> Verdict:
    """All golden transcripts, until one goes another way than it is told."""
    for path in sorted(STORIES.glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        story = parse(path.name, text)
        try:
            same = render(story, play(path.name, story, Player().execute)) == text
        except StoryError as error:
            return Verdict(True, _first_line(str(error)))
        except Exception as error:  # as above
            return Verdict(True, f"{path.name}: {type(error).__name__}: {_first_line(str(error))}")
        if not same:
            return Verdict(True, path.name)
    return Verdict(False)


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


# -- in another process


def verdict(layer: Layer, mutant: Mutant | None, seeds: int = SEEDS) -> Verdict:
    """None: the code as it is, which every layer must let pass."""
    name = mutant.name if mutant else ""
    if layer in PATHS:
        command = ["pytest", "-p", "tests.mutants.plugin", "-p", "no:cacheprovider", "-x", "--tb=line"]
        command += PATHS[layer]
    else:
        command = ["tests.mutants.alone", layer, "--mutant", name, "--seeds", str(seeds)]
    try:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env={**os.environ, VARIABLE: name},
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
        )
    except subprocess.TimeoutExpired:
        return Verdict(True, "never ends")
    if layer not in PATHS:
        if done.returncode:
            raise RuntimeError(f"{layer} on {name or 'sound code'} broke down: {done.stderr}")
        return Verdict(**json.loads(done.stdout))
    if done.returncode not in KILLED_EXITS | {0}:
        raise RuntimeError(f"{layer} on {name or 'sound code'} broke down: {done.stdout}{done.stderr}")
    return Verdict(done.returncode != 0, _failed_test(done.stdout))


def _failed_test(output: str) -> str:
    match = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    return match.group(1).removeprefix("tests/") if match else ""


def to_json(found: Verdict) -> str:
    return json.dumps(asdict(found))
