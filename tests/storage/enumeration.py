"""Every way to lose power in every small workload, and every byte of the result changed.

A *workload* is a start (an empty folder, or one that was lived in) and some operations of a small
alphabet. Power is lost before each operation of the disk, and what was not synced is lost, kept, cut
at every byte, or kept in any subset of its sectors. Each *image* that may be found so is opened; power
is lost again before each operation of that recovery, and again in the recovery of that. A second
family ends only the process: what it wrote can be read, until power is lost later. The third flips
each byte of each file.

Rule: what is found is what was acknowledged, or that and the one batch in flight, or (only where a
byte was changed) a refusal that names the file and an offset not beyond the byte, and changes nothing.

Images are compared by their bytes and never judged twice, which is what makes "every" affordable.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from itertools import count, product

from raftkv.errors import CorruptLog, DiskFull
from raftkv.storage import Wal, WalOptions
from raftkv.storage.memory import MemoryDirectory
from tests.storage.support import (
    N1,
    NOTHING,
    FillingDirectory,
    PowerLoss,
    State,
    Write,
    entries,
    hard_state,
    lose_power_at,
    open_wal,
    replay,
    state_of,
)
from tests.storage.survivals import Image, disk_of, image_of, killed_in, surviving

OPTIONS = WalOptions(segment_bytes=512)
LIVED: list[Write] = [(hard_state(1, N1), []), (None, entries(1, 3))]
DISK_ROOM_BYTES = 150
"""What of a write still fits when the disk fills up: a segment's header does, a batch does not."""
RECOVERIES_CUT_SHORT = 2
"""Losses of power after the first: in the recovery from it, and in the recovery from that."""
FLIPS = tuple(1 << bit for bit in range(8))


class Start(Enum):
    EMPTY = "empty"
    LIVED_IN = "lived in"


class Operation(Enum):
    APPEND = "append"
    ROLL = "roll"
    """Larger than a segment: needs one of its own. Three sectors, of which the middle one may be missing."""
    OVERWRITE = "overwrite"
    """A later term replaces the last entries that are not committed; the log gets shorter."""
    STATE = "state"
    APPEND_AND_STATE = "append and state"
    FILL_DISK = "fill disk"
    """An append of which only a part fits. Nothing has happened, and the log goes on."""


_MORE = (Operation.APPEND, Operation.ROLL)
"""What each new life writes: into the segment it found, and into another."""
Workload = tuple[Start, tuple[Operation, ...]]


@dataclass(slots=True)
class Counts:
    """What was tried. All of it held, or it would have been raised."""

    workloads: int = 0
    crash_points: int = 0
    torn_states: int = 0
    """Different disks that the first loss of power may leave."""
    recovery_crash_points: int = 0
    recovery_states: int = 0
    second_recovery_crash_points: int = 0
    second_recovery_states: int = 0
    kills: int = 0
    """Ends of the process alone, each followed by losses of power in and after the next start."""
    bit_flips: int = 0
    bit_flips_refused: int = 0
    reopenings: int = 0

    def add(self, other: Counts) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


def workloads(start: Start, operations_max: int) -> Iterator[Workload]:
    for length in range(operations_max + 1):
        for operations in product(Operation, repeat=length):
            yield start, operations


def enumerate_all(operations_max: int, thorough: bool = False) -> Counts:
    """Every workload of at most so many operations. Raises at the first rule that is broken."""
    counts = Counts()
    for start in Start:
        for workload in workloads(start, operations_max):
            counts.add(enumerate_workload(workload, thorough))
    return counts


def enumerate_workload(workload: Workload, thorough: bool = False) -> Counts:
    """``thorough``: cut also the writes of a recovery at every byte, and flip every bit."""
    enumeration = _Enumeration(workload, thorough)
    try:
        enumeration.run()
    except Exception as error:
        error.add_note(f"workload: {workload[0].value}: {', '.join(o.value for o in workload[1]) or 'open'}")
        error.add_note(enumeration.where)
        raise
    return enumeration.counts


