"""One sentence on why a small part of a history has no linearization, where one can be given.

The sentences are about a get, or a cas that took place, whose value could not have been there at any moment
of its own. Whatever is subtler than that gets the honest sentence that no order works.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from raftkv.history.model import as_bytes, is_text
from raftkv.history.operations import Op, Operation, Result, Value, as_json
from raftkv.history.proofs import Proof, disprove, seen

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
    proof = disprove(witness)
    return _tell(proof) if proof else NO_ORDER


NO_ORDER = "no order of these operations gives every one of them its result"


def _claim(observer: Operation) -> str:
    """What its result says the state was."""
    verb = "returned" if observer.op is Op.GET else "found"
    return f"{observer.op} {verb} {_state(seen(observer))}"


def _state(value: Value) -> str:
    return "no value" if value is None else show(value)


def _tell(proof: Proof) -> str:
    observer, other = proof
    if other is None:
        return f"{_claim(observer)}, but nothing had written it by then"
    if other.op is Op.GET or other.passes_on:
        value = seen(observer)
        since = "deleted it" if value is None else f"wrote {show(value)}"
        return f"{_claim(observer)}, but an earlier {_claim(other)}, and nothing {since} after that"
    return f"{_claim(observer)}, but {_describe_write(other)} had replaced it before the {observer.op} began"


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
