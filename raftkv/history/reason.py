"""One sentence on why a small part of a history has no linearization, where one can be given.

The sentences are about a get, or a cas that took place, whose value could not have been there at any moment
of its own. Whatever is subtler than that gets the honest sentence that no order works.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import inf

from raftkv.history.model import as_bytes, is_text
from raftkv.history.operations import Op, Operation, Result, Value, as_json

SEARCHED_MAX = 1 << 28
"""Bytes that all suffixes are looked for in: some tenths of a second. Of more no sentence would help."""
LOOK_BYTES = 64
"""What it costs to look at a write for one get, whatever that returned."""
SHOWN_MAX = 40
"""Characters of a value in a sentence or a row: enough to tell values apart, and still one line."""


def show(value: Value) -> str:
    """As JSON; what is longer is cut in its middle, as long strings of appends differ at their end."""
    text = json.dumps(as_json(value), ensure_ascii=False)
    if len(text) <= SHOWN_MAX:
        return text
    half = SHOWN_MAX // 2 - 1
    return f"{text[:half]}…{text[-half:]} ({len(text):,} characters)"


def show_call(operation: Operation) -> str:
    match operation.op:
        case Op.PUT | Op.APPEND:
            return f"{operation.op} {show(operation.value)}"
        case Op.CAS:
            return f"cas {show(operation.expected)} -> {show(operation.value)}"
    return str(operation.op)


def show_result(operation: Operation) -> str:
    if operation.result is Result.OK and (operation.op is Op.GET or operation.op is Op.CAS):
        return show(operation.output)
    return str(operation.result)


def explain(witness: Sequence[Operation]) -> str:
    """``witness`` are operations of one key that are not linearizable."""
    if any(operation.op is Op.APPEND for operation in witness):
        return _explain_text(witness) or NO_ORDER
    writes = _Writes(witness)
    observers = [operation for operation in witness if _claim(operation)]
    for observer in sorted(observers, key=lambda operation: operation.return_ns or 0, reverse=True):
        sentence = _explain_one(observer, writes)
        if sentence:
            return sentence
    return NO_ORDER


NO_ORDER = "no order of these operations gives every one of them its result"


def _claim(operation: Operation) -> str:
    """What its result says the state was; empty when it says nothing."""
    if operation.result is not Result.OK:
        return ""
    if operation.op is Op.GET:
        return f"get returned {_state(operation.output)}"
    if operation.op is Op.CAS and operation.output is True:
        return f"cas found {_state(operation.expected)}"
    return ""


def _state(value: Value) -> str:
    return "no value" if value is None else show(value)


def _observed(observer: Operation) -> Value:
    return observer.output if observer.op is Op.GET else observer.expected


class _Writes:
    """Those of a witness without appends, to be asked by every observer of it."""

    def __init__(self, witness: Sequence[Operation]) -> None:
        by_call = sorted((each for each in witness if not each.is_read), key=lambda each: each.call_ns)
        self._sources: dict[tuple[type, Value], list[Operation]] = {}
        for write in by_call:
            if not write.passes_on:
                left = _left(write)
                self._sources.setdefault((type(left), left), []).append(write)
        self._last_returns = {
            value: list(accumulate((_return_ns(source) for source in sources), max))
            for value, sources in self._sources.items()
        }
        self._known = [write for write in by_call if write.result is Result.OK and not write.passes_on]
        self._replacers = list(accumulate(reversed(self._known), _earlier_to_return))
        """The one that returns first of the last one, two, three …"""

    def last_return_ns(self, value: Value, end_ns: int) -> float | None:
        """Of those that leave the value and were called by then; None where there are none."""
        sources = self._sources.get((type(value), value), [])
        count = bisect_right(sources, end_ns, key=lambda source: source.call_ns)
        return self._last_returns[type(value), value][count - 1] if count else None

    def replacer(self, after_ns: float) -> Operation | None:
        """The known write that returns first, of those that were called later than that."""
        count = len(self._known) - bisect_right(self._known, after_ns, key=lambda write: write.call_ns)
        return self._replacers[count - 1] if count else None


def _return_ns(operation: Operation) -> float:
    return inf if operation.return_ns is None else operation.return_ns


def _earlier_to_return(one: Operation, other: Operation) -> Operation:
    return one if _return_ns(one) <= _return_ns(other) else other


def _explain_one(observer: Operation, writes: _Writes) -> str:
    value = _observed(observer)
    last_return_ns = writes.last_return_ns(value, observer.return_ns or 0)
    if last_return_ns is None:
        if value is not None:
            return f"{_claim(observer)}, but nothing had written it by then"
        last_return_ns = -1  # absent at first: as if deleted before everything
    # Called later, and over before the observer is called: none of those that leave the value.
    replacer = writes.replacer(last_return_ns)
    if replacer and _return_ns(replacer) < observer.call_ns:
        replaced = f"{_describe_write(replacer)} had replaced it before the {observer.op} began"
        return f"{_claim(observer)}, but {replaced}"
    return ""


def _left(write: Operation) -> Value:
    """The state after it took effect; not for appends."""
    return None if write.op is Op.DELETE else write.value


def _describe_write(write: Operation) -> str:
    return "a delete" if write.op is Op.DELETE else f"{write.op} {show(write.value)}"


def _explain_text(witness: Sequence[Operation]) -> str:
    """Where there are only appends: what a get must have returned and did not, or returned and cannot."""
    writes = [operation for operation in witness if not operation.is_read]
    if any(write.op is not Op.APPEND for write in writes):
        return ""
    gets = [operation for operation in witness if operation.op is Op.GET]
    looked_at = sum(LOOK_BYTES + (len(as_bytes(get.output)) if is_text(get.output) else 0) for get in gets)
    if looked_at * len(writes) > SEARCHED_MAX:
        return ""
    for observer in witness:
        if observer.op is not Op.GET or observer.result is not Result.OK:
            continue
        if observer.output is not None and not is_text(observer.output):
            return f"{_claim(observer)}, and appends leave text"
        text = as_bytes(observer.output)
        suffixes = [as_bytes(write.value) for write in writes if write.call_ns <= (observer.return_ns or 0)]
        if len(text) > sum(len(suffix) for suffix in suffixes if suffix in text):
            return f"{_claim(observer)}, and all that could be part of it by then is shorter"
        for write in writes:
            suffix = as_bytes(write.value)
            over = write.return_ns is not None and write.return_ns < observer.call_ns
            if over and suffix and suffix not in text:
                return f"{_claim(observer)}, but append {show(write.value)} was done before the get began"
    return ""
