"""Short ways to write an operation down: ``put(1, 0, 10)`` is a put of 1, called at 0, returned at 10."""

from __future__ import annotations

from raftkv.history import Op, Operation, Result, Value


def _operation(
    op: Op,
    call: int,
    returned: int | None,
    *,
    value: Value = None,
    expected: Value = None,
    output: Value = None,
) -> Operation:
    result = Result.UNKNOWN if returned is None else Result.OK
    return Operation(0, op, "k", value, expected, result, output, call, returned)


def put(value: Value, call: int, returned: int | None) -> Operation:
    """Without a return the result is unknown; so for all of them."""
    return _operation(Op.PUT, call, returned, value=value)


def get(output: Value, call: int, returned: int | None) -> Operation:
    return _operation(Op.GET, call, returned, output=output)


def cas(
    expected: Value, value: Value, call: int, returned: int | None, *, done: bool | None = True
) -> Operation:
    output = None if returned is None else done
    return _operation(Op.CAS, call, returned, value=value, expected=expected, output=output)


def delete(call: int, returned: int | None) -> Operation:
    return _operation(Op.DELETE, call, returned)


def append(value: Value, call: int, returned: int | None) -> Operation:
    return _operation(Op.APPEND, call, returned, value=value)
