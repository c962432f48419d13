"""What clients did, as recorded: one ``Operation`` a call, one JSON object a line.

Owns the history format: reading it with every error naming file and line, writing it, and showing a
value or an operation to people. A history is judged by what it says, so nothing is guessed: a field
that is missing or of the wrong type is an error, not a default. Fields the format does not know are
ignored, so that a recorder may add its own.

Three outcomes, as the client library has them: ``ok`` happened between call and return, ``fail`` did
not happen, ``unknown`` may have happened at any time after the call, or may yet, or never.

Values are strings, integers, booleans, null (the key is absent) and ``{"base64": …}`` for bytes that
are no UTF-8. ``1`` and ``true`` are different values.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from raftkv.errors import HistoryError


class Op(StrEnum):
    PUT = "put"
    GET = "get"
    CAS = "cas"
    DELETE = "delete"
    APPEND = "append"


class Result(StrEnum):
    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


Value = str | bytes | int | None
"""``bool`` is an ``int`` to the type checker; ``same_value`` tells them apart. ``bytes`` holds only what
is no UTF-8: any other bytes are the string they spell."""

Key = str | bytes

INTEGER_MAX = (1 << 63) - 1
"""Nanoseconds, or the number of a client."""
BYTE_ORDER_MARK = "\ufeff"
"""Some editors begin a file with it."""
DIGITS_MAX = 1000
"""Of an integer that was written."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of one client. Times are nanoseconds of one clock; equal times count as concurrent.

    ``value`` belongs to put, cas and append, ``expected`` to cas. ``output`` is a get's value (None:
    absent) or whether a cas took place; it says something only when ``result`` is ok.
    ``return_ns`` is None when the result is unknown.
    """

    client: int
    op: Op
    key: Key
    value: Value
    expected: Value
    result: Result
    output: Value
    call_ns: int
    return_ns: int | None

    @property
    def is_read(self) -> bool:
        """It changed nothing, whatever the state was: a get, or a cas that found another value."""
        return self.op is Op.GET or self.missed

    @property
    def missed(self) -> bool:
        """A cas that found another value than it expected. (A get may well have returned ``False``.)"""
        return self.op is Op.CAS and self.result is Result.OK and self.output is False

    @property
    def passes_on(self) -> bool:
        """A cas that leaves what it found: the value was there before, and is there after it."""
        return self.op is Op.CAS and same_value(self.expected, self.value)


def same_value(left: Value, right: Value) -> bool:
    return type(left) is type(right) and left == right


def text_of(value: bytes) -> str | bytes:
    """The string the bytes spell, or the bytes."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value


def read_history(lines: Iterable[str | bytes], name: str) -> list[Operation]:
    """The operations in the order of their lines; blank lines are skipped.

    Raises HistoryError: ``runs/h.jsonl:17: "op" must be one of put, get, cas, delete, append, not "gte"``.
    """
    operations = []
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8") if isinstance(line, bytes) else line
            if number == 1:
                text = text.removeprefix(BYTE_ORDER_MARK)
            if text.strip():
                operations.append(_operation(_parse(text.rstrip())))
        except UnicodeDecodeError:
            raise HistoryError(f"{name}:{number}: this line is not UTF-8") from None
        except ValueError as error:
            raise HistoryError(f"{name}:{number}: {error}") from None
    return operations


def to_json_line(operation: Operation) -> str:
    """Without the line end; ``read_history`` gives the operation back."""
    return json.dumps(as_document(operation), ensure_ascii=False)


def as_document(operation: Operation) -> dict[str, Any]:
    document: dict[str, Any] = {
        "client": operation.client,
        "op": operation.op.value,
        "key": as_json(operation.key),
    }
    if operation.op in _WITH_VALUE:
        document["value"] = as_json(operation.value)
    if operation.op is Op.CAS:
        document["expected"] = as_json(operation.expected)
    document["result"] = operation.result.value
    if operation.result is Result.OK:
        document["output"] = as_json(operation.output)
    document["call_ns"] = operation.call_ns
    if operation.return_ns is not None:
        document["return_ns"] = operation.return_ns
    return document


_WITH_VALUE = frozenset((Op.PUT, Op.CAS, Op.APPEND))
_OPS = {op.value: op for op in Op}
_RESULTS = {result.value: result for result in Result}


