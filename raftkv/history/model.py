"""What one key does, apart from all time: a register that can also compare and append.

========  ===========================================================================
put v     the state becomes v (v null: absent)
delete    the state becomes absent
cas e v   if the state equals e (type and value; null: absent) it becomes v
append a  the state becomes state + a; absent counts as empty; on a state that is
          no string it cannot succeed
get       the state
========  ===========================================================================

``apply`` is the model in full and what a dumb twin is built on. The search uses ``States`` instead:
every state is a small integer, so that comparing and hashing cost nothing however long strings grow.

JUNK. A state is junk when nothing in the history could tell it from other junk: no get returned it, no
cas expected it, and no string that a get returned or a cas expected begins with it, so that no appends
can make it one of these. All junk states are one state: a get never matches, a cas never succeeds, and
an append leads to junk again. That collapses the k! orders of k appends nobody saw to one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from raftkv.history.operations import Op, Operation, Value, same_value, text_of

ABSENT = 0
JUNK = 1
IMPOSSIBLE = -1


class Refused(Exception):
    """The operation cannot have had its recorded result in this state."""


def apply(state: Value, operation: Operation) -> Value:
    """The state after the operation takes effect. ``output`` is what the caller must compare:
    here it only decides between a cas that took place and one that found another value.

    An operation of unknown result is applied as one that took place."""
    match operation.op:
        case Op.PUT:
            return operation.value
        case Op.DELETE:
            return None
        case Op.APPEND:
            return _joined(state, operation.value)
        case Op.GET:
            if not same_value(state, operation.output):
                raise Refused
            return state
        case Op.CAS:
            if same_value(state, operation.expected) is (operation.output is False):
                raise Refused
            return state if operation.output is False else operation.value


def is_text(value: Value) -> bool:
    return isinstance(value, str | bytes)


def as_bytes(value: Value) -> bytes:
    """Absent counts as empty. Only for text."""
    if value is None:
        return b""
    assert isinstance(value, str | bytes)
    return value if isinstance(value, bytes) else value.encode("utf-8")


def _joined(state: Value, suffix: Value) -> Value:
    if state is not None and not is_text(state):
        raise Refused
    return text_of(as_bytes(state) + as_bytes(suffix))


class Prefixes:
    """Answers whether any of some texts begins with a given one."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._sorted = sorted(set(texts))

    def begin_with(self, text: bytes) -> bool:
        return self.find(text) is not None

    def find(self, text: bytes) -> int | None:
        """The place of the first text that begins with this one, by which it can be told from any other of
        its length."""
        # All texts that begin with this one stand together, right where it would stand itself.
        at = bisect_left(self._sorted, text)
        return at if at < len(self._sorted) and self._sorted[at].startswith(text) else None

    def text(self, at: int) -> bytes:
        return self._sorted[at]

    def longest(self) -> list[bytes]:
        """Those that no other begins with; every substring of any text is a substring of one of these."""
        texts = self._sorted
        return [
            text
            for at, text in enumerate(texts)
            if at + 1 == len(texts) or not texts[at + 1].startswith(text)
        ]


class States:
    """The states one key can be in, as integers; see the module about JUNK."""

    def __init__(self, observed: Iterable[Value], *, appends: bool) -> None:
        self._appends = appends
        """Without appends a state is only ever compared; with them, it matters which text it is."""
        self._ids: dict[tuple[object, object], int] = {(type(None), None): ABSENT}
        self._spans: list[tuple[int, int] | None] = [None, None]
        """A state that is text begins some observed text: which (``Prefixes``), and how much of it. Copies of
        all that a growing text has ever been would take its length squared."""
        self._joined: dict[tuple[int, bytes], int] = {}
        self._extended: dict[tuple[int, int], bool] = {}
        values = list(observed)
        self.prefixes = Prefixes(as_bytes(value) for value in values if is_text(value))
        self._observed = {(type(value), value) for value in values}

    def id_of(self, value: Value) -> int:
        if value is None:
            return ABSENT
        if self._appends and is_text(value):
            return self.text_id(as_bytes(value))
        # A number must not be junk beside appends: an append on it fails, on junk text it does not.
        if (type(value), value) not in self._observed and not self._appends:
            return JUNK
        return self._intern((type(value), value), None)

    def append(self, state: int, suffix: bytes) -> int:
        if state == JUNK:
            return JUNK
        found = self._joined.get((state, suffix))
        if found is None:
            text = self._text(state)
            found = IMPOSSIBLE if text is None else self.text_id(text + suffix)
            self._joined[state, suffix] = found
        return found

    def extends(self, state: int, target: int) -> bool:
        """Appends alone, or nothing, could lead from the one state to the other."""
        if state == target:
            return True
        if state == JUNK:
            return False
        found = self._extended.get((state, target))
        if found is None:
            text, goal = self._text(state), self._text(target)
            found = text is not None and goal is not None and target != ABSENT and goal.startswith(text)
            self._extended[state, target] = found
        return found

    def ends_with(self, state: int, suffixes: tuple[bytes, ...]) -> bool:
        """Whether an append of one of these could have produced the state."""
        span = self._spans[state]
        if span is None or not suffixes:
            return False
        at, length = span
        return self.prefixes.text(at).endswith(suffixes, 0, length)

    def _text(self, state: int) -> bytes | None:
        """None for what is no text."""
        if state == ABSENT:
            return b""
        span = self._spans[state]
        return None if span is None else self.prefixes.text(span[0])[: span[1]]

    def text_id(self, text: bytes) -> int:
        """Of a state that is text, beside appends."""
        at = self.prefixes.find(text)
        if at is None:
            return JUNK
        span = at, len(text)
        return self._intern(span, span)

    def _intern(self, key: tuple[object, object], span: tuple[int, int] | None) -> int:
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self._spans)
            self._spans.append(span)
        return found
