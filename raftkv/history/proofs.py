"""What can be seen of a key without a search: a value that cannot have been there when it was seen.

An *observer* is a get, or a cas that took place. What it saw, v, cannot have been there if

- nothing that leaves v was called before the observer returned, and v is not the absence at first; or
- some other operation shows a state that is not v, was called after all of these had returned, and returned
  before the observer was called: a write that leaves something else, or another observer that saw
  something else. Whatever order there is has all that leaves v before it, and the observer after it.

Beside appends, which may leave any text, neither is looked for. It takes a sort and a look at each
operation, where a search may take for ever: how many orders there are does not matter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import inf
from typing import NamedTuple

from raftkv.history.operations import Op, Operation, Result, Value

State = tuple[type, Value]
"""``1`` and ``true`` are different values."""


def state_of(value: Value) -> State:
    return (type(value), value)


class Proof(NamedTuple):
    """That what ``observer`` saw was not there: because of ``other``, or because nothing had left it."""

    observer: Operation
    other: Operation | None


def disprove(operations: Iterable[Operation]) -> Proof | None:
    """Of the first observer to return that saw what was not there. ``operations`` are of one key. None:
    nothing is that plain."""
    happened = [operation for operation in operations if operation.result is not Result.FAIL]
    if any(operation.op is Op.APPEND for operation in happened):
        return None
    sources, others = Sources(filter(_is_source, happened)), _Others(happened)
    for observer in sorted(filter(_is_observer, happened), key=return_of):
        value = seen(observer)
        last = sources.last_return(value, return_of(observer))
        if last is None and value is not None:
            return Proof(observer, None)
        other = others.first_to_return(-1 if last is None else last, state_of(value))
        if other and return_of(other) < observer.call_ns:
            return Proof(observer, other)
    return None


def witness(proof: Proof, operations: Iterable[Operation]) -> list[Operation]:
    """The few operations that show it, by call; none where one of them would be a cas, which says in turn
    what was there before."""
    observer, other = proof
    if other is None:
        return [observer]
    found = [observer, other]
    for shown in (observer, *([other] if other.op is Op.GET else [])):
        value, end = seen(shown), return_of(shown)
        sources = [
            write
            for write in operations
            if write.call_ns <= end and _is_source(write) and _state_after(write) == state_of(value)
        ]
        if sources:
            found.append(max(sources, key=return_of))
    return [] if any(each.op is Op.CAS for each in found[1:]) else sorted(found, key=_call)


def _is_source(operation: Operation) -> bool:
    """Of a value that need not have been there before."""
    return operation.result is not Result.FAIL and not (operation.is_read or operation.passes_on)


def _state_after(write: Operation) -> State:
    return state_of(left(write))


def _is_observer(operation: Operation) -> bool:
    """Its result says what the state was."""
    if operation.result is not Result.OK:
        return False
    return operation.op is Op.GET or (operation.op is Op.CAS and operation.output is True)


def seen(observer: Operation) -> Value:
    return observer.output if observer.op is Op.GET else observer.expected


def left(write: Operation) -> Value:
    """The state after it took effect; not for appends."""
    return None if write.op is Op.DELETE else write.value


def return_of(operation: Operation) -> float:
    return inf if operation.return_ns is None else operation.return_ns


class Sources:
    """Writes, by what they leave."""

    def __init__(self, writes: Iterable[Operation]) -> None:
        by_value: dict[State, list[Operation]] = {}
        for write in writes:
            by_value.setdefault(_state_after(write), []).append(write)
        for found in by_value.values():
            found.sort(key=_call)
        self._calls = {state: [write.call_ns for write in found] for state, found in by_value.items()}
        self._last_returns = {
            state: list(accumulate(map(return_of, found), max)) for state, found in by_value.items()
        }

    def last_return(self, value: Value, end: float) -> float | None:
        """Of those that leave the value and were called by then; None where there are none."""
        state = state_of(value)
        count = bisect_right(self._calls.get(state, ()), end)
        return self._last_returns[state][count - 1] if count else None


class _Others:
    """The operations that certainly happened and show a state: that of a write the one after it."""

    def __init__(self, happened: Sequence[Operation]) -> None:
        shown = sorted(filter(_shown, happened), key=_call)
        self._calls = [operation.call_ns for operation in shown]
        best: list[tuple[Operation, ...]] = []
        for operation in reversed(shown):
            best.append(_two_best(best[-1] if best else (), operation))
        self._best = best
        """Of the last one, two, three …: the first to return, and the first that shows another state."""

    def first_to_return(self, after: float, state: State) -> Operation | None:
        """Of those called later than that which do not show the state."""
        count = len(self._calls) - bisect_right(self._calls, after)
        found = self._best[count - 1] if count else ()
        return next((operation for operation in found if _state(operation) != state), None)


def _shown(operation: Operation) -> bool:
    if operation.result is not Result.OK or operation.missed:
        return False
    return not operation.passes_on or operation.output is True


def _state(operation: Operation) -> State:
    return state_of(operation.output) if operation.op is Op.GET else _state_after(operation)


def _two_best(best: tuple[Operation, ...], operation: Operation) -> tuple[Operation, ...]:
    candidates = sorted((*best, operation), key=return_of)
    first = candidates[0]
    other = next((each for each in candidates[1:] if _state(each) != _state(first)), None)
    return (first, other) if other else (first,)


def _call(operation: Operation) -> int:
    return operation.call_ns
