"""Histories larger than any twin could judge: real ones with known verdicts, and generated ones."""

from __future__ import annotations

import json
import random
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from raftkv.history import Op, Operation, Outcome, Result, check_history, read_history
from raftkv.history import problem as problem_module
from raftkv.history import verdict as verdict_module
from raftkv.history.budget import Budget
from raftkv.history.linearizability import EFFORT_MAX, Search
from raftkv.history.operations import Value
from raftkv.history.problem import EVENTS_A_LOOK, Problem
from raftkv.history.reason import explain
from raftkv.history.verdict import _Check
from tests.history.generating import MIX, Shape, generate

RECORDED = Path(__file__).parent.parent.parent.parent / "shared" / "histories"
VERDICTS: dict[str, str] = (
    json.loads((RECORDED / "verdicts.json").read_text()) if (RECORDED / "verdicts.json").exists() else {}
)
STEPS_MAX = 200_000
"""Many times what any of these needs."""

APPENDS = ((Op.GET, 50), (Op.APPEND, 45), (Op.PUT, 5))


@pytest.mark.skipif(not VERDICTS, reason="no recorded histories beside the project")
@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_recorded_histories_get_their_known_verdict(name: str) -> None:
    with (RECORDED / f"{name}.jsonl").open("rb") as file:
        history = read_history(file, name)
    verdict = check_history(history, steps_max=STEPS_MAX)
    assert verdict.outcome.value == VERDICTS[name]
    if verdict.witness:
        assert check_history(verdict.witness, steps_max=STEPS_MAX).outcome is Outcome.VIOLATION
        assert len(verdict.witness) < len(history)


@pytest.mark.parametrize(
    "shape",
    [
        Shape(10_000, keys=10, clients=50),
        Shape(10_000, keys=10, clients=50, unknown_share=0.05),
        Shape(10_000, keys=10, clients=30, mix=APPENDS, unknown_share=0.02),
        Shape(5_000, keys=1, clients=20, unknown_share=0.02),
        Shape(3_000, keys=1, clients=10, values=5, unknown_share=0.01),
    ],
    ids=["mixed", "many unknown", "append", "one key", "few values"],
)
def test_generated_histories_are_linearizable(shape: Shape) -> None:
    verdict = check_history(generate(shape, seed=1), steps_max=STEPS_MAX)
    assert verdict.outcome is Outcome.LINEARIZABLE, verdict.describe()
    assert verdict.keys == shape.keys


def test_a_stale_read_among_thousands_is_found_and_shown_in_a_few_lines() -> None:
    history = generate(Shape(5_000, keys=5, clients=10), seed=2)
    key = history[-1].key
    reads = [
        at
        for at, operation in enumerate(history)
        if (operation.op, operation.result, operation.key) == (Op.GET, Result.OK, key)
    ]
    late, early = reads[-1], reads[len(reads) // 2]
    assert history[late].output != history[early].output
    history[late] = replace(history[late], output=history[early].output)
    verdict = check_history(history, steps_max=STEPS_MAX)
    assert (verdict.outcome, verdict.key) == (Outcome.VIOLATION, key)
    assert history[late] in verdict.witness
    assert len(verdict.witness) <= 5
    assert check_history(verdict.witness).outcome is Outcome.VIOLATION


def test_the_same_steps_every_time_and_whatever_the_order_of_lines() -> None:
    history = generate(Shape(2_000, keys=4, clients=20, mix=(*MIX, (Op.APPEND, 10))), seed=3)
    verdicts = {check_history(history).steps for _ in range(2)}
    random.Random(1).shuffle(history)
    assert check_history(history).outcome is Outcome.LINEARIZABLE
    assert len(verdicts) == 1


def hard() -> list[Operation]:
    """A subset-sum problem: appends of an even number of letters each, any of which may have happened, and
    a get of an odd number."""
    return [
        *(
            Operation(size, Op.APPEND, "hard", "aa" * size, None, Result.UNKNOWN, None, 0, None)
            for size in range(1, 25)
        ),
        Operation(99, Op.GET, "hard", None, None, Result.OK, "a" * 301, 100, 101),
    ]


def test_a_budget_of_steps_ends_in_undecided() -> None:
    verdict = check_history(hard(), steps_max=1_000)
    assert (verdict.outcome, verdict.steps) == (Outcome.UNDECIDED, 1_000)
    assert not verdict.outcome.holds
    assert verdict.describe() == (
        "undecided: the budget is spent after 1,000 steps; 0 of 1 keys are linearizable"
    )


def test_a_budget_of_seconds_is_of_the_clock_handed_in() -> None:
    seconds = iter(range(10_000))
    verdict = check_history(hard(), budget_seconds=10.0, clock=lambda: float(next(seconds)))
    assert verdict.outcome is Outcome.UNDECIDED
    assert 0 < verdict.steps < 10_000


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict_module, "REMEMBERED_MAX", 2_000)
    verdict = check_history(hard())
    assert verdict.describe().startswith("undecided: memory for 2,000 nodes is used up")


