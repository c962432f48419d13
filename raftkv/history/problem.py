"""One key's operations, prepared for the search: integers instead of values, moments instead of times.

**Moments.** All calls and returns are sorted by time, calls first where times are equal, so that
operations which only touch count as concurrent. A moment is a place in that order. Of an operation of
unknown result only the call has one.

**Slots.** While an operation is pending it owns one bit, the lowest free one; after its return the next
call may have the bit. A set of pending operations is then an integer no wider than the concurrency,
whatever the length of the history.

**Timelines** say which slots held a certain kind of pending operation at a moment: a set for each of its
calls and returns, where a table for each moment would have one of every kind. Where tens of thousands of
operations are concurrent that is more than there is memory for, and the search is not begun.

**What is left out**, because it cannot change the verdict:

- operations that failed, and unknown gets: they change nothing and say nothing;
- an unknown cas from a value to itself, or from a value that nothing writes: no effect either;
- an unknown put, delete or cas whose value nobody could observe, if no cas that found another value
  returned after its call (such a cas may owe its outcome to any write at all); take it out of any
  linearization and what lies between it and the next write still has the recorded results. Beside
  appends this needs that all states are text, as an append must not land on a number instead;
- an unknown append whose suffix is part of no observed text, under the same condition.

**Classes.** Unknown operations with the same effect are interchangeable: a linearization that uses one of
them can use the one called first instead. So the search counts how many of a class it has used, and does
not ask which. The counts of all classes are packed into one integer, each with a guard bit above it, so
that "used no more of any class" is one subtraction.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from raftkv.history.chains import Chains
from raftkv.history.model import ABSENT, IMPOSSIBLE, JUNK, States, as_bytes, is_text
from raftkv.history.operations import Op, Operation, Result, Value

EVENTS_A_LOOK = 256
"""Between two looks at the clock, while the tables are made."""
TIMELINES_BYTES_MAX = 1 << 29


class TooConcurrent(Exception):
    """So many operations of the key are pending together that there is no memory for the search."""


class Kind(IntEnum):
    GET = 0
    PUT = 1
    """And delete, which puts ABSENT."""
    CAS = 2
    CAS_FALSE = 3
    APPEND = 4


class Effect(NamedTuple):
    """What an operation does, in states. Equal effects are interchangeable."""

    kind: Kind
    expected: int
    """The state observed by GET and CAS, and not found by CAS_FALSE."""
    value: int
    """The state after PUT and CAS."""
    suffix: bytes
    """Of APPEND, and of a CAS that stands for an append (``chains.py``)."""

    @property
    def is_reset(self) -> bool:
        """It gives the state a value of its own, whatever was there."""
        return self.kind in (Kind.PUT, Kind.CAS) and not self.suffix

    def apply(self, state: int, states: States) -> int:
        """The state after, or IMPOSSIBLE. Not for reads."""
        if self.kind is Kind.PUT:
            return self.value
        if self.kind is Kind.CAS:
            return self.value if state == self.expected else IMPOSSIBLE
        return states.append(state, self.suffix)


class Pending(NamedTuple):
    """An operation known to have happened."""

    effect: Effect
    bit: int
    called: int
    returned: int


class Unknowns(NamedTuple):
    """The unknown operations with one effect."""

    effect: Effect
    called: list[int]
    shift: int
    count_mask: int
    """Of the count after it was shifted down."""

    def left(self, used: int, before: int) -> bool:
        """Whether one that was called before this moment is unused."""
        return bisect_left(self.called, before) > (used >> self.shift) & self.count_mask


class Timeline:
    """Which slots are set, moment by moment."""

    __slots__ = ("_masks", "_moments")

    def __init__(self) -> None:
        self._moments: list[int] = []
        self._masks: list[int] = []

    def at(self, moment: int) -> int:
        """After everything earlier than the moment."""
        at = bisect_left(self._moments, moment)
        return self._masks[at - 1] if at else 0

    def flip(self, moment: int, bit: int) -> int:
        """Bytes that it takes."""
        mask = (self._masks[-1] if self._masks else 0) ^ bit
        self._masks.append(mask)
        self._moments.append(moment)
        return 64 + mask.bit_length() // 8


class Timelines(dict[int, Timeline]):
    """By state."""

    def __missing__(self, state: int) -> Timeline:
        found = self[state] = Timeline()
        return found


class Observers:
    """The operations that need one state to have been there, by call."""

    def __init__(self, found: list[Pending]) -> None:
        self._called = [operation.called for operation in found]
        self._first_return = [operation.returned for operation in found]
        for at in range(len(found) - 2, -1, -1):
            self._first_return[at] = min(self._first_return[at], self._first_return[at + 1])

    def first_return(self, after: int) -> int | None:
        """The earliest return among those called after a moment."""
        at = bisect_right(self._called, after)
        return self._first_return[at] if at < len(self._called) else None


class Problem:
    """All tables the search reads. None of them changes once it is made."""

    def __init__(self, operations: Iterable[Operation], check: Callable[[], None] = lambda: None) -> None:
        """``check`` is called now and then, and may raise: where texts are long, or the history is, this
        takes time. Raises ``TooConcurrent``."""
        self._check = check
        happened = [operation for operation in operations if operation.result is not Result.FAIL]
        self.appends = any(operation.op is Op.APPEND for operation in happened)
        self.all_text = all(
            operation.value is None or is_text(operation.value)
            for operation in happened
            if operation.op in (Op.PUT, Op.CAS)
        )
        self.junk_is_harmless = self.all_text or not self.appends
        """Whether a write nobody observes may be moved or left out without harm to an append."""
        self.states = States(_compared(happened), appends=self.appends)
        self._chains = Chains(happened, check)
        self.impossible = self._chains.impossible
        """No search needed: there is no linearization."""
        known = [operation for operation in happened if operation.result is Result.OK]
        unknown = [operation for operation in happened if operation.result is Result.UNKNOWN]
        self.pending: list[Pending] = []
        """By call."""
        self.returning: list[Pending] = []
        """By return."""
        self._make_slots(known, self._worth_keeping(known, unknown))
        self._make_timelines()
        self._make_observers()

    def _effect(self, operation: Operation) -> Effect:
        state = self.states.id_of
        match operation.op:
            case Op.GET:
                return Effect(Kind.GET, state(operation.output), 0, b"")
            case Op.PUT:
                return Effect(Kind.PUT, 0, state(operation.value), b"")
            case Op.DELETE:
                return Effect(Kind.PUT, 0, ABSENT, b"")
            case Op.APPEND:
                suffix = as_bytes(operation.value)
                link = self._chains.links.get(suffix)
                if link:
                    self._check()
                    text_id = self.states.text_id
                    before = text_id(link.before) if link.before_length else ABSENT
                    return Effect(Kind.CAS, before, text_id(link.after), suffix)
                return Effect(Kind.APPEND, 0, 0, suffix)
        expected = state(operation.expected)
        if operation.output is False:
            return Effect(Kind.CAS_FALSE, expected, 0, b"")
        if operation.output is True and operation.passes_on:
            return Effect(Kind.GET, expected, 0, b"")
        return Effect(Kind.CAS, expected, state(operation.value), b"")

    def _worth_keeping(
        self, known: Sequence[Operation], unknown: Sequence[Operation]
    ) -> list[tuple[Effect, int]]:
        """(effect, call) of the unknown operations that could explain anything."""
        last_miss = max(
            (operation.return_ns or 0 for operation in known if operation.missed),
            default=-1,
        )
        longest = self._longest_texts() if any(operation.op is Op.APPEND for operation in unknown) else []
        kept = []
        for operation in unknown:
            if operation.op is Op.GET:
                continue
            effect = self._effect(operation)
            if operation.passes_on:
                continue
            if self.junk_is_harmless and last_miss < operation.call_ns:
                if effect.kind is Kind.APPEND:
                    if not any(effect.suffix in text for text in longest):
                        continue
                elif effect.value == JUNK:
                    continue
            kept.append((effect, operation.call_ns))
        if self.appends:
            return kept
        written = {self._effect(operation).value for operation in known if not operation.is_read}
        written |= {effect.value for effect, _ in kept} | {ABSENT}
        return [entry for entry in kept if entry[0].kind is not Kind.CAS or entry[0].expected in written]

    def _longest_texts(self) -> list[bytes]:
        return self.states.prefixes.longest()

    def _make_slots(self, known: Sequence[Operation], unknown: Sequence[tuple[Effect, int]]) -> None:
        effects = [self._effect(operation) for operation in known]
        events = [(operation.call_ns, 0, at) for at, operation in enumerate(known)]
        events += [(operation.return_ns or 0, 1, at) for at, operation in enumerate(known)]
        events += [(call_ns, 0, len(known) + at) for at, (_, call_ns) in enumerate(unknown)]
        events.sort()
        called: dict[int, tuple[int, int]] = {}
        unknown_called: dict[Effect, list[int]] = {}
        free = -1  # a bit for each free slot: all of them
        for moment, (_, is_return, at) in enumerate(events):
            if moment % EVENTS_A_LOOK == 0:
                self._check()
            if at >= len(known):
                unknown_called.setdefault(unknown[at - len(known)][0], []).append(moment)
            elif is_return:
                bit, since = called.pop(at)
                free |= bit
                self.returning.append(Pending(effects[at], bit, since, moment))
            else:
                bit = free & -free
                free ^= bit
                called[at] = (bit, moment)
        self.end = len(events)
        self.slots = max((operation.bit.bit_length() for operation in self.returning), default=0)
        self.pending = sorted(self.returning, key=lambda operation: operation.called)
        self._pack(unknown_called)
        loose = {effect.suffix for effect in (*effects, *unknown_called) if effect.kind is Kind.APPEND}
        self.loose_appends = tuple(sorted(loose))
        """The suffixes of appends that could land anywhere."""

    def _pack(self, unknown_called: dict[Effect, list[int]]) -> None:
        self.unknowns: list[Unknowns] = []
        self.guards = 0
        shift = 0
        for effect, called in unknown_called.items():
            width = len(called).bit_length()
            self.unknowns.append(Unknowns(effect, called, shift, (1 << width) - 1))
            self.guards |= 1 << (shift + width)
            shift += width + 1

    def _make_timelines(self) -> None:
        self.gets = Timelines()
        self.misses = Timeline()
        """cas that found another value, all of them"""
        self.misses_of = Timelines()
        """… by the value they expected"""
        self.cas_of = Timelines()
        self.producers = Timelines()
        self.writes = Timeline()
        self.junk_puts = Timeline()
        self.resets = Timeline()
        self._slot_calls: dict[int, list[int]] = {}
        self._slot_operations: dict[int, list[Pending]] = {}
        events = [(operation.called, operation) for operation in self.pending]
        events += [(operation.returned, operation) for operation in self.returning]
        size = 0
        for number, (moment, operation) in enumerate(sorted(events)):
            for timeline in self._timelines_of(operation.effect):
                size += timeline.flip(moment, operation.bit)
            if number % EVENTS_A_LOOK == 0:
                self._check()
                if size > TIMELINES_BYTES_MAX:
                    raise TooConcurrent
            if moment == operation.called:
                self._slot_calls.setdefault(operation.bit, []).append(moment)
                self._slot_operations.setdefault(operation.bit, []).append(operation)
        misses = [
            operation.returned for operation in self.returning if operation.effect.kind is Kind.CAS_FALSE
        ]
        self.last_miss = misses[-1] if misses else -1

    def _timelines_of(self, effect: Effect) -> list[Timeline]:
        match effect.kind:
            case Kind.GET:
                return [self.gets[effect.expected]]
            case Kind.CAS_FALSE:
                return [self.misses, self.misses_of[effect.expected]]
            case Kind.APPEND:
                return [self.writes]
            case Kind.CAS if effect.suffix:
                return [self.writes, self.producers[effect.value], self.cas_of[effect.expected]]
            case Kind.PUT:
                junk = [self.junk_puts] if effect.value == JUNK else []
                return [self.writes, self.resets, self.producers[effect.value], *junk]
        return [self.writes, self.resets, self.producers[effect.value], self.cas_of[effect.expected]]

    def _make_observers(self) -> None:
        observers: dict[int, list[Pending]] = {}
        self.producer_calls: dict[int, list[int]] = {}
        self.reset_calls: list[int] = []
        self.reset_operations: list[Pending] = []
        for operation in self.pending:
            effect = operation.effect
            if effect.kind in (Kind.GET, Kind.CAS):
                observers.setdefault(effect.expected, []).append(operation)
            if effect.kind in (Kind.PUT, Kind.CAS):
                self.producer_calls.setdefault(effect.value, []).append(operation.called)
            if effect.is_reset:
                self.reset_calls.append(operation.called)
                self.reset_operations.append(operation)
        self.observers = {state: Observers(found) for state, found in observers.items()}
        self.observers_by_return = [
            operation for operation in self.returning if operation.effect.kind in (Kind.GET, Kind.CAS)
        ]
        self.observer_returns = [operation.returned for operation in self.observers_by_return]
        self.unknown_producers: dict[int, list[Unknowns]] = {}
        self.unknown_cas_of: dict[int, list[Unknowns]] = {}
        for unknowns in self.unknowns:
            if unknowns.effect.kind is Kind.CAS:
                self.unknown_cas_of.setdefault(unknowns.effect.expected, []).append(unknowns)
            if unknowns.effect.kind is not Kind.APPEND:
                self.unknown_producers.setdefault(unknowns.effect.value, []).append(unknowns)

    def operation_at(self, bit: int, moment: int) -> Pending:
        """The one that holds a slot at a moment; the slot must be taken."""
        return self._slot_operations[bit][bisect_left(self._slot_calls[bit], moment) - 1]


def _compared(operations: Iterable[Operation]) -> list[Value]:
    """Every value that some result depends on."""
    found: list[Value] = []
    for operation in operations:
        if operation.op is Op.GET and operation.result is Result.OK:
            found.append(operation.output)
        elif operation.op is Op.CAS:
            found.append(operation.expected)
    return found