def write_of(operation: Operation, state: State) -> Write:
    """What the operation writes where the log stands at ``state``."""
    known, log = state
    last = len(log)
    term = max(1, known.current_term)
    commit = max(known.commit_index, last - 2)
    if operation is Operation.STATE:
        return hard_state(term + 1, N1, commit), []
    if operation is Operation.OVERWRITE:
        first = max(known.commit_index + 1, last - 1)
        return hard_state(term + 1, None, known.commit_index), entries(first, first, term + 1, size=30)
    size = {Operation.ROLL: 1000, Operation.FILL_DISK: 300}.get(operation, 20)
    batch = entries(last + 1, last + 1, term, size)
    return (hard_state(term, N1, commit) if operation is Operation.APPEND_AND_STATE else None), batch


@dataclass(slots=True)
class _Life:
    """One process at work. ``allowed`` is what a start may find if it ends now."""

    directory: FillingDirectory
    wal: Wal | None
    state: State
    allowed: tuple[State, ...]

    @staticmethod
    def begin(start: Start) -> _Life:
        directory = FillingDirectory()
        state: State = NOTHING, []
        if start is Start.LIVED_IN:
            wal, _ = open_wal(directory, OPTIONS)
            for write in LIVED:
                wal.append(*write)
            directory = FillingDirectory.holding(dict(image_of(directory.power_loss())))
            state = replay(LIVED)
        return _Life(directory, None, state, (state,))

    def open(self) -> None:
        self.wal, recovered = open_wal(self.directory, OPTIONS)
        assert state_of(recovered) == self.state

    def do(self, operation: Operation) -> None:
        assert self.wal is not None
        write = write_of(operation, self.state)
        if operation is Operation.FILL_DISK:
            self._fill_disk(write)
            return
        after = replay([self.state, write])
        self.allowed = self.state, after
        self.wal.append(*write)
        self.state, self.allowed = after, (after,)

    def _fill_disk(self, write: Write) -> None:
        assert self.wal is not None
        self.directory.room = DISK_ROOM_BYTES
        try:
            self.wal.append(*write)
        except DiskFull:
            self.directory.room = None
            return
        raise AssertionError("the disk did not fill up")


