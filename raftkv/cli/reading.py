"""What commands read, files and stdin, with an end to how much of it: there are files without one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from raftkv.errors import ConfigError

LINE_BYTES_MAX = 16 << 20
"""Of a line: several times the largest value, in whatever form."""


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


def lines(stream: IO[bytes], name: str) -> Iterator[bytes]:
    """With their ends. Raises ``ConfigError`` for one that is too long."""
    number = 0
    while line := stream.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            raise ConfigError(
                f"{name}, line {number}: longer than {LINE_BYTES_MAX:,} bytes, which is the limit"
            )
        yield line


def whole(stream: IO[bytes], name: str, bytes_max: int) -> bytes:
    found = stream.read(bytes_max + 1)
    if len(found) > bytes_max:
        raise ConfigError(f"{name} has over {bytes_max:,} bytes, which is the limit")
    return found