def test_a_hard_key_does_not_hide_a_violation_on_an_easy_one() -> None:
    easy = Operation(1, Op.GET, "easy", None, None, Result.OK, "x", 0, 1)
    verdict = check_history([*hard(), easy], steps_max=100_000)
    assert (verdict.outcome, verdict.key, verdict.witness) == (Outcome.VIOLATION, "easy", (easy,))


def test_progress_is_reported() -> None:
    seen: list[tuple[int, int]] = []
    check_history(
        generate(Shape(500, keys=5, clients=5), seed=1), progress=lambda *progress: seen.append(progress)
    )
    assert seen[-1] == (4, 5), "the last key's turn begins with the others decided"


# -- shapes that took minutes, or gigabytes


def at(op: Op, time: int, value: Value = None, output: Value = None, expected: Value = None) -> Operation:
    """One after the other, of one client."""
    return Operation(1, op, "k", value, expected, Result.OK, output, 2 * time, 2 * time + 1)


def grown(pieces: list[str]) -> list[Operation]:
    appends = [at(Op.APPEND, time, piece) for time, piece in enumerate(pieces)]
    return [*appends, at(Op.GET, len(pieces), output="".join(pieces))]


@pytest.mark.parametrize("pieces", [[f"<{number}>" for number in range(10_000)], ["x"] * 30_000])
def test_a_string_that_grew_in_many_steps_is_not_kept_in_all_its_lengths(pieces: list[str]) -> None:
    """That would be its length squared: 600 and 450 megabytes."""
    history = grown(pieces)
    tracemalloc.start()
    try:
        verdict = check_history(history, steps_max=STEPS_MAX)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert verdict.outcome is Outcome.LINEARIZABLE
    assert peak < 100e6


def test_a_string_longer_than_all_that_was_written_is_impossible_at_once() -> None:
    """Taken apart letter by letter it would take as many copies of itself."""
    history = [at(Op.APPEND, 0, "x"), at(Op.APPEND, 1, "x"), at(Op.GET, 2, output="x" * 1_000_000)]
    verdict = check_history(history, steps_max=10)
    assert verdict.outcome is Outcome.VIOLATION
    assert verdict.reason.endswith("and all that could be part of it by then is shorter")


def test_many_unknown_writes_are_asked_only_where_they_could_be_of_use() -> None:
    """Each was compared with each, at every step."""
    count = 1_000
    unknown = [
        Operation(number, Op.PUT, "k", number, None, Result.UNKNOWN, None, 0, None) for number in range(count)
    ]
    reads = [at(Op.GET, 1 + number, output=number) for number in range(count)]
    verdict = check_history([*unknown, *reads], steps_max=2 * count)
    assert verdict.outcome is Outcome.LINEARIZABLE


def test_the_clock_is_looked_at_however_long_a_step_takes() -> None:
    """With many unknown writes a step is many."""
    count = 3_000
    unknown = [
        Operation(number, Op.PUT, "k", number, None, Result.UNKNOWN, None, 0, None) for number in range(count)
    ]
    reads = [at(Op.GET, 1 + number, output=number) for number in range(count)]
    looks = iter(range(1_000_000))
    verdict = check_history([*unknown, *reads], budget_seconds=5.0, clock=lambda: float(next(looks)))
    assert verdict.outcome is Outcome.UNDECIDED
    assert verdict.steps < 1_000


def test_what_nobody_wrote_and_what_was_replaced_is_found_without_a_search() -> None:
    """However many orders there are of all the rest."""
    count = 40
    together = [at(Op.PUT, 0, value=number) for number in range(count)]
    together += [at(Op.GET, 5, output=number) for number in range(count)]
    together = [replace(operation, return_ns=3_000) for operation in together]
    for last, reason in (
        ([at(Op.GET, 2_000, output=77)], "get returned 77, but nothing had written it by then"),
        (
            [at(Op.PUT, 2_000, value=77), at(Op.GET, 3_000, output=7)],
            "get returned 7, but put 77 had replaced it before the get began",
        ),
        (
            [at(Op.GET, 2_000, output=7), at(Op.GET, 3_000, output=8)],
            "get returned 8, but an earlier get returned 7, and nothing wrote 8 after that",
        ),
    ):
        verdict = check_history([*together, *last])
        assert (verdict.outcome, verdict.steps) == (Outcome.VIOLATION, 0)
        assert verdict.reason == reason
        assert len(verdict.witness) <= 4


