"""How other threads wake a client's."""

from __future__ import annotations

import os
from contextlib import suppress

from raftkv.client.unique import Unique


class Waker(Unique):
    """Wakes a poll. Any thread may, at any time: so it is closed when nobody holds it any more, for else the
    descriptor's number might be another file's when somebody who is late writes to it."""

    __slots__ = ("fd",)

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __del__(self) -> None:
        with suppress(AttributeError):  # there was none to be had
            os.close(self.fd)

    def wake(self) -> None:
        os.eventfd_write(self.fd, 1)

    def take(self) -> None:
        os.eventfd_read(self.fd)
