"""The whole of a recording as facts: who was what and when, every event, the throughput, the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raftkv.observe import LEADER
from raftkv.tui.checks import Checks
from raftkv.tui.event_log import LogLine, fresh, is_election
from raftkv.tui.model import (
    EXITED,
    RosterChanged,
    State,
    Stretch,
    initial,
    operations_per_second,
    reduce,
)
from raftkv.tui.playback.codec import decode_block
from raftkv.tui.view.health import leader

LINES_MAX = 5000
"""Events of a report; a page with more is not read any more."""
SAMPLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """How things stood at one moment, about once a second."""

    time: float
    operations: float
    """A second, of the leader."""


@dataclass(frozen=True, slots=True)
class Chronicle:
    names: tuple[str, ...]
    """The nodes at its end, and then those that had left."""
    left: int
    """How many of them had."""
    start: float
    end: float
    lines: tuple[LogLine, ...]
    left_out: int
    """Lines beyond ``LINES_MAX``."""
    lives: tuple[tuple[str, tuple[Stretch, ...]], ...]
    readings: tuple[Reading, ...]
    checks: Checks
    load: str
    """What the built-in load's history came to; empty when it never ran."""

    @property
    def events(self) -> int:
        return len(self.lines) + self.left_out

    @property
    def elections(self) -> tuple[LogLine, ...]:
        return tuple(line for line in self.lines if is_election(line))

    @property
    def commands(self) -> tuple[LogLine, ...]:
        return tuple(line for line in self.lines if line.mark == "$")

    @property
    def leaderless_seconds(self) -> float:
        """From the first leader on. One that was deposed without noticing leads nobody: its time is over
        when a leader of a later term is there."""
        reigns = sorted(
            (stretch.time, end, stretch.term)
            for _, life in self.lives
            for stretch, end in ends(life, self.end)
            if stretch.what == LEADER
        )
        missing, covered, term = 0.0, reigns[0][0] if reigns else self.end, 0
        for start, end, its_term in reigns:
            if its_term < term:
                continue
            missing += max(0.0, start - covered)
            covered, term = end if its_term > term else max(covered, end), its_term
        return missing + max(0.0, self.end - covered)


def ends(life: Sequence[Stretch], end: float) -> list[tuple[Stretch, float]]:
    """Every stretch with the moment at which it ends; the last at ``end``."""
    return list(zip(life, [*(stretch.time for stretch in life[1:]), end], strict=True)) if life else []


def chronicle(names: Sequence[str], blocks: Iterable[bytes]) -> Chronicle:
    """Raises ``WireError`` for blocks that are none."""
    state = initial(names)
    lines: list[LogLine] = []
    left_out = 0
    lives: dict[str, list[Stretch]] = {}
    readings: list[Reading] = []
    start: float | None = None
    end = 0.0
    for block in blocks:
        for now, items in decode_block(block):
            start, end = now if start is None else start, now
            for item in items:
                before, state = state, reduce(state, item)
                if isinstance(item, RosterChanged):
                    _part(lives, state.names, now)
                if state.lines_total == before.lines_total:
                    continue
                heard = fresh(state.lines, before.lines_total)
                room = LINES_MAX - len(lines)
                lines += heard[:room]
                left_out += max(0, len(heard) - room)
            _gather(lives, state)
            if not readings or now - readings[-1].time >= SAMPLE_SECONDS:
                head = leader(state, now)
                rate = operations_per_second(head) if head else None
                readings.append(Reading(now, rate or 0.0))
    known = state.names or tuple(names)
    left = [name for name in lives if name not in known]
    return Chronicle(
        (*known, *left),
        len(left),
        start or 0.0,
        end,
        tuple(sorted(lines, key=lambda line: line.time)),
        left_out,
        tuple((name, tuple(lives.get(name, ()))) for name in (*known, *left)),
        tuple(readings),
        state.checks,
        _load(state),
    )


def _gather(lives: dict[str, list[Stretch]], state: State) -> None:
    """The state forgets old stretches; the chronicle does not."""
    for node in state.nodes:
        kept = lives.setdefault(node.name, [])
        fresh: list[Stretch] = []
        for stretch in reversed(node.life):
            if kept and stretch is kept[-1]:
                break
            fresh.append(stretch)
        kept += reversed(fresh)


def _part(lives: dict[str, list[Stretch]], names: Sequence[str], now: float) -> None:
    """Whoever has left the cluster is nothing in it from then on."""
    for name, kept in lives.items():
        if name not in names and kept and kept[-1].what != EXITED:
            kept.append(Stretch(now, EXITED, kept[-1].term))


def _load(state: State) -> str:
    load = state.load
    if load is None or not (load.rounds or load.problem):
        return ""
    if load.problem:
        return f"not linearizable: {load.problem}"
    return f"linearizable: {load.checked:,} operations in {load.rounds:,} rounds"