class _Enumeration:
    def __init__(self, workload: Workload, thorough: bool) -> None:
        self.start, self.operations = workload
        self.thorough = thorough
        self.counts = Counts(workloads=1)
        self.where = ""

    def run(self) -> None:
        for number in count():
            life, finished = self._live_until(number)
            self.counts.crash_points += 1
            self.where = f"power lost before operation {number}" if not finished else "at rest"
            self._lose_power(life)
            self._kill(life)
            if finished:
                self._flip(image_of(life.directory.power_loss()), (life.state,), self._masks())
                return

    def _live_until(self, number: int) -> tuple[_Life, bool]:
        """The workload until that operation of the disk within its last step, and whether it was
        over before: an earlier crash belongs to a shorter workload."""
        life = _Life.begin(self.start)
        steps = [life.open, *(lambda o=operation: life.do(o) for operation in self.operations)]
        for step in steps[:-1]:
            step()
        life.directory.before = lose_power_at(number)
        try:
            steps[-1]()
        except PowerLoss:
            return life, False
        return life, True

    # -- power

    def _lose_power(self, life: _Life) -> None:
        """Breadth first, so that every image is met at the least number of losses."""
        seen: set[Image] = set()
        images = _unseen(surviving(life.directory), seen)
        self.counts.torn_states += len(images)
        for cut_short in range(RECOVERIES_CUT_SHORT + 1):
            following: list[tuple[Image, bool]] = []
            for image, coarse in images:
                self._check(image, life.allowed, more=_MORE if coarse else _MORE[:1])
                if coarse and cut_short == 0 and self.thorough and len(self.operations) < 2:
                    self._flip(image, life.allowed, masks=())
                if cut_short < RECOVERIES_CUT_SHORT and (coarse or (self.thorough and cut_short == 0)):
                    fine = self.thorough and coarse and cut_short == 0
                    following += self._cut_recovery_short(image, life.allowed, seen, fine, cut_short)
            images = following
            if cut_short == 0:
                self.counts.recovery_states += len(images)
            elif cut_short == 1:
                self.counts.second_recovery_states += len(images)

    def _cut_recovery_short(
        self, image: Image, allowed: tuple[State, ...], seen: set[Image], fine: bool, cut_short: int
    ) -> list[tuple[Image, bool]]:
        found: list[tuple[Image, bool]] = []
        for number in count():
            directory = disk_of(image)
            directory.before = lose_power_at(number)
            self.counts.reopenings += 1
            try:
                _, recovered = open_wal(directory, OPTIONS)
            except PowerLoss:
                if cut_short:
                    self.counts.second_recovery_crash_points += 1
                else:
                    self.counts.recovery_crash_points += 1
                found += _unseen(surviving(directory, fine), seen)
            else:
                assert state_of(recovered) in allowed
                return found
        raise AssertionError("unreachable")

    def _check(self, image: Image, allowed: tuple[State, ...], more: Sequence[Operation] = _MORE[:1]) -> None:
        """Open, go on, and find both what was found and what was added."""
        directory = disk_of(image)
        wal, recovered = open_wal(directory, OPTIONS)
        found = state_of(recovered)
        assert found in allowed, f"found {found}"
        self._go_on(directory, wal, found, more)
        self.counts.reopenings += 1

    def _go_on(self, directory: MemoryDirectory, wal: Wal, found: State, more: Sequence[Operation]) -> None:
        for operation in more:
            self._find_again(directory, found)
            write = write_of(operation, found)
            wal.append(*write)
            found = replay([found, write])
        self._find_again(directory, found)

    def _find_again(self, directory: MemoryDirectory, expected: State) -> None:
        """What was served, or acknowledged, is there after any loss of power from now on."""
        _, again = open_wal(directory.power_loss(), OPTIONS)
        self.counts.reopenings += 1
        assert state_of(again) == expected, f"found {state_of(again)}"
        assert again.cut is None

    # -- the process alone

    def _kill(self, life: _Life) -> None:
        """``kill -9`` here, the next start, and power lost in that start or right after it: what the
        start found in the page cache alone must not be lost once it has been served."""
        life.directory.room = None
        for directory in killed_in(life.directory):
            self.counts.kills += 1
            for number in count():
                second = copy.deepcopy(directory)
                second.before = lose_power_at(number)
                self.counts.reopenings += 1
                try:
                    wal, recovered = open_wal(second, OPTIONS)
                except PowerLoss:
                    for image, _ in surviving(second, fine=False):
                        self._check(image, life.allowed)
                    continue
                found = state_of(recovered)
                assert found in life.allowed
                second.before = lose_power_at(1 << 30)
                self._go_on(second, wal, found, _MORE)
                break

    # -- bytes

    def _masks(self) -> Sequence[int]:
        return FLIPS if self.thorough else ()

    def _flip(self, image: Image, allowed: tuple[State, ...], masks: Sequence[int]) -> None:
        """``masks`` empty: one bit of each byte, another one from byte to byte."""
        for position, (name, data) in enumerate(image):
            self.where = f"a flipped bit in {name}"
            for offset, byte in enumerate(data):
                for mask in masks or (FLIPS[offset * 5 % 8],):
                    changed = data[:offset] + bytes([byte ^ mask]) + data[offset + 1 :]
                    flipped = (*image[:position], (name, changed), *image[position + 1 :])
                    self._check_flipped(flipped, name, offset, allowed)

    def _check_flipped(self, image: Image, name: str, offset: int, allowed: tuple[State, ...]) -> None:
        directory = disk_of(image)
        self.counts.bit_flips += 1
        self.counts.reopenings += 1
        refusal: CorruptLog | None = None
        try:
            _, recovered = open_wal(directory, OPTIONS)
        except CorruptLog as error:
            refusal = error
        if refusal is None:
            assert state_of(recovered) in allowed, f"byte {offset}: found {state_of(recovered)}"
            return
        self.counts.bit_flips_refused += 1
        assert refusal.file == f"{directory.path}/{name}"
        assert 0 <= refusal.offset <= offset
        assert image_of(directory) == image, "a refusal changes nothing"


def _unseen(found: Iterator[tuple[Image, bool]], seen: set[Image]) -> list[tuple[Image, bool]]:
    fresh = []
    for image, coarse in found:
        if image not in seen:
            seen.add(image)
            fresh.append((image, coarse))
    return fresh
