"""What goes where: data to stdout, everything else to stderr; how bytes look; exit codes."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, TextIO

from raftkv.errors import (
    AccessRefused,
    ClientError,
    Compacted,
    ConfigError,
    DataFolderLocked,
    ForeignData,
    InvalidRequest,
    LaunchError,
    LeaseNotFound,
    LockLost,
    OutcomeUnknown,
    RaftkvError,
    SessionExpired,
    StorageError,
    Unavailable,
)

BASE64_PREFIX = "base64:"


class Exit(IntEnum):
    DONE = 0
    NO = 1
    """Key not found, compare failed, a check found a violation."""
    USAGE = 2
    UNAVAILABLE = 3
    """Nobody answered or there is no leader; nothing happened."""
    UNKNOWN = 4
    """Sent and not answered in time."""
    REFUSED = 5
    """For want of the right key, or of permission."""
    BUG = 70
    """As ``sysexits.h`` has it."""


class Unprinted(OutcomeUnknown):
    """What was asked for had its answer, and whoever asked does not get to see it."""


def exit_code_of(error: RaftkvError) -> int:
    match error:
        case AccessRefused():
            return Exit.REFUSED
        case OutcomeUnknown():
            return Exit.UNKNOWN
        case Unavailable() | SessionExpired():
            return Exit.UNAVAILABLE
        case ConfigError() | LaunchError() | InvalidRequest() | DataFolderLocked() | ForeignData():
            return Exit.USAGE
        case Compacted() | LeaseNotFound() | LockLost():
            return Exit.NO
        case ClientError():
            return Exit.UNAVAILABLE
        case StorageError():
            return Exit.NO
    return Exit.USAGE  # what an operator asked for, refused by a node or the launcher


def fail(text: str) -> None:
    note(f"raftkv: {text}")


def note(text: str) -> None:
    """A line for people, on stderr."""
    if sys.stderr is None:  # closed: print would turn to stdout, where data goes
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        # Full, or nobody reads it any more: the exit code says it all the same. What is still buffered must
        # not fail a second time at the interpreter's end.
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """What is written to ``stream`` from now on is lost, and so is what is buffered."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def telling() -> Iterator[Callable[[str], None]]:
    """As ``note``, for what runs on whether or not anybody reads it."""
    from raftkv.cluster.teller import Teller

    if sys.stderr is None:
        yield lambda _: None
        return
    teller = Teller(sys.stderr.fileno())
    try:
        yield teller.say
    finally:
        teller.close()


def on_a_terminal() -> bool:
    """Stdin, stdout and stderr; one that is closed is none."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def stderr_is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def require_stdout() -> None:
    """Before anything is asked whose answer is to be printed."""
    if sys.stdout is None:
        raise ConfigError("stdout is closed; the output has nowhere to go")


def emit(text: str, foreign: str = "surrogateescape", *, more: bool = False) -> None:
    """A line of data, on stdout; UTF-8 whatever the locale. Of names that are none, like a path's, the bytes
    are printed as they are. ``more``: it is one of many, and ``BrokenPipeError`` says that nobody reads them
    any longer. All else is told to whoever listens, and the command goes on to end as it would."""
    emit_bytes(text.encode("utf-8", foreign) + b"\n", more=more)


def emit_bytes(data: bytes, *, more: bool = False) -> None:
    require_stdout()
    rest = memoryview(data)
    with _printing(more):
        while rest:  # with PYTHONUNBUFFERED a part of it may be all that is taken at once
            rest = rest[sys.stdout.buffer.write(rest) :]


def flush(more: bool = False) -> None:
    if sys.stdout is not None:
        with _printing(more):
            sys.stdout.flush()


@contextmanager
def _printing(more: bool) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # whoever read it has had enough
        if more:
            raise
        discard(sys.stdout)
    except OSError as error:
        raise Unprinted(f"the output cannot be written: {error.strerror or error}") from None


def emit_json(document: Any, *, more: bool = False) -> None:
    # JSON's own escape for such a name
    emit(json.dumps(document, ensure_ascii=False), "backslashreplace", more=more)
    flush(more)


def argument_bytes(text: str) -> bytes:
    """An argument's own bytes, whatever the shell passed."""
    return os.fsencode(text)


def as_text(value: bytes) -> str:
    """UTF-8 as it is, anything else as base64."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return BASE64_PREFIX + base64.b64encode(value).decode("ascii")


def as_field(value: bytes) -> str:
    """As ``as_text``, but fit for one field of a tab-separated line, and readable back: what holds
    a tab or a line end, or only looks like base64, is written as base64 too."""
    if value.startswith(BASE64_PREFIX.encode()) or any(special in value for special in (b"\t", b"\n", b"\r")):
        return BASE64_PREFIX + base64.b64encode(value).decode("ascii")
    return as_text(value)


def from_field(field: bytes) -> bytes:
    """The inverse of ``as_field``. Raises ValueError for broken base64."""
    if field.startswith(BASE64_PREFIX.encode()):
        return _from_base64(field[len(BASE64_PREFIX) :])
    return field


def _from_base64(text: str | bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:  # of binascii's making, which says nothing to whoever wrote the line
        raise ValueError("what should be base64 is not") from None


def as_json(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}


def from_json(value: Any) -> bytes:
    """The inverse of ``as_json``. Raises ValueError for anything else."""
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, dict) and list(value) == ["base64"] and isinstance(value["base64"], str):
        return _from_base64(value["base64"])
    raise ValueError(f"neither a string nor {{'base64': …}}: {value!r}")