def _parse(text: str) -> dict[str, Any]:
    try:
        record = json.loads(
            text, parse_constant=_refuse_constant, parse_int=_digits, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        cause = error.msg.removesuffix(" at")
        raise ValueError(f"not JSON: {cause} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("not a record: nested too deep") from None
    if not isinstance(record, dict):
        raise ValueError(f"a record is a JSON object, not {_kind(record)}")
    return record


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"{_shown(name)} stands there twice")
            seen.add(name)
    return found


def _digits(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise ValueError(f"an integer of {len(text):,} digits, which no recorder writes")
    return int(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"not JSON: {name}")


def _operation(record: dict[str, Any]) -> Operation:
    op = _one_of(record, "op", _OPS)
    result = _one_of(record, "result", _RESULTS)
    call_ns = _integer(record, "call_ns")
    return_ns = _return_ns(record, result, call_ns)
    value = _value(record, "value") if op in _WITH_VALUE else None
    if op is Op.APPEND and not isinstance(value, str | bytes):
        raise ValueError(f'"value" of an append must be a string, not {_shown(record["value"])}')
    return Operation(
        client=_integer(record, "client"),
        op=op,
        key=_key(record),
        value=value,
        expected=_value(record, "expected") if op is Op.CAS else None,
        result=result,
        output=_output(record, op) if result is Result.OK else None,
        call_ns=call_ns,
        return_ns=return_ns,
    )


def _return_ns(record: dict[str, Any], result: Result, call_ns: int) -> int | None:
    if result is not Result.OK and record.get("return_ns") is None:
        return None
    return_ns = _integer(record, "return_ns")
    if return_ns < call_ns:
        raise ValueError(f'"return_ns" {return_ns} is before "call_ns" {call_ns}')
    return None if result is Result.UNKNOWN else return_ns


def _output(record: dict[str, Any], op: Op) -> Value:
    if op is Op.GET:
        return _value(record, "output")
    if op is Op.CAS:
        output = _field(record, "output")
        if not isinstance(output, bool):
            raise ValueError(f'"output" of a cas must be true or false, not {_shown(output)}')
        return output
    return None  # the others answer nothing the model could check


Choice = TypeVar("Choice")


def _one_of(record: dict[str, Any], name: str, choices: dict[str, Choice]) -> Choice:
    found = _field(record, name)
    if not isinstance(found, str) or found not in choices:
        raise ValueError(f'"{name}" must be one of {", ".join(choices)}, not {_shown(found)}')
    return choices[found]


def _integer(record: dict[str, Any], name: str) -> int:
    found = _field(record, name)
    if type(found) is not int:
        raise ValueError(f'"{name}" must be an integer, not {_shown(found)}')
    if found < 0:
        raise ValueError(f'"{name}" must not be negative: {_shown(found)}')
    if found > INTEGER_MAX:
        raise ValueError(f'"{name}" must be at most {INTEGER_MAX}, not {_shown(found)}')
    return found


def _key(record: dict[str, Any]) -> Key:
    key = _value(record, "key")
    if not isinstance(key, str | bytes):
        raise ValueError(f'"key" must be a string, not {_shown(record["key"])}')
    return key


def _value(record: dict[str, Any], name: str) -> Value:
    found = _field(record, name)
    if isinstance(found, str):
        try:
            found.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f'"{name}" holds half a surrogate pair, which no UTF-8 can spell') from None
        return found
    if found is None or isinstance(found, int):
        return found
    if isinstance(found, dict) and list(found) == ["base64"] and isinstance(found["base64"], str):
        try:
            return text_of(base64.b64decode(found["base64"], validate=True))
        except ValueError:
            raise ValueError(f'"{name}" is no base64: {_shown(found["base64"])}') from None
    raise ValueError(
        f'"{name}" must be a string, an integer, true, false, null or {{"base64": …}}, not {_kind(found)}'
    )


def _field(record: dict[str, Any], name: str) -> Any:
    if name not in record:
        raise ValueError(f'"{name}" is missing')
    return record[name]


def _kind(found: Any) -> str:
    return "null" if found is None else _KINDS.get(type(found), "a fraction")


_KINDS = {str: "a string", int: "an integer", bool: "a boolean", list: "a list", dict: "an object"}


SHOWN_MAX = 60
"""Characters of a wrong value in an error: enough to find it, and still one line."""


def _shown(found: Any) -> str:
    if isinstance(found, list | dict):
        return _kind(found)  # it may be nested too deep to be written
    text = json.dumps(found)
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"


def as_json(value: Value) -> Any:
    """The value as the format writes it."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    return value


def show_key(key: Key) -> str:
    """A key in a line of text: as it is, if a line can hold it."""
    return key if isinstance(key, str) and key.isprintable() and key else json.dumps(as_json(key))
