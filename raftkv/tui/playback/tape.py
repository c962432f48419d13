"""What was heard, in order, and any moment of it again.

Theory of operation: the state of any moment is what the reducer makes of everything before it. Frames
are gathered into blocks of about a second and compressed; every so many blocks the state is kept as
well (it is frozen, so that costs little), and a moment is found by reducing on from the last of these.
A bounded tape forgets its oldest blocks, so a dashboard that stays open for days can always look back
over the last minutes.

Of a node's snapshots only some are kept, so a moment of the tape may show numbers that are up to
``SNAPSHOT_SECONDS`` old and counts fewer checks. Every line, every change of role, term, vote and leader, and
every violation that was found live is there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from raftkv.observe import Event, NodeSnapshot, ProcessSnapshot
from raftkv.tui.event_log import fresh, is_election
from raftkv.tui.model import (
    Item,
    RosterChanged,
    State,
    Violated,
    initial,
    reduce,
    reduce_all,
)
from raftkv.tui.playback.codec import Frame, decode_block, encode_block

BLOCK_SECONDS = 1.0
BLOCK_ITEMS_MAX = 512
CHECKPOINT_BLOCKS = 10
LIVE_BYTES_MAX = 3 << 20
"""Compressed, of a running dashboard: some ten minutes of five nodes."""
MARKS_MAX = 20_000
"""Lines of the event log that a timeline can jump to."""
SNAPSHOT_SECONDS = 0.25
"""A node's snapshots are kept this far apart unless they tell of a change: enough for a moving picture."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of the event log on the timeline."""

    number: int
    """Of the line, from 1: ``State.lines_total`` just after it."""
    time: float
    """Of the poll that brought it."""
    node: str
    symbol: str
    style: str
    elected: bool


@dataclass(slots=True)
class _Block:
    number: int
    data: bytes
    start: float
    end: float
    lines: int
    """``lines_total`` before it."""
    checkpoint: State | None
    """Before it. The oldest block of a tape always has one."""


@dataclass(slots=True)
class _Open:
    frames: list[Frame] = field(default_factory=list)
    items: int = 0
    before: State | None = None


