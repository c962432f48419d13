"""What an operator has broken in this node itself: its disk and its clock. (Links have theirs in ``peers``.)

A fault may have a lifetime, and ends by itself when that is over. Lifetimes pass by the true time: a node
whose clock was slowed down must not take ten times as long to get well. Setting a fault anew replaces the
one before and its lifetime, which the generation is for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from raftkv.actors.messages import Note, SetClockRate, SetDiskFault
from raftkv.actors.system import Context
from raftkv.observe import DiskFault, describe_clock_rate, describe_disk_fault, events

DISK, CLOCK = "disk", "clock"
TRUE_RATE = 1.0


@dataclass(frozen=True, slots=True)
class _Expired:
    part: str
    generation: int


class _Part:
    """Of the node: sound as long as ``text`` is empty."""

    __slots__ = ("expires", "generation", "text")

    def __init__(self) -> None:
        self.text = ""
        self.expires: float | None = None
        self.generation = 0


class FaultsActor:
    def __init__(
        self,
        context: Context,
        set_disk_fault: Callable[[DiskFault | None], None],
        set_clock_rate: Callable[[float], None],
    ) -> None:
        self._context = context
        self._set_disk_fault = set_disk_fault
        self._set_clock_rate = set_clock_rate
        self._parts = {DISK: _Part(), CLOCK: _Part()}

    def handle(self, message: Any) -> None:
        match message:
            case SetDiskFault(fault=None):
                self._mend(DISK, expired=False)
            case SetDiskFault(fault=DiskFault() as fault):
                self._set_disk_fault(fault)
                self._begin(DISK, describe_disk_fault(fault), asdict(fault), message.seconds)
            case SetClockRate(rate=1.0):
                self._mend(CLOCK, expired=False)
            case SetClockRate(rate=rate):
                self._set_clock_rate(rate)
                self._begin(CLOCK, describe_clock_rate(rate), {"rate": rate}, message.seconds)
            case _Expired():
                if self._parts[message.part].generation == message.generation:
                    self._mend(message.part, expired=True)
            case _:
                raise AssertionError(f"faults got {message}")

    def shown(self) -> tuple[str, ...]:
        """What is broken, a few words each, with the time that it still lasts."""
        now = self._context.true_now()
        return tuple(
            part.text + ("" if part.expires is None else f", {max(0.0, part.expires - now):.0f} s left")
            for part in self._parts.values()
            if part.text
        )

    def _begin(self, name: str, text: str, fields: dict[str, Any], seconds: float | None) -> None:
        part = self._parts[name]
        part.text = text
        part.generation += 1
        part.expires = None
        if seconds is not None:
            part.expires = self._context.true_now() + seconds
            self._context.set_true_timer("faults", seconds, _Expired(name, part.generation))
        note = Note(events.NODE_FAULT_SET, {"part": name, **fields, "seconds": seconds})
        self._context.send("status", note)

    def _mend(self, name: str, expired: bool) -> None:
        part = self._parts[name]
        if not part.text:
            return
        if name == DISK:
            self._set_disk_fault(None)
        else:
            self._set_clock_rate(TRUE_RATE)
        part.text, part.expires = "", None
        part.generation += 1
        self._context.send("status", Note(events.NODE_FAULT_HEALED, {"part": name, "expired": expired}))
