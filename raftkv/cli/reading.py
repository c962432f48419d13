"""What commands read, files and stdin, with an end to how much of it: there are files without one."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from raftkv.errors import ConfigError

LINE_BYTES_MAX = 16 << 20
"""Of a line: several times the largest value, in whatever form."""
IDLE_MS = 50
"""Between two looks at what else there is to do, where nothing is under way."""


class _Stdin:
    taken = False
    """By a shell without a terminal, which reads its commands there."""


def stdin() -> IO[bytes]:
    """Raises ``ConfigError`` where there is none to be had."""
    if _Stdin.taken:
        raise ConfigError("'-' cannot read stdin here: the commands come from it")
    if sys.stdin is None or sys.stdin.closed:
        raise ConfigError("'-' reads from stdin, but stdin is closed")
    return sys.stdin.buffer


@contextmanager
def commands_from_stdin() -> Iterator[Iterator[bytes]]:
    """Its lines. Meanwhile neither a command nor a process that one starts gets anything of it."""
    fd, nothing = sys.stdin.fileno(), os.open(os.devnull, os.O_RDONLY)
    with os.fdopen(os.dup(fd), "rb") as stream:
        os.dup2(nothing, fd)
        os.close(nothing)
        _Stdin.taken = True
        try:
            yield lines(stream, "stdin")
        finally:
            _Stdin.taken = False
            os.dup2(stream.fileno(), fd)


class _Patient(io.RawIOBase):
    """Reads what may be long in coming, and does something else meanwhile."""

    def __init__(self, fd: int, meanwhile: Callable[[], bool]) -> None:
        self._fd = fd
        self._meanwhile = meanwhile
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._poll.poll(0):
            if not self._meanwhile():
                self._poll.poll(IDLE_MS)
        data = os.read(self._fd, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def patient(stream: IO[bytes], meanwhile: Callable[[], bool]) -> IO[bytes]:
    """``stream``; and where it is no file but somebody who may take their time, ``meanwhile`` is called again
    and again while nothing comes. It says whether it had anything to do, and must not take long."""
    try:
        fd = stream.fileno()
    except OSError:  # it is no file at all: a program's own stream
        return stream
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return stream
    return cast("IO[bytes]", io.BufferedReader(_Patient(fd, meanwhile)))


def lines(stream: IO[bytes], name: str) -> Iterator[bytes]:
    """With their ends. Raises ``ConfigError`` for one that is too long, or cannot be read."""
    number = 0
    while line := read(lambda: stream.readline(LINE_BYTES_MAX + 1), f"{name}, line {number + 1}"):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            raise ConfigError(
                f"{name}, line {number}: longer than {LINE_BYTES_MAX:,} bytes, which is the limit"
            )
        yield line


def whole(stream: IO[bytes], name: str, bytes_max: int) -> bytes:
    found = read(lambda: stream.read(bytes_max + 1), name)
    if len(found) > bytes_max:
        raise ConfigError(f"{name} has over {bytes_max:,} bytes, which is the limit")
    return found


def read(take: Callable[[], bytes], what: str) -> bytes:
    """What ``take`` returns. Raises ``ConfigError`` where ``what`` cannot be read."""
    try:
        return take()
    except OSError as error:
        raise ConfigError(f"{what}: cannot be read: {error.strerror}") from None