def test_the_clock_is_looked_at_while_long_texts_are_prepared() -> None:
    count = 2_000
    history = grown([f"<{number}>" for number in range(count)])
    assert check_history(history).outcome is Outcome.LINEARIZABLE
    looks = iter(range(1_000_000))
    verdict = check_history(history, budget_seconds=100.0, clock=lambda: float(next(looks)))
    assert (verdict.outcome, verdict.steps) == (Outcome.UNDECIDED, 0)
    assert next(looks) < 200


def test_why_a_long_chain_is_broken_is_found_without_comparing_all_with_all() -> None:
    count = 20_000
    chain = [at(Op.CAS, number, number + 1, True, number or None) for number in range(count)]
    both = [at(Op.CAS, count + more, -1 - more, True, count) for more in range(2)]
    assert explain([*chain, *both]) == "cas found 20000, but cas -1 had replaced it before the cas began"


def test_a_machine_without_memory_is_told_of_in_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(search: object, steps: int) -> None:
        raise MemoryError

    monkeypatch.setattr(Search, "run", no_room)
    verdict = check_history(hard())
    assert verdict.describe().startswith("undecided: there is no more memory after 0 steps")


def test_what_is_proven_stays_so_where_there_is_no_memory_to_explain_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(verdict_module, "shrink", no_room)
    verdict = check_history([at(Op.PUT, 0, "a"), at(Op.GET, 1, output="b")])
    assert verdict.outcome is Outcome.VIOLATION
    assert verdict.reason == "there is no memory left to say why"


def test_a_long_string_is_explained_within_bounds() -> None:
    pieces = [f"<{number}>" for number in range(20_000)]
    late = [at(Op.GET, 20_001 + each, output="".join(pieces)[:-1]) for each in range(200)]
    assert explain([*grown(pieces), *late]).startswith("no order of these operations")
    empty = [at(Op.GET, 20_001 + each) for each in range(20_000)]
    assert explain([*grown(pieces), *empty]).startswith("no order of these operations")


def test_each_key_gives_back_the_memory_that_it_took() -> None:
    check = _Check({f"k{number}": grown(["a", "b"]) for number in range(50)}, Budget(), None)
    assert check.run().outcome is Outcome.LINEARIZABLE
    assert check._remembered == 0


def concurrent(count: int, key: str = "k") -> list[Operation]:
    """Each to be looked at in every step, and only one of them possible there."""
    return [
        Operation(number, Op.CAS, key, number + 1, number or None, Result.OK, True, 0, 1_000_000)
        for number in range(count)
    ]


def test_a_step_among_many_concurrent_operations_counts_for_many() -> None:
    """Or thousands of them take minutes between two looks at the clock."""
    problem = Problem(concurrent(3_000))
    search = Search(problem)
    assert search.run(1_000_000) is None
    assert search.steps <= EFFORT_MAX // 1_000


def test_the_clock_is_looked_at_while_the_tables_are_made() -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1

    Problem(concurrent(2_000), look)
    assert looks >= 2 * (4_000 // EVENTS_A_LOOK)


def test_a_key_with_too_many_concurrent_operations_hides_no_violation_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(problem_module, "TIMELINES_BYTES_MAX", 100_000)
    wide = concurrent(1_000)
    verdict = check_history(wide)
    assert verdict.outcome is Outcome.UNDECIDED
    assert verdict.describe().startswith("undecided: too many operations of one key are concurrent")
    # Nothing that a first look would see: it takes a search.
    broken = [
        Operation(1, Op.PUT, "other", "a", None, Result.OK, None, 0, 10),
        Operation(2, Op.PUT, "other", "b", None, Result.OK, None, 0, 10),
        Operation(3, Op.GET, "other", None, None, Result.OK, "a", 20, 21),
        Operation(3, Op.GET, "other", None, None, Result.OK, "b", 22, 23),
    ]
    verdict = check_history([*wide, *broken])
    assert (verdict.outcome, verdict.key) == (Outcome.VIOLATION, "other")
