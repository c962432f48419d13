"""A sample of the mutants, each against the cheapest layer that is known to kill it, and the tools
themselves. ``python -m tests.mutants`` tries all of them on everything."""

from __future__ import annotations

import json
import sys
from types import CodeType, FunctionType, ModuleType

import pytest

from raftkv.errors import StorageError
from raftkv.kv import StateMachine
from raftkv.raft import Raft
from raftkv.sim.run import run_seed
from tests.mutants.__main__ import main
from tests.mutants.layers import PATHS, QUICKEST_FIRST, Layer, Verdict, tell_stories
from tests.mutants.mutants import BY_NAME, MUTANTS
from tests.mutants.planting import Edit, Mutant, Part, PlantError
from tests.storage.enumeration import Operation, Start, enumerate_workload


def codes() -> dict[str, CodeType]:
    """Of every function and method of raftkv that is loaded."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "raftkv" and isinstance(module, ModuleType):
            for attribute, value in vars(module).items():
                found.update(_codes_of(f"{name}.{attribute}", value))
    return found


def _codes_of(name: str, value: object) -> dict[str, CodeType]:
    if isinstance(value, FunctionType):
        return {name: value.__code__}
    if isinstance(value, staticmethod | classmethod):
        return _codes_of(name, value.__func__)
    if isinstance(value, property):
        return _codes_of(name, value.fget)
    if isinstance(value, type) and value.__module__.partition(".")[0] == "raftkv":
        return {
            key: code
            for attribute, inner in vars(value).items()
            if not isinstance(inner, type)
            for key, code in _codes_of(f"{name}.{attribute}", inner).items()
        }
    return {}


def essence(code: CodeType) -> tuple[object, ...]:
    """What it does; not where it stands in its file."""
    constants = tuple(essence(inner) if isinstance(inner, CodeType) else inner for inner in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, constants


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_something_and_leaves_nothing_behind(mutant: Mutant) -> None:
    before = codes()
    with mutant.plant():
        planted = codes()
        changed = {
            name
            for name in before
            if planted[name] is not before[name] and essence(planted[name]) != essence(before[name])
        }
        assert {planted[name] for name in changed} == {edit.function.__code__ for edit in mutant.edits}
    after = codes()
    assert all(after[name] is before[name] for name in before)


def test_a_mutant_is_taken_out_when_the_code_under_it_breaks() -> None:
    before = codes()
    with pytest.raises(ZeroDivisionError), BY_NAME["retry-applied-twice"].plant():
        raise ZeroDivisionError
    assert codes() == before


def test_a_mutant_of_code_that_has_moved_on_is_refused() -> None:
    for edit in (
        Edit(Raft.tick, "self.sundial += 1", "pass"),
        Edit(Raft.tick, "self", "this"),
    ):
        with pytest.raises(PlantError, match="times, not once"), _mutant_of(edit).plant():
            pass
    with pytest.raises(PlantError, match="no plain function"), _mutant_of(Edit(Raft, "", "")).plant():
        pass


def _mutant_of(edit: Edit) -> Mutant:
    return Mutant("of-a-test", "", "", Part.RAFT, (edit,))


def test_two_edits_of_one_function_are_both_there() -> None:
    first = Edit(StateMachine.skip, "self.applied_index", "self.revision")
    second = Edit(StateMachine.skip, "= index", "= index + 1")
    machine = StateMachine()
    with Mutant("of-a-test", "", "", Part.KV, (first, second)).plant():
        machine.skip(41)
    assert (machine.revision, machine.applied_index) == (42, 0)


def test_names_are_unique_and_there_are_enough_of_every_part() -> None:
    assert len(BY_NAME) == len(MUTANTS) >= 30
    assert {mutant.part for mutant in MUTANTS} == set(Part)


# -- a sample that must be killed

SIMULATED = (
    "vote-before-fsync",
    "leader-adopts-higher-term",
    "ack-before-durable",
    "no-directory-fsync",
    "retry-applied-twice",
    "timeout-is-failure",
    "read-before-applied",
)
SEEDS_TRIED = 30
"""Short ones; any change anywhere in a node leads a seed elsewhere, so none is named here."""
TOLD = ("no-up-to-date-check", "old-term-committed-by-count", "read-without-round")
WORKLOAD = (Start.LIVED_IN, (Operation.ROLL, Operation.OVERWRITE))
"""Meets every crash of a segment's beginning, of a large record and of a truncation."""
CRASHED = (
    "no-record-fsync",
    "recovered-name-not-synced",
    "checksum-skips-the-length",
    "payload-checksum-not-checked",
    "torn-taken-for-damage",
    "replay-keeps-overwritten-tail",
)


