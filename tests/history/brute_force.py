"""The dumb twin of the checker: tries every order, and every choice of what unknown operations did.

It shares nothing with the search but the plain model of one operation, ``model.apply``.
"""

from __future__ import annotations

from collections.abc import Sequence

from raftkv.history.model import Refused, apply
from raftkv.history.operations import Operation, Result, Value


def is_linearizable(operations: Sequence[Operation]) -> bool:
    """Of one key."""
    return _explain(None, [operation for operation in operations if operation.result is not Result.FAIL])


def _explain(state: Value, left: list[Operation]) -> bool:
    if all(operation.result is Result.UNKNOWN for operation in left):
        return True  # none of these needs ever to happen
    first_return = min(operation.return_ns for operation in left if operation.return_ns is not None)
    for at, operation in enumerate(left):
        if operation.call_ns > first_return:
            continue  # something returned before this was called
        try:
            after = state if _is_unknown_read(operation) else apply(state, operation)
        except Refused:
            continue
        if _explain(after, left[:at] + left[at + 1 :]):
            return True
    # An unknown operation that never happened is one that is left over at the end.
    return False


def _is_unknown_read(operation: Operation) -> bool:
    return operation.result is Result.UNKNOWN and operation.is_read
