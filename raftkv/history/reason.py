"""One sentence on why a small part of a history has no linearization, where one can be given.

The sentences are about a get, or a cas that took place, whose value could not have been there at any moment
of its own. Whatever is subtler than that gets the honest sentence that no order works.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from raftkv.history.operations import Op, Operation, Result, Value, as_json, same_value

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
    observers = [operation for operation in witness if _claim(operation)]
    for observer in sorted(observers, key=lambda operation: operation.return_ns or 0, reverse=True):
        sentence = _explain_one(observer, witness)
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


def _explain_one(observer: Operation, witness: Sequence[Operation]) -> str:
    value = _observed(observer)
    writes = [operation for operation in witness if not operation.is_read and operation is not observer]
    sources = [write for write in writes if same_value(_left(write), value)]
    end_ns = observer.return_ns or 0
    early = [source for source in sources if source.call_ns <= end_ns]
    if not early and value is not None:
        return f"{_claim(observer)}, but nothing had written it by then"
    if any(source.return_ns is None for source in early):
        return ""
    # Absent at first: as if deleted before everything.
    last_return_ns = max((source.return_ns or 0 for source in early), default=-1)
    for write in writes:
        if (
            write.result is Result.OK
            and not same_value(_left(write), value)
            and last_return_ns < write.call_ns
            and write.return_ns is not None
            and write.return_ns < observer.call_ns
        ):
            replaced = f"{_describe_write(write)} had replaced it before the {observer.op} began"
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
    for observer in witness:
        if observer.op is not Op.GET or observer.result is not Result.OK:
            continue
        text = observer.output if isinstance(observer.output, str) else ""
        begun = [write.value for write in writes if write.call_ns <= (observer.return_ns or 0)]
        if len(text) > sum(len(suffix) for suffix in begun if isinstance(suffix, str)) and str in map(
            type, begun
        ):
            return f"{_claim(observer)}, which is longer than all that was appended by then"
        for write in writes:
            suffix = write.value
            if not isinstance(suffix, str) or not suffix:
                continue
            over = write.return_ns is not None and write.return_ns < observer.call_ns
            if over and suffix not in text:
                return f"{_claim(observer)}, but append {show(suffix)} was done before the get began"
    return ""
