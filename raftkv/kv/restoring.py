"""A whole snapshot, from wherever it is kept, into a state machine, and that back into a snapshot."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from raftkv.errors import CorruptLog, ForeignData
from raftkv.kv.machine import DEFAULT_LIMITS, StateMachine
from raftkv.kv.sessions import SessionLimits
from raftkv.kv.snapshot import OtherFormat, Restoration


def restored(
    chunks: Iterable[bytes], index: int, where: str, limits: SessionLimits = DEFAULT_LIMITS
) -> StateMachine:
    """The state after entry ``index``. ``where`` names the snapshot for messages.

    Raises ``CorruptLog`` and ``ForeignData``, and what ``chunks`` does."""
    restoration = Restoration(StateMachine(limits))
    whole = False
    try:
        for chunk in chunks:
            whole = restoration.feed(chunk)
        if not whole or restoration.machine.applied_index != index:
            raise ValueError("it ends too early, or is of another entry")
    except OtherFormat as error:
        raise ForeignData(f"{where}: {error}") from error
    except ValueError as error:
        raise CorruptLog(where, 0, str(error)) from error
    return restoration.machine


def move_on(machine: StateMachine, revisions: int) -> None:
    """As if so many writes had been made since, of which nothing is known any more. For a state that may lie
    behind what was told of it: no revision means two things, and whoever asks for what came after one of the
    lost gets ``Compacted``. The index stays, so that states are compared, and one that was moved on by
    another number is found at once."""
    machine.revision += revisions
    machine.history.compact(machine.revision)
    machine.digest = zlib.crc32(b"%d" % revisions, machine.digest)


def captured(machine: StateMachine) -> Iterator[bytes]:
    """The chunks of a snapshot of it, of which nothing may change meanwhile."""
    capture, last = machine.begin_capture(), False
    while not last:
        chunk, last = capture.next_chunk()
        yield chunk
