"""The search against the dumb twin, on small histories full of unknowns, ties and equal values.

Also what a witness promises: it has no linearization by itself, and every single step that shrinks a
history leaves a linearizable one linearizable.
"""

from __future__ import annotations

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from raftkv.history import Op, Operation, Outcome, Result, Value, check_history
from raftkv.history.operations import same_value
from raftkv.history.shrink import without_reads, without_writes
from tests.history.brute_force import is_linearizable

OPERATIONS_MAX = 6

NUMBERS: tuple[Value, ...] = (None, 1, 2, True, False)
TEXTS: tuple[Value, ...] = (None, "", "a", "b", "ab", "ba", "aba")
SUFFIXES: tuple[Value, ...] = ("", "a", "b", "ab", b"\xc3", b"\xa9")


@st.composite
def operations(draw: st.DrawFn, ops: tuple[Op, ...], values: tuple[Value, ...], client: int) -> Operation:
    op = draw(st.sampled_from(ops))
    result = draw(st.sampled_from((Result.OK, Result.OK, Result.OK, Result.UNKNOWN, Result.FAIL)))
    call_ns = draw(st.integers(0, 12))
    value = expected = output = None
    if op is Op.APPEND:
        value = draw(st.sampled_from(SUFFIXES))
    elif op in (Op.PUT, Op.CAS):
        value = draw(st.sampled_from(values))
    if op is Op.CAS:
        expected = draw(st.sampled_from(values))
    if result is Result.OK and op is Op.GET:
        output = draw(st.sampled_from(values))
    elif result is Result.OK and op is Op.CAS:
        output = draw(st.booleans())
    return_ns = None if result is Result.UNKNOWN else call_ns + draw(st.integers(0, 6))
    return Operation(client, op, "k", value, expected, result, output, call_ns, return_ns)


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    ops, values = draw(
        st.sampled_from(
            (
                ((Op.PUT, Op.GET, Op.GET, Op.CAS, Op.DELETE), NUMBERS),
                ((Op.PUT, Op.CAS, Op.CAS, Op.GET), NUMBERS),
                ((Op.APPEND, Op.GET), TEXTS),
                ((Op.PUT, Op.GET, Op.GET, Op.CAS, Op.APPEND, Op.APPEND, Op.DELETE), TEXTS),
                ((Op.PUT, Op.GET, Op.GET, Op.CAS, Op.APPEND, Op.APPEND, Op.DELETE), (*TEXTS, 1)),
            )
        )
    )
    count = draw(st.integers(1, OPERATIONS_MAX))
    return [draw(operations(ops, values, client)) for client in range(count)]


@settings(max_examples=1500, deadline=None)
@given(histories())
def test_the_search_agrees_with_the_dumb_twin(history: list[Operation]) -> None:
    expected = is_linearizable(history)
    event(f"linearizable: {expected}")
    verdict = check_history(history)
    assert verdict.outcome is (Outcome.LINEARIZABLE if expected else Outcome.VIOLATION)
    if expected:
        return
    assert not is_linearizable(verdict.witness)
    assert all(any(operation is other for other in history) for operation in verdict.witness)
    assert check_history(verdict.witness).outcome is Outcome.VIOLATION


@settings(max_examples=1500, deadline=None)
@given(histories(), st.integers(0, OPERATIONS_MAX), st.integers(0, OPERATIONS_MAX))
def test_no_step_of_shrinking_makes_a_linearizable_history_a_violation(
    history: list[Operation], first: int, last: int
) -> None:
    happened = [operation for operation in history if operation.result is not Result.FAIL]
    if is_linearizable(happened):
        for step in (without_reads, without_writes):
            assert is_linearizable(step(happened, range(first, last)))


A_CAS_THAT_CHANGES_NOTHING = [
    Operation(0, Op.PUT, "k", 1, None, Result.OK, None, 0, 0),
    Operation(1, Op.PUT, "k", None, None, Result.OK, None, 1, 1),
    Operation(2, Op.CAS, "k", 1, 1, Result.OK, True, 2, 2),
]
"""It is no source of what it saw, though it leaves it."""


@settings(max_examples=500, deadline=None)
@given(histories())
@example(A_CAS_THAT_CHANGES_NOTHING)
def test_a_witness_shows_a_source_of_every_value_it_sees(history: list[Operation]) -> None:
    """As far as the history has one that was called in time: else the get would seem to stand alone."""
    verdict = check_history(history)
    end_ns = max((operation.return_ns or 0 for operation in verdict.witness), default=0)
    if any(operation.op is Op.APPEND for operation in history):
        return  # what an append leaves depends on where it lands
    for operation in verdict.witness:
        if operation.result is not Result.OK or operation.is_read is (operation.op is Op.CAS):
            continue
        if operation.op not in (Op.GET, Op.CAS):
            continue
        seen = operation.output if operation.op is Op.GET else operation.expected
        early = [other for other in history if other.call_ns <= end_ns]
        if seen is not None and _has_source(early, seen):
            assert _has_source(verdict.witness, seen)


def _has_source(history: list[Operation] | tuple[Operation, ...], value: Value) -> bool:
    return any(
        operation.op in (Op.PUT, Op.CAS)
        and operation.result is not Result.FAIL
        and not operation.is_read
        and same_value(operation.value, value)
        and not (operation.op is Op.CAS and same_value(operation.expected, value))
        for operation in history
    )
