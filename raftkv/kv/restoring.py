"""A whole snapshot, from wherever it is kept, into a state machine."""

from __future__ import annotations

from collections.abc import Iterable

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
