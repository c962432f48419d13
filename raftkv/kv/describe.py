"""A command of the log in a few words, for people: ``put color=blue``.

Whatever bytes the log holds, this makes one printable line of them, and never fails. Keys and values are cut
short before anything else is done with them: an entry may have a megabyte.
"""

from __future__ import annotations

from typing import Any

from raftkv.kv.clock import ClockStep
from raftkv.kv.commands import Command, Op
from raftkv.kv.transactions import Step

BYTES_SHOWN = 32
"""Of a key or value; a put of long ones still fits on a line."""
PARTS_SHOWN = 8
"""Of a list: more would not fit on a line."""


def describe_command(data: bytes) -> str:
    """``put color=blue``, ``delete a..b``, ``cas color: red→blue``, ``txn of 3: put a=1, delete b``"""
    try:
        command = Command.decode(data)
        return _describe(command.op, command.arguments)
    except (ValueError, TypeError, LookupError, ArithmeticError):
        return f"no command: {len(data):,} bytes"


def describe_clock(data: bytes) -> str:
    """``1,000 ms pass, leases 7, 9 end``: of a leader's clock entry."""
    try:
        step = ClockStep.decode(data)
    except ValueError:
        return f"no clock: {len(data):,} bytes"
    ids = [lease_id for lease_id, _ in step.ended]
    return f"{step.elapsed_ms:,} ms pass" + (f", {_leases(ids)} end" if ids else "")


def _describe(op: int, arguments: tuple[Any, ...]) -> str:
    match op:
        case Op.PUT:
            key, value, *lease = arguments
            return f"put {_pair(key, value)}" + (f" lease {int(lease[0])}" if lease and lease[0] else "")
        case Op.DELETE:
            return f"delete {_shown(arguments[0])}"
        case Op.DELETE_RANGE:
            return f"delete {_range(*arguments[:2])}"
        case Op.COMPARE_AND_SET:
            key, expected, value = arguments
            before = "absent" if expected is None else _shown(expected)
            return f"cas {_shown(key)}: {before}→{_shown(value)}"
        case Op.MULTI_PUT:
            pairs = arguments[0]
            return f"put of {len(pairs)}: {_listed([_pair(*pair) for pair in pairs[:PARTS_SHOWN]])}"
        case Op.TXN:
            compares, success, failure = arguments
            count = len(compares) + len(success) + len(failure)
            steps = [_step(*step) for step in (*success, *failure)[:PARTS_SHOWN]]
            return f"txn of {count}" + (f": {_listed(steps)}" if steps else "")
        case Op.LEASE_GRANT:
            return f"lease grant {arguments[0] / 1000:g} s"
        case Op.LEASE_REVOKE:
            return f"lease revoke {int(arguments[0])}"
        case Op.LEASE_KEEP_ALIVE:
            return f"keep {_leases([int(each) for each in arguments[0][:PARTS_SHOWN]])} alive"
        case Op.COMPACT:
            return f"compact {int(arguments[0]):,}"
    raise ValueError("no operation of this version")


def _step(step: int, *arguments: Any) -> str:
    match step:
        case Step.PUT:
            return f"put {_pair(*arguments[:2])}"
        case Step.RANGE:
            return f"get {_range(*arguments[:2])}"
        case Step.DELETE:
            return f"delete {_range(*arguments[:2])}"
        case Step.TXN:
            return "txn"
    raise ValueError("no step of this version")


def _pair(key: Any, value: Any) -> str:
    return f"{_shown(key)}={_shown(value)}"


def _range(start: Any, end: Any) -> str:
    """One key where there is no end; all keys from ``start`` on where the end is empty."""
    return _shown(start) if end is None else f"{_shown(start)}..{_shown(end)}"


def _leases(ids: list[int]) -> str:
    return f"lease{'s' if len(ids) > 1 else ''} " + _listed([str(each) for each in ids[:PARTS_SHOWN]])


def _listed(parts: list[str]) -> str:
    return ", ".join(parts)


def _shown(data: Any) -> str:
    """Raises ValueError for what is no byte string."""
    if type(data) is not bytes:
        raise ValueError("not bytes")
    # Room for one character more than is shown, of four bytes each: what is cut off here is not shown anyway.
    text = data[: 4 * (BYTES_SHOWN + 1)].decode("utf-8", "backslashreplace")
    if not text.isprintable():
        text = "".join(each if each.isprintable() else _escaped(each) for each in text[: BYTES_SHOWN + 1])
    return text if len(text) <= BYTES_SHOWN else text[: BYTES_SHOWN - 1] + "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
