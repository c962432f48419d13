"""One picture's worth of everything that a page may draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from raftkv.tui.model import State
from raftkv.tui.playback.tape import Mark


class Mode(Enum):
    LIVE = "live"
    FROZEN = "frozen"
    """A live or simulated cluster goes on, the view stands at a moment of its past."""
    REPLAY = "replay"
    SIMULATED = "simulated"


NOW = (Mode.LIVE, Mode.SIMULATED)
"""In these a cluster can be asked about what is on the screen."""


@dataclass(frozen=True, slots=True)
class Times:
    """Where the picture stands in time. Seconds of the feed's clock."""

    mode: Mode
    start: float
    end: float
    position: float
    origin: datetime
    """The wall clock at 0 of the feed's clock."""
    marks: Sequence[Mark] = ()
    playing: bool = True
    """Of a replay or a simulation: whether its time passes."""
    speed: float = 1.0

    def wall(self, time: float) -> datetime:
        return self.origin + timedelta(seconds=time)


@dataclass(frozen=True, slots=True)
class Frame:
    state: State
    now: float
    selected: str
    width: int
    times: Times
    load_on: bool = False
    seconds: float | None = None
    """The lifetime of the next fault."""
    filter: str = ""
    """Only events whose line has this in it."""
    breakable: bool = True
    """Whether anything can be done to what is shown."""
    said: tuple[str, str] | None = None
    """(text, style): what the user is to be told in the place of the faults, for a moment."""
