"""From a history that is not linearizable to a small part of it that shows why.

A part proves something about the whole only if the whole, were it linearizable, would leave the part
linearizable too. So each step here keeps this: **if the operations before the step are linearizable, those
after it are**. Let S be a linearization before the step; what follows is one after it.

*Later than the end.* With an end chosen, operations called after it are left out, and so are reads
that return after it; a write that returns after it may have happened or not. S cut at the end is a
linearization of what remains, as whatever of it stands in S before a kept read was called before the end.

*A read* (a get, a cas that found another value, an unknown get, an unknown cas from a value to itself): S
without it. It changed nothing.

*A write W*, when nothing that is left depends on it. In S, W's **stretch** goes from W to the next put,
delete or cas that takes effect. What stands in the stretch sees what W did; the rest sees nothing of it,
so if nothing but appends stands there, S without W is as good. What might stand there and mind:

- a get that returned, or a cas that expected, what W left: the value itself of a put, delete or cas. Beside
  appends it is any text that begins with this value (after a delete: any at all), and for an append any
  text that contains the suffix;
- a cas that found another value, whatever it expected.

None of these is in the stretch if it returned before W was called, or if some put, delete or successful cas
was called after W returned and returned before it was called: S has that one between them. W may go if
each is excused in one of these two ways. And beside appends every value written must be text, because the
appends of the stretch would land on what was there before W, which must not be a number. When several
writes go at once, the ones that excuse them are not among them. A cas that goes along need not be excused:
of whatever is left, what it sees was last written by something that is left, or it would mind what goes.

That would be sound even where it leaves a get of 2 alone, all puts of 2 being long overwritten; but the part
would seem to say that nobody ever wrote 2. So a write whose effect is seen by what is left goes only if
another write with the same effect stays (a cas from a value to itself is none) that was called before the
first of them returned, and returned no sooner than the one that goes: what is said of the part, that nothing
wrote a value or that it was replaced, is then true of the whole. An append that is seen stays, as of two
that are alike both may be part of what was seen.

What remains is a list of operations of the history as they were recorded. First the end is chosen, as early
as possible; then as many reads as possible are dropped at a time, then fewer, then writes, then reads again:
small, though not always the smallest there is. Each attempt is a search; a budget bounds them all, and when
it is spent the smallest part so far is the answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import replace
from itertools import accumulate

from raftkv.history.budget import Budget
from raftkv.history.model import as_bytes, is_text
from raftkv.history.operations import Op, Operation, Result
from raftkv.history.proofs import Sources, State, left, return_of, seen, state_of

SEARCHED_MAX = 1 << 28
"""Bytes, between two looks at the budget: some tenths of a second."""

OPERATIONS_A_STEP = 64
"""To look for what may go among so many takes as long as a step of a search."""

ROUNDS_MAX = 8
"""In which writes that may go together are looked for, before each has to be free to go alone."""

Judge = Callable[[Sequence[Operation]], bool]
"""Whether operations of one key are proven not to be linearizable; False when the budget is spent."""


def shrink(
    operations: Sequence[Operation], returns_passed: int, judge: Judge, budget: Budget
) -> list[Operation]:
    """The part, by call. ``operations`` are of one key and proven not linearizable; so many of the first
    returns are known to be harmless."""
    happened = [operation for operation in operations if operation.result is not Result.FAIL]
    happened.sort(key=lambda operation: operation.call_ns)
    part = _cut(happened, returns_passed, judge)
    for step in (without_reads, without_writes, without_reads):
        part = _in_chunks(part, step, judge, budget)
    return part


def _cut(operations: list[Operation], returns_passed: int, judge: Judge) -> list[Operation]:
    """Up to the first return by which it is not linearizable."""
    ends = sorted(operation.return_ns for operation in operations if operation.return_ns is not None)
    low, high = returns_passed - 1, len(ends) - 1  # fine up to ends[low], not fine up to ends[high]
    stride = 1
    while low + stride < high:
        if judge(_until(operations, ends[low + stride], relaxed=True)):
            high = low + stride
            break
        low += stride
        stride *= 2
    while low + 1 < high:
        middle = (low + high) // 2
        if judge(_until(operations, ends[middle], relaxed=True)):
            high = middle
        else:
            low = middle
    return _closed(operations, ends[high])


def _closed(operations: list[Operation], end_ns: int) -> list[Operation]:
    """Up to an end, or to the return of a cas that was pending then: what it found may have been written
    only after that end, and a part without that write would accuse the wrong one."""
    while True:
        kept = _until(operations, end_ns, relaxed=False)
        last_ns = max((operation.return_ns or 0 for operation in kept if operation.op is Op.CAS), default=0)
        if last_ns <= end_ns:
            return kept
        end_ns = last_ns


def _until(operations: list[Operation], end_ns: int, *, relaxed: bool) -> list[Operation]:
    """What was called by then; ``relaxed``: with writes that return later as unknown. The stricter list
    of operations as recorded has no linearization where the relaxed one has none."""
    kept = []
    for operation in operations:
        if operation.call_ns > end_ns:
            continue
        if operation.return_ns is None or operation.return_ns > end_ns:
            if operation.is_read:
                continue
            if relaxed:
                kept.append(replace(operation, result=Result.UNKNOWN, output=None, return_ns=None))
                continue
        kept.append(operation)
    return kept


Step = Callable[[Sequence[Operation], range], list[Operation]]


def _in_chunks(operations: list[Operation], step: Step, judge: Judge, budget: Budget) -> list[Operation]:
    """From the front, so that of several operations as good as each other the latest stays."""
    size = len(operations)
    while size:
        start, before = 0, len(operations)
        while start < len(operations) and not budget.is_spent():
            budget.take(1 + len(operations) // OPERATIONS_A_STEP)
            smaller = step(operations, range(start, start + size))
            gone = len(operations) - len(smaller)
            if gone and judge(smaller):
                operations = smaller
                start -= gone
            start += size
        if budget.is_spent() or (size == 1 and len(operations) == before):
            break
        size = max(1, size // 2)
    return operations


def without_reads(operations: Sequence[Operation], wanted: range) -> list[Operation]:
    """Without the reads in the wanted places."""
    return [
        operation
        for at, operation in enumerate(operations)
        if at not in wanted or not (operation.is_read or _is_idle(operation))
    ]


def _is_idle(operation: Operation) -> bool:
    return operation.result is Result.UNKNOWN and operation.passes_on


def without_writes(operations: Sequence[Operation], wanted: range) -> list[Operation]:
    """Without those writes in the wanted places that may go; see the module."""
    appends = any(operation.op is Op.APPEND for operation in operations)
    if appends and not all(_writes_text(operation) for operation in operations):
        return list(operations)
    resets = _Resets(
        operation
        for at, operation in enumerate(operations)
        if at not in wanted and operation.op is not Op.APPEND and not operation.is_read
    )
    witnesses = [
        (operation, resets.latest_call(before_ns=operation.call_ns))
        for operation in operations
        if _is_witness(operation)
    ]
    if appends and _searched(operations, wanted) > SEARCHED_MAX:
        return list(operations)  # in smaller parts, if there is time
    staying = [operation for at, operation in enumerate(operations) if at not in wanted]
    rule = _Rule(_Minders(witnesses, appends=appends), staying)
    going = [operation for at, operation in enumerate(operations) if at in wanted and not operation.is_read]
    for _ in range(ROUNDS_MAX):
        gone = {id(operation) for operation in going}
        may_go = [operation for operation in going if rule.lets_go(operation, gone)]
        if len(may_go) == len(going):
            break
        going = may_go
    else:
        going = [operation for operation in going if rule.lets_go(operation, frozenset())]
    gone = {id(operation) for operation in going}
    return [operation for operation in operations if id(operation) not in gone]


class _Rule:
    """Which writes may go, while ``staying`` stays; see the module."""

    def __init__(self, minders: _Minders, staying: Sequence[Operation]) -> None:
        self._minders = minders
        writes = [each for each in staying if not (each.is_read or each.op is Op.APPEND)]
        self._lasting = Sources(writes)
        # A cas that leaves what it found only passes a value on: where it came from would be gone.
        self._sources = Sources(each for each in writes if not each.passes_on)

    def lets_go(self, write: Operation, gone: Set[int]) -> bool:
        """``gone``: the ids of what goes along."""
        minding = [
            (witness, latest_call_ns)
            for witness, latest_call_ns in self._minders.of(write)
            if witness is not write and id(witness) not in gone
        ]
        if not all(_is_excused(witness, latest_call_ns, write) for witness, latest_call_ns in minding):
            return False
        seeing = [return_of(witness) for witness, _ in minding if not witness.missed]
        if not seeing:
            return True
        if write.op is Op.APPEND:
            return False
        others = self._lasting if write.passes_on else self._sources
        last = others.last_return(left(write), min(seeing))
        return last is not None and last >= return_of(write)


class _Resets:
    """The known puts, deletes and cas, by return, with the latest call up to each."""

    def __init__(self, resets: Iterable[Operation]) -> None:
        times = sorted(
            (operation.return_ns, operation.call_ns)
            for operation in resets
            if operation.return_ns is not None
        )
        self._returns = [return_ns for return_ns, _ in times]
        self._calls = list(accumulate((call_ns for _, call_ns in times), max))

    def latest_call(self, *, before_ns: int) -> int:
        """Among those that returned before a time; -1 when none did."""
        at = bisect_left(self._returns, before_ns)
        return self._calls[at - 1] if at else -1


def _searched(operations: Sequence[Operation], wanted: range) -> int:
    """Bytes in which what the wanted writes left is looked for."""
    writes = sum(1 for at, each in enumerate(operations) if at in wanted and not each.is_read)
    return writes * sum(len(as_bytes(value)) for each in operations if is_text(value := seen(each)))


class _Minders:
    """Which witnesses mind what a write left. Without appends they are looked up by the value."""

    def __init__(self, witnesses: Sequence[tuple[Operation, int]], *, appends: bool) -> None:
        self._all = witnesses
        self._appends = appends
        self._by_value: dict[State, list[tuple[Operation, int]]] = {}
        self._of_any: list[tuple[Operation, int]] = []
        for entry in witnesses:
            if entry[0].missed:
                self._of_any.append(entry)
            else:
                self._by_value.setdefault(state_of(seen(entry[0])), []).append(entry)

    def of(self, write: Operation) -> list[tuple[Operation, int]]:
        if self._appends:
            return [entry for entry in self._all if _minds(entry[0], write)]
        return [*self._of_any, *self._by_value.get(state_of(write.value), ())]


def _writes_text(operation: Operation) -> bool:
    return operation.op not in (Op.PUT, Op.CAS) or operation.value is None or is_text(operation.value)


def _is_witness(operation: Operation) -> bool:
    return operation.op is Op.CAS or (operation.op is Op.GET and operation.result is Result.OK)


def _is_excused(witness: Operation, latest_call_ns: int, write: Operation) -> bool:
    """It cannot stand in the write's stretch."""
    if witness.return_ns is not None and witness.return_ns < write.call_ns:
        return True
    return write.return_ns is not None and write.return_ns < latest_call_ns


def _minds(witness: Operation, write: Operation) -> bool:
    """Its result could depend on the write's effect, beside appends."""
    if witness.missed:
        return True
    value = seen(witness)
    if write.value is None:
        return True
    if not is_text(value):
        return False
    text = as_bytes(write.value)
    return text in as_bytes(value) if write.op is Op.APPEND else as_bytes(value).startswith(text)