class Tape:
    def __init__(self, names: Sequence[str], bytes_max: int | None = LIVE_BYTES_MAX) -> None:
        """``bytes_max`` None: nothing is forgotten."""
        self._bytes_max = bytes_max
        self._bytes = 0
        self._blocks: deque[_Block] = deque()
        self._open = _Open()
        self._number = 0
        self._kept: dict[str, NodeSnapshot] = {}
        """The last snapshot kept of each node, unless something has happened to it since."""
        self._processes: dict[str, ProcessSnapshot] = {}
        self.marks: deque[Mark] = deque(maxlen=MARKS_MAX)
        self._names = tuple(names)

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes at its beginning."""
        return self.checkpoint(0)[1].names

    # -- recording

    def add(self, now: float, items: Sequence[Item], before: State, after: State) -> bytes | None:
        """What a poll brought, with the state before and after it. The block that this completed, if any."""
        kept = self._thinned(items, before, after)
        if not kept:
            return None
        sealed = None
        if self._open.frames and now - self._open.frames[0][0] >= BLOCK_SECONDS:
            sealed = self.seal()
        if not self._open.frames:
            self._open.before = before
        self._open.frames.append((now, kept))
        self._open.items += len(kept)
        self._mark(now, before, after)
        if sealed is None and self._open.items >= BLOCK_ITEMS_MAX:
            sealed = self.seal()
        return sealed

    def seal(self) -> bytes | None:
        """Complete the block that is being filled."""
        frames, before = self._open.frames, self._open.before
        if not frames:
            return None
        assert before is not None
        data = encode_block(frames)
        checkpoint = before if self._number % CHECKPOINT_BLOCKS == 0 or not self._blocks else None
        block = _Block(self._number, data, frames[0][0], frames[-1][0], before.lines_total, checkpoint)
        self._number += 1
        self._blocks.append(block)
        self._bytes += len(data)
        self._open = _Open()
        self._forget()
        return data

    def append(self, data: bytes, state: State) -> State:
        """A block of a recording, and the state after it from the one before. Raises ``WireError``."""
        frames = decode_block(data)
        after = state
        for now, items in frames:
            then, after = after, reduce_all(after, items)
            self._mark(now, then, after)
        if frames:
            keeps = self._number % CHECKPOINT_BLOCKS == 0 or not self._blocks
            start, end = frames[0][0], frames[-1][0]
            block = _Block(self._number, data, start, end, state.lines_total, state if keeps else None)
            self._number += 1
            self._blocks.append(block)
            self._bytes += len(data)
        return after

    def cut(self, time: float) -> None:
        """Forget everything after ``time``: it will happen otherwise."""
        self.seal()
        while self._blocks and self._blocks[-1].start > time:
            self._number = self._blocks[-1].number
            self._bytes -= len(self._blocks.pop().data)
        if self._blocks and self._blocks[-1].end > time:
            play = Playhead(self)
            last = self._blocks[-1]
            play.seek_block(last.number)
            before = play.state
            frames = [frame for frame in decode_block(last.data) if frame[0] <= time]
            self._bytes -= len(self._blocks.pop().data)
            self._number = last.number
            self._open = _Open(frames, sum(len(items) for _, items in frames), before)
        while self.marks and self.marks[-1].time > time:
            self.marks.pop()
        self._kept.clear()
        self._processes.clear()

    def _thinned(self, items: Sequence[Item], before: State, after: State) -> list[Item]:
        """What is kept of a poll. Which snapshots prove a violation when seen together cannot be told from
        one alone, so what was found is kept as well, behind the item that showed it."""
        if before.checks.findings == after.checks.findings:
            return self._thin(items)
        kept: list[Item] = []
        for item in items:
            then, before = before, reduce(before, item)
            kept += [*self._thin([item]), *_found(then, before)]
        return kept

    def _thin(self, items: Sequence[Item]) -> list[Item]:
        kept: list[Item] = []
        for item in items:
            if isinstance(item, NodeSnapshot):
                before = self._kept.get(item.name)
                if before and item.time - before.time < SNAPSHOT_SECONDS and _alike(before, item):
                    continue
                self._kept[item.name] = item
            elif isinstance(item, ProcessSnapshot):
                if self._processes.get(item.name) == item:
                    continue
                self._processes[item.name] = item
                self._kept.pop(item.name, None)
            elif isinstance(item, Event):
                self._kept.pop(item.node, None)
            elif isinstance(item, RosterChanged):
                self._kept.clear()
                self._processes.clear()
            kept.append(item)
        return kept

    def _mark(self, now: float, before: State, after: State) -> None:
        if after.lines_total > before.lines_total:
            for line in fresh(after.lines, before.lines_total):
                self.marks.append(Mark(line.number, now, line.node, line.mark, line.style, is_election(line)))

    def _forget(self) -> None:
        """The oldest blocks, as many as are too much; the newest stays, however large it is."""
        if self._bytes_max is None or self._bytes <= self._bytes_max:
            return
        while self._bytes > self._bytes_max and len(self._blocks) > 1:
            oldest = self._blocks.popleft()
            self._bytes -= len(oldest.data)
            if self._blocks[0].checkpoint is None:
                state = oldest.checkpoint or initial(self._names)
                for _, items in decode_block(oldest.data):
                    state = reduce_all(state, items)
                self._blocks[0].checkpoint = state
        while self.marks and self._blocks and self.marks[0].number <= self._blocks[0].lines:
            self.marks.popleft()

    # -- finding

    @property
    def empty(self) -> bool:
        return not self._blocks and not self._open.frames

    @property
    def start(self) -> float:
        if self._blocks:
            return self._blocks[0].start
        return self._open.frames[0][0] if self._open.frames else 0.0

    @property
    def end(self) -> float:
        if self._open.frames:
            return self._open.frames[-1][0]
        return self._blocks[-1].end if self._blocks else 0.0

    def block_at(self, time: float) -> int:
        """The number of the last block that begins at ``time`` or before, or of the first."""
        return self._before(bisect_right(self._blocks, time, key=lambda block: block.start))

    def block_of_line(self, number: int) -> int:
        """The number of the block that brought line ``number``, or of the first."""
        return self._before(bisect_right(self._blocks, number - 1, key=lambda block: block.lines))

    def _before(self, position: int) -> int:
        if not self._blocks:
            return self._number
        return self._blocks[max(0, position - 1)].number

    def load(self, number: int) -> list[Frame] | None:
        """The frames of block ``number``; None where there is none, or none any more."""
        if not self.holds(number):
            return None
        if self.is_sealed(number):
            return decode_block(self._blocks[number - self.first].data)
        return self._open.frames

    def holds(self, number: int) -> bool:
        """The block that is being filled is one of them."""
        return self.first <= number <= self._number

    def is_sealed(self, number: int) -> bool:
        return number < self._number

    @property
    def first(self) -> int:
        """The number of the oldest block."""
        return self._blocks[0].number if self._blocks else self._number

    def checkpoint(self, number: int) -> tuple[int, State]:
        """The number of a block at or before block ``number``, and the state before it."""
        for block in reversed(self._blocks):
            if block.number <= number and block.checkpoint is not None:
                return block.number, block.checkpoint
        if self._blocks:
            first = self._blocks[0]
            return first.number, first.checkpoint or initial(self._names)
        return self._number, self._open.before or initial(self._names)

    def blocks(self) -> list[bytes]:
        """Everything that is sealed, to be written as a recording."""
        return [block.data for block in self._blocks]


class Playhead:
    """A moment of a tape: ``state`` is what was known then, ``time`` when that was."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._block, self.state = tape.checkpoint(0)
        self.time = tape.start
        self._items: list[tuple[float, Item]]
        self._next: int
        self._complete: bool
        """Whether ``_items`` are all of the block; one that is being filled grows."""
        self._load()

    def seek_block(self, number: int) -> None:
        """To just before block ``number``."""
        if number < self._block or self._tape.checkpoint(number)[0] > self._block:
            self._block, self.state = self._tape.checkpoint(number)
            self._load()
        while self._peek() is not None and self._block < number:
            self._step()

    def seek(self, time: float) -> None:
        """To the last moment not after ``time``."""
        time = min(max(time, self._tape.start), max(self._tape.start, self._tape.end))
        if time < self.time or self._tape.block_at(time) > self._block + CHECKPOINT_BLOCKS:
            self._restart(self._tape.block_at(time))
        while (ahead := self._peek()) is not None and ahead[0] <= time:
            self._step()
        self.time = time

    def seek_line(self, number: int) -> None:
        """To just after line ``number`` of the event log came."""
        if number <= self.state.lines_total:
            self._restart(self._tape.block_of_line(number))
        while self.state.lines_total < number and self._step():
            pass

    @property
    def at_end(self) -> bool:
        return self._peek() is None

    def _restart(self, block: int) -> None:
        self._block, self.state = self._tape.checkpoint(block)
        self.time = self._tape.start
        self._load()

    def _step(self) -> bool:
        ahead = self._peek()
        if ahead is None:
            return False
        self.time = max(self.time, ahead[0])
        self.state = reduce(self.state, ahead[1])
        self._next += 1
        return True

    def _peek(self) -> tuple[float, Item] | None:
        while self._next >= len(self._items):
            if not self._complete:
                self._load_rest()  # the block that is being filled may have grown
                if self._next < len(self._items):
                    break
            if self._block + self._complete < self._tape.first:
                self._restart(self._tape.first)  # forgotten under our feet
            elif not self._tape.holds(self._block + 1):
                return None
            else:
                self._block += 1
                self._load()
        return self._items[self._next]

    def _load(self) -> None:
        self._items, self._next, self._complete = [], 0, False
        self._load_rest()

    def _load_rest(self) -> None:
        frames = self._tape.load(self._block)
        if frames is None:
            return
        self._complete = self._tape.is_sealed(self._block)
        self._items = [(now, item) for now, items in frames for item in items]


def _found(before: State, after: State) -> list[Violated]:
    known = before.checks.findings
    fresh = [finding for finding in after.checks.findings if finding not in known]
    return [Violated(finding.time, finding.invariant, finding.text) for finding in fresh]


def _alike(before: NodeSnapshot, snapshot: NodeSnapshot) -> bool:
    """Whether nothing has changed that one would want to see at its very moment."""
    return (
        *(before.boot, before.event_sequence),
        *(before.role, before.term, before.voted_for, before.leader),
    ) == (
        snapshot.boot,
        snapshot.event_sequence,
        snapshot.role,
        snapshot.term,
        snapshot.voted_for,
        snapshot.leader,
    )