def fails(seed: int) -> bool:
    try:
        return run_seed(seed, nodes=3, seconds=2.0).violation is not None
    except Exception:  # a bug may surface as anything
        return True


@pytest.mark.parametrize("name", SIMULATED)
def test_the_simulation_kills(name: str) -> None:
    with BY_NAME[name].plant():
        killer = next((seed for seed in range(SEEDS_TRIED) if fails(seed)), None)
    assert killer is not None
    assert not fails(killer), "and not the code as it is"


@pytest.mark.parametrize("name", TOLD)
def test_a_story_kills(name: str) -> None:
    with BY_NAME[name].plant():
        found = tell_stories()
    assert found.killed
    assert found.how


def test_no_story_fails_on_the_code_as_it_is() -> None:
    assert tell_stories() == Verdict(False)


@pytest.mark.parametrize("name", CRASHED)
def test_crash_enumeration_kills(name: str) -> None:
    with BY_NAME[name].plant(), pytest.raises((AssertionError, StorageError)):
        enumerate_workload(WORKLOAD)


def test_crash_enumeration_passes_the_code_as_it_is() -> None:
    assert enumerate_workload(WORKLOAD).reopenings > 1000


# -- the command


def test_a_mutant_that_nothing_notices_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """This one needs a flipped bit, which no disk of the simulation has."""
    assert main(["--mutant", "checksum-skips-the-length", "--layers", "simulation", "--seeds", "1"]) == 1
    out, err = capsys.readouterr()
    assert "| checksum-skips-the-length | – | nothing |" in out
    assert "survived everything: checksum-skips-the-length" in err


def test_a_planted_session_of_pytest_fails_and_says_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The file that is known to notice: the whole layer takes a minute, and this is about the session.
    monkeypatch.setitem(PATHS, Layer.PITFALLS, ("tests/pitfalls/test_durability.py",))
    arguments = ["--mutant", "old-ack-counts", "--layers", "pitfalls", "--json"]
    assert main(arguments) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["mutant"] == "old-ack-counts"
    found = Verdict(**row["layers"][Layer.PITFALLS])
    assert found.killed
    assert "::test_pitfall_11_an_answer_of_an_earlier_term" in found.how


def test_the_first_layer_that_notices_may_be_enough(capsys: pytest.CaptureFixture[str]) -> None:
    layers = "simulation,golden"
    arguments = ["--mutant", "old-term-committed-by-count", "--layers", layers, "--seeds", "1", "--json"]
    assert main([*arguments, "--first"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert list(row["layers"]) == [Layer.GOLDEN], "the quicker one goes first"
    assert row["layers"][Layer.GOLDEN]["killed"]


def test_a_layer_that_is_asked_about_everything_has_its_place_among_the_quick() -> None:
    assert sorted(QUICKEST_FIRST) == sorted(Layer)


def test_a_layer_that_fails_on_sound_code_says_nothing_about_mutants(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PATHS, Layer.PAPER, ("tests/mutants/no_such_folder",))
    with pytest.raises(RuntimeError, match="paper on sound code broke down"):
        main(["--mutant", "no-no-op", "--layers", "paper"])
