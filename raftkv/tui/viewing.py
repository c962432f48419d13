"""Which moment is on the screen: the present, a moment of the past, or the place of a replay.

The cluster never waits for the view. A view that is frozen stands at one moment of the tape; the tape
goes on, so that the present can be returned to, and what happened meanwhile be stepped through.
"""

from __future__ import annotations

from datetime import datetime

from raftkv.tui.event_log import LogLine
from raftkv.tui.frame import Mode, Times
from raftkv.tui.model import State
from raftkv.tui.playback.tape import Playhead, Tape

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0)


class Viewer:
    def __init__(self, tape: Tape, origin: datetime, mode: Mode = Mode.LIVE) -> None:
        """``mode``: LIVE, SIMULATED, or REPLAY of a tape that is whole."""
        self.tape = tape
        self.origin = origin
        self._mode = mode
        self.playing = True
        """Of a replay: whether its time passes."""
        self.speed = 1.0
        self._still = Playhead(tape) if mode is Mode.REPLAY else None

    @property
    def mode(self) -> Mode:
        return Mode.FROZEN if self._still and self._mode is not Mode.REPLAY else self._mode

    def moment(self, state: State, now: float) -> tuple[State, float]:
        """What to show, when ``state`` and ``now`` are the present."""
        return (self._still.state, self._still.time) if self._still else (state, now)

    def times(self, now: float, playing: bool = True, speed: float = 1.0) -> Times:
        """``playing`` and ``speed`` of a simulation."""
        still = self._still
        replay = self._mode is Mode.REPLAY
        end = self.tape.end if replay else max(now, self.tape.end)
        return Times(
            self.mode,
            end if self.tape.empty else self.tape.start,
            end,
            still.time if still else now,
            self.origin,
            self.tape.marks,
            self.playing if replay else playing,
            self.speed if replay else speed,
        )

    # -- the present and the past

    def toggle(self) -> None:
        """Freeze, or return to the present; of a replay: play, or stand still."""
        if self._mode is Mode.REPLAY:
            if self._still and self._still.at_end and not self.playing:
                self.seek(self.tape.start)
            self.playing = not self.playing
        elif self._still:
            self._still = None
        else:
            self.seek(self.tape.end)

    def present(self) -> None:
        if self._mode is not Mode.REPLAY:
            self._still = None

    def seek(self, time: float) -> None:
        self._stand().seek(time)

    def step(self, lines: int) -> None:
        """So many lines of the event log back or on."""
        still = self._stand()
        here = still.state.lines_total
        self._go_to_line(here + lines)
        if lines < 0 and still.state.lines_total == here:
            # The line before came with this one: an event, and word of those that were missed before it.
            self._go_to_line(here + lines - 1)

    def go_to(self, line: LogLine) -> bool:
        """To the moment at which ``line`` was heard of, or at which it happened, where that was missed then;
        False where nobody looked yet."""
        if line.number:
            self._go_to_line(line.number)
        elif self.tape.empty or not self.tape.start <= line.time <= self.tape.end:
            return False
        else:
            self.playing = False
            self.seek(line.time)
        return True

    def election(self, direction: int) -> bool:
        """To the election before (-1) or after (1); whether there was one."""
        numbers = [mark.number for mark in self.tape.marks if mark.elected]
        here = self._still.state.lines_total if self._still else max(numbers, default=0) + 1
        ahead = [number for number in numbers if (number - here) * direction > 0]
        if not ahead:
            return False
        self._go_to_line(min(ahead) if direction > 0 else max(ahead))
        return True

    def _go_to_line(self, number: int) -> None:
        self.playing = False
        self._stand().seek_line(max(0, number))

    def _stand(self) -> Playhead:
        if self._still is None:
            self._still = Playhead(self.tape)
            self._still.seek(self.tape.end)
        return self._still

    # -- a replay

    def advance(self, seconds: float) -> None:
        """Let the replay go on by so much of the time of the one who looks at it."""
        if self._mode is Mode.REPLAY and self.playing and self._still:
            self._still.seek(self._still.time + seconds * self.speed)
            if self._still.at_end:
                self.playing = False

    def change_speed(self, steps: int) -> None:
        self.speed = other_speed(self.speed, steps)


def other_speed(speed: float, steps: int) -> float:
    """The next slower or faster one."""
    nearest = min(range(len(SPEEDS)), key=lambda number: abs(SPEEDS[number] - speed))
    return SPEEDS[min(max(nearest + steps, 0), len(SPEEDS) - 1)]
